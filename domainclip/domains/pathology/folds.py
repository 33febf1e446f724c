"""Folds: narrow bands where two layers of tissue lie over each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.pathology.slides import RGB
from domainclip.domains.pathology.strips import parts

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

_PART = 384
_LENGTH_UM, _WIDTH_UM, _SIDE_UM, _BETWEEN_UM = 136.0, 24.0, 56.0, 40.0
_ASIDE_UM = (80.0, 112.0)
_NEAR_UM, _NARROW, _ONE_SIDED = 56.0, 0.03, 0.15
_LOCAL_UM, _LUMEN, _SOLID = 240.0, 0.3, 0.7
_PALE, _FAT, _WALL, _FAT_EASE = 0.6, 0.16, 3, 2.0
_DIRECTIONS = 8
_SURE, _GROWN = 0.25, 0.085
_LEAST_RATIO = math.exp(_GROWN) * (1 - 1e-5)
_SOME, _BETWEEN = 0.4, 0.85
"""Share of a side, and of what lies between, that must be tissue."""
_SURE_UM2 = 500.0
_OWN, _OWN_SHARE, _OWN_UM = 0.06, 0.25, 40.0
_FLOOR = 0.02
_UNEVEN, _EVEN = 0.5, 0.2
_TWO_SIDED, _UNLIKE = 0.015, 0.27
_IS_GROWN, _IS_SURE, _IS_TWO_SIDED = 1, 2, 4
_STEPS = 100


def white(thumbnail: RGB) -> Map:
    """Returns the slide's own white: the 99th percentile of red, green and blue, at least 200; (3,) float32."""
    import cv2

    counts = [cv2.calcHist([thumbnail], [c], None, [256], [0, 256]).ravel() for c in range(3)]
    percentiles = [int(np.searchsorted(np.cumsum(n, dtype=np.float64), 0.99 * n.sum(dtype=np.float64))) for n in counts]
    return np.maximum(np.array(percentiles, np.float32), 200)


def optical_density(thumbnail: RGB, light: Map) -> Map:
    """Optical densities of red, green and blue.

    Args:
        thumbnail: (H, W, 3) uint8.
        light: (3,) float32, from ``white``.

    Returns:
        (H, W, 3) float32, 0 to 2.4.
    """
    table = np.maximum(-np.log10((np.arange(256, dtype=np.float32)[:, None] + 1) / (light + 1)), 0)
    density: Map = np.stack([table[thumbnail[..., c], c] for c in range(3)], axis=2)
    return density


def folds(thumbnail: RGB, tissue: Mask, um_per_px: float) -> Mask:
    """Finds folds, where optical density about doubles along a band.

    A strip of 136 x 24 um is compared, in eight directions, with strips on both sides of it; what is dense on one side as well is a
    border or a large dense area (lymphoid tissue) and no fold. Red density stands for haematoxylin, green for both stains; both
    must rise, and eosin alone (green less what haematoxylin brings) must not fall, which a dense row of nuclei does. In fat the
    insides of the cells must be denser too. A fold has tissue on both sides in some part, and about the same tissue: a dense layer
    between tissue and a gap, such as keratin, is none.

    Args:
        thumbnail: (H, W, 3) uint8.
        tissue: (H, W) bool, without pen.
        um_per_px: Scale.

    Returns:
        (H, W) bool, within the tissue.
    """
    import cv2

    codes, unlike, own = (np.zeros(tissue.shape, np.uint8) for _ in range(3))
    light = white(thumbnail)
    margin = math.ceil((_LOCAL_UM + _ASIDE_UM[-1] + _LENGTH_UM / 2) / um_per_px) + 4
    for part in parts(tissue.shape[0], tissue.shape[1], _PART, _PART, margin):
        if tissue[part.own].any():
            found = _coded(optical_density(thumbnail[part.seen], light), tissue[part.seen], um_per_px)
            codes[part.own], unlike[part.own], own[part.own] = (values[part.inner] for values in found)
    codes *= tissue
    dense = _kept(codes, unlike, own, um_per_px).astype(np.uint8)
    closed = cv2.morphologyEx(dense, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    result: Mask = closed & tissue
    return result


def _kept(codes: Codes, unlike: Codes, own: Codes, um_per_px: float) -> Mask:
    """Keeps pieces that are surely denser in enough of them, lie in tissue, and have about the same tissue on both sides."""
    import cv2

    grown = codes & _IS_GROWN
    count, pieces = cv2.connectedComponents(grown, connectivity=8)
    at = np.flatnonzero(grown)
    piece, code = pieces.ravel()[at], codes.ravel()[at]
    sure, sided = (code & _IS_SURE) > 0, (code & _IS_TWO_SIDED) > 0
    points, sures, both, sure_both = (
        np.bincount(piece[chosen], minlength=count) for chosen in (slice(None), sure, sided, sure & sided)
    )
    apart = np.bincount(piece[sure & sided], unlike.ravel()[at][sure & sided] / _STEPS, count)
    kept = (sures >= _SURE_UM2 / um_per_px**2) & (both > _TWO_SIDED * points) & (apart <= _UNLIKE * sure_both)
    kept[0] = False
    result = np.zeros(codes.shape, np.bool_)
    # A strip sees a fold before it lies on it: what is by itself not nearly as dense as the piece is left out, but for holes.
    level = np.bincount(piece[sure], own.ravel()[at][sure], count) / np.maximum(sures, 1)
    result.ravel()[at] = kept[piece] & (own.ravel()[at] > np.maximum(_OWN_SHARE * level, _OWN * _STEPS)[piece])
    return result


@dataclass(frozen=True, slots=True)
class _Ground:
    """What strips are laid over; all (H, W) float32, ``fat`` bool.

    Attributes:
        inside: 1 in tissue off its rim.
        stained: ``inside`` without lumina.
        whole: Density summed over the colours, 0 outside.
        maps: Red, green, eosin, and, where there is fat, green inside of its cells; 0 where nothing is stained.
        points: The first three, averaged about each point.
        fat: Where tissue is mostly pale with thin walls.
    """

    inside: Map
    stained: Map
    whole: Map
    maps: list[Map]
    points: list[Map]
    fat: Mask


def _ground(density: Map, tissue: Mask, um_per_px: float) -> _Ground:
    import cv2

    inside = (cv2.erode(tissue.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0).astype(np.float32)
    reach = round(_LOCAL_UM / um_per_px) | 1
    around = np.maximum(_mean(inside, reach), 1e-3)
    whole = density.sum(axis=2) * inside
    local = _mean(whole, reach) / around
    # Lumina would make the tissue beside them look folded; where most is empty, as in fat, they are part of the tissue.
    solid = inside * (whole > _LUMEN * local)
    stained = np.where(_mean(solid, reach) > _SOLID * around, solid, inside).astype(np.float32)
    pale = inside * (_mean(whole, 3) < _PALE * local)
    fat = _mean(pale, reach) > _FAT * around
    # Thin walls between fat cells are no folds: there the cells' paler insides are compared, which hold no haematoxylin.
    within = cv2.morphologyEx(np.ascontiguousarray(density[..., 1]), cv2.MORPH_OPEN, np.ones((_WALL, _WALL), np.uint8))
    maps = [np.asarray(values * stained, np.float32) for values in _stains(density)]
    if fat.any():
        maps.append(np.asarray(np.where(fat, within, density[..., 1]) * stained, np.float32))
    own = round(_OWN_UM / um_per_px) | 1
    near = np.maximum(_mean(stained, own), 1e-3)
    points = [np.asarray(_mean(values, own) / near + _FLOOR, np.float32) for values in maps[:3]]
    return _Ground(inside, stained, whole, maps, points, fat)


def _coded(density: Map, tissue: Mask, um_per_px: float) -> tuple[Codes, Codes, Codes]:
    """Flags for each point, by the direction that shows most: denser, surely so, tissue on both sides.

    The others are how unlike the two sides are, and how much denser than they the point itself is (log ratios in hundredths).
    """
    ground = _ground(density, tissue, um_per_px)
    best = np.full(tissue.shape, _GROWN, np.float32)  # less is no fold, whatever else is seen
    codes, unlike, own = (np.zeros(tissue.shape, np.uint8) for _ in range(3))
    for number in range(_DIRECTIONS):
        _compare(ground, math.pi * number / _DIRECTIONS, um_per_px, best, codes, unlike, own)
    return codes, unlike, own


@dataclass(frozen=True, slots=True)
class _Side:
    """What lies on one side of the strips of a direction; (H, W) bool.

    Attributes:
        known: There is tissue, and all between it and the strip is.
        beyond: There is none, but some close by.
        far: (x, y) points to the former.
        close: (x, y) points to the latter.
    """

    known: Mask
    beyond: Mask
    far: tuple[int, int]
    close: tuple[int, int]

    def over(self, wide: Map, thin: Map) -> Map:
        """What stands for this side at every point: the wide strip, else the thin one, else next to nothing."""
        return np.where(self.known, _moved(wide, *self.far), np.where(self.beyond, _moved(thin, *self.close), np.float32(_FLOOR)))

    def at(self, points: npt.NDArray[np.int64], wide: Map, thin: Map) -> Map:
        """The same at some points (of the flattened picture)."""
        far, close = _reached(wide, points, self.far), _reached(thin, points, self.close)
        return np.where(self.known.ravel()[points], far, np.where(self.beyond.ravel()[points], close, np.float32(_FLOOR)))


def _sides(inside: Map, covered: Mask, beside: Mask, angle: float, aside: float, um_per_px: float) -> list[_Side]:
    """Looks at both sides, ``aside`` points away.

    A side counts where it is tissue, and all between it and the strip: what lies beyond a gap may be any other tissue. Where it is
    not, a thin strip close by stands in for it.
    """
    x, y = -math.sin(angle) * aside, math.cos(angle) * aside
    between = _mean(_line(inside, aside, angle + math.pi / 2), round(_BETWEEN_UM / um_per_px) | 1) > _BETWEEN
    sides = []
    for s in (1, -1):
        far = (round(s * x), round(s * y))
        close = (round(s * x * _NEAR_UM / (aside * um_per_px)), round(s * y * _NEAR_UM / (aside * um_per_px)))
        known = _moved(beside, *far) & _moved(between, round(s * x / 2), round(s * y / 2))
        sides.append(_Side(known, ~known & _moved(covered, *close), far, close))
    return sides


def _compare(ground: _Ground, angle: float, um_per_px: float, best: Map, codes: Codes, unlike: Codes, own: Codes) -> None:
    """Compares a strip with its sides and writes where this direction shows more than those before.

    Where a side is known from close by alone a little is taken off, and more where there is none. Green decides where to look at
    the other colours at all: all of them must rise.
    """
    strip, side = (round(wide / um_per_px) | 1 for wide in (_WIDTH_UM, _SIDE_UM))
    stained, whole, inside, *lines = (
        _line(v, _LENGTH_UM / um_per_px, angle) for v in (ground.stained, ground.whole, ground.inside, *ground.maps)
    )
    cover, beside = (np.maximum(_mean(stained, wide), 1e-3) for wide in (strip, side))
    middle = [np.asarray(_mean(values, strip) / cover + _FLOOR, np.float32) for values in lines]
    means = [np.asarray(_mean(values, side) / beside + _FLOOR, np.float32) for values in lines]
    gross = np.asarray(_mean(whole, side) / np.maximum(_mean(inside, side), 1e-3) + 2 * _FLOOR, np.float32)
    for aside_um in _ASIDE_UM:
        sides = _sides(ground.inside, cover > _SOME, beside > _SOME, angle, aside_um / um_per_px, um_per_px)
        green = np.maximum(*(one.over(means[1], middle[1]) for one in sides))
        points = np.flatnonzero((green > 2 * _FLOOR) & (middle[1] > green * _LEAST_RATIO))
        denser = [np.maximum(*(one.at(points, mean, thin) for one in sides)) for mean, thin in zip(means, middle, strict=True)]
        rises = [np.log(values.ravel()[points] / beyond) for values, beyond in zip(middle, denser, strict=True)]
        least = np.min(rises[:3], axis=0)
        if len(rises) > 3:
            least = np.where(ground.fat.ravel()[points], np.minimum(least, _FAT_EASE * rises[3]), least)
        rise = least - _UNEVEN * np.maximum(np.abs(rises[0] - rises[2]) - _EVEN, 0)
        both = np.ones(len(points), np.bool_)
        for one in sides:
            known, beyond = one.known.ravel()[points], one.beyond.ravel()[points]
            rise -= np.where(known, 0, np.where(beyond, _NARROW, _ONE_SIDED)).astype(np.float32)
            both &= known
        better = rise > best.ravel()[points]
        points, rise, both = points[better], rise[better], both[better]
        best.ravel()[points] = rise
        point = np.min([np.log(a.ravel()[points] / b[better]) for a, b in zip(ground.points, denser[:3], strict=True)], axis=0)
        own.ravel()[points] = np.clip(point * _STEPS, 0, 255)
        codes.ravel()[points] = _IS_GROWN + (rise > _SURE) * _IS_SURE + both * _IS_TWO_SIDED
        two = [np.maximum(_reached(gross, points, one.far), _FLOOR) for one in sides]
        unlike.ravel()[points] = np.where(both, np.minimum(np.abs(np.log(two[0] / two[1])) * _STEPS, 255), 0)


def _reached(values: Map, points: npt.NDArray[np.int64], way: tuple[int, int]) -> Map:
    """Returns what lies (x, y) points away from some points; anything where that is outside."""
    found: Map = np.take(values.ravel(), points + (way[1] * values.shape[1] + way[0]), mode="clip")
    return found


def _mean(values: Map, side: int) -> Map:
    import cv2

    return np.asarray(cv2.blur(values, (side, side)), dtype=np.float32)


def _stains(density: Map) -> list[Map]:
    """Densities in which two layers add up: red (nearly haematoxylin alone), green (both stains), and eosin by itself.

    Eosin is what is left when haematoxylin is taken out, by the vectors of Ruifrok and Johnston (2001).
    """
    haematoxylin, eosin = (np.array(v) / np.linalg.norm(v) for v in ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)))
    vectors = np.stack([haematoxylin, eosin, np.cross(haematoxylin, eosin)])
    pure = density @ np.linalg.inv(vectors)[:, 1].astype(np.float32)
    return [np.ascontiguousarray(density[..., 0]), np.ascontiguousarray(density[..., 1]), np.maximum(pure, 0)]


def _line(values: Map, length: float, angle: float) -> Map:
    """Means along a line centred on each point, 0 from outside: sums over 2, 4, 8 ... points, each of two before, added up."""
    x, y, points = math.cos(angle), math.sin(angle), max(1, round(length))
    doubled, covered = values, 0
    total = np.zeros_like(values)
    for bit in range(points.bit_length()):
        if points >> bit & 1:
            total += _moved(doubled, round(covered * x), round(covered * y))
            covered += 1 << bit
        if points >> (bit + 1):
            doubled = doubled + _moved(doubled, round((1 << bit) * x), round((1 << bit) * y))
    reach = (points - 1) / 2
    return np.asarray(_moved(total, round(-reach * x), round(-reach * y)) / np.float32(points), np.float32)


def _moved(values: npt.NDArray[Any], x: int, y: int) -> npt.NDArray[Any]:
    """Returns at each point the value that lies (x, y) points away, 0 from outside."""
    height, width = values.shape
    if abs(y) >= height or abs(x) >= width:
        return np.zeros_like(values)  # a picture smaller than the way
    top, bottom, left, right = max(0, -y), height - max(0, y), max(0, -x), width - max(0, x)
    moved = np.empty_like(values)
    moved[top:bottom, left:right] = values[top + y : bottom + y, left + x : right + x]
    moved[:top], moved[bottom:], moved[:, :left], moved[:, right:] = 0, 0, 0, 0
    return moved
