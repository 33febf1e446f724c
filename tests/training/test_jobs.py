"""What the jobs that ``jobs`` runs leave: in one module, since each process of pytest would run them anew."""

from __future__ import annotations

from finished_jobs import check_phases, compare, compare_portable


def test_two_processes(jobs):
    jobs.check("collectives")
    assert (jobs.out / "checkpoints" / "step-00000004" / "state.json").is_file()


def test_parity_of_gradients(tiny, jobs, parity_cases):
    jobs.check("parity")
    compare(tiny, jobs.out, parity_cases)


def test_state_of_two_processes_at_stage_1_goes_on_in_one(tiny, jobs):
    jobs.check("parity")
    compare_portable(tiny, jobs.out, 1, [("deepspeed", 0), ("torch", 0)])


def test_killed_run_goes_on_exactly(jobs):
    check_phases(jobs, jobs.out)


def test_start_is_quiet_and_compiles_nothing(jobs):
    """No launcher, no DS_ACCELERATOR: nothing on either stream that is not ours, no shared-memory operator built."""
    assert jobs.output("resume0").splitlines() == ['{"start": 0, "steps": 10, "seen": 160}']
    assert jobs.output("resume0", ending="err") == ""
    assert not (jobs.out / "extensions").exists()
