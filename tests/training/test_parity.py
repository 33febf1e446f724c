"""Two real processes against one-process plain torch on the full batch: the higher stages; the first ones in ``test_jobs``."""

from __future__ import annotations

import pytest
from finished_jobs import compare, compare_portable

SLOW = [("vit", "deepspeed", 2, "clip"), ("vit", "deepspeed", 3, "clip"), ("resnet", "deepspeed", 3, "multi-positive")]
SLOW += [("resnet", "torch", 0, "multi-positive"), ("wavelength", "deepspeed", 2, "clip"), ("wavelength", "deepspeed", 3, "clip")]


@pytest.mark.slow
def test_parity_of_higher_stages(tiny, start_jobs, tmp_path):
    arguments = {"out": str(tmp_path), "cases": SLOW, "portable": [0, 2, 3]}
    start_jobs([{"name": "parity", "script": "parity", "processes": 2, "arguments": arguments}]).check("parity")
    compare(tiny, tmp_path, SLOW)
    compare_portable(tiny, tmp_path, 3, [("deepspeed", 1), ("deepspeed", 3)])
    compare_portable(tiny, tmp_path, 2, [("deepspeed", 2)])
    compare_portable(tiny, tmp_path, 0, [("deepspeed", 1)])
