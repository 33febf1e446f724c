"""Processes of the generators: results in order, and none outlives its parent."""

from __future__ import annotations

import operator
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domainclip.spread_work import spread


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def waited(condition, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_the_order_of_the_jobs(workers):
    told = []
    assert spread(operator.neg, range(7), workers, "numbers", lambda *words: told.append(words)) == [0, -1, -2, -3, -4, -5, -6]
    assert told == [(n, 7, "numbers") for n in range(1, 8)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path, how):
    parent = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_work.py")), str(tmp_path)], stderr=subprocess.DEVNULL
    )
    try:
        assert waited(lambda: len(list(tmp_path.iterdir())) == 2, 30)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        parent.send_signal(how)
        parent.wait(timeout=5)
        assert waited(lambda: not any(map(alive, workers)), 5)
    finally:
        parent.kill()


def test_a_progress_that_fails_ends_the_work(tmp_path):
    def refuse(done, total, text):
        raise RuntimeError("enough")

    before = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        spread(time.sleep, [0.0, *[20.0] * 6], 2, "naps", refuse)
    assert time.monotonic() - before < 15
