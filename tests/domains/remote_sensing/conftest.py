"""Writes small rasters with rasterio."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
UTM_SOUTH = {"crs": "EPSG:32736", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0)}


@pytest.fixture
def write_raster(tmp_path):
    def write(
        array, name="scene.tif", names=None, scales=None, offsets=None, tags=None, colours=None, units=None, **profile
    ) -> Path:
        import rasterio
        from rasterio.transform import Affine

        array = np.asarray(array)
        if "transform" in profile:
            profile["transform"] = Affine(*profile["transform"])
        settings = {
            "driver": "GTiff",
            "dtype": array.dtype,
            "count": array.shape[0],
            "height": array.shape[1],
            "width": array.shape[2],
        }
        path = tmp_path / name
        with rasterio.open(path, "w", **settings, **profile) as file:
            if colours:
                file.colorinterp = [getattr(rasterio.enums.ColorInterp, colour) for colour in colours]
            if names:
                file.descriptions = names
            if scales:
                file.scales = scales
            if offsets:
                file.offsets = offsets
            if units:
                file.units = units
            file.update_tags(**(tags or {}))
            file.write(array)
        return path

    return write


@pytest.fixture
def domain():
    from domainclip.domains.remote_sensing import DOMAIN

    return DOMAIN


@pytest.fixture
def cut(domain):
    from domainclip.sample import SourceItem

    def samples(path, regions=(), **reading):
        item = SourceItem(path, f"folder/{path.name}", regions=tuple(regions))
        return list(domain.samples(item, domain.reading_model(**reading)))

    return samples
