"""The wheel works from an empty folder: cards, configurations and starter weights travel in it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_cards_and_weights_are_inside_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("_resources/datasets/ucm.yaml", "_resources/configs/pathology-starter.yaml", "domains/pathology/facts.yaml"):
        assert f"domainclip/{wanted}" in names
    for domain in ("pathology", "radiology", "remote-sensing"):
        assert f"domainclip/starter/weights/starter-{domain}/model.safetensors" in names
        assert f"domainclip/_resources/model_cards/starter-{domain}.md" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"domainclip"}
    sizes: dict[str, int] = {}
    for entry in zipfile.ZipFile(wheel).infolist():
        if "/weights/" in entry.filename:
            model = entry.filename.split("/")[3]
            sizes[model] = sizes.get(model, 0) + entry.file_size
    assert max(sizes.values()) < 5_000_000


def test_it_works_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    # The dependencies of this environment are lent by a path file; the checkout itself is not on that path.
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*words: str) -> dict[str, object]:
        command = [str(python), "-m", "domainclip", *words, "--json"]
        result = subprocess.run(command, cwd=empty, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        document = json.loads(result.stdout)
        assert isinstance(document, dict)
        return document

    where = subprocess.run(
        [python, "-c", "import domainclip; print(domainclip.__file__)"], cwd=empty, capture_output=True, text=True
    )
    assert str(tmp_path) in where.stdout
    assert {row["name"] for row in run("models")["models"]} >= {"starter-pathology", "starter-radiology", "starter-remote-sensing"}  # type: ignore[attr-defined,index]
    make = "import domainclip as dc; dc.make_starter_set('pathology', 'starter', groups=3, seed=1)"
    subprocess.run([python, "-c", make], cwd=empty, check=True)
    slide = sorted((empty / "starter").rglob("*.tif"))[0]
    assert run("zero-shot", "starter-pathology", str(slide), "--classes", "adipose tissue,smooth muscle")
