"""The rules of the house that a reader cannot see at a glance: layers, sizes, names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "domainclip"
LAYERS = {
    "sample": 0, "batch": 0, "config": 0, "model_record": 0, "registry": 0, "resources": 0, "errors": 0, "identifiers": 0,
    "addresses": 0, "channel_names": 0, "cores": 0, "evenly": 0, "heartbeat": 0, "piped_process": 0, "tile_scoring": 0,
    "spread_work": 0,
    "domains": 1, "captions": 1,
    "data": 2, "models": 2, "losses": 2,
    "heads": 3,
    "training": 4, "benchmarks": 4, "starter": 4,
    "cli": 5, "__main__": 5, "__init__": 5,
}  # fmt: skip
APART = {"data", "models", "losses"}


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            base = node.module or ""
            names += [f"{base}.{alias.name}" for alias in node.names] if base == "domainclip" else [base]
    return [name for name in names if name.split(".")[0] == "domainclip" and "." in name]


def wrong_imports(part: str, imported: list[str]) -> list[str]:
    """Lists the imports that point up, or sideways between the parts that stay apart."""
    wrong = []
    for name in imported:
        target = name.split(".")[1]
        if target == part or target not in LAYERS:
            continue
        sideways = part in APART and target in APART
        if LAYERS[target] > LAYERS[part] or sideways:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return  # the package's door names its public functions, all loaded late
    assert part in LAYERS, f"{part} has no layer; give it one in this test and in docs/architecture.md"
    assert wrong_imports(part, _imports(path)) == []


def test_the_layer_test_notices() -> None:
    assert wrong_imports("data", ["domainclip.models.towers"]) == ["domainclip.models.towers"]
    assert wrong_imports("domains", ["domainclip.data.cards"]) == ["domainclip.data.cards"]
    assert wrong_imports("heads", ["domainclip.data.cards", "domainclip.models.zoo"]) == []


@pytest.mark.parametrize("folder", ["domainclip", "tests"])
def test_sizes(folder: str) -> None:
    too_long = []
    for path in (ROOT / folder).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > 400:
            too_long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (length := (node.end_lineno or 0) - node.lineno + 1) > 60:
                too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert too_long == []


def test_names() -> None:
    banned = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [p.name for p in _modules() if p.stem in banned] == []
    classes = [n.name for p in _modules() for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.ClassDef)]
    assert [name for name in classes if name.endswith(("Manager", "Helper"))] == []


def test_unsafe_calls_are_absent() -> None:
    """No pickle, eval, exec, shell=True, extractall, yaml.load or torch.load without weights_only in the package."""
    found = []
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
                found += [f"{path.name}: {n}" for n in names if n in {"pickle", "dill", "cloudpickle", "joblib"}]
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                if called in {"eval", "exec", "yaml.load", "os.system"} or called.endswith(".extractall"):
                    found.append(f"{path.name}: {called}")
                if keywords.get("shell") == "True" or keywords.get("trust_remote_code") == "True":
                    found.append(f"{path.name}: {called}")
                if called == "torch.load" and keywords.get("weights_only") != "True":
                    found.append(f"{path.name}: torch.load without weights_only")
                if keywords.get("allow_pickle") == "True":
                    found.append(f"{path.name}: allow_pickle")
    assert found == []


@pytest.mark.slow
def test_datasets_folder_does_not_pass_for_hugging_faces(tmp_path: Path) -> None:
    """``datasets/`` holds no package: a library of that name wins over it, and nothing that we import takes it for one."""
    for name in ("datasets", "configs", "model_cards"):
        assert not list((ROOT / name).rglob("__init__.py"))
    imports = "domainclip.data.sources, domainclip.heads.domain_model, domainclip.models.towers, domainclip.data.augment, deepspeed"
    ours = subprocess.run(
        [sys.executable, "-c", f"import sys, {imports}; print('datasets' in sys.modules)"], cwd=ROOT, capture_output=True, text=True
    )
    assert ours.stdout.splitlines()[-1] == "False", ours.stderr
    library = tmp_path / "datasets"
    library.mkdir()
    (library / "__init__.py").write_text("")
    found = subprocess.run(
        [sys.executable, "-c", "import sys, importlib.util; sys.path.append(sys.argv[1]);"
         "print(importlib.util.find_spec('datasets').origin)", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == str(library / "__init__.py")


def test_repository_names_no_machine_and_no_index() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = []
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".safetensors", ".png"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        machine = "/" + "work" + "/"
        if machine in text or "index-url" in text.replace('"index-url"', ""):
            found.append(name)
    assert found == []
    assert "://" not in (ROOT / "constraints.txt").read_text()
