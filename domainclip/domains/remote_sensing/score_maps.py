"""Class and score maps of one scene as Cloud Optimized GeoTIFFs, written with GDAL's COG driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.legend import MOST_CLASSES, category_names, class_colors
from domainclip.domains.remote_sensing.score_grid import Grid
from domainclip.errors import UsageError, missing_dependency

Floats = npt.NDArray[np.float64]
_BLOCK_PX = 256
_BYTE_CLASSES = 255


def write_maps(
    stem: tuple[Path, Path | None], grid: Grid, classes: Sequence[str], values: Floats, tags: Mapping[str, str]
) -> npt.NDArray[np.int64]:
    """Writes the map of classes and, where asked for, that of scores.

    A cell's score is the mean over the windows that cover it; its class is the one with the highest score, the first of equal ones.
    Cells that no window covers are nodata: 0 in the map of classes, NaN in the scores. Value k of the classes is band k of the
    scores.

    Args:
        stem: Files of classes and scores; None writes no scores.
        grid: Of the scene.
        classes: Their names.
        values: (N, len(classes)) scores of the windows, between 0 and 1.
        tags: Of both files.

    Returns:
        (len(classes) + 1,) cells without data, and of each class.

    Raises:
        MissingDependencyError: rasterio is absent.
        UsageError: There are more classes than a map can hold.
    """
    if len(classes) > MOST_CLASSES:
        raise UsageError("A map of classes was to be written.", f"There are {len(classes)} classes.", f"Ask for {MOST_CLASSES}.")
    covered = grid.covered()
    best = np.full(grid.shape, -1, dtype=np.float32)
    winner = np.zeros(grid.shape, dtype=np.uint8 if len(classes) <= _BYTE_CLASSES else np.uint16)

    def bands() -> Iterator[npt.NDArray[np.float32]]:
        for number in range(len(classes)):
            scores = grid.mean(values[:, number], covered)
            higher = scores > best  # NaN is not
            best[higher] = scores[higher]
            winner[higher] = number + 1
            yield scores

    class_path, score_path = stem
    if score_path is None:
        for _ in bands():
            pass
    else:
        options = {"nodata": float("nan"), "dtype": "float32", "count": len(classes)}
        with _draft(score_path, grid, options, {"OVERVIEW_RESAMPLING": "AVERAGE", "PREDICTOR": "YES"}) as file:
            file.update_tags(**tags)
            for number, (name, scores) in enumerate(zip(classes, bands(), strict=True), start=1):
                file.write(scores, number)
                file.set_band_description(number, name)
    with _draft(class_path, grid, {"nodata": 0, "dtype": winner.dtype.name, "count": 1}, {"OVERVIEW_RESAMPLING": "MODE"}) as file:
        file.update_tags(**tags)
        file.write(winner, 1)
        file.set_band_description(1, "class")
        colors = {value: (*color, 255) for value, color in enumerate(class_colors(len(classes)), start=1)}
        file.write_colormap(1, {0: (0, 0, 0, 0), **colors})
    class_path.with_name(f"{class_path.name}.aux.xml").write_text(category_names(classes), encoding="utf-8")
    return np.bincount(winner.ravel(), minlength=len(classes) + 1)


@contextmanager
def _draft(path: Path, grid: Grid, options: Mapping[str, Any], creation: Mapping[str, str]) -> Iterator[Any]:
    """Gives a plain GeoTIFF to write into, and turns it into a COG: the driver makes one from a finished file only."""
    try:
        import rasterio
        import rasterio.shutil
    except ImportError as error:
        raise missing_dependency("rasterio", "Writing maps", "rasterio") from error
    draft = path.with_name(f".{path.name}.part.tif")
    rows, columns = grid.shape
    # Bands come one by one, so they lie one after another while the file is made.
    layout = {"tiled": True, "blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX, "interleave": "band", "bigtiff": "IF_SAFER"}
    place = {"width": columns, "height": rows, "crs": grid.geo.crs, "transform": rasterio.Affine(*grid.geo.transform)}
    try:
        # No sidecar: a COG says everything itself, category names excepted.
        with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_NUM_THREADS="1"):
            with rasterio.open(draft, "w", driver="GTiff", **layout, **place, **options) as file:
                yield file
            rasterio.shutil.copy(draft, path, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=str(_BLOCK_PX), **creation)
    finally:
        draft.unlink(missing_ok=True)
