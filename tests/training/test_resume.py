"""A run that is killed with SIGKILL, between checkpoints and while it writes one, goes on as if nothing had happened."""

from __future__ import annotations

import json

import pytest

PHASES = [
    {"run": "whole"},
    {"run": "torn", "kill_at": 5},
    {"run": "torn", "resume": True, "kill_in_save": 6},
    {"run": "torn", "resume": True, "term_at": 7},
    {"run": "torn", "resume": True},
]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def order_of(folder):
    """Step to keys of all processes of a run; a step that was made twice must have had the same samples."""
    seen = {}
    for file in folder.glob("order-*.jsonl"):
        for step, keys in lines(file):
            assert seen.setdefault(step, keys) == keys
    return seen


def check_phases(out, output):
    codes = [int(line.split()[1]) for line in output.splitlines() if line.startswith("=== ")]
    assert codes == [0, -9, -9, 7, 0], output
    assert "Going on at step 3 from step-00000003." in output
    assert "Removed step-00000006.part" in output
    assert "Step 8 of 10 is finished and saved" in output and "--resume" in output
    assert '{"start": 8, "steps": 10, "seen": 160}' in output
    whole, torn = (lines(out / run / "metrics.jsonl") for run in ("whole", "torn"))
    assert [line["step"] for line in whole] == [line["step"] for line in torn] == list(range(1, 11))
    for ours, theirs in zip(torn, whole, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert ours["lr"] == theirs["lr"]
    assert order_of(out / "whole") == order_of(out / "torn")
    assert sorted(path.name for path in (out / "torn" / "checkpoints").iterdir()) == ["step-00000009", "step-00000010"]
    assert whole[-1]["loss"] < whole[0]["loss"]


def test_killed_run_goes_on_exactly_deepspeed(run_workers, tmp_path):
    _, [(output, _)] = run_workers("resume.py", {"out": str(tmp_path), "engine": "deepspeed", "phases": PHASES}, processes=1)
    check_phases(tmp_path, output)


@pytest.mark.slow
def test_killed_run_goes_on_exactly_torch(run_workers, tmp_path):
    _, [(output, _)] = run_workers("resume.py", {"out": str(tmp_path), "engine": "torch", "phases": PHASES}, processes=1)
    check_phases(tmp_path, output)


@pytest.mark.slow
def test_killed_run_goes_on_in_two_processes(run_workers, tmp_path):
    run_workers("resume_two.py", {"out": str(tmp_path), "run": "whole"})
    codes, _ = run_workers("resume_two.py", {"out": str(tmp_path), "run": "torn", "kill_at": 5}, expect=None)
    assert -9 in codes and 0 not in codes
    run_workers("resume_two.py", {"out": str(tmp_path), "run": "torn", "resume": True})
    ours, theirs = (lines(tmp_path / run / "metrics.jsonl") for run in ("torn", "whole"))
    assert [line["step"] for line in ours] == list(range(1, 9))
    for a, b in zip(ours, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
