"""What must not pass for tissue on a thumbnail: pen on the glass and folds."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.slides import RGB

Mask = npt.NDArray[np.bool_]
Map = npt.NDArray[np.float32]

_LENGTH_UM, _WIDTH_UM, _SIDE_UM, _BETWEEN_UM = 136.0, 24.0, 56.0, 40.0
_ASIDE_UM = (80.0, 112.0)
_STROKE_UM2, _POINT_UM = 1200.0, 8.0
_OPAQUE, _DARK_RED = 0.7, 0.7
_NEAR_UM, _NARROW, _ONE_SIDED = 56.0, 0.03, 0.15
_LOCAL_UM, _LUMEN, _SOLID = 240.0, 0.3, 0.7
_DIRECTIONS = 8
_SEED, _GROWN = 0.31, 0.09
_SEED_UM2 = 800.0
_OWN = 0.09
_TWO, _FAR = 0.03, 0.29
LOG = None
_OB, _CL = 5, 5
_WALL, _UNLIKE, _ALIKE = 3, 0.0, 0.3
_FAT, _SM, _EASE = 0.16, 1, 2.0
_FLOOR = 0.02
_UNEVEN, _EVEN = 0.5, 0.2


def optical_density(thumbnail: RGB) -> Map:
    """Optical densities of red, green and blue over the slide's own white (its 99th percentile, at least 200).

    Args:
        thumbnail: (H, W, 3) uint8.

    Returns:
        (H, W, 3) float32, 0 to 2.4.
    """
    white = np.maximum(np.percentile(thumbnail.reshape(-1, 3), 99, axis=0), 200).astype(np.float32)
    table = -np.log10((np.arange(256, dtype=np.float32)[:, None] + 1) / (white + 1)).clip(None, 0)
    density: Map = np.stack([table[thumbnail[..., c], c] for c in range(3)], axis=2)
    return density


def pen_marks(thumbnail: RGB) -> Mask:
    """Finds ink on the glass or the tissue.

    Ink is told from haematoxylin, eosin and DAB by ratios of optical densities: the green one leads in stains, the red one in
    blue and green ink; black ink is neutral; red ink has green and blue alike and little red (DAB has more blue than green).
    Over tissue the stain adds to the ink, so a stroke grows a little way by looser ratios.

    Args:
        thumbnail: (H, W, 3) uint8, about 8 um a point.

    Returns:
        (H, W) bool.
    """
    import cv2

    smooth = cv2.blur(thumbnail, (3, 3), borderType=cv2.BORDER_REPLICATE)
    table = -np.log10((np.minimum(np.arange(256, dtype=np.float32), 254) + 1) / 255)
    red, green, blue = (table[smooth[..., c]] for c in range(3))
    dense = red + green + blue > 0.5
    blue_or_green_ink = (red > 1.3 * green) | ((red > _DARK_RED) & (red > 1.1 * green))
    black_or_green_ink = (blue > 0.85 * green) & (red > 0.8 * green)
    red_ink = (blue > 0.65 * green) & (blue < 1.1 * green) & (red < 0.45 * blue)
    several_inks = (red > _OPAQUE) & (green > _OPAQUE) & (blue > _OPAQUE)
    ink = ((blue_or_green_ink | black_or_green_ink | red_ink | several_inks) & dense).astype(np.uint8)
    # Ink comes in strokes; single points are debris or pigment. A stroke's rim is half transparent.
    strokes = _large(cv2.medianBlur(ink, 3), _STROKE_UM2 / _POINT_UM**2)
    dark_throughout = (blue > 0.4) & (blue > 0.55 * green) & (red > 0.55 * green)
    red_over_stain = (blue > 0.4) & (blue > 0.55 * green) & (blue < 1.1 * green)
    blue_over_stain = (red > 0.6) & (red > 1.05 * green)
    loose = ((dark_throughout | red_over_stain | blue_over_stain) & dense).astype(np.uint8) | strokes
    for _ in range(4):
        strokes = cv2.dilate(strokes, np.ones((3, 3), np.uint8)) & loose
    marks: Mask = cv2.dilate(strokes, np.ones((3, 3), np.uint8)) > 0
    return marks


def _large(mask: npt.NDArray[np.uint8], least: float) -> npt.NDArray[np.uint8]:
    """Keeps pieces of at least so many points."""
    import cv2

    _, pieces, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept: npt.NDArray[np.uint8] = mask & (facts[:, cv2.CC_STAT_AREA] >= least)[pieces]
    return kept


def folds(thumbnail: RGB, tissue: Mask, um_per_px: float) -> Mask:
    """Finds folds: narrow bands where two layers of tissue lie over each other, so that optical density about doubles.

    A strip of 136 x 36 um is compared, in eight directions, with equal strips on both sides of it; what is dense on one side as
    well is a border or a large dense area (lymphoid tissue) and no fold. Red density stands for haematoxylin, green for both
    stains; both must rise, and eosin alone (green less what haematoxylin brings) must not fall, which a dense row of nuclei does.

    Args:
        thumbnail: (H, W, 3) uint8.
        tissue: (H, W) bool, without pen.
        um_per_px: Scale.

    Returns:
        (H, W) bool, within the tissue.
    """
    import cv2
    from scipy import ndimage

    rise, own, sided, apart = density_rise(optical_density(thumbnail), tissue, um_per_px)
    pieces, count = ndimage.label((rise > _GROWN) & tissue, np.ones((3, 3)))
    seeds = np.bincount(pieces[(rise > _SEED) & tissue], minlength=count + 1)
    folded = seeds >= _SEED_UM2 / um_per_px**2
    sure = (rise > _SEED) & tissue
    weight = np.bincount(pieces[sure], minlength=count + 1)
    both = np.bincount(pieces[sure], sided[sure], count + 1)
    far = np.bincount(pieces[sure], apart[sure], count + 1) / np.maximum(both, 1)
    two = np.bincount(pieces.ravel(), sided.ravel(), count + 1) / np.maximum(np.bincount(pieces.ravel(), minlength=count + 1), 1)
    if LOG is not None:
        LOG.append((pieces, folded.copy(), weight, two, far))
    folded &= two > _TWO
    folded &= far < _FAR
    folded[0] = False
    # A strip sees a fold before it lies on it: what is no denser than the sides by itself is left out, but for holes.
    dense = (folded[pieces] & (own > _OWN)).astype(np.uint8)
    closed = cv2.morphologyEx(dense, cv2.MORPH_CLOSE, np.ones((_CL, _CL), np.uint8)) > 0
    result: Mask = closed & tissue
    return result


def density_rise(density: Map, tissue: Mask, um_per_px: float) -> tuple[Map, Map]:
    """Log ratio of a strip's density to that of the denser side, least of the stains, largest over directions.

    A side counts where it is tissue, and all between it and the strip: what lies beyond a gap may be any other tissue. Where it is
    not, a thin strip close by stands in for it; for that, and more so where there is none, a little is taken off.
    """
    import cv2

    inside = (cv2.erode(tissue.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0).astype(np.float32)
    reach = round(_LOCAL_UM / um_per_px) | 1
    whole = density.sum(axis=2) * inside
    local = cv2.blur(whole, (reach, reach)) / np.maximum(cv2.blur(inside, (reach, reach)), 1e-3)
    # Lumina would make the tissue beside them look folded; where most is empty, as in fat, they are part of the tissue.
    solid = inside * (whole > _LUMEN * local)
    share = cv2.blur(solid, (reach, reach)) / np.maximum(cv2.blur(inside, (reach, reach)), 1e-3)
    pale = ((cv2.blur(whole, (3, 3)) < 0.6 * local) * inside).astype(np.float32)
    fat = cv2.blur(pale, (reach, reach)) / np.maximum(cv2.blur(inside, (reach, reach)), 1e-3) > _FAT
    stained = np.where((share > _SOLID), solid, inside).astype(np.float32)
    # Thin walls between fat cells are no folds: there the cells' paler insides are compared, which hold no haematoxylin.
    pale = cv2.morphologyEx(cv2.blur(density[..., 1], (_SM, _SM)), cv2.MORPH_OPEN, np.ones((_WALL, _WALL), np.uint8))
    maps = [np.asarray(values * stained, np.float32) for values in _stains(density)]
    maps.append(np.asarray(np.where(fat, pale, maps[1]) * stained, np.float32))
    near = np.maximum(cv2.blur(stained, (_OB, _OB)), 1e-3)
    points = [cv2.blur(values, (_OB, _OB)) / near + _FLOOR for values in maps[:3]]
    sided, apart = np.zeros(tissue.shape, np.float32), np.zeros(tissue.shape, np.float32)
    best, own = np.full(tissue.shape, -9, np.float32), np.full(tissue.shape, -9, np.float32)
    for number in range(_DIRECTIONS):
        angle = math.pi * number / _DIRECTIONS
        strip, side = (_strip(_LENGTH_UM / um_per_px, wide / um_per_px, angle) for wide in (_WIDTH_UM, _SIDE_UM))
        cover, beside = (np.maximum(_filtered(stained, kernel), 1e-3) for kernel in (strip, side))
        middle = [np.asarray(_filtered(values, strip) / cover + _FLOOR, np.float32) for values in maps]
        means = [np.asarray(_filtered(values, side) / beside, np.float32) for values in maps]
        gross = _filtered(whole, side) / np.maximum(_filtered(inside, side), 1e-3)
        for aside_um in _ASIDE_UM:
            x, y = -math.sin(angle) * aside_um / um_per_px, math.cos(angle) * aside_um / um_per_px
            between = _filtered(inside, _strip(_BETWEEN_UM / um_per_px, aside_um / um_per_px, angle))
            grounds = [np.full(tissue.shape, _FLOOR, np.float32) for _ in maps]
            penalty = np.zeros(tissue.shape, np.float32)
            seen = []
            for s in (1, -1):
                far = (round(s * x), round(s * y))
                close = (round(s * x * _NEAR_UM / aside_um), round(s * y * _NEAR_UM / aside_um))
                known = (_moved(beside, *far) > 0.4) & (_moved(between, round(s * x / 2), round(s * y / 2)) > 0.85)
                beyond = ~known & (_moved(cover, *close) > 0.4)
                for ground, mean, thin in zip(grounds, means, middle, strict=True):
                    there = np.where(known, _moved(mean, *far) + _FLOOR, np.where(beyond, _moved(thin, *close), _FLOOR))
                    np.maximum(ground, there, out=ground)
                seen.append((known, _moved(gross, *far) + 2 * _FLOOR))
                penalty += np.where(known, 0, np.where(beyond, _NARROW, _ONE_SIDED)).astype(np.float32)
            rises = [np.log(a / b) for a, b in zip(middle, grounds, strict=True)]
            both = seen[0][0] & seen[1][0]
            differ = np.abs(np.log(seen[0][1] / seen[1][1]))
            penalty += np.where(both, _UNLIKE * np.maximum(differ - _ALIKE, 0), 0)
            uneven = np.maximum(np.abs(rises[0] - rises[2]) - _EVEN, 0)
            rise = np.minimum(np.min(rises[:3], axis=0), np.where(fat, _EASE * rises[3], 9)) - penalty - _UNEVEN * uneven
            better = (grounds[1] > 2 * _FLOOR) & (rise > best)
            best[better] = rise[better]
            sided[better], apart[better] = both[better], (differ * both)[better]
            own[better] = np.min([np.log(a / b)[better] for a, b in zip(points, grounds[:3], strict=False)], axis=0)
    return best, own, sided, apart


def _stains(density: Map) -> list[Map]:
    """Densities in which two layers add up: red (nearly haematoxylin alone), green (both stains), and eosin by itself.

    Eosin is what is left when haematoxylin is taken out, by the vectors of Ruifrok and Johnston (2001).
    """
    haematoxylin, eosin = (np.array(v) / np.linalg.norm(v) for v in ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)))
    vectors = np.stack([haematoxylin, eosin, np.cross(haematoxylin, eosin)])
    pure = density @ np.linalg.inv(vectors)[:, 1].astype(np.float32)
    return [np.ascontiguousarray(density[..., 0]), np.ascontiguousarray(density[..., 1]), np.maximum(pure, 0)]


def _strip(length: float, width: float, angle: float) -> Map:
    reach = math.ceil(length / 2) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.clip(length / 2 + 0.5 - abs(along), 0, 1) * np.clip(width / 2 + 0.5 - abs(across), 0, 1)
    normed: Map = (kernel / kernel.sum()).astype(np.float32)
    return normed


def _filtered(values: Map, kernel: Map) -> Map:
    import cv2

    return np.asarray(cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_CONSTANT), dtype=np.float32)


def _moved(values: Map, x: int, y: int) -> Map:
    """Returns at each point the value that lies (x, y) points away, 0 from outside."""
    height, width = values.shape
    moved = np.zeros_like(values)
    if abs(y) >= height or abs(x) >= width:
        return moved  # a picture smaller than the way
    moved[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)] = values[
        max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)
    ]
    return moved
