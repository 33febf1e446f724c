"""Hostile files, one named case at a time: each is refused with a reason, or read truly; never white, never slow, never large.

Random damage is ``tests/fuzz``, whose seeds, forks and verdicts these tests use.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))

import fuzz_tiff as tiff
from fuzz_forks import forked
from fuzz_markers import _element
from fuzz_seeds import FORMATS, TILE, jpeg_seed, seed_bytes

TIFFS = ("tiff", "svs", "ome")
LIMITS = {"seconds": 10.0, "memory_bytes": 256 * 2**20}
FINE = {"tile_um": 32.0, "tile_px": 64, "spacing_um": 0.5}


def attempt(path: Path, **options) -> dict:
    """Reads as ``prepare`` does: (x, y) of samples read, of those refused, of those with an unmarked block of one colour."""
    from domainclip.domains.base import domains
    from domainclip.domains.pathology.reading import PathologyReading
    from domainclip.errors import UnreadableFileError
    from domainclip.sample import SourceItem

    found: dict = {"read": [], "refused": [], "blank": [], "nodata": [], "reason": None}
    try:
        for sample in domains.get("pathology").samples(SourceItem(path, "one"), PathologyReading(**FINE | options)):
            place = [sample.window.x, sample.window.y]
            try:
                pixels = sample.read()
            except UnreadableFileError as error:
                found["refused"].append(place)
                found["reason"] = error.found
                continue
            found["read"].append(place)
            missing = pixels.masks.get("nodata", np.zeros(pixels.array.shape[1:], bool))
            if missing.any():
                found["nodata"].append(place)
            high, wide = (side // 32 * 32 for side in missing.shape)
            blocks = pixels.array[:, :high, :wide].reshape(3, high // 32, 32, wide // 32, 32)
            flat = (blocks.max(axis=(2, 4)) == blocks.min(axis=(2, 4))).all(axis=0)
            told = missing[:high, :wide].reshape(high // 32, 32, wide // 32, 32).all(axis=(1, 3))
            if (flat & ~told).any():
                found["blank"].append(place)
    except UnreadableFileError as error:
        return found | {"reason": error.found, "file refused": True}
    return found


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory):
    """Imports all that readers import before forks are made, by reading each whole seed."""
    for number, kind in enumerate((*FORMATS, "flat")):
        data, suffix = seed_bytes(kind, number // len(FORMATS))
        found = attempt(written(tmp_path_factory.mktemp(kind), data, suffix))
        assert found["read"] and not found["refused"] and not found["blank"], kind
    from domainclip.domains.pathology import slides

    slides._cache.clear()


def outcome(path: Path, **options) -> dict:
    """Runs ``attempt`` in a fork with 10 s and 256 MiB; an exception, a crash or a limit fails the test with its trace."""
    ended = forked(lambda: attempt(path, **options), **LIMITS)
    assert ended.how == "answered", f"{ended.how} after {ended.seconds:.1f} s: {ended.trace}"
    assert path.name not in str(ended.answer["reason"])
    return ended.answer


def refused(path: Path, **options) -> str:
    """The reason why nothing of the file can be read, or a failed test."""
    found = outcome(path, **options)
    assert not [place for place in found["read"] if place not in found["nodata"]], found
    assert found["reason"], found
    return found["reason"]


def written(folder: Path, data: bytes, suffix: str) -> Path:
    path = folder / f"Doe_Jane{suffix}"
    path.write_bytes(data)
    return path


def first(data: bytes, tag: int) -> tiff.Entry:
    entry = tiff.directories(data)[0].entry(tag)
    assert entry is not None
    return entry


def seed_array(kind: str) -> np.ndarray:
    """Level 0 of a TIFF seed as the reference library reads it."""
    import io

    import openslide
    import tifffile

    data, _ = seed_bytes(kind)
    if kind == "ome":
        return tifffile.imread(io.BytesIO(data))
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".svs") as file:
        file.write(data)
        file.flush()
        slide = openslide.OpenSlide(file.name)
        return np.array(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]


@pytest.mark.parametrize("kind", [*FORMATS, "flat jpeg"])
def test_cut_at_every_tenth(tmp_path, kind):
    data, suffix = (jpeg_seed(), ".jpg") if kind == "flat jpeg" else seed_bytes(kind)
    for tenth in range(10):
        found = outcome(written(tmp_path, data[: len(data) * tenth // 10], suffix))
        assert found["blank"] == [], f"cut at {tenth}0 %"
        assert found["reason"] or found["read"]
        if suffix in {".png", ".jpg"}:
            assert found.get("file refused") or found["refused"], f"cut at {tenth}0 %"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("start", [b"", b"\0" * 16, b"PK\3\4 and no slide"], ids=["zero size", "zeros", "zip"])
def test_wrong_magic_and_zero_size(tmp_path, kind, start):
    data, suffix = seed_bytes(kind)
    if start and kind == "dicom":
        data = data[132:]  # its magic is at byte 128
    refused(written(tmp_path, start + data[len(start) :] if start else b"", suffix))


@pytest.mark.parametrize("kind", TIFFS)
@pytest.mark.parametrize("where", ["first to itself", "last to first", "last to itself"])
def test_cyclic_directories(tmp_path, kind, where):
    """A cycle behind whole pages: read truly, or refused; in either case at once."""
    data, suffix = seed_bytes(kind)
    cycle = bytearray(data)
    pages = tiff.directories(data)
    one = pages[0] if where.startswith("first") else pages[-1]
    struct.pack_into("<I", cycle, one.next_at, pages[0].at if where == "last to first" else one.at)
    found = outcome(written(tmp_path, bytes(cycle), suffix))
    assert found["blank"] == []
    assert found["reason"] or found["read"]


def test_subifd_that_is_its_parent(tmp_path):
    data, suffix = seed_bytes("ome")
    cycle = bytearray(data)
    tiff.put(cycle, first(data, tiff.SUB_IFDS), tiff.directories(data)[0].at)
    found = outcome(written(tmp_path, bytes(cycle), suffix))
    assert found["blank"] == [] and (found["reason"] or found["read"])


@pytest.mark.parametrize("kind", TIFFS)
@pytest.mark.parametrize("lie", ["offset beyond the end", "65,535 entries", "count of tiles 2**32 - 1", "tiles beyond the end"])
def test_lying_directories(tmp_path, kind, lie):
    data, suffix = seed_bytes(kind)
    liar = bytearray(data)
    path = tmp_path / f"Doe_Jane{suffix}"
    offsets = first(data, tiff.TILE_OFFSETS)
    if lie == "offset beyond the end":
        struct.pack_into("<I", liar, 4, len(data) + 1000)
    elif lie == "65,535 entries":
        struct.pack_into("<H", liar, tiff.directories(data)[0].at, 65535)
    elif lie == "count of tiles 2**32 - 1":
        struct.pack_into("<I", liar, offsets.at + 4, 2**32 - 1)
    else:
        for index in range(offsets.count):
            tiff.put(liar, offsets, len(data) + 64 * index, index)
    path.write_bytes(liar)
    if lie == "count of tiles 2**32 - 1":  # OpenSlide takes as many as the size needs
        found = outcome(path, min_tissue=0)
        assert found["blank"] == [] and (found["reason"] or found["read"])
    else:
        refused(path, min_tissue=0)


def bomb(kind: str) -> tuple[bytes, str]:
    """60,000 x 60,000 pixels (10.8 GB decoded) in about 1 KB."""
    if kind == "png":
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(bytes(1000))),
            (b"IEND", b""),
        ]
        parts = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts), ".png"
    if kind == "jpeg":
        data = bytearray(jpeg_seed()[:1024])
        at = data.index(b"\xff\xc0")
        struct.pack_into(">HH", data, at + 5, 60000, 60000)
        return bytes(data), ".jpg"
    if kind == "dicom":
        data = bytearray(seed_bytes("dicom")[0])
        for tag in ((0x0048, 0x0006), (0x0048, 0x0007)):
            struct.pack_into("<I", data, _element(data, tag)[2], 60000)
        return bytes(data[: _element(data, (0x7FE0, 0x0010))[2] + 40]), ".dcm"
    tags = [(256, 4, 60000), (257, 4, 60000), (258, 3, 8), (259, 3, 1), (262, 3, 2), (277, 3, 3), (284, 3, 1)]
    if kind == "tiled":
        tags += [(322, 4, 256), (323, 4, 256), (324, 4, 500), (325, 4, 200)]
    elif kind == "one tile":
        tags += [(322, 4, 60000), (323, 4, 60000), (324, 4, 500), (325, 4, 200)]
    else:
        tags += [(273, 4, 500), (278, 4, 60000), (279, 4, 200)]
    entries = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in sorted(tags))
    entries = entries.replace(struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHII", 258, 3, 3, 300))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    return head.ljust(300, b"\0") + struct.pack("<HHH", 8, 8, 8) + bytes(range(256)) * 3, ".tif"


@pytest.mark.parametrize("kind", ["tiled", "one tile", "strips", "png", "jpeg", "dicom"])
@pytest.mark.parametrize("min_tissue", [0.0, 0.5])
def test_sixty_thousand_squared_in_a_kilobyte(tmp_path, kind, min_tissue):
    data, suffix = bomb(kind)
    assert len(data) < 4000
    refused(written(tmp_path, data, suffix), min_tissue=min_tissue)
    refused(written(tmp_path, data, suffix), min_tissue=min_tissue, mode="whole")


@pytest.mark.parametrize("kind", TIFFS)
@pytest.mark.parametrize("offset_too", [False, True])
def test_missing_tiles_are_refused_or_marked_and_the_others_are_right(tmp_path, kind, offset_too):
    data, suffix = seed_bytes(kind)
    holed = bytearray(data)
    missing = (1, 6)
    for index in missing:
        tiff.put(holed, first(data, tiff.TILE_COUNTS), 0, index)
        if offset_too:
            tiff.put(holed, first(data, tiff.TILE_OFFSETS), 0, index)
    path = written(tmp_path, bytes(holed), suffix)
    found = outcome(path, min_tissue=0)
    columns = -(-seed_array(kind).shape[1] // TILE)
    places = [[index % columns * TILE, index // columns * TILE] for index in missing]
    assert found["blank"] == []
    if found.get("file refused"):
        return
    assert sorted(found["refused"] + found["nodata"]) == sorted(places)


@pytest.mark.parametrize("kind", TIFFS)
@pytest.mark.parametrize("side", [0, 1, 65536, 2**31, 2**32 - 1])
def test_absurd_tile_sizes(tmp_path, kind, side):
    data, suffix = seed_bytes(kind)
    absurd = bytearray(data)
    for tag in (tiff.TILE_WIDTH, tiff.TILE_LENGTH):
        tiff.widen(absurd, first(data, tag), side)
    refused(written(tmp_path, bytes(absurd), suffix), min_tissue=0)


def test_a_damaged_picture_is_decoded_once(tmp_path):
    """Its failure is kept: each of thousands of tiles would decode all of it again."""
    from domainclip.domains.pathology.flat import FlatImage
    from domainclip.errors import UnreadableFileError

    data = jpeg_seed()
    path = written(tmp_path, data[: len(data) // 2], ".jpg")
    image = FlatImage(path)
    for content in (data[: len(data) // 2], data):  # the mended file is another file; this one has failed
        path.write_bytes(content)
        with pytest.raises(UnreadableFileError, match="cannot be decoded"):
            image.read_level(0, 0, 0, 64, 64)


def level0(path: Path) -> np.ndarray:
    """All of level 0, read here (the mutants of these tests do no harm to the process)."""
    from domainclip.domains.pathology.slides import open_slide

    slide = open_slide(path)
    return slide.read_level(0, 0, 0, *slide.facts.levels[0][:2])


def openslides(path: Path) -> np.ndarray:
    import openslide

    with openslide.OpenSlide(str(path)) as slide:
        return np.array(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]


def number(data: bytes, entry: tiff.Entry, index: int) -> int:
    return int.from_bytes(data[entry.position(index) : entry.position(index) + 4], "little")


LIES_THAT_LEAVE_LEVEL_0 = {
    "resolution without a type": lambda data, pages: struct.pack_into("<H", data, pages[0].entry(282).at + 2, 7),
    "level 2 with three tile widths": lambda data, pages: struct.pack_into("<I", data, pages[2].entry(322).at + 4, 3),
    "counts of tiles 2**32 - 1": lambda data, pages: struct.pack_into("<I", data, pages[0].entry(324).at + 4, 2**32 - 1),
    "no byte counts": lambda data, pages: struct.pack_into("<I", data, pages[0].entry(325).at + 4, 2**16),
    "colours that are not the stream's": lambda data, pages: tiff.put(data, pages[0].entry(262), 2),
    "a longer byte count": lambda data, pages: tiff.put(data, pages[0].entry(325), number(data, pages[0].entry(325), 3) + 40, 3),
}


@pytest.mark.parametrize("lie", LIES_THAT_LEAVE_LEVEL_0)
def test_what_openslide_reads_of_a_lying_tiff_is_read(tmp_path, lie):
    data, suffix = seed_bytes("tiff")
    liar = bytearray(data)
    LIES_THAT_LEAVE_LEVEL_0[lie](liar, tiff.directories(data))
    path = written(tmp_path, bytes(liar), suffix)
    assert np.array_equal(level0(path), openslides(path))


@pytest.mark.parametrize("kind", ["tiff", "ome"])
def test_a_first_directory_that_is_its_own_next_is_read(tmp_path, kind):
    data, suffix = seed_bytes(kind)
    cycle = bytearray(data)
    one = tiff.directories(data)[0]
    struct.pack_into("<I", cycle, one.next_at, one.at)
    assert np.array_equal(level0(written(tmp_path, bytes(cycle), suffix)), seed_array(kind))


@pytest.mark.parametrize("kind", ["tiff", "svs"])
@pytest.mark.parametrize("damage", [b"\xff\xd9", b"\xff\xd3", bytes(400)], ids=["early end", "marker", "zeros"])
def test_a_jpeg_tile_that_loses_its_way_is_refused_and_its_neighbours_are_right(tmp_path, kind, damage):
    """libjpeg warns, fills up and goes on; the last two bytes of the tile still are its end."""
    from domainclip.domains.pathology.slides import open_slide
    from domainclip.errors import UnreadableFileError

    data, suffix = seed_bytes(kind)
    start, length = (number(data, first(data, tag), 7) for tag in (tiff.TILE_OFFSETS, tiff.TILE_COUNTS))
    hurt = bytearray(data)
    hurt[start + length // 2 : start + length // 2 + len(damage)] = damage
    path = written(tmp_path, bytes(hurt), suffix)
    whole, slide = seed_array(kind), open_slide(path)
    try:
        tile = slide.read_level(0, TILE, TILE, TILE, TILE)
    except UnreadableFileError:
        pass
    else:
        blocks = tile.reshape(2, 32, 2, 32, 3)
        assert not (blocks == blocks[:, :1, :, :1]).all(axis=(1, 3, 4)).any(), "filler passed for pixels"
    assert np.array_equal(slide.read_level(0, 2 * TILE, TILE, TILE, TILE), whole[TILE : 2 * TILE, 2 * TILE : 3 * TILE])


@pytest.mark.parametrize("kind", TIFFS)
def test_byte_counts_beyond_the_file_take_no_memory(tmp_path, kind):
    data, suffix = seed_bytes(kind)
    liar = bytearray(data)
    counts = first(data, tiff.TILE_COUNTS)
    for index in range(counts.count):
        tiff.put(liar, counts, 2**32 - 1, index)
    found = outcome(written(tmp_path, bytes(liar), suffix), min_tissue=0)
    assert found["blank"] == [] and (found["reason"] or found["read"])


def test_more_picture_than_the_file_could_list_is_refused(tmp_path):
    data, suffix = seed_bytes("svs")
    liar = bytearray(data)
    tiff.widen(liar, first(data, tiff.LENGTH), 6_488_384)
    assert "hardly a tile of what its size needs" in refused(written(tmp_path, bytes(liar), suffix))


def test_pixels_are_held_against_the_bytes_of_the_file(tmp_path):
    from domainclip.domains.pathology.scale import Scale
    from domainclip.domains.pathology.slides import SlideFacts, _check_size
    from domainclip.errors import UnreadableFileError

    path = written(tmp_path, bytes(3_200_000), ".tif")
    _check_size(path, SlideFacts("one of 13 gigapixels", ((100_000, 130_000, 1.0),), Scale(None)))
    with pytest.raises(UnreadableFileError, match="far more than a file of 3200000 bytes"):
        _check_size(path, SlideFacts("one of 90 gigapixels", ((300_000, 300_000, 1.0),), Scale(None)))


@pytest.mark.parametrize(
    "tag",
    [(0x0048, 0x0112), (0x0048, 0x0302), (0x0040, 0x072A), (0x0048, 0x0008)],
    ids=["objective power", "optical paths", "offset", "length of a sequence"],
)
def test_dicom_headers_spoilt_beside_the_pixels(tmp_path, tag):
    data = seed_bytes("dicom")[0]
    spoilt = bytearray(data)
    _, _, value, length = _element(data, tag)
    if tag == (0x0048, 0x0008):
        spoilt[value - 4 : value] = (length // 2).to_bytes(4, "little")
    else:
        spoilt[value : value + length] = b"A" * length
    whole = level0(written(tmp_path, data, ".dcm"))
    (tmp_path / "spoilt").mkdir()
    assert np.array_equal(level0(written(tmp_path / "spoilt", bytes(spoilt), ".dcm")), whole)


def test_a_dicom_frame_that_ends_early_is_refused(tmp_path):
    from domainclip.errors import UnreadableFileError

    data = bytearray(seed_bytes("dicom")[0])
    start = data.index(b"\xff\xda", _element(data, (0x7FE0, 0x0010))[2])
    data[start + 300 : start + 302] = b"\xff\xd9"
    with pytest.raises(UnreadableFileError, match="cannot be decoded"):
        level0(written(tmp_path, bytes(data), ".dcm"))
