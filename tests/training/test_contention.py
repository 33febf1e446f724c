"""A thread that stands ready without a core is noticed, once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from domainclip.training import contention
from domainclip.training.contention import Contention


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a thread waited for a core")
def test_a_busy_core_is_noticed_once(monkeypatch):
    monkeypatch.setattr(contention, "_LONG_ENOUGH_SECONDS", 0.5)
    allowed = os.sched_getaffinity(0)
    core = min(allowed)
    rivals = [subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        os.sched_setaffinity(0, {core})
        time.sleep(0.3)
        clock = Contention()
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            pass
        assert "more work than cores" in clock.notice()
        assert clock.notice() == ""
    finally:
        os.sched_setaffinity(0, allowed)
        for rival in rivals:
            rival.kill()
            rival.wait()


def test_sleeping_is_no_waiting(monkeypatch):
    monkeypatch.setattr(contention, "_LONG_ENOUGH_SECONDS", 0.2)
    clock = Contention()
    time.sleep(0.4)
    assert clock.notice() == ""
