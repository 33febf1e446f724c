"""The last word on two images: local features of both must agree on one affine map, and the pictures under it.

SIFT: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 60(2), 2004; its patent ended in 2020. Descriptors are
compared as square roots (Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.data.duplicates.polar import middle_square

SIDE = 256
LEAST_INLIERS = 24
"""Two aeroplanes of one make share up to 20 (UC Merced, looked at), two chests up to 23; copies share 50 and more."""
_FEATURES = 400
_CONTRAST = 0.01
_RATIO = 0.85
_OFF_PX = 3.0
_LEAST_SHARE = 0.15
_MOST_ZOOM = 3.0
_MOST_STRETCH = 1.8
_LEAST_CORRELATION = 0.3
_FEW = 8

Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Features:
    """What is compared of one image.

    Attributes:
        picture: (SIDE, SIDE) uint8, the middle square.
        places: (N, 2) columns and rows.
        words: (N, 128) unit descriptors.
        mirrored_places: (N, 2) in the mirrored picture.
        mirrored_words: Of the mirrored picture, in the same order.
    """

    picture: Plane
    places: npt.NDArray[np.float32]
    words: npt.NDArray[np.float32]
    mirrored_places: npt.NDArray[np.float32]
    mirrored_words: npt.NDArray[np.float32]

    @property
    def is_plain(self) -> bool:
        """There is too little in the picture to say what it shows."""
        return len(self.places) < _FEW


@dataclass(frozen=True, slots=True)
class Match:
    """Two images that show the same.

    Attributes:
        first: Number of an image.
        second: Number of another, larger.
        inliers: Local features that agree on the map from the first to the second.
        correlation: Of the pictures under the map, where both are, -1 to 1.
        share: Of the second picture that the first one covers, 0 to 1.
        turned_deg: Turn of the map, -180 to 180.
        zoom: Of the map.
        mirrored: The first is mirrored before.
    """

    first: int
    second: int
    inliers: int
    correlation: float
    share: float
    turned_deg: float
    zoom: float
    mirrored: bool


def features_of(plane: npt.NDArray[np.float32]) -> Features:
    """Finds local features.

    Args:
        plane: From ``polar.grey``.
    """
    picture = np.clip(np.rint(middle_square(plane, SIDE)), 0, 255).astype(np.uint8)
    places, words = _found(picture)
    return Features(picture, places, words, *_mirrored(places, words))


def _mirrored(
    places: npt.NDArray[np.float32], words: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns what the mirrored picture has, without looking at it: half the time of all.

    A descriptor is a histogram of 8 directions in each of 4 x 4 cells, rows across the feature's own direction and columns along
    it. Mirroring turns the rows around and every direction into its opposite sense; measured on UC Merced it differs from the
    mirrored picture's own by 4 % in the median.
    """
    turned = words.reshape(-1, 4, 4, 8)[:, ::-1][..., (-np.arange(8)) % 8].reshape(-1, 128)
    return np.stack([SIDE - 1 - places[:, 0], places[:, 1]], axis=1), np.ascontiguousarray(turned)


def _found(picture: Plane) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    import cv2

    sift: Any = cv2.SIFT_create(nfeatures=_FEATURES, contrastThreshold=_CONTRAST)  # type: ignore[attr-defined]
    points, words = sift.detectAndCompute(picture, None)
    if words is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    rooted = np.sqrt(words / np.maximum(words.sum(axis=1, keepdims=True), 1e-6))
    return np.array([point.pt for point in points], np.float32), rooted.astype(np.float32)


def same_picture(first: int, second: int, one: Features, other: Features) -> Match | None:
    """Says whether two images show the same picture, in whole or in part.

    Returns:
        The match; None where fewer than ``LEAST_INLIERS`` features agree on one map, or where that is no likely map of a
        picture: stretched by more than 1.8, zoomed by more than 3, laying less than 15 % of one onto the other, or what does not
        look alike.
    """
    found = [
        _mapped(one.places, one.words, one.picture, other),
        _mapped(one.mirrored_places, one.mirrored_words, one.picture[:, ::-1], other),
    ]
    plain, turned = (0 if each is None else each[0] for each in found)
    best = found[turned > plain]
    if best is None:
        return None
    inliers, correlation, share, angle, zoom = best
    return Match(first, second, inliers, correlation, share, angle, zoom, turned > plain)


def _mapped(
    places: npt.NDArray[np.float32], words: npt.NDArray[np.float32], picture: Plane, other: Features
) -> tuple[int, float, float, float, float] | None:
    """Inliers, correlation, share, angle and zoom of the map from one picture to the other."""
    import cv2

    if len(places) < _FEW or len(other.places) < _FEW:
        return None
    near = _matched(words, other.words)
    if len(near) < LEAST_INLIERS:
        return None
    source, target = places[near[:, 0]], other.places[near[:, 1]]
    cv2.setRNGSeed(0)
    # Not a similarity: copies are stretched to 1.7 (LC25000), and their features then agree on a similarity too rarely.
    rough, agree = cv2.estimateAffine2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=_OFF_PX, maxIters=2000)
    if rough is None or int(agree.sum()) < LEAST_INLIERS:
        return None
    kept = agree.ravel() > 0
    affine = _least_squares(source[kept], target[kept])
    inliers = int((np.linalg.norm(source @ affine[:, :2].T + affine[:, 2] - target, axis=1) < _OFF_PX).sum())
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    if inliers < LEAST_INLIERS or small <= 0 or large / small > _MOST_STRETCH or not 1 / _MOST_ZOOM < large < _MOST_ZOOM:
        return None
    correlation, share = _laid_over(picture, other.picture, affine)
    if share < _LEAST_SHARE or correlation < _LEAST_CORRELATION:
        return None
    angle = float(np.degrees(np.arctan2(affine[1, 0], affine[0, 0])))
    return inliers, correlation, share, angle, float(np.sqrt(large * small))


def _matched(words: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Pairs that are each other's nearest, and clearly nearer than the next."""
    likeness = words @ others.T
    nearest = likeness.argmax(axis=1)
    rows = np.arange(len(words))
    first = likeness[rows, nearest]
    likeness[rows, nearest] = -1
    second = likeness.max(axis=1)
    likeness[rows, nearest] = first
    mutual = likeness.argmax(axis=0)[nearest] == rows
    clear = 1 - first < _RATIO**2 * (1 - second)  # of unit vectors the distance is sqrt(2 - 2 likeness)
    pairs: npt.NDArray[np.int64] = np.stack([rows, nearest], axis=1)[mutual & clear]
    return pairs


def _least_squares(source: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The affine map (2, 3) that fits all points best."""
    columns = np.column_stack([source, np.ones(len(source))]).astype(np.float64)
    solved, *_ = np.linalg.lstsq(columns, target.astype(np.float64), rcond=None)
    return np.asarray(solved, np.float64).T


def _laid_over(picture: Plane, other: Plane, affine: Any) -> tuple[float, float]:
    """Correlation of two pictures where both are, and the share of the second where that is."""
    import cv2

    warped = cv2.warpAffine(np.ascontiguousarray(picture), affine, (SIDE, SIDE))
    inside = cv2.warpAffine(np.full((SIDE, SIDE), 255, np.uint8), affine, (SIDE, SIDE)) > 250
    share = float(inside.mean())
    if share < _LEAST_SHARE:
        return 0.0, share
    # Blurred: what is off by a pixel or two is no other picture.
    one = cv2.GaussianBlur(warped, (0, 0), 3)[inside].astype(np.float64)
    two = cv2.GaussianBlur(other, (0, 0), 3)[inside].astype(np.float64)
    if one.std() < 1 or two.std() < 1:
        return 0.0, share
    return float(np.corrcoef(one, two)[0, 1]), share
