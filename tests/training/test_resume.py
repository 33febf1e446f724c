"""A run that is killed with SIGKILL, between checkpoints and while it writes one, goes on as if nothing had happened."""

from __future__ import annotations

import pytest
from finished_jobs import check_phases, lines


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
