"""What users and scripts rely on: public names, verbs, help, one JSON document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import domainclip

PUBLIC = [
    "Caption", "DomainClipError", "DomainModel", "PreparedSet", "Retriever", "RunConfig", "Sample", "ZeroShotClassifier",
    "audit", "build_captions", "embed", "inspect_file", "load_config", "load_model", "make_starter_set", "mix", "open_dataset",
    "prepare", "pretrain",
]  # fmt: skip
VERBS = [
    "audit", "datasets", "domains", "embed", "export", "index", "inspect", "mix", "models", "prepare", "pretrain", "search",
    "zero-shot",
]  # fmt: skip


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "domainclip", *words], capture_output=True, text=True, cwd=cwd, timeout=120)


def test_public_names_are_frozen() -> None:
    assert domainclip.__all__ == PUBLIC
    assert len(PUBLIC) <= 20
    for name in PUBLIC:
        assert getattr(domainclip, name).__doc__, name


def test_verbs_are_frozen() -> None:
    from domainclip.cli.main import VERBS as modules

    assert sorted(module.__name__.rsplit(".", 1)[1].replace("_", "-") for module in modules) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = run(verb, "--help")
    assert result.returncode == 0
    assert "Example:" in result.stdout
    assert "--json" in result.stdout


def test_help_loads_no_heavy_library() -> None:
    heavy = ["torch", "pandas", "pydantic", "transformers", "openslide", "rasterio", "pydicom", "albumentations", "deepspeed"]
    code = f"""
import sys
from domainclip.cli.main import main
try: main(["--help"])
except SystemExit: pass
print([n for n in {heavy} if n in sys.modules], file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"


def test_importing_the_package_needs_no_reader_and_no_torch() -> None:
    code = "import sys, domainclip; print([n for n in ('torch', 'openslide', 'rasterio', 'pydicom', 'pandas') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


WRONG = {
    "pretrain": ["pretrain", "--domain", "patology"],
    "prepare": ["prepare", "nowhere", "--domain", "pathology", "--output", "set"],
    "zero-shot": ["zero-shot", "no-such-model", "nowhere.png", "--classes", "a,b"],
    "embed": ["embed", "no-such-model", "nowhere", "--output", "out"],
    "export": ["export", "nowhere", "--format", "qupth", "--output", "out"],
    "index": ["index", "no-such-model", "nowhere", "--output", "out"],
    "search": ["search", "nowhere", "text"],
    "inspect": ["inspect", "nowhere.svs"],
    "audit": ["audit", "nowhere"],
    "mix": ["mix", "nowhere", "nowhere", "--output", "out"],
    "models": ["models", "--nonsense"],
    "datasets": ["datasets", "ucn"],
    "domains": ["domains", "--nonsense"],
}


# Those that import torch before they find out take seconds each.
_HEAVY = {"zero-shot", "embed", "index", "pretrain"}


@pytest.mark.parametrize("verb", [pytest.param(verb, marks=pytest.mark.slow) if verb in _HEAVY else verb for verb in VERBS])
def test_wrong_use_is_exit_2_with_one_message_and_one_document(verb: str, tmp_path: Path) -> None:
    result = run(*WRONG[verb], "--json", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    error = json.loads(result.stdout)["error"]
    assert all(error[part].strip() for part in ("asked", "found", "remedy"))
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["models"], ["datasets"], ["datasets", "ucm"], ["domains"]])
def test_right_use_is_one_document(words: list[str]) -> None:
    result = run(*words, "--json")
    assert result.returncode == 0, result.stderr
    assert isinstance(json.loads(result.stdout), dict)


@pytest.mark.slow
def test_nearest_names_are_offered(tmp_path: Path) -> None:
    assert "'pathology'" in run("pretrain", "--domain", "patology", cwd=tmp_path).stderr
    assert "'ucm'" in run("datasets", "ucn").stderr
    assert "'max_steps'" in run("pretrain", "--domain", "pathology", "--set", "training.max_stps=3", cwd=tmp_path).stderr
    assert "'training'" in run("pretrain", "--domain", "pathology", "--set", "trainin.max_steps=3", cwd=tmp_path).stderr


def test_what_a_library_prints_does_not_reach_the_document() -> None:
    code = """
import os, sys
from domainclip.cli.output import run_verb
def work(reporter):
    print("chatter"); os.write(1, b"chatter of a C library"); reporter.document({"a": 1}, [])
sys.exit(run_verb(work, as_json=True, debug=False))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {"a": 1}
    assert "chatter of a C library" in result.stderr


def test_full_disk_and_control_c_are_said_plainly() -> None:
    import errno

    from domainclip.cli.output import explain

    code, parts = explain(OSError(errno.ENOSPC, "No space left on device"))
    assert code == 2
    assert parts[1] == "The disk is full."
    assert explain(KeyboardInterrupt())[0] == 130


def test_tests_cannot_reach_the_network() -> None:
    import socket

    with pytest.raises(RuntimeError, match="network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
