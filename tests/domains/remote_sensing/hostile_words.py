"""What tests of hostile rasters share: numbers, a place, and what a refusal must be like."""

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError

NORTH_UP = (10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0)
UTM = {"crs": "EPSG:32736", "transform": NORTH_UP}


def numbers(*shape, dtype="uint16"):
    return np.random.default_rng(0).integers(1, 120, shape).astype(dtype)


def says(use, path, match):
    """The refusal holds the words, names no path, and has a remedy."""
    with pytest.raises(UnreadableFileError, match=match) as error:
        for sample in use(path):
            sample.read()
    assert path.name not in str(error.value) and str(path.parent) not in str(error.value) and error.value.remedy
