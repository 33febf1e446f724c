"""The README's blocks marked as tested run, in their order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_readme_blocks_run(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- tested: .*? -->\n```(bash|python)\n(.*?)```", text, flags=re.DOTALL)
    assert [kind for kind, _ in blocks] == ["bash", "python"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for kind, block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", block] if kind == "bash" else [sys.executable, "-c", block]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


def test_the_two_commands_are_the_makefiles() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for command in ("quickstart", "test"):
        assert f"make {command}" in readme
        assert re.search(rf"^{command}: \$\(STAMP\)$", makefile, flags=re.MULTILINE)
