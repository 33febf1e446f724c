"""The five slides that mutants are made of: small, whole, read by their reference library, with texture everywhere.

Everything is a function of this file and of the pinned encoders: the texture is drawn in integers, identifiers are fixed. So mutant
n of a format is the same bytes on every machine with the versions of ``constraints.txt``.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import fuzz_dicom
import fuzz_images
import fuzz_scenes
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

WIDTH, HEIGHT = 384, 320
TILE = 64
MPP = 0.5
SUFFIX = {"tiff": ".tif", "svs": ".svs", "ome": ".ome.tif", "dicom": ".dcm", "flat": ".png"}
FORMATS = tuple(SUFFIX)


def texture(width: int = WIDTH, height: int = HEIGHT, seed: int = 7, noise: int = 6) -> npt.NDArray[np.uint8]:
    """Draws (height, width, 3) uint8 in the colours of haematoxylin and eosin; no 16 x 16 block is of one colour."""
    rng = np.random.default_rng(seed)
    field = np.zeros((height, width), np.int64)
    for cell, weight in ((64, 3), (16, 4), (4, 3)):
        small = rng.integers(0, 256, (height // cell + 2, width // cell + 2), dtype=np.int64)
        field += weight * np.kron(small, np.ones((cell, cell), np.int64))[:height, :width]
    field //= 10
    pink, purple = np.array([236, 160, 196]), np.array([92, 52, 128])
    mixed = (pink * (255 - field[..., None]) + purple * field[..., None]) // 255
    return (mixed + rng.integers(-noise, noise + 1, mixed.shape)).clip(0, 255).astype(np.uint8)


def halved(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Averages 2 x 2 pixels, in integers."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).astype(np.int64)
    result: npt.NDArray[np.uint8] = ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
    return result


def tiff_seed() -> bytes:
    """A tiled pyramid of three levels in JPEG, which OpenSlide calls generic-tiff."""
    file = io.BytesIO()
    resolution = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(file) as writer:
        image = texture()
        for level in range(3):
            writer.write(
                image, tile=(TILE, TILE), photometric="rgb", compression="jpeg", compressionargs={"level": 80}, metadata=None,
                software=False, subfiletype=1 if level else 0, **(resolution if level == 0 else {}),
            )  # fmt: skip
            image = halved(image)
    return file.getvalue()


def svs_seed() -> bytes:
    """A look-alike of Aperio's SVS: description with MPP and AppMag, thumbnail in strips, label and macro at the end."""
    file = io.BytesIO()
    image = texture()
    said = f"Aperio Image Library v12.0.15\r\n{WIDTH}x{HEIGHT} [0,0 {WIDTH}x{HEIGHT}] ({TILE}x{TILE}) JPEG/RGB Q=80"
    said += f"|AppMag = 20|MPP = {MPP}|Filename = seed"
    flat = {"photometric": "rgb", "compression": "jpeg", "metadata": None, "software": False}
    tiled = {**flat, "tile": (TILE, TILE), "compressionargs": {"level": 80}}
    with tifffile.TiffWriter(file) as writer:
        writer.write(image, description=said, **tiled)
        writer.write(halved(halved(image)), description="Aperio Image Library v12.0.15\r\nthumbnail", rowsperstrip=16, **flat)
        writer.write(halved(halved(image)), description="Aperio Image Library v12.0.15\r\nlevel", **tiled)
        for name in ("label", "macro"):
            small = halved(halved(texture(seed=8)))
            described = f"Aperio Image Library v12.0.15\r\n{name} {small.shape[1]}x{small.shape[0]}"
            writer.write(small, description=described, rowsperstrip=16, subfiletype=1 if name == "label" else 9, **flat)
    return file.getvalue()


def ome_seed() -> bytes:
    """OME-TIFF with a pyramid in SubIFDs, its tiles in deflate (levels 0 and 2) and LZW (level 1)."""
    file = io.BytesIO()
    image = texture(256, 192, noise=1)
    said = {"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "UUID": "urn:uuid:00000000-0000-4000-8000-000000000005"}
    with tifffile.TiffWriter(file, ome=True) as writer:
        tiled = {"tile": (TILE, TILE), "photometric": "rgb", "software": False}
        writer.write(image, subifds=2, metadata=said, compression="zlib", predictor=True, **tiled)
        for codec in ("lzw", "zlib"):
            image = halved(image)
            writer.write(image, subfiletype=1, compression=codec, **tiled)
    return file.getvalue()


def dicom_seed() -> bytes:
    """One level of a DICOM slide, TILED_FULL, baseline JPEG frames; see ``fuzz_dicom``."""
    return fuzz_dicom.slide_bytes(texture(), TILE, MPP)


def png_seed() -> bytes:
    """A PNG of 8-bit RGB."""
    file = io.BytesIO()
    Image.fromarray(texture(192, 160)).save(file, format="PNG", compress_level=6)
    return file.getvalue()


def jpeg_seed() -> bytes:
    """A baseline JPEG with chroma at half size and restart markers."""
    file = io.BytesIO()
    Image.fromarray(texture()).save(file, format="JPEG", quality=85, subsampling="4:2:0", restart_marker_rows=4)
    return file.getvalue()


_WRITERS: dict[str, Callable[[], bytes]] = {
    "tiff": tiff_seed, "svs": svs_seed, "ome": ome_seed, "dicom": dicom_seed, "flat": png_seed, "flat jpeg": jpeg_seed,
    **fuzz_images.WRITERS, **fuzz_scenes.WRITERS,
}  # fmt: skip


def seed_bytes(kind: str, number: int = 0) -> tuple[bytes, str]:
    """Returns a format's seed and the suffix; "flat" takes PNG and JPEG in turn, "jp2" each fourth time a bare codestream.

    Args:
        kind: One of ``FORMATS``, ``fuzz_images.IMAGES`` or ``fuzz_scenes.SCENES``.
        number: Of the mutant that is made of it.
    """
    if kind == "flat" and number % 2:
        return _seed("flat jpeg"), ".jpg"
    if kind == "jp2" and number % 4 == 3:
        return _seed("jp2 bare"), ".j2k"
    return _seed(kind), fuzz_scenes.SUFFIXES.get(kind) or SUFFIX.get(kind, ".dcm")


_made: dict[str, bytes] = {}


def _seed(kind: str) -> bytes:
    if kind not in _made:
        _made[kind] = _WRITERS[kind]()
    return _made[kind]
