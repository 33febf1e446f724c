"""Scenes for the speed tests: twelve bands of int16 with natural texture, tiled, DEFLATE with predictor 2, nodata at one corner.

    python tests/performance/made_scenes.py --root FOLDER [--scenes 4] [--side 4096]

A scene has the bands of Sentinel-2 L2A in their order, named, in DN of 1/10,000 reflectance (processing baseline before 04.00, no
offset), 10 m, tiles of 512 px, pixel interleaved (GDAL's default), without overviews. Texture: a 1/f field for each of three
materials, mixed by a fourth, with a spectrum each, and noise of a sensor of 8 DN; bands of 20 and 60 m repeat their pixels. A wedge
at the lower right is nodata, as at the edge of an orbit. Everything follows from the seed.
The scenes lie 200 km apart in UTM zone 32, west of 10 degrees east, where EPSG:3035 is turned against UTM by less than a degree.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

CRS, SPACING_M, NODATA, TILE_PX = "EPSG:32632", 10.0, -32768, 512
FIRST_CORNER, APART_M = (510_000.0, 5_400_000.0), 200_000.0
WEDGE_PX = 60
"""Legs of the corner without data: less than a window of 64, so that a reader that skips empty windows has none to skip."""
NAMES = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_SPECTRA = np.array([
    [220, 320, 560, 340, 900, 2400, 3000, 3200, 3350, 3300, 1700, 800],  # leaves
    [900, 1100, 1500, 1900, 2200, 2400, 2550, 2650, 2800, 2850, 3400, 2900],  # soil
    [500, 480, 420, 300, 260, 220, 210, 190, 170, 160, 90, 60],  # water
], np.float32)  # fmt: skip
_NATIVE_PX = (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 2, 2)
"""Pixels of 10 m to a side of each band's own: 60 and 20 m bands stand in a stack of 10 m repeated, as gdalbuildvrt makes it."""
_NOISE_DN = 8.0
_FIELD_PX = 1024
"""Side of a field; larger scenes repeat it turned, so that a scene is made in bands of rows and never held whole."""


def make_scenes(root: Path, sizes: Sequence[tuple[int, int]], seed: int = 0) -> list[Path]:
    """Writes the scenes that are not there yet, two at a time.

    Args:
        root: Folder; made if need be.
        sizes: (columns, rows) of each.
        seed: Everything follows from it, the scene's number and its size.

    Returns:
        Their paths.
    """
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"scene-{number:02d}-{width}x{height}-{seed}.tif" for number, (width, height) in enumerate(sizes)]
    missing = [
        (path, size, seed, number) for number, (path, size) in enumerate(zip(paths, sizes, strict=True)) if not path.is_file()
    ]
    if missing:
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(_make, missing))
    return paths


def corner_of(number: int) -> tuple[float, float]:
    """Easting and northing of a scene's upper-left corner."""
    return FIRST_CORNER[0], FIRST_CORNER[1] + number * APART_M


def _make(job: tuple[Path, tuple[int, int], int, int]) -> None:
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    path, (width, height), seed, number = job
    random = np.random.default_rng((seed, number))
    materials = np.stack([_field(random) for _ in range(4)])
    draft = path.with_name(f"{path.stem}.part.tif")
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": width, "height": height, "count": len(NAMES), "dtype": "int16", "crs": CRS, "nodata": NODATA,
        "transform": from_origin(*corner_of(number), SPACING_M, SPACING_M), "tiled": True, "blockxsize": TILE_PX,
        "blockysize": TILE_PX, "compress": "deflate", "predictor": 2, "interleave": "pixel", "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.open(draft, "w", **profile) as dataset:
        dataset.descriptions = NAMES
        dataset.update_tags(TIFFTAG_SOFTWARE="domainclip made_scenes", synthetic="yes")
        for row in range(0, height, TILE_PX):
            for column in range(0, width, TILE_PX):
                shape = min(TILE_PX, height - row), min(TILE_PX, width - column)
                block = _block(random, materials, row, column, shape)
                rows, columns = np.ogrid[row : row + shape[0], column : column + shape[1]]
                block[:, (rows + columns) > width + height - WEDGE_PX] = NODATA
                dataset.write(block, window=Window(column, row, shape[1], shape[0]))
    draft.replace(path)


def _field(random: np.random.Generator) -> np.ndarray[Any, Any]:
    """A periodic field whose spectrum falls as that of land does (amplitude by frequency to the -1.4), of spread 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_FIELD_PX), np.fft.rfftfreq(_FIELD_PX), indexing="ij"))
    frequency[0, 0] = 1
    waves = np.fft.rfft2(random.standard_normal((_FIELD_PX, _FIELD_PX))) * frequency**-1.4
    waves[0, 0] = 0
    field = np.fft.irfft2(waves, s=(_FIELD_PX, _FIELD_PX))
    return (field / field.std()).astype(np.float32)


def _block(
    random: np.random.Generator, fields: np.ndarray[Any, Any], row: int, column: int, shape: tuple[int, int]
) -> np.ndarray[Any, Any]:
    """A tile: materials mixed, each with its own light, and noise; (12, Y, X) int16."""
    rows, columns = (np.arange(row, row + shape[0]) % _FIELD_PX), (np.arange(column, column + shape[1]) % _FIELD_PX)
    turn = (row // _FIELD_PX + column // _FIELD_PX) % 4  # so that a scene does not repeat itself every 10 km
    seen = np.roll(fields, turn, axis=0)[:, rows[:, None], columns[None]]
    shares = np.exp(2 * seen[:3])
    shares /= shares.sum(axis=0)
    light = 1 + 0.12 * seen[3]
    block = np.tensordot(_SPECTRA.T, shares * light, axes=1)
    block += _NOISE_DN * random.standard_normal(block.shape, dtype=np.float32)
    made: np.ndarray[Any, Any] = np.clip(np.rint(block), 1, 16000).astype(np.int16)
    for band, pixels in enumerate(_NATIVE_PX):
        at = [np.arange(length) // pixels * pixels for length in shape]
        made[band] = made[band][np.ix_(*at)]
    return made


def main() -> None:
    """Makes scenes and prints their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--side", type=int, nargs="+", default=[4096], help="one number, or columns and rows")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for path in make_scenes(options.root, [(options.side[0], options.side[-1])] * options.scenes, options.seed):
        print(path)


if __name__ == "__main__":
    main()
