"""Large slides for the speed tests: tissue of the starter set's own renderers, glass around it, noise of a sensor, three levels.

    python tests/performance/made_slides.py --root FOLDER [--slides 4] [--side 12000] [--kind svs]

A slide is 12,000 x 12,000 px at 0.25 um/px (3 mm), levels 1, 4 and 16, 256 px tiles, JPEG quality 85 with 4:2:0 chroma. Everything
follows from the seed. ``svs`` carries Aperio's description (AppMag, MPP), ``tif`` is a plain tiled TIFF; both have resolution tags.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SPACING_UM = 0.25
DOWNSAMPLES = (1, 4, 16)
TILE_PX, QUALITY = 256, 85
NOISE = 2.5
"""Standard deviation of the sensor's noise (0 to 255), independent from pixel to pixel."""
CELL_PX = 2000
"""Side of one rendered texture; a slide is a mosaic of them, each turned and mirrored at random."""
TEXTURES = 8
KINDS = ("gland", "lymphoid", "muscle", "necrosis", "squamous", "cartilage")
"""Tissues without large empty spaces: masks of different systems agree on them, so that the same tiles are cut."""


def make_slides(root: Path, count: int, side: int = 12000, kind: str = "svs", seed: int = 0) -> list[Path]:
    """Writes the slides that are not there yet, two at a time.

    Args:
        root: Folder; made if need be.
        count: How many.
        side: Width and height of level 0, px.
        kind: ``"svs"`` or ``"tif"``.
        seed: Everything follows from it and the slide's number.

    Returns:
        Their paths.
    """
    folder = root / f"{kind}-{side}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"slide-{number:02d}.{kind}" for number in range(count)]
    missing = [(path, side, (seed, number)) for number, path in enumerate(paths) if not path.is_file()]
    if missing:
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(_make, missing))
    return paths


def _make(job: tuple[Path, int, tuple[int, int]]) -> None:
    path, side, seed = job
    rng = np.random.default_rng(seed)
    image = _drawn(rng, side)
    draft = path.with_name(f"{path.name}.part")
    _write(draft, image, path.suffix)
    draft.replace(path)


def _drawn(rng: np.random.Generator, side: int) -> np.ndarray[Any, Any]:
    """Returns (side, side, 3) uint8: one large piece of tissue, a mosaic of textures, on glass, with noise."""
    import cv2

    from domainclip.starter.pathology_stain import random_staining

    cv2.setNumThreads(1)
    staining = random_staining(rng)
    textures = [_texture(rng, staining) for _ in range(TEXTURES)]
    cells = math.ceil(side / CELL_PX)
    image = np.empty((side, side, 3), np.uint8)
    for row in range(cells):
        for column in range(cells):
            piece = np.rot90(textures[int(rng.integers(TEXTURES))], int(rng.integers(4)))
            piece = piece[:, ::-1] if rng.random() < 0.5 else piece
            target = image[row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX]
            target[:] = piece[: target.shape[0], : target.shape[1]]
    alpha = _piece_of_tissue(rng, side)
    glass = staining.light.astype(np.float32)
    for top in range(0, side, 1000):
        rows = slice(top, min(top + 1000, side))
        share = alpha[rows].astype(np.float32)[..., None] / 255
        strip = image[rows].astype(np.float32) * share + glass * (1 - share)
        strip += rng.normal(0, NOISE, strip.shape).astype(np.float32)
        image[rows] = np.clip(np.rint(strip), 0, 255).astype(np.uint8)
    return image


def _texture(rng: np.random.Generator, staining: Any) -> np.ndarray[Any, Any]:
    """Draws one field of tissue at 0.25 um/px in the slide's light; (CELL_PX, CELL_PX, 3) uint8 without noise."""
    import cv2

    from domainclip.starter.pathology_stain import balanced, regional
    from domainclip.starter.pathology_tissue import TISSUES, Brush

    dense, coarse = bool(rng.integers(2)), bool(rng.integers(2))
    brush = Brush(rng, CELL_PX, CELL_PX, rng.uniform(0.8, 1.25) / SPACING_UM, dense, coarse)
    haematoxylin, eosin = TISSUES[str(rng.choice(KINDS))](brush)
    dyes = np.stack([balanced(rng, haematoxylin, 0.22, 0.75), balanced(rng, eosin, 0.30, 0.75)], axis=2)
    dyes = cv2.GaussianBlur(np.clip(dyes + 0.03, 0, 2.2), (0, 0), 1.2) * (1 + 0.08 * brush.noise(90))[..., None]
    light = staining.light * np.exp(-(dyes @ regional(rng, staining)) * np.float32(math.log(10)))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _piece_of_tissue(rng: np.random.Generator, side: int) -> np.ndarray[Any, Any]:
    """Draws where tissue is, 0 to 255: one superellipse with waves over about two thirds of the slide."""
    import cv2

    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    reach = (np.abs(cos) ** 4 + np.abs(sin) ** 4) ** -0.25
    waves = sum(rng.normal(0, 0.015) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (3, 5, 8, 13))
    outline = side / 2 * (1 + np.stack([cos, sin], axis=1) * (reach * (0.86 + waves))[:, None])
    alpha = np.zeros((side, side), np.uint8)
    cv2.fillPoly(alpha, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 3))


def _write(path: Path, image: np.ndarray[Any, Any], suffix: str) -> None:
    import cv2
    import tifffile

    side = image.shape[0]
    aperio = (
        f"Aperio Image Library (made by domainclip)\r\n{side}x{side} [0,0 {side}x{side}] ({TILE_PX}x{TILE_PX}) JPEG/RGB Q={QUALITY}"
    )
    aperio += f"|AppMag = 40|MPP = {SPACING_UM:.4f}"
    with tifffile.TiffWriter(path, bigtiff=False) as writer:
        for downsample in DOWNSAMPLES:
            size = side // downsample
            level = image if downsample == 1 else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            per_cm = 1e4 / (SPACING_UM * downsample)
            writer.write(
                level,
                tile=(TILE_PX, TILE_PX),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": QUALITY},
                subfiletype=0 if suffix == ".svs" or downsample == 1 else 1,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                description=aperio if suffix == ".svs" else "synthetic content, made by domainclip" if downsample == 1 else None,
                metadata=None,
                software="domainclip",
            )


def main() -> None:
    """Writes slides from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--slides", type=int, default=4)
    parser.add_argument("--side", type=int, default=12000)
    parser.add_argument("--kind", choices=("svs", "tif"), default="svs")
    options = parser.parse_args()
    for path in make_slides(options.root, options.slides, options.side, options.kind):
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
