"""The five rasters that mutants are made of: small, whole, with texture in every band; written by GDAL in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, TILE = 128, 112, 64
UTM = {"crs": "EPSG:32736", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 9_600_000.0)}
DEGREES = {"crs": "EPSG:4326", "transform": (0.001, 0.0, 36.0, 0.0, -0.001, -3.0)}
SUFFIXES = {"geotiff": ".tif", "cog": ".tif", "float": ".tif", "aerial": ".tif", "jp2": ".jp2"}
SCENES = tuple(SUFFIXES)
S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_COMMON = {"window_px": 32, "max_nodata": 0.99}
READINGS: dict[str, dict[str, Any]] = {
    "geotiff": _COMMON | {"sensor": "sentinel-2-l2a"},
    "cog": _COMMON | {"sensor": "naip"},
    "float": _COMMON | {"band_names": ("VV", "VH")},
    "aerial": _COMMON,
    "jp2": _COMMON | {"band_names": ("B04",)},
}


def ground(bands: int, bits: int, seed: int, noise: int = 40) -> npt.NDArray[np.int64]:
    """Draws (bands, HEIGHT, WIDTH) from 0 to under 2**bits, in integers; no 16 x 16 block of a band is of one number."""
    rng = np.random.default_rng(seed)
    layers = []
    for _ in range(bands):
        field = np.zeros((HEIGHT, WIDTH), np.int64)
        for cell, weight in ((32, 3), (8, 4), (4, 3)):
            small = rng.integers(0, 256, (HEIGHT // cell + 1, WIDTH // cell + 1), dtype=np.int64)
            field += weight * np.kron(small, np.ones((cell, cell), np.int64))[:HEIGHT, :WIDTH]
        layers.append((field * 2**bits // 2560 + rng.integers(0, noise, field.shape)).clip(1, 2**bits - 1))
    return np.stack(layers)


def _holes(seed: int) -> npt.NDArray[np.bool_]:
    """One pixel in fifty, so that no block is lost."""
    return np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.02


def _written(
    array: npt.NDArray[Any], names: tuple[str, ...] = (), mask: npt.NDArray[np.bool_] | None = None, **profile: Any
) -> bytes:
    import rasterio
    from rasterio.transform import Affine

    profile["transform"] = Affine(*profile["transform"])
    shape = {"count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES", GDAL_NUM_THREADS="1"), rasterio.MemoryFile() as memory:
        with memory.open(**shape, **profile) as file:
            file.write(array)
            if names:
                file.descriptions = names
            if mask is not None:
                file.write_mask(~mask)
        memory.seek(0)
        return bytes(memory.read())


def geotiff_seed() -> bytes:
    """Twelve bands of Sentinel-2 in int16, tiled, deflate with predictor 2, a plane a band, nodata -9999 here and there."""
    array = ground(12, 12, 1).astype(np.int16)
    array[:, _holes(1)] = -9999
    options = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "predictor": 2, "interleave": "band"}
    return _written(array, S2, driver="GTiff", nodata=-9999, **options, **UTM)


def cog_seed() -> bytes:
    """Cloud-optimised: red, green, blue and near infrared in uint16, pixel by pixel, ZSTD, overviews, a mask inside."""
    names = ("red", "green", "blue", "nir")
    options = {"blocksize": TILE, "compress": "zstd", "predictor": "NO", "overviews": "AUTO", "num_threads": 1}
    return _written(ground(4, 14, 2).astype(np.uint16), names, _holes(2), driver="COG", **options, **UTM)


def float_seed() -> bytes:
    """BigTIFF in big-endian order: two bands of radar in float32, strips of 16 rows, LZW with predictor 3, NaN here and there."""
    array = (ground(2, 10, 3).astype(np.float32) - 512) / 32
    array[:, _holes(3)] = np.nan
    options = {"bigtiff": "YES", "endianness": "BIG", "compress": "lzw", "predictor": 3, "blockysize": 16, "tiled": False}
    return _written(array, ("VV", "VH"), driver="GTiff", interleave="band", nodata=float("nan"), **options, **DEGREES)


def aerial_seed() -> bytes:
    """An aerial photograph: red, green and blue in JPEG as YCbCr, tiled."""
    array = ground(3, 8, 4, noise=12).astype(np.uint8)
    options = {
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "jpeg",
        "photometric": "ycbcr",
        "jpeg_quality": 85,
    }
    return _written(array, driver="GTiff", interleave="pixel", **options, **UTM)


def _jpeg2000(codec: str) -> bytes:
    options = {"codec": codec, "blockxsize": TILE, "blockysize": TILE, "reversible": "YES", "quality": 100, "resolutions": 3}
    return _written(ground(1, 12, 5).astype(np.uint16), driver="JP2OpenJPEG", **options, **UTM)


def jp2_seed() -> bytes:
    """One band of Sentinel-2 as in a SAFE: lossless JPEG 2000 in tiles, with GeoJP2 and GMLJP2."""
    return _jpeg2000("JP2")


def j2k_seed() -> bytes:
    """The same as a bare codestream, which has no place on the ground."""
    return _jpeg2000("J2K")


WRITERS: dict[str, Callable[[], bytes]] = {
    "geotiff": geotiff_seed, "cog": cog_seed, "float": float_seed, "aerial": aerial_seed, "jp2": jp2_seed, "jp2 bare": j2k_seed,
}  # fmt: skip
