"""Writes small rasters with rasterio; makes the look-alikes of products importable by name."""

import sys
from pathlib import Path

import numpy as np
import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

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

    class Samples(list):
        """Samples, and what became of the windows."""

    def samples(path, regions=(), members=(), **reading):
        item = SourceItem(path, f"folder/{path.name}", regions=tuple(regions), members=tuple(members))
        found = Samples(domain.samples(item, domain.reading_model(**reading)))
        found.account = domain.account(item)
        return found

    return samples


@pytest.fixture
def scenes(domain):
    """Reads a folder as ``prepare`` does: lists it, then cuts each item; gives samples by the item's name."""
    from domainclip.domains.folder import list_folder
    from domainclip.sample import SourceItem

    def read(folder, **reading):
        options = domain.reading_model(**reading)
        listing = list_folder(folder, domain, options)
        read.listing, read.accounts = listing, {}
        found = {}
        for path in listing.files:
            name = path.relative_to(folder).as_posix()
            item = SourceItem(path, name, members=tuple(listing.members.get(path, ())))
            found[name] = list(domain.samples(item, options))
            read.accounts[name] = dict(domain.account(item))
        return found

    return read


@pytest.fixture
def one_scene(scenes):
    """The samples of a folder that holds one scene."""

    def read(folder, **reading):
        (samples,) = scenes(folder, **reading).values()
        return samples

    return read


@pytest.fixture
def around(tmp_path):
    """A raster beside the item and one outside its folder."""
    from made_products import flat, write

    write(tmp_path / "in" / "deep" / "red.tif", flat(1, 10), 10)
    write(tmp_path / "outside.tif", flat(2, 10), 10)
    return tmp_path
