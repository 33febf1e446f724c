"""Runs of `domainclip prepare` as a command: undisturbed, and killed half way and gone on with; and what is in their sets."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measuring import measured

LIMIT_SECONDS = 3600.0


def prepare_command(source: Path, output: Path, domain: str, workers: int, *more: str) -> list[str]:
    """The command line of one run."""
    words = [sys.executable, "-m", "domainclip", "prepare", str(source), "--domain", domain, "--output", str(output)]
    return [*words, "--workers", str(workers), *more]


def undisturbed(command: list[str], output: Path) -> dict[str, Any]:
    """One run from start to end; ``counts`` are those of its set."""
    run = measured(command, None, LIMIT_SECONDS, last_line=False)
    counts = json.loads((output / "dataset.json").read_text())["counts"]
    assert not counts["rejected"], counts
    return {
        "counts": counts,
        "seconds": round(run.wall_seconds, 1),
        "cpu_seconds": round(run.cpu_seconds, 1),
        "rss_sum_mib": run.rss_sum_mib,
        "rss_largest_process_mib": run.rss_one_mib,
    }


def killed_and_resumed(command: list[str], output: Path, files: int) -> dict[str, Any]:
    """One run that dies when half of its files are read, and the one that goes on."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    try:
        begun = time.monotonic()
        while _files_done(output) < files // 2:
            assert process.poll() is None, f"it ended by itself with {process.returncode}"
            assert time.monotonic() - begun < LIMIT_SECONDS, "it does not get half way"
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (output / "dataset.json").exists(), "it was whole before it was killed"
    done = _files_done(output)
    run = measured([*command, "--resume"], None, LIMIT_SECONDS, last_line=False)
    return {"files_read_when_killed": done, "resume_seconds": round(run.wall_seconds, 1), "rss_sum_mib": run.rss_sum_mib}


def _files_done(output: Path) -> int:
    work = output / ".preparing"
    return sum(path.suffix == ".jsonl" for path in work.iterdir()) if work.is_dir() else 0


def digests(output: Path) -> dict[str, str]:
    """SHA-256 of each file of a set, by its place."""
    found = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found[path.relative_to(output).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
