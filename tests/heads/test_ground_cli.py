"""The whole way on the command line: a planted land cover comes back within one tile; real chips lie where their files say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rio_cogeo.cogeo import cog_validate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WINDOW_M = 640.0
CLASSES = "annual_crop,orchard,forest,residential,industrial,river,ponds,highway"
PLANTED, AROUND = "residential", "ponds"


def run(*words: str, cwd: Path, code: int = 0) -> dict:
    command = [sys.executable, "-m", "domainclip", *map(str, words), "--json"]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout)


def plant(folder: Path) -> tuple[Path, np.ndarray]:
    """Makes a scene of ponds with one parcel of houses in it; returns it and where the houses are."""
    from domainclip.starter.remote_sensing_scene import ScenePlan, make_scene

    for name in ("scenes", "regions", "truth"):
        (folder / name).mkdir(parents=True)
    ground = (AROUND, {"scale": "coarse", "density": "dense", "form": "curved"})
    parcels = [ground] * 100
    parcels[22] = (PLANTED, {"scale": "coarse", "density": "dense", "form": "straight"})
    plan = ScenePlan("planted", (7, 1), 32719, (300_000.0, 6_300_000.0), "2024-02-03", False, False, False, tuple(parcels))
    make_scene(plan, folder)
    with rasterio.open(folder / "truth" / "planted_land_cover.tif") as file:
        value = int(next(key for key, name in json.loads(file.tags()["values"]).items() if name == PLANTED))
        return folder / "scenes" / "planted.tif", file.read(1) == value


def turned(path: Path, output: Path, affine: Affine, crs: str, flip: tuple[int, ...]) -> None:
    """Writes the same ground again: with rows or columns the other way around, or elsewhere."""
    with rasterio.open(path) as file:
        profile = {name: value for name, value in file.profile.items() if name != "tiled"}
        with rasterio.open(output, "w", **(profile | {"transform": affine, "crs": crs})) as copy:
            copy.write(np.flip(file.read(), flip) if flip else file.read())
            copy.descriptions, copy.scales, copy.offsets = file.descriptions, file.scales, file.offsets


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("ground-cli")
    path, houses = plant(folder / "made")
    (folder / "scenes").mkdir()
    rows, columns = np.nonzero(houses)
    centre = (columns.mean() + 0.5, rows.mean() + 0.5)
    truth = {}
    with rasterio.open(path) as file:
        own, side = file.transform, file.width
    variants = {
        "south": (own, "EPSG:32719", ()),
        "south_up": (own @ Affine(1, 0, 0, 0, -1, side), "EPSG:32719", (1,)),
        "mirrored": (own @ Affine(-1, 0, side, 0, 1, 0), "EPSG:32719", (2,)),
        "rotated": (Affine.translation(500_000, 5_400_000) @ Affine.rotation(25) @ Affine.scale(10, -10), "EPSG:32633", ()),
        "date_line": (Affine(1e-4, 0, 179.96, 0, -1e-4, -16.0), "EPSG:4326", ()),
        "north_pole": (Affine(10, 0, -3000, 0, -10, 3500), "EPSG:3413", ()),
    }
    for name, (affine, crs, flip) in variants.items():
        turned(path, folder / "scenes" / f"{name}.tif", affine, crs, flip)
        column, row = centre[0] if 2 not in flip else side - centre[0], centre[1] if 1 not in flip else side - centre[1]
        truth[name] = (crs, affine @ (column, row), abs(affine.determinant) ** 0.5 * 64)
    return folder, truth


def test_planted_houses_come_back_within_one_tile(place):
    folder, truth = place
    run("zero-shot", "starter-remote-sensing", *sorted((folder / "scenes").glob("*.tif")), "--classes", CLASSES,
        "--output", "predictions", "--set", "reading.stride_px=32", cwd=folder)  # fmt: skip
    for format in ("cog", "geojson", "geoparquet"):
        done = run("export", "predictions", "--format", format, "--output", format, cwd=folder)
        assert (done["scenes"], done["windows"], done["rejected"], done["synthetic"]) == (len(truth), 361 * len(truth), 0, True)
    number = CLASSES.split(",").index(PLANTED) + 1
    table = geopandas.read_parquet(folder / "geoparquet" / "windows.parquet")
    for name, (crs, centre, tile) in truth.items():
        lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        for kind in ("classes", "scores"):
            assert cog_validate(folder / "cog" / kind / f"{name}.tif", quiet=True) == (True, [], [])
        with rasterio.open(folder / "cog" / "scores" / f"{name}.tif") as file:
            assert file.descriptions == tuple(CLASSES.split(","))
            scores = file.read(number)
            row, column = np.unravel_index(np.nanargmax(scores), scores.shape)
            found = file.xy(row, column)
        assert np.hypot(found[0] - centre[0], found[1] - centre[1]) <= tile, name
        with rasterio.open(folder / "cog" / "classes" / f"{name}.tif") as file:
            assert next(file.sample([centre]))[0] == number, name
            share = (file.read(1) == number).mean()
        assert share < 0.1, name  # houses are not everywhere
        place = shapely.Point(((lonlat.transform(*centre)[0] + 180) % 360 - 180, lonlat.transform(*centre)[1]))
        for windows in (geopandas.read_file(folder / "geojson" / "geojson" / f"{name}.geojson"), table[table["scene"] == name]):
            around = windows[windows.contains(place)]
            assert 1 <= len(around) <= 4 and (around["class"] == PLANTED).any(), name
            best = windows.loc[windows[f"p:{PLANTED}"].idxmax()]
            assert best.geometry.buffer(np.sqrt(best.geometry.area)).contains(place), name


@pytest.mark.real_data
def test_real_chips_lie_where_their_files_say(tmp_path, real_data):
    chips = sorted((real_data / "remote-sensing" / "sentinel2" / "l2a_12band").glob("*.tif"))
    assert len(chips) == 2
    settings = ("sensor=sentinel-2-l2a", "values=reflectance", "scale=0.0001", "window_px=64", "stride_px=32")
    run("zero-shot", "starter-remote-sensing", *chips, "--classes", "forest,river,residential", "--output", "p",
        *(word for setting in settings for word in ("--set", f"reading.{setting}")), cwd=tmp_path)  # fmt: skip
    for format in ("cog", "geojson"):
        assert run("export", "p", "--format", format, "--output", format, cwd=tmp_path)["windows"] == 72
    for chip in chips:
        with rasterio.open(chip) as file, rasterio.open(tmp_path / "cog" / "scores" / chip.name) as scores:
            assert scores.crs == file.crs and scores.bounds == pytest.approx(file.bounds) and scores.shape == (7, 7)
            np.testing.assert_allclose(scores.read().sum(axis=0), 1, atol=1e-5)
            bounds, crs = file.bounds, file.crs
        windows = geopandas.read_file(tmp_path / "geojson" / "geojson" / f"{chip.stem}.geojson").to_crs(crs)
        assert windows.total_bounds == pytest.approx(tuple(bounds), abs=0.1)
        assert windows.area.to_numpy() == pytest.approx(WINDOW_M**2, rel=1e-4)
