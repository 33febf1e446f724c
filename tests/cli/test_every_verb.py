"""Every verb on right use: exit code 0 and one JSON document on standard output, nothing else there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def document(*words: str, cwd: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "domainclip", *words, "--json"]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_every_verb_gives_one_document(tmp_path: Path) -> None:
    from domainclip.cli.main import VERBS
    from domainclip.starter import make_starter_set

    make_starter_set("pathology", tmp_path / "starter", groups=3, seed=3, workers=1)
    slide = sorted((tmp_path / "starter").rglob("*.tif"))[0]
    name = "starter-pathology"
    calls = {
        "inspect": ["inspect", str(slide)],
        "prepare": ["prepare", "starter/manifest.csv", "--domain", "pathology", "--output", "set"],
        "audit": ["audit", "set"],
        "zero-shot": ["zero-shot", name, str(slide), "--classes", "adipose tissue,smooth muscle", "--output", "predictions"],
        "embed": ["embed", name, "set", "--output", "features"],
        "index": ["index", name, "set", "--output", "index"],
        "export": ["export", "set", "--format", "qupath", "--output", "export"],
        "search": ["search", "index", "adipose tissue", "-k", "2"],
        "pretrain": ["pretrain", "--domain", "pathology", "--data", "set", "--output", "run", "--set", "training.max_steps=2"],
        "models": ["models"],
        "datasets": ["datasets"],
        "mix": ["mix", "set", "set", "--output", "mixture"],
        "domains": ["domains"],
    }
    assert set(calls) == {module.__name__.rsplit(".", 1)[1].replace("_", "-") for module in VERBS}
    found = {verb: document(*words, cwd=tmp_path) for verb, words in calls.items()}
    assert found["audit"]["clean"] is True
    hit = found["search"]["hits"][0]
    assert set(hit) >= {"key", "score", "level", "window", "path"}
    assert Path(hit["path"]).suffix == ".tif"
    assert found["inspect"]["spacing"]["unit"] == "um"
    assert found["prepare"]["counts"]["images"] > 0
