"""A run that is killed with SIGKILL, between checkpoints and while it writes one, goes on as if nothing had happened."""

from __future__ import annotations

import json

import pytest


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def order_of(folder):
    """Step to keys of a run of one process; a step that was made twice must have had the same samples."""
    seen = {}
    for file in folder.glob("order-*.jsonl"):
        for step, keys in lines(file):
            assert seen.setdefault(step, keys) == keys
    return seen


def check_phases(jobs, out, processes=1):
    names = [f"resume{n}" for n in range(5)]
    assert [jobs.codes[name] for name in names] == [[code] * processes for code in (0, -9, -9, 7, 0)]
    assert "Going on at step 3 from step-00000003." in jobs.output("resume2")
    assert "Removed step-00000006.part" in jobs.output("resume3")
    assert "Step 8 of 10 is finished and saved" in jobs.output("resume3") and "--resume" in jobs.output("resume3")
    assert '{"start": 8, "steps": 10, "seen": 160}' in jobs.output("resume4")
    whole, torn = (lines(out / run / "metrics.jsonl") for run in ("whole", "torn"))
    assert [line["step"] for line in whole] == [line["step"] for line in torn] == list(range(1, 11))
    for ours, theirs in zip(torn, whole, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
        assert ours["lr"] == theirs["lr"]
    assert order_of(out / "whole") == order_of(out / "torn")
    assert sorted(path.name for path in (out / "torn" / "checkpoints").iterdir()) == ["step-00000009", "step-00000010"]
    assert whole[-1]["loss"] != whole[0]["loss"]


@pytest.mark.slow
def test_killed_run_goes_on_exactly_torch(start_jobs, resume, tmp_path):
    check_phases(start_jobs(resume(tmp_path, "torch")), tmp_path)


@pytest.mark.slow
def test_killed_run_of_two_processes_with_batch_norm(start_jobs, resume, tmp_path):
    phases = [{"run": "whole"}, {"run": "torn", "kill_at": 5}, {"run": "torn", "resume": True}]
    jobs = start_jobs(resume(tmp_path, "deepspeed", 2, phases, kind="resnet"))
    assert [jobs.codes[f"resume{n}"] for n in range(3)] == [[0, 0], [-9, -9], [0, 0]]
    assert "averaged before evaluation and saving" in jobs.output("resume0")
    whole, torn = (lines(tmp_path / run / "metrics.jsonl") for run in ("whole", "torn"))
    assert len(whole) == len(torn) == 10
    for ours, theirs in zip(torn, whole, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
