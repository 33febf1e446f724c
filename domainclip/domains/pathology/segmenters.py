"""What tells tissue from glass on a thumbnail: the optical rule, plain Otsu, and the seam for learned masks."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.artefacts import pen_marks
from domainclip.domains.pathology.slides import RGB
from domainclip.domains.pathology.strips import parts
from domainclip.errors import UsageError
from domainclip.registry import Registry

Mask = npt.NDArray[np.bool_]

HOLE_UM = 160.0
"""Holes up to this long and wide are lumina and fat cells, which belong to the tissue; longer ones are glass, clefts too."""
_LEAST, _MOST = 8, 24
_RIM_SHARE = 0.66
_ROWS = 256


class TissueSegmenter(Protocol):
    """A mask of tissue by any means, e.g. a network.

    It is registered in ``tissue_segmenters`` or by an entry point of the group ``domainclip.tissue``. Pen, folds and tissue out of
    focus are taken out of its mask afterwards.
    """

    def __call__(self, thumbnail: RGB, um_per_px: float) -> Mask:
        """Says where tissue is.

        Args:
            thumbnail: (H, W, 3) uint8 sRGB of the whole slide, read-only.
            um_per_px: Its scale, about 4 to 8 (as coarse as the slide where that is coarser).

        Returns:
            (H, W) bool.
        """
        ...


tissue_segmenters: Registry[TissueSegmenter] = Registry(
    "tissue segmenter",
    {
        "optical": "domainclip.domains.pathology.segmenters:optical_tissue",
        "otsu": "domainclip.domains.pathology.segmenters:otsu_tissue",
    },
)
for _point in entry_points(group="domainclip.tissue"):
    if _point.name not in tissue_segmenters:
        tissue_segmenters.register(_point.name, _point.value)


def segmented(name: str, thumbnail: RGB, um_per_px: float) -> Mask:
    """Calls a segmenter and checks what it returns.

    Args:
        name: Its name in ``tissue_segmenters``.
        thumbnail: (H, W, 3) uint8.
        um_per_px: Its scale.

    Returns:
        (H, W) bool.

    Raises:
        UsageError: No segmenter has this name, or it returned something else than one bool for each point.
    """
    segment = tissue_segmenters.get(name)
    view = thumbnail.view()
    view.flags.writeable = False
    mask = segment(view, um_per_px)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != thumbnail.shape[:2]:
        what = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise UsageError(
            f"The tissue segmenter {name!r} was to mask a thumbnail.",
            f"It returned {what}, not bool of shape {thumbnail.shape[:2]}.",
            "Return a NumPy array with one bool for each point, e.g. probability > 0.5.",
        )
    return mask


def otsu_tissue(thumbnail: RGB, um_per_px: float) -> Mask:
    """Plain Otsu on the saturation of HSV, as many pipelines do; it takes ink for tissue and splits slides without glass."""
    import cv2

    saturation = np.asarray(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2HSV)[..., 1], dtype=np.uint8)
    mask: Mask = saturation > otsu(saturation)
    return mask


def optical_tissue(thumbnail: RGB, um_per_px: float) -> Mask:
    """Finds tissue by chroma (largest minus smallest channel) above Otsu's threshold, small holes filled.

    Otsu's threshold is held between 8 and 24 of 255, because slides without glass, or without tissue, have no valley to find.
    """
    import cv2

    chroma = (thumbnail.max(axis=2) - thumbnail.min(axis=2)).astype(np.uint8)
    threshold = min(max(otsu(chroma), _LEAST), _MOST)
    coloured = ((chroma > threshold) & ~pen_marks(thumbnail)).astype(np.uint8)
    body = coloured > 0
    del coloured  # large slides: a byte for each point counts
    closed = _closed(body)  # thin walls of fat cells
    holes = _holes(closed, um_per_px)
    body |= holes | (closed & (cv2.dilate(holes.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0))  # closed elsewhere are clefts
    del closed, holes
    body |= _holes(body, um_per_px)
    return _rim_trimmed(body & (cv2.medianBlur(body.astype(np.uint8), 5) > 0), chroma)  # without dust


def _closed(mask: Mask) -> Mask:
    import cv2

    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 4, 4, 4, 4, cv2.BORDER_REPLICATE)
    closed: Mask = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))[4:-4, 4:-4] > 0
    return closed


def otsu(values: npt.NDArray[np.uint8]) -> int:
    """Returns the threshold t that maximises the variance between values <= t and values > t (Otsu 1979)."""
    import cv2

    # np.bincount would make 8 bytes of each.
    histogram = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    weight = np.cumsum(histogram)
    mass = np.cumsum(histogram * np.arange(256))
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = weight * rest * (mass / weight - (mass[-1] - mass) / rest) ** 2
    return int(np.argmax(np.nan_to_num(between, nan=-1.0, posinf=-1.0)))


def _holes(mask: Mask, um_per_px: float) -> Mask:
    """Finds holes that tissue surrounds, up to ``HOLE_UM`` long and wide."""
    import cv2

    _, pieces, facts, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    left, top, width, height = (facts[:, i] for i in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    within = (left > 0) & (top > 0) & (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    hole = within & (np.maximum(width, height) <= HOLE_UM / um_per_px)
    hole[0] = False
    holes: Mask = hole[pieces]
    return holes


def _rim_trimmed(mask: Mask, chroma: npt.NDArray[np.uint8]) -> Mask:
    """Drops points of the rim that are glass by more than half, told by how much paler they are than the tissue inside."""
    result = np.empty_like(mask)
    for part in parts(mask.shape[0], mask.shape[1], _ROWS, mask.shape[1], 4):
        result[part.own] = _strip_trimmed(mask[part.seen], chroma[part.seen])[part.inner]
    return result


def _strip_trimmed(mask: Mask, chroma: npt.NDArray[np.uint8]) -> Mask:
    import cv2

    tissue = mask.astype(np.uint8)
    # The slide's border is no rim of the tissue.
    inner = cv2.erode(tissue, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1).astype(np.float32)
    weight = cv2.boxFilter(inner, -1, (5, 5), normalize=False)
    inside = cv2.boxFilter(inner * chroma, -1, (5, 5), normalize=False) / np.maximum(weight, 1)
    rim = mask & (inner == 0)
    pale: Mask = rim & (weight > 0) & (chroma < _RIM_SHARE * inside)
    return mask & ~pale
