"""Pictures of random ellipses on a ground, as unlike each other as fields of cells are."""

import cv2
import numpy as np


def blobs(seed, side=224, count=70):
    """A (3, side, side) uint8 picture."""
    draw = np.random.default_rng(seed)
    picture = np.full((side, side, 3), draw.integers(180, 240, 3), np.uint8)
    for _ in range(count):
        centre, axes = draw.integers(0, side, 2).tolist(), draw.integers(4, side // 9, 2).tolist()
        colour = draw.integers(30, 200, 3).tolist()
        cv2.ellipse(picture, centre, axes, float(draw.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return picture.transpose(2, 0, 1)


def mapped(picture, turned_deg=0.0, zoom=1.0, shift=(0.0, 0.0)):
    """The picture turned about its middle (counter-clockwise as seen), zoomed, then moved by columns and rows, by OpenCV."""
    side = picture.shape[1]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), turned_deg, zoom)
    matrix[:, 2] += shift
    plain = np.ascontiguousarray(picture.transpose(1, 2, 0))
    return cv2.warpAffine(plain, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101).transpose(2, 0, 1)
