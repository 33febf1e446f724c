"""The small models of the workers, and real processes for tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKERS = Path(__file__).parent / "workers"
if str(WORKERS.parent) not in sys.path:
    sys.path.insert(0, str(WORKERS.parent))

PARITY_CASES = [(kind, "deepspeed", stage, "clip") for kind in ("vit", "resnet") for stage in (0, 1)]
PARITY_CASES += [("vit", "deepspeed", 1, "multi-positive"), ("vit", "torch", 0, "clip")]
PARITY_CASES += [("wavelength", "torch", 0, "clip")]
RESUME_PHASES = [
    {"run": "whole"},
    {"run": "torn", "kill_at": 5},
    {"run": "torn", "resume": True, "kill_in_save": 6},
    {"run": "torn", "resume": True, "term_at": 7},
    {"run": "torn", "resume": True},
]


class Jobs:
    """Finished jobs of workers/fork.py: exit codes and outputs by name."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.codes = json.loads((out / "codes.json").read_text())

    def output(self, name: str, rank: int = 0, ending: str = "out") -> str:
        return (self.out / f"{name}-{rank}.{ending}").read_text()

    def check(self, name: str) -> None:
        errors = "".join(self.output(name, rank, "err")[-3000:] for rank in range(len(self.codes[name])))
        assert set(self.codes[name]) == {0}, errors


def run_jobs(out: Path, jobs: list[dict], timeout: float = 280) -> Jobs:
    """Runs jobs as a user's process would: no variable of a launcher or of DeepSpeed, an empty folder for compiled extensions."""
    env = {key: value for key, value in os.environ.items() if key not in {"DS_ACCELERATOR", "LOCAL_RANK", "RANK", "WORLD_SIZE"}}
    env |= {"OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": str(out / "extensions")}
    command = [sys.executable, str(WORKERS / "fork.py"), json.dumps({"out": str(out), "jobs": jobs})]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr[-3000:]
    return Jobs(out)


def resume_jobs(out: Path, engine: str, processes: int = 1, phases: list[dict] = RESUME_PHASES, **more) -> list[dict]:
    return [
        {
            "name": f"resume{n}",
            "script": "resume",
            "processes": processes,
            "arguments": {"out": str(out), "engine": engine, **phase, **more},
        }
        for n, phase in enumerate(phases)
    ]


@pytest.fixture(scope="session")
def tiny():
    spec = importlib.util.spec_from_file_location("tiny", WORKERS / "tiny.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    """All fast jobs in one go."""
    out = tmp_path_factory.mktemp("jobs")
    parity = {"out": str(out), "cases": PARITY_CASES, "portable": [1]}
    work = [
        {"name": "collectives", "script": "collectives", "processes": 2, "arguments": {"out": str(out)}},
        {"name": "parity", "script": "parity", "processes": 2, "arguments": parity},
        *resume_jobs(out, "deepspeed"),
    ]
    return run_jobs(out, work)


@pytest.fixture
def start_jobs(tmp_path):
    """Runs further jobs for one test; ``resume`` builds the phases of a torn run."""
    return lambda work: run_jobs(tmp_path, work)


@pytest.fixture
def resume():
    return resume_jobs


@pytest.fixture
def parity_cases():
    return PARITY_CASES
