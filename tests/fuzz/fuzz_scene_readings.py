"""What runs in the forks for remote sensing: one mutant through ``domainclip``, GDAL alone, and tifffile or imagecodecs.

All fill a plate: the bands of the upper left corner as float64, and how each pixel came about.
"""

from __future__ import annotations

import mmap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fuzz_geo import is_chained, markers
from fuzz_scenes import READINGS

SIDE, BANDS = 192, 16
OUTSIDE, READ, REFUSED, NODATA = 0, 1, 2, 3


class Ground:
    """Memory that parent and fork share: (BANDS, SIDE, SIDE) numbers, and a state for each number."""

    def __init__(self) -> None:
        numbers = mmap.mmap(-1, BANDS * SIDE * SIDE * 8)
        self.numbers: npt.NDArray[np.float64] = np.frombuffer(numbers, np.float64).reshape(BANDS, SIDE, SIDE)
        self.state: npt.NDArray[np.uint8] = np.frombuffer(mmap.mmap(-1, BANDS * SIDE * SIDE), np.uint8).reshape(BANDS, SIDE, SIDE)

    def clear(self) -> None:
        """Forgets the last file."""
        self.numbers[:] = 0
        self.state[:] = OUTSIDE

    def put(self, x: int, y: int, numbers: npt.NDArray[Any], state: npt.NDArray[np.uint8] | int, band: int = 0) -> None:
        """Writes what falls into the window; ``numbers`` (C, Y, X), ``state`` (Y, X) or one for all."""
        count, high, wide = min(numbers.shape[0], BANDS - band), min(numbers.shape[1], SIDE - y), min(numbers.shape[2], SIDE - x)
        if min(count, high, wide) > 0:
            where = slice(band, band + count), slice(y, y + high), slice(x, x + wide)
            self.numbers[where] = numbers[:count, :high, :wide]
            self.state[where] = state if isinstance(state, int) else state[:high, :wide]


def read_scene(kind: str, path: Path, plate: Ground) -> dict[str, Any]:
    """Does what ``inspect`` and ``prepare`` do with the file.

    Returns:
        ``recognised``, ``refusals`` ({step: [asked, found, remedy]}), ``ground`` (of the first and last sample: corner, CRS,
        affine). Only UnreadableFileError is caught; all else ends the fork as "escaped".
    """
    from domainclip.domains.base import domains
    from domainclip.errors import UnreadableFileError
    from domainclip.sample import SourceItem

    domain = domains.get("remote-sensing")
    result: dict[str, Any] = {"recognised": domain.recognises(path), "refusals": {}, "ground": []}
    try:
        domain.inspect(path)
    except UnreadableFileError as error:
        result["refusals"]["inspect"] = [error.asked, error.found, error.remedy]
    try:
        samples = list(domain.samples(SourceItem(path, "mutant"), domain.reading_model(**READINGS[kind])))
    except UnreadableFileError as error:
        result["refusals"]["samples"] = [error.asked, error.found, error.remedy]
        return result
    # Windows that are skipped have too little data.
    places = [sample.window for sample in samples]
    assert all(places) or len(samples) == 1
    plate.state[:, : max(p.y + p.height for p in places if p), : max(p.x + p.width for p in places if p)] = NODATA
    for sample in samples:
        place = sample.window
        assert place is not None
        if place.x >= SIDE or place.y >= SIDE:
            continue
        try:
            pixels = sample.read()
        except UnreadableFileError as error:
            plate.put(place.x, place.y, np.zeros((BANDS, place.height, place.width)), REFUSED)
            result["refusals"].setdefault("read", [error.asked, error.found, error.remedy])
            continue
        assert pixels.array.shape == (len(sample.channels), place.height, place.width), f"{pixels.array.shape} at {place}"
        missing = pixels.masks.get("nodata", np.zeros(pixels.array.shape[1:], bool))
        plate.put(place.x, place.y, pixels.array, np.where(missing, NODATA, READ).astype(np.uint8))
        plate.state[len(sample.channels) :] = OUTSIDE
    for sample in (samples[0], samples[-1]):
        place, geo = sample.window, sample.geo
        assert place is not None
        result["ground"].append([place.x, place.y, geo.crs if geo else None, list(geo.transform) if geo else None])
    return result


def read_gdal(kind: str, path: Path, plate: Ground) -> dict[str, Any]:
    """Decodes the same corner by rasterio, asked for nothing in particular.

    Returns:
        ``whole`` (the corner decodes), ``facts`` (of the header), ``error``.
    """
    import rasterio
    from rasterio.windows import Window

    warnings.simplefilter("ignore")
    result: dict[str, Any] = {"whole": False, "facts": {}, "error": ""}
    try:
        with rasterio.Env(GDAL_NUM_THREADS="1"), rasterio.open(path) as file:
            further = _further(file)
            result["facts"] = _facts(file, path) | {
                "further": further,
                "broken": kind == "jp2" and not is_chained(path.read_bytes()),
            }
            # A band that is marked as alpha and has another name is data: near infrared, say.
            named = [(file.descriptions[i - 1] or "alpha").lower() not in {"alpha", "mask"} for i in file.indexes]
            bands = [i for i in file.indexes if file.colorinterp[i - 1].name != "alpha" or named[i - 1]][:BANDS]
            corner = Window(0, 0, min(file.width, SIDE), min(file.height, SIDE))
            numbers = file.read(bands, window=corner)
            missing = (file.read_masks(bands, window=corner) == 0).any(axis=0)
            if numbers.dtype.kind == "f":
                missing |= np.isnan(numbers).any(axis=0)
            if numbers.dtype.kind == "c":
                numbers = numbers.real
            plate.put(0, 0, numbers, np.where(missing, NODATA, READ).astype(np.uint8))
            result["whole"] = True
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error} ({error.__cause__})"
    return result


def _further(file: Any) -> str:
    """What is wrong with the directories behind the first."""
    try:
        assert file.mask_flag_enums and file.colorinterp  # the first looks for a mask, the second tells how that went
        return ""
    except Exception as error:
        return str(error)


def _facts(file: Any, path: Path) -> dict[str, Any]:
    affine = file.transform
    return {
        "driver": file.driver, "size": [file.width, file.height], "bytes": path.stat().st_size, "dtypes": sorted(set(file.dtypes)),
        "names": [name or "" for name in file.descriptions], "colours": [c.name for c in file.colorinterp],
        "scales": sorted({*zip(file.scales, file.offsets, strict=True)}), "block": list(file.block_shapes[0]),
        "crs": file.crs.to_wkt() if file.crs else None, "affine": [affine.a, affine.b, affine.c, affine.d, affine.e, affine.f],
        "nodata": repr(file.nodata), "tags": sorted(file.tags(ns="OVERVIEWS")), "gcps": len(file.gcps[0]),
    }  # fmt: skip


def read_second(kind: str, path: Path, plate: Ground) -> dict[str, Any]:
    """Decodes the corner by tifffile (JPEG: with simplejpeg, told to fail at warnings) or imagecodecs, block by block.

    Returns:
        ``error``; the plate says for each number whether it is in the file (READ) or not.
    """
    warnings.simplefilter("ignore")
    try:
        if kind == "jp2":
            _codestream(path, plate)
        else:
            _blocks(path, plate)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": ""}


def _codestream(path: Path, plate: Ground) -> None:
    import imagecodecs

    data = path.read_bytes()
    try:
        array = imagecodecs.jpeg2k_decode(data)
    except RuntimeError:
        _tiles(path, data, plate)
    else:
        plate.put(0, 0, array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0), READ)


def _tiles(path: Path, data: bytes, plate: Ground) -> None:
    """imagecodecs decodes all or nothing; here each tile that has a part of plausible length in the file, by GDAL."""
    import rasterio
    from rasterio.windows import Window

    head = data.index(b"\xff\x4f\xff\x51")
    wide, tall = (int.from_bytes(data[head + at : head + at + 4], "big") for at in (24, 28))
    with rasterio.Env(GDAL_NUM_THREADS="1"), rasterio.open(path) as file:
        columns = -(-file.width // wide)
        for at in [at for at, marker, _ in markers(bytearray(data)) if marker == 0x90]:
            row, column = divmod(int.from_bytes(data[at + 4 : at + 6], "big"), columns)
            window = Window(column * wide, row * tall, min(wide, file.width - column * wide), min(tall, file.height - row * tall))
            try:
                plate.put(column * wide, row * tall, file.read(window=window), READ)
            except Exception:
                continue


def _blocks(path: Path, plate: Ground) -> None:
    import simplejpeg
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        assert page.samplesperpixel <= 64
        for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
            if not count or not offset or count > file.filehandle.size or index > 4096:
                continue
            file.filehandle.seek(offset)
            data = file.filehandle.read(count)
            try:
                if page.compression == 7:
                    whole = (page.jpegtables[:-2] + data[2:]) if page.jpegtables else data
                    simplejpeg.decode_jpeg(whole, "RGB" if page.samplesperpixel == 3 else "GRAY")
                decoded, place, shape = page.decode(data, index, jpegtables=page.jpegtables)
            except Exception:
                continue
            if decoded is None:
                continue
            band, _, y, x, _ = place
            part = np.moveaxis(decoded[0, : shape[1], : shape[2]], -1, 0)
            plate.put(x, y, part.real if part.dtype.kind == "c" else part, READ, band)
