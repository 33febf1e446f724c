"""Opens rasters: the header as a record, handles kept per process and thread, GDAL's errors in our words."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainclip.domains.remote_sensing.ground_check import check_ground
from domainclip.domains.remote_sensing.openable import check_openable, check_opened, may_lack_blocks
from domainclip.domains.remote_sensing.refusals import unreadable as unreadable
from domainclip.errors import missing_dependency

_MAX_PICTURE_PX = 200_000_000
_OPEN_FILES = 8
# A damaged JPEG is a warning for libjpeg and grey for the reader; here it is an error. With more threads than one GDAL's JPEG 2000
# hands out zeros for a tile that cannot be decoded, and tells nobody. Python in a VRT is code from a stranger.
_GDAL = {
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",
    "GDAL_NUM_THREADS": "1",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".no-remote-file",
    "CPL_DEBUG": "OFF",
}
_local = threading.local()


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
        has_mask: The file carries a mask or an alpha band, or does not hold all of its blocks.
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
    crs: str | None
    transform: tuple[float, float, float, float, float, float] | None
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
def open_raster(path: Path) -> Iterator[Any]:
    """Gives rasterio's dataset of a file; it stays open for the next call of the same process and thread.

    Raises:
        MissingDependencyError: rasterio is absent.
        UnreadableFileError: The file is absent, is of another format, or its pixels are damaged.
    """
    try:
        import rasterio
        from rasterio._err import CPLE_BaseError  # what some of its properties let through
        from rasterio.errors import RasterioError
    except ImportError as error:
        raise missing_dependency("rasterio", "Reading rasters", "rasterio") from error
    with rasterio.Env(**_GDAL):
        try:
            yield _handle(path, rasterio)
        except (RasterioError, CPLE_BaseError, OSError) as error:
            _drop(path)
            raise unreadable(
                f"GDAL could not read it ({type(error.__cause__ or error).__name__}): it is damaged, or of a kind that GDAL lacks.",
                "Check it with 'gdalinfo -checksum', or fetch it again.",
            ) from error


def _handle(path: Path, rasterio: Any) -> Any:
    if getattr(_local, "process", None) != os.getpid():
        # After a fork the parent's handles share their file position with it: they must not be used.
        _local.process, _local.handles = os.getpid(), OrderedDict()
    handles: OrderedDict[str, tuple[tuple[int, int], Any]] = _local.handles
    if not path.is_file():
        raise unreadable("There is no such file.", "Check the path in the manifest.")
    status = path.stat()
    stamp = (status.st_mtime_ns, status.st_size)
    name = str(path.resolve())
    if name in handles and handles[name][0] == stamp:
        handles.move_to_end(name)
        return handles[name][1]
    _drop(path)
    driver, opened = check_openable(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        dataset = rasterio.open(opened, driver=driver, sharing=False)
    check_opened(dataset)
    handles[name] = (stamp, dataset)
    while len(handles) > _OPEN_FILES:
        handles.popitem(last=False)[1][1].close()
    return dataset


def _drop(path: Path) -> None:
    entry = getattr(_local, "handles", OrderedDict()).pop(str(path.resolve()), None)
    if entry is not None:
        entry[1].close()


def read_header(path: Path) -> RasterHeader:
    """Reads what a raster says about itself.

    Raises:
        UnreadableFileError: The file is absent, of another format, damaged, or mixes types of numbers.
    """
    with open_raster(path) as dataset:
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
        crs = _crs_name(dataset.crs)
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
            has_mask="per_dataset" in masks or may_lack_blocks(path, dataset.driver),
            crs=crs,
            transform=None if affine is None else (affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
            metres_per_unit=float(dataset.crs.linear_units_factor[1]) if crs and dataset.crs.is_projected else None,
            levels=tuple(
                factor for factor in dataset.overviews(1) if factor > 1
            ),  # damaged ones are as large as the scene, or larger
            block=tuple(dataset.block_shapes[0]),
            compression=dataset.compression.value.lower() if dataset.compression else None,
            tags=dict(dataset.tags()),
        )


def _crs_name(crs: Any) -> str | None:
    if not crs:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def _band_name(dataset: Any, index: int) -> str | None:
    if dataset.descriptions[index - 1]:
        return str(dataset.descriptions[index - 1])
    tags = dataset.tags(index)
    return next((tags[key] for key in ("BANDNAME", "BAND_NAME") if tags.get(key)), None)
