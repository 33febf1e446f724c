"""Makes the test domain importable by name, for worker processes too (they get this process's sys.path)."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)


@pytest.fixture
def pictures(tmp_path):
    """Twelve small PNG files in six folders, which are the groups; all different."""
    folder = tmp_path / "pictures"
    generator = np.random.default_rng(0)
    for number in range(12):
        place = folder / f"case{number // 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(place / f"img{number:02d}.png")
    return folder
