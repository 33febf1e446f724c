"""Opens rasters: the header as a record, handles kept per process and thread, GDAL's errors in our words."""

from __future__ import annotations

import math
import os
import stat
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.remote_sensing.ground_check import check_ground
from domainclip.domains.remote_sensing.openable import check_openable, check_opened, may_lack_blocks
from domainclip.domains.remote_sensing.refusals import unreadable as unreadable
from domainclip.errors import UsageError, missing_dependency

_MAX_PICTURE_PX = 200_000_000
_OPEN_FILES = 32  # a Sentinel-2 product has twelve
_STORES = {"s3": "vsis3", "gs": "vsigs", "az": "vsiaz"}
SCHEMES = ("http", "https", *_STORES)
_REMOTE_DRIVERS = ("GTiff", "JP2OpenJPEG")
# A damaged JPEG is a warning for libjpeg and grey for the reader; here it is an error. With more threads than one GDAL's JPEG 2000
# hands out zeros for a tile that cannot be decoded, and tells nobody. Python in a VRT is code from a stranger.
_GDAL = {
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",
    "GDAL_NUM_THREADS": "1",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_DEBUG": "OFF",
}
_HERE = {**_GDAL, "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".no-remote-file"}
# Of files elsewhere: no look at some twenty names of neighbours, an end to waiting, and another try at what passes.
_ELSEWHERE = {
    **_GDAL,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
_READ_ALONE = frozenset({None, "DEFLATE", "LZW", "ZSTD", "PACKBITS", "LZMA"})
"""Compressions of local TIFFs whose decoders look at no setting after the file was opened."""
_local = threading.local()

Affine6 = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a raster lies, and where it may lead.

    Attributes:
        name: Path, or GDAL's name of an address.
        outside: A VRT may name files outside its folder.
        remote: A VRT may name addresses.
    """

    name: str
    outside: bool = False
    remote: bool = False

    @property
    def is_address(self) -> bool:
        """It lies in no folder."""
        return self.name.startswith("/vsi")


@dataclass(frozen=True, slots=True)
class RasterHeader:
    """What a raster says about itself, without its pixels.

    Attributes:
        driver: GDAL's name of the format.
        width: Columns.
        height: Rows.
        dtype: Of all bands.
        band_names: One per band, None where the file gives none.
        colours: GDAL's colour interpretation per band, lower case, e.g. ``"red"``, ``"alpha"``, ``"undefined"``.
        scales: Per band.
        offsets: Per band.
        units: Per band, None where the file gives none.
        nodata: The file's nodata number, or None.
        has_mask: The file carries a mask or an alpha band.
        mask_is_alpha: That mask is a band of the file.
        looked_at: The file may lack blocks, for which GDAL gives zeros: blocks are looked at before they are read.
        crs: ``"EPSG:32630"`` or WKT, or None.
        transform: Affine (a, b, c, d, e, f), or None where the file has none.
        metres_per_unit: Of the CRS, None for degrees or no CRS.
        levels: Downsample factors of the overviews, smallest first, without 1.
        block: (rows, columns) of a stored block.
        compression: E.g. ``"deflate"``, or None.
        tags: Key to text of the file.
    """

    driver: str
    width: int
    height: int
    dtype: str
    band_names: tuple[str | None, ...]
    colours: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    nodata: float | None
    has_mask: bool
    mask_is_alpha: bool
    looked_at: bool
    crs: str | None
    transform: Affine6 | None
    metres_per_unit: float | None
    levels: tuple[int, ...]
    block: tuple[int, int]
    compression: str | None
    tags: Mapping[str, str]

    @property
    def is_picture(self) -> bool:
        """A plain picture: no CRS, 8 bit, grey or red, green and blue."""
        colours = set(self.colours) - {"alpha"}
        return self.crs is None and self.dtype == "uint8" and (colours == {"red", "green", "blue"} or self.colours[0] == "gray")


@contextmanager
def open_raster(place: Place | str | Path, pixels_only: bool = False) -> Iterator[Any]:
    """Gives rasterio's dataset of a file; it stays open for the next call of the same process and thread.

    Args:
        place: Of the file.
        pixels_only: Nothing but pixels is read: of an open file, GDAL is set up only where that needs it (``reads_alone``).

    Raises:
        MissingDependencyError: rasterio is absent.
        UnreadableFileError: The file is absent, is of another format, or its pixels are damaged.
    """
    known = as_place(place)
    held = _held(known)
    with gdal_errors(known, settings=not (pixels_only and held is not None and held[2])):
        yield _opened(known) if held is None else held[1]


def reads_alone(dataset: Any) -> bool:
    """Says whether pixels of an open file need none of our settings, which cost more to bring in than a small window to read."""
    kind = dataset.compression
    masks = {flag.name for flags in dataset.mask_flag_enums for flag in flags}  # a mask may be a file of its own
    local = dataset.driver == "GTiff" and not dataset.name.startswith("/vsi")
    return local and "per_dataset" not in masks and (kind.value if kind else None) in _READ_ALONE


def as_place(place: Place | str | Path) -> Place:
    """Returns the place of a path."""
    return place if isinstance(place, Place) else Place(str(place))


@contextmanager
def gdal_errors(place: Place, settings: bool = True) -> Iterator[None]:
    """Sets GDAL up for what is within, and turns its errors into ours.

    Args:
        place: What is read.
        settings: False where GDAL needs none of ours for it.

    Raises:
        MissingDependencyError: rasterio is absent.
        UnreadableFileError: GDAL failed.
    """
    try:
        import rasterio
        from rasterio._err import CPLE_BaseError  # what some of its properties let through
        from rasterio.errors import RasterioError
    except ImportError as error:
        raise missing_dependency("rasterio", "Reading rasters", "rasterio") from error
    ours = _ELSEWHERE if place.is_address or place.remote else _HERE
    with rasterio.Env(**ours) if settings else nullcontext():
        try:
            yield
        except (RasterioError, CPLE_BaseError, OSError) as error:
            close_file(place)
            kind = type(error.__cause__ or error).__name__
            if place.is_address:
                found = f"GDAL could not read it from its address ({kind})."
                raise unreadable(found, "Check the address, the network and the rights to read it, then try again.") from error
            raise unreadable(
                f"GDAL could not read it ({kind}): it is damaged, or of a kind that GDAL lacks.",
                "Check it with 'gdalinfo -checksum', or fetch it again.",
            ) from error


def gdal_name(url: str) -> str:
    """Returns what GDAL opens for a URL: its own drivers for HTTP, S3, Google and Azure storage.

    Raises:
        UsageError: It is of no kind that is read.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"http", "https"}:
        return f"/vsicurl/{url}"
    if separator and scheme in _STORES:
        return f"/{_STORES[scheme]}/{rest}"
    found = f"Its scheme is {scheme[:20]!r}."
    raise UsageError("A raster was to be read from its address.", found, f"Use one of {', '.join(SCHEMES)}.")


def stamp_of(place: Place) -> tuple[int, ...]:
    """Returns what changes when a file changes; an address is taken to stay as it is.

    Raises:
        UnreadableFileError: There is no such file.
    """
    if place.is_address:
        return ()
    try:
        status = os.stat(place.name)  # noqa: PTH116 - a Path costs as much again, and this runs for every window
    except OSError as error:
        raise unreadable("There is no such file.", "Check the path in the manifest.") from error
    if not stat.S_ISREG(status.st_mode):
        raise unreadable("There is no such file.", "Check the path in the manifest.")
    return status.st_mtime_ns, status.st_size


def _held(place: Place) -> tuple[tuple[int, ...], Any, bool] | None:
    """An open file that did not change since, with its stamp and ``reads_alone``; or None."""
    if getattr(_local, "process", None) != os.getpid():
        # After a fork the parent's handles share their file position with it: they must not be used.
        _local.process, _local.handles = os.getpid(), OrderedDict()
    handles: OrderedDict[Place, tuple[tuple[int, ...], Any, bool]] = _local.handles
    entry = handles.get(place)
    if entry is None or entry[0] != stamp_of(place):
        return None
    handles.move_to_end(place)
    return entry


def _opened(place: Place) -> Any:
    stamp = stamp_of(place)
    close_file(place)
    dataset = open_anew(place)
    _local.handles[place] = (stamp, dataset, reads_alone(dataset))
    while len(_local.handles) > _OPEN_FILES:
        _local.handles.popitem(last=False)[1][1].close()
    return dataset


def open_anew(place: Place) -> Any:
    """Opens a file by the driver that its first bytes ask for; whoever asks closes it. Call it within ``gdal_errors``.

    Raises:
        UnreadableFileError: It is of another format, cut short, or leads where it may not.
    """
    import rasterio

    try:
        place.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise unreadable("Its name, or its folder's, is no UTF-8, and GDAL takes no other.", "Rename it.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        if place.is_address:
            dataset = _open_remote(place.name)
        else:
            driver, opened = check_openable(Path(place.name), outside=place.outside, remote=place.remote)
            dataset = rasterio.open(opened, driver=driver, sharing=False)
    check_opened(dataset)
    return dataset


def _open_remote(name: str) -> Any:
    """Tries one format after the other: rasterio takes one driver at a time, and other drivers may open what a server names."""
    import rasterio

    for driver in _REMOTE_DRIVERS[:-1]:
        try:
            return rasterio.open(name, driver=driver, sharing=False)
        except rasterio.errors.RasterioIOError as error:
            if "not recognized" not in str(error):  # absent, or out of reach: another format is no remedy
                raise
    return rasterio.open(name, driver=_REMOTE_DRIVERS[-1], sharing=False)


def close_file(place: Place) -> None:
    """Closes what this thread holds open of a file; it is opened again when it is read again."""
    entry = getattr(_local, "handles", OrderedDict()).pop(place, None)
    if entry is not None:
        entry[1].close()


def stored_number(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """Returns the number without data in the type of the pixels, None where no pixel can have it.

    As a float it would cost five times as much: numpy compares int16 with a float in float64.
    """
    if nodata is None or math.isnan(nodata):
        return None
    if dtype.kind not in "iu":
        return nodata
    limits = np.iinfo(dtype)
    return dtype.type(int(nodata)) if nodata.is_integer() and limits.min <= nodata <= limits.max else None


def read_header(path: Place | str | Path) -> RasterHeader:
    """Reads what a raster says about itself.

    Raises:
        UnreadableFileError: The file is absent, of another format, damaged, or mixes types of numbers.
    """
    place = as_place(path)
    with open_raster(place) as dataset:
        kinds = set(dataset.dtypes)
        if len(kinds) > 1:
            raise unreadable(
                f"Its bands have different types ({', '.join(sorted(kinds))}).", "Convert it: gdal_translate -ot Float32."
            )
        if dataset.count == 0:
            raise unreadable("It has no band.", "A container of subdatasets must be converted to a GeoTIFF with bands.")
        if dataset.dtypes[0].startswith("complex"):
            raise unreadable("It holds complex numbers, of which no model takes phase and size.", "Convert it: gdal_calc, abs(A).")
        if dataset.driver in {"JPEG", "PNG"} and dataset.width * dataset.height > _MAX_PICTURE_PX:
            raise unreadable("A JPEG or PNG of more than 200 million pixels.", "Convert it: gdal_translate -co TILED=YES.")
        check_ground(dataset.transform, dataset.width, dataset.height, dataset.crs)
        crs = crs_name(dataset.crs)
        affine = None if dataset.transform.is_identity and crs is None else dataset.transform
        masks = {flag.name for flags in dataset.mask_flag_enums for flag in flags}
        return RasterHeader(
            driver=dataset.driver,
            width=dataset.width,
            height=dataset.height,
            dtype=dataset.dtypes[0],
            band_names=tuple(_band_name(dataset, index) for index in dataset.indexes),
            colours=tuple(colour.name for colour in dataset.colorinterp),
            scales=tuple(float(scale) for scale in dataset.scales),
            offsets=tuple(float(offset) for offset in dataset.offsets),
            units=tuple(dataset.units),
            nodata=None if dataset.nodata is None else float(dataset.nodata),
            has_mask="per_dataset" in masks,
            mask_is_alpha="alpha" in masks,
            looked_at=not place.is_address and _is_looked_at(place, dataset),
            crs=crs,
            transform=None if affine is None else (affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
            metres_per_unit=float(dataset.crs.linear_units_factor[1]) if crs and dataset.crs.is_projected else None,
            # Damaged ones are as large as the scene, or larger.
            levels=tuple(factor for factor in dataset.overviews(1) if factor > 1),
            block=tuple(dataset.block_shapes[0]),
            compression=dataset.compression.value.lower() if dataset.compression else None,
            tags=dict(dataset.tags()),
        )


def _is_looked_at(place: Place, dataset: Any) -> bool:
    compressed = dataset.compression.value.lower() if dataset.compression else ""
    jpeg = dataset.driver == "GTiff" and "jpeg" in compressed
    return jpeg or may_lack_blocks(Path(place.name), dataset.driver)


def crs_name(crs: Any) -> str | None:
    """Returns rasterio's CRS as ``"EPSG:32630"`` or WKT."""
    if not crs:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def _band_name(dataset: Any, index: int) -> str | None:
    if dataset.descriptions[index - 1]:
        return str(dataset.descriptions[index - 1])
    tags = dataset.tags(index)
    return next((tags[key] for key in ("BANDNAME", "BAND_NAME") if tags.get(key)), None)
