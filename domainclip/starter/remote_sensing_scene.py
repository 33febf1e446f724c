"""Makes one synthetic scene: parcels of land cover, light, clouds, missing data; writes it as a Sentinel-2-like GeoTIFF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from domainclip.starter.remote_sensing_patterns import BENT, PATTERNS, Ground
from domainclip.starter.remote_sensing_spectra import BANDS, CLOUD, atmosphere, clouds, native_resolution, parcel_spectra

CELL_PX = 64
CELLS = 10
SIDE_PX = CELL_PX * CELLS
PIXEL_M = 10.0
# Sentinel-2 level 2A since processing baseline 04.00: reflectance = DN * 0.0001 - 0.1.
SCALE, OFFSET = 1e-4, -0.1
_STEP_DN = 10
_JITTER_PX = 5
_HIDDEN_SHARE = 0.15
_CLASSES = tuple(PATTERNS)


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """What one worker makes.

    Attributes:
        name: E.g. ``"scene_007"``.
        seed: For ``numpy.random.default_rng``.
        epsg: Code of the UTM zone.
        origin: Easting and northing of the upper-left corner, metres.
        date: Of acquisition, ISO 8601.
        wedge: Has a wedge without data at an edge.
        cloudy: Has clouds.
        overviews: Gets reduced levels.
        parcels: (class, attributes) in the order in which they are laid out; repeated when the scene has more.
    """

    name: str
    seed: tuple[int, int]
    epsg: int
    origin: tuple[float, float]
    date: str
    wedge: bool
    cloudy: bool
    overviews: bool
    parcels: tuple[tuple[str, Mapping[str, str]], ...]


@dataclass(slots=True)
class Scene:
    """A rendered scene.

    Attributes:
        numbers: (12, H, W) uint16, 0 where there is no data.
        land_cover: (H, W) uint8: 1 + position of the class, 0 without data.
        cloud: (H, W) uint8, 1 under a cloud.
        features: GeoJSON features in the CRS.
    """

    numbers: npt.NDArray[np.uint16]
    land_cover: npt.NDArray[np.uint8]
    cloud: npt.NDArray[np.uint8]
    features: list[dict[str, Any]] = field(default_factory=list)


def make_scene(plan: ScenePlan, folder: Path) -> str:
    """Renders and writes one scene: ``scenes/``, ``regions/`` and ``truth/`` below ``folder``. Returns its name."""
    scene = render(plan)
    _write_raster(folder / "scenes" / f"{plan.name}.tif", plan, scene.numbers)
    _write_truth(folder / "truth", plan, scene)
    collection = {
        "type": "FeatureCollection",
        "name": plan.name,
        "synthetic": True,
        "crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{plan.epsg}"}},
        "features": scene.features,
    }
    (folder / "regions" / f"{plan.name}.geojson").write_text(json.dumps(collection), encoding="utf-8")
    return plan.name


def render(plan: ScenePlan) -> Scene:
    """Draws the scene of a plan; the same plan gives the same pixels."""
    from rasterio.features import rasterize

    random = np.random.default_rng(plan.seed)
    lattice = _lattice(random)
    blocks = _partition(random)
    planes = np.zeros((len(BANDS), SIDE_PX, SIDE_PX), np.float32)
    land_cover = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    outlines = []
    for position, block in enumerate(blocks):
        name, attributes = plan.parcels[position % len(plan.parcels)]
        outline = _outline(lattice, block)
        outlines.append((name, attributes, outline))
        xs, ys = [x for x, _ in outline], [y for _, y in outline]
        left, top = max(0, int(min(xs))), max(0, int(min(ys)))
        right, bottom = min(SIDE_PX, int(max(xs)) + 1), min(SIDE_PX, int(max(ys)) + 1)
        moved = {"type": "Polygon", "coordinates": [[(x - left, y - top) for x, y in [*outline, outline[0]]]]}
        inside = rasterize([(moved, 1)], (bottom - top, right - left), dtype="uint8").astype(bool)
        pixels = _parcel(name, attributes, inside.shape, random)
        planes[:, top:bottom, left:right][:, inside] = pixels[:, inside]
        land_cover[top:bottom, left:right][inside] = 1 + _CLASSES.index(name)
    return _photograph(plan, random, planes, land_cover, outlines)


def _parcel(
    name: str, attributes: Mapping[str, str], shape: tuple[int, int], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Returns the reflectance (12, H, W) of one parcel's bounding box."""
    ground = Ground(*shape, attributes, random, bend=name in BENT)
    layers = PATTERNS[name](ground)
    spectra = parcel_spectra(random, len(layers))
    blur = random.uniform(0.35, 0.6)
    pixels = np.broadcast_to(spectra[0][:, None, None], (len(BANDS), *shape)).copy()
    for layer, spectrum in zip(layers, spectra[1:], strict=True):
        cover = gaussian_filter(layer.astype(np.float32), blur)
        pixels += cover * (spectrum[:, None, None] - pixels)
    # Mottling of soil and leaves, the same in all bands, hides the plain levels of few materials from a histogram.
    mottle = random.uniform(0.02, 0.05) * ground.noise(random.uniform(0.6, 1.5)) + random.uniform(0, 0.06) * ground.noise(14)
    return (pixels * np.exp(mottle)).astype(np.float32)


def _photograph(
    plan: ScenePlan,
    random: np.random.Generator,
    planes: npt.NDArray[np.float32],
    land_cover: npt.NDArray[np.uint8],
    outlines: list[tuple[str, Mapping[str, str], list[tuple[float, float]]]],
) -> Scene:
    """Adds light, haze, clouds, sensor and missing data, and turns reflectance into stored numbers."""
    gain, haze = atmosphere(random)
    opacity = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    if plan.cloudy:
        opacity, shadow = clouds(random, SIDE_PX, SIDE_PX)
        planes *= 1 - 0.6 * shadow
        planes += opacity * (CLOUD[:, None, None] - planes)
    planes = planes * gain[:, None, None] + haze[:, None, None]
    planes = native_resolution(planes, random.uniform(0.002, 0.006), random)
    # The detector's 12 bits are steps of about 10 DN; finer ones would only be noise that does not compress.
    numbers = np.clip(np.rint((planes - OFFSET) / SCALE / _STEP_DN) * _STEP_DN, _STEP_DN, 65530).astype(np.uint16)
    empty = _wedge(random) if plan.wedge else np.zeros((SIDE_PX, SIDE_PX), bool)
    numbers[:, empty] = 0
    cloud = (opacity > 0.3).astype(np.uint8)
    land_cover[empty] = 0
    scene = Scene(numbers, land_cover, cloud)
    for name, attributes, outline in outlines:
        feature = _feature(plan, name, attributes, outline)
        if _hidden(outline, cloud) <= _HIDDEN_SHARE:
            scene.features.append(feature)
    return scene


def _hidden(outline: list[tuple[float, float]], cloud: npt.NDArray[np.uint8]) -> float:
    """Returns the largest share of a window in the parcel's box that clouds hide: nobody labels what cannot be seen."""
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    left, right = round(min(xs) / CELL_PX), round(max(xs) / CELL_PX)
    top, bottom = round(min(ys) / CELL_PX), round(max(ys) / CELL_PX)
    shares = cloud.reshape(CELLS, CELL_PX, CELLS, CELL_PX).mean(axis=(1, 3))
    return float(shares[top:bottom, left:right].max())


def _lattice(random: np.random.Generator) -> npt.NDArray[np.floating]:
    """Returns the corners (x, y) of the cells, (CELLS + 1, CELLS + 1, 2); inner ones are moved by a few pixels."""
    corners = np.stack(np.meshgrid(np.arange(CELLS + 1), np.arange(CELLS + 1), indexing="xy"), -1) * float(CELL_PX)
    corners[1:-1, 1:-1] += random.uniform(-_JITTER_PX, _JITTER_PX, (CELLS - 1, CELLS - 1, 2))
    return corners


def _partition(random: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Divides the cells into blocks (row, column, rows, columns) of one or two cells a side."""
    free = np.ones((CELLS, CELLS), bool)
    blocks = []
    for row in range(CELLS):
        for column in range(CELLS):
            if not free[row, column]:
                continue
            rows = min(1 + int(random.random() < 0.3), CELLS - row)
            columns = min(1 + int(random.random() < 0.5), CELLS - column)
            while not free[row, column : column + columns].all():
                columns -= 1
            free[row : row + rows, column : column + columns] = False
            blocks.append((row, column, rows, columns))
    return blocks


def _outline(lattice: npt.NDArray[np.floating], block: tuple[int, int, int, int]) -> list[tuple[float, float]]:
    """Walks around a block, clockwise on the screen, in pixels."""
    row, column, rows, columns = block
    corners = [(row, column + step) for step in range(columns)]
    corners += [(row + step, column + columns) for step in range(rows)]
    corners += [(row + rows, column + columns - step) for step in range(columns)]
    corners += [(row + rows - step, column) for step in range(rows)]
    return [(float(lattice[at][0]), float(lattice[at][1])) for at in corners]


def _wedge(random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Returns a slanted strip at one edge, as the border of a satellite's swath leaves it."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    wedge = columns < random.uniform(30, 110) + rows * random.uniform(-0.15, 0.15)
    turned: npt.NDArray[np.bool_] = np.rot90(wedge, int(random.integers(0, 4))).copy()
    return turned


def _feature(plan: ScenePlan, name: str, attributes: Mapping[str, str], outline: list[tuple[float, float]]) -> dict[str, Any]:
    east, north = plan.origin
    ring = [[round(east + x * PIXEL_M, 3), round(north - y * PIXEL_M, 3)] for x, y in [*outline, outline[0]]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": name}, "metadata": dict(attributes)},
    }


def _write_raster(path: Path, plan: ScenePlan, numbers: npt.NDArray[np.uint16]) -> None:
    import rasterio
    from rasterio.enums import Resampling

    with rasterio.open(path, "w", **_profile(plan, len(numbers), "uint16"), nodata=0, predictor=2, interleave="pixel") as file:
        file.write(numbers)
        file.descriptions = BANDS
        file.scales, file.offsets = (SCALE,) * len(BANDS), (OFFSET,) * len(BANDS)
        file.update_tags(synthetic="yes", ACQUISITION_DATE=plan.date, SENSOR="Sentinel-2-like, generated by domainclip")
        if plan.overviews:
            file.build_overviews([2, 4], Resampling.average)


def _write_truth(folder: Path, plan: ScenePlan, scene: Scene) -> None:
    import rasterio

    for name, plane in (("land_cover", scene.land_cover), ("cloud", scene.cloud)):
        with rasterio.open(folder / f"{plan.name}_{name}.tif", "w", **_profile(plan, 1, "uint8")) as file:
            file.write(plane, 1)
            file.set_band_description(1, name)
            values = {str(1 + i): cover for i, cover in enumerate(_CLASSES)} if name == "land_cover" else {"1": "cloud"}
            file.update_tags(synthetic="yes", values=json.dumps(values))


def _profile(plan: ScenePlan, count: int, dtype: str) -> dict[str, Any]:
    from rasterio.transform import from_origin

    return {
        "driver": "GTiff",
        "width": SIDE_PX,
        "height": SIDE_PX,
        "count": count,
        "dtype": dtype,
        "crs": f"EPSG:{plan.epsg}",
        "transform": from_origin(*plan.origin, PIXEL_M, PIXEL_M),
        "tiled": True,
        "blockxsize": 128,
        "blockysize": 128,
        "compress": "deflate",
        "zlevel": 1,
    }
