"""TIFFs of many makers: scenes, levels, channels, scale, 16 bits, missing pieces; against the arrays that were written."""

from __future__ import annotations

import struct
import threading

import numpy as np
import openslide
import pytest
import tifffile

from domainclip.domains.base import domains
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.domains.pathology.slides import open_slide
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

PATHOLOGY = domains.get("pathology")
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(60, 220, (640, 512, 3), dtype=np.uint8)
STAINED = np.ascontiguousarray((COLOUR * np.array([1.0, 0.5, 0.9])).astype(np.uint8))
MARKERS = RNG.integers(0, 4000, (3, 512, 640), dtype=np.uint16)
NAMES = ("DAPI", "CD3", "CD8")


def samples(path, **reading):
    return list(PATHOLOGY.samples(SourceItem(path, path.name), PathologyReading(**{"min_tissue": 0, "mode": "tiles", **reading})))


def refusal(path, **reading):
    with pytest.raises(UnreadableFileError) as caught:
        [sample.read() for sample in samples(path, **reading)]
    assert path.name not in str(caught.value)
    return caught.value


def ome(path, images, um=0.25, unit="µm", axes="YXS", **more):
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, image in enumerate(images):
            small = image[::2, ::2] if axes == "YXS" else image[:, ::2, ::2]
            size = {"PhysicalSizeX": um, "PhysicalSizeXUnit": unit, "PhysicalSizeY": um, "PhysicalSizeYUnit": unit}
            photometric = "rgb" if axes == "YXS" else "minisblack"
            writer.write(image, photometric=photometric, tile=(128, 128), subifds=1,
                         metadata={"axes": axes, "Name": f"Patient Jane Roe {number}", **size, **more})  # fmt: skip
            writer.write(small, photometric=photometric, tile=(128, 128), subfiletype=1)
    return path


@pytest.mark.parametrize(("um", "unit"), [(0.25, "µm"), (0.00025, "mm"), (250, "nm")])
def test_ome_tiff_gives_levels_and_scale(tmp_path, um, unit):
    slide = open_slide(ome(tmp_path / "s.ome.tif", [COLOUR], um, unit))
    assert slide.facts.format == "OME tiled TIFF (tifffile)"
    assert [level[:2] for level in slide.facts.levels] == [(512, 640), (256, 320)]
    assert slide.facts.scale.spacing.values == pytest.approx((0.25, 0.25))
    assert slide.facts.scale.spacing.source == "ome.PhysicalSizeX"
    np.testing.assert_array_equal(slide.read_level(1, 3, 5, 200, 300), COLOUR[::2, ::2][5:305, 3:203])


def test_units_that_are_no_lengths_leave_the_scale_unknown(tmp_path):
    assert open_slide(ome(tmp_path / "s.ome.tif", [COLOUR], 1, "pixel")).facts.scale.spacing is None


def test_several_scenes_are_never_chosen_for_the_user(tmp_path):
    path = ome(tmp_path / "s.ome.tif", [COLOUR, COLOUR[::-1, :500]])
    error = refusal(path)
    assert "2 scenes (0: 512 x 640, 1: 500 x 640)" in error.found and "reading.scene" in error.remedy
    assert "Jane" not in str(error)  # names of scenes are the scanner operator's free text
    reading = {"tile_um": 32, "tile_px": 128, "min_tissue": 0}
    (first, *_), (second, *_) = samples(path, scene=0, **reading), samples(path, scene=1, **reading)
    np.testing.assert_array_equal(first.read().array, COLOUR[:128, :128].transpose(2, 0, 1))
    np.testing.assert_array_equal(second.read().array, COLOUR[::-1][:128, :128].transpose(2, 0, 1))
    assert "holds 2 scenes" in refusal(path, scene=2).found
    assert any("2 scenes" in text for text in PATHOLOGY.inspect(path).missing)


def test_pages_of_other_shapes_are_scenes_and_small_ones_are_not(tmp_path):
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(COLOUR, photometric="rgb", tile=(128, 128), metadata=None)
        writer.write(COLOUR[:500, :300], photometric="rgb", tile=(128, 128), metadata=None)
        writer.write(COLOUR[:60, :200], photometric="rgb", metadata=None)  # a label, a macro
    # OpenSlide takes the first without a word.
    assert openslide.OpenSlide(str(path)).level_count == 1
    assert "2 scenes" in refusal(path).found
    assert open_slide(path, 1).facts.levels[0][:2] == (300, 500)


def test_fluorescence_has_named_channels(tmp_path):
    path = ome(tmp_path / "s.ome.tif", [MARKERS], 0.5, axes="CYX", Channel={"Name": list(NAMES)})
    # OpenSlide opens it as 8-bit grey of one channel.
    assert openslide.OpenSlide(str(path)).dimensions == (640, 512)
    (first, *rest) = samples(path, tile_um=64, tile_px=128)
    assert first.channels == NAMES and first.values.kind == "dn" and len(rest) == 19
    array = first.read().array
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, MARKERS[:, :128, :128])
    coarse = samples(path, tile_um=128, tile_px=128)[0].read().array  # from the second level, which is every second pixel
    np.testing.assert_array_equal(coarse, MARKERS[:, :256:2, :256:2])


def test_fluorescence_resampled_is_a_mean_of_what_it_covers(tmp_path):
    path = ome(tmp_path / "s.ome.tif", [MARKERS], 0.5, axes="CYX", Channel={"Name": list(NAMES)})
    array = samples(path, tile_um=96, tile_px=128)[0].read().array  # 192 px to 128: between the levels
    assert array.shape == (3, 128, 128) and array.dtype == np.uint16
    assert array.mean() == pytest.approx(MARKERS[:, :192, :192].mean(), rel=0.01)


def test_a_signal_mask_leaves_the_dark_out(tmp_path):
    dark = RNG.integers(0, 40, (3, 1024, 1024), dtype=np.uint16)
    dark[1, 256:640, 256:768] += 2000
    path = ome(tmp_path / "s.ome.tif", [dark], 0.5, axes="CYX", Channel={"Name": list(NAMES)})
    kept = samples(path, tile_um=64, tile_px=128, min_tissue=0.5)
    assert {(s.window.x, s.window.y) for s in kept} == {(x, y) for x in range(256, 768, 128) for y in range(256, 640, 128)}


def test_channels_without_names_are_asked_for(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, MARKERS.transpose(1, 2, 0), tile=(128, 128), photometric="minisblack", planarconfig="contig",
                     resolution=(2e4, 2e4), resolutionunit="CENTIMETER", metadata=None)  # fmt: skip
    assert "3 channels without names" in refusal(path).found
    assert "2 channel names were given; the file has 3" in refusal(path, channels=("a", "b")).found
    sample = samples(path, channels=NAMES, tile_um=64, tile_px=128)[0]
    assert sample.channels == NAMES
    np.testing.assert_array_equal(sample.read().array, MARKERS[:, :128, :128])


@pytest.mark.parametrize(
    ("names", "fine"),
    [
        (("DAPI (Polaris)", "Opal 520", "CD3-AF488"), True),
        (("Cy5.5", "\u03b2-catenin", "Autofluorescence"), True),
        (("Doe Jane", "CD3", "CD8"), False),
        (("Hoechst 33342", "E-Cadherin/Vimentin", "CD8"), True),
        (("DAPI", "MRN 00412377", "CD8"), False),
        (("DAPI", "CD3", "scan of 12-03-1961"), False),
        (("DAPI", "CD3", "a comment of the person who scanned it"), False),
    ],
)
def test_names_in_the_file_that_are_no_markers_must_be_given_by_the_owner(tmp_path, names, fine):
    path = ome(tmp_path / "s.ome.tif", [MARKERS], 0.5, axes="CYX", Channel={"Name": list(names)})
    if fine:
        assert samples(path, tile_um=64, tile_px=128)[0].channels == names
        return
    error = refusal(path, tile_um=64, tile_px=128)
    assert "may name a person" in error.found and "reading.channels" in error.remedy
    assert any("may name a person" in text for text in domains.get("pathology").inspect(path).missing)
    assert not any(name in str(error) for name in names if name not in {"DAPI", "CD3", "CD8"})
    given = samples(path, tile_um=64, tile_px=128, channels=("DAPI", "CD3", "CD8"))
    assert given[0].channels == ("DAPI", "CD3", "CD8")


def test_a_model_of_stained_slides_refuses_fluorescence(tmp_path):
    import domainclip

    path = ome(tmp_path / "s.ome.tif", [MARKERS], 0.5, axes="CYX", Channel={"Name": list(NAMES)})
    model = domainclip.load_model("starter-pathology")
    with pytest.raises(domainclip.DomainClipError) as caught:
        model.encode_image(samples(path, tile_um=64, tile_px=128)[:1])
    assert "DAPI" in str(caught.value) or "red" in str(caught.value)


def test_no_model_of_stained_slides_chooses_tiles_of_fluorescence(tmp_path):
    path = ome(tmp_path / "s.ome.tif", [MARKERS], 0.5, axes="CYX", Channel={"Name": list(NAMES)})
    options = {"max_tiles": 2, "choose": "prompt", "choose_prompts": ("a",), "choose_model": "starter-pathology"}
    assert "DAPI" in refusal(path, tile_um=64, tile_px=128, **options).found


def qptiff(path):
    def text(name, kind):
        return (
            '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
            f"<ImageType>{kind}</ImageType><Biomarker>{name}</Biomarker><Objective>20x</Objective></PerkinElmer-QPI-ImageDescription>"
        )

    with tifffile.TiffWriter(path) as writer:
        common = {"photometric": "minisblack", "tile": (128, 128), "software": "PerkinElmer-QPI", "metadata": None}
        for name, plane in zip(NAMES, MARKERS, strict=True):
            writer.write(
                plane, description=text(name, "FullResolution"), resolution=(2e4, 2e4), resolutionunit="CENTIMETER", **common
            )
        thumbnail = text("", "Thumbnail")
        writer.write(COLOUR[:90, :90], photometric="rgb", description=thumbnail, software="PerkinElmer-QPI", metadata=None)
        for name, plane in zip(NAMES, MARKERS, strict=True):
            writer.write(plane[::2, ::2], description=text(name, "ReducedResolution"), subfiletype=1, **common)
    return path


def test_qptiff(tmp_path):
    slide = open_slide(qptiff(tmp_path / "s.qptiff"))
    assert slide.facts.format == "PerkinElmer QP TIFF (tifffile)" and slide.facts.channels == NAMES
    assert [level[:2] for level in slide.facts.levels] == [(640, 512), (320, 256)]
    assert slide.facts.scale.spacing.values == pytest.approx((0.5, 0.5))
    np.testing.assert_array_equal(
        slide.read_masked(1, 10, 20, 100, 90).array, MARKERS[:, ::2, ::2][:, 20:110, 10:110].transpose(1, 2, 0)
    )


def test_sixteen_bit_colour_needs_its_white_level(tmp_path):
    path = tmp_path / "s.tif"
    deep = STAINED.astype(np.uint16) * 16
    tifffile.imwrite(path, deep, tile=(128, 128), photometric="rgb", resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    assert "white" in refusal(path).found
    found = refusal(path, white_level=2000, tile_um=64, tile_px=128).found
    assert "above the white level of 2000" in found
    array = samples(path, white_level=4080, tile_um=64, tile_px=128)[0].read().array
    np.testing.assert_array_equal(array, STAINED[:128, :128].transpose(2, 0, 1))  # 4080 = 16 * 255


def without_tile(path, index, level=0):
    """Sets the byte count of one tile to 0 in place, as scanners do for what they never scanned."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages[level].tags["TileByteCounts"]
        size = {3: 2, 4: 4, 16: 8}[int(tag.dtype)]
        at = tag.valueoffset + size * index
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack({2: "<H", 4: "<I", 8: "<Q"}[size], 0))


def test_a_missing_tile_is_never_silently_white(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, STAINED, tile=(128, 128), photometric="rgb", compression="zlib", metadata=None)
    without_tile(path, 5)  # second row, second column
    kept = samples(path, spacing_um=0.5, tile_um=64, tile_px=128)
    reasons = []
    for sample in kept:
        try:
            assert not sample.read().masks
        except UnreadableFileError as error:
            reasons.append((sample.window.x, sample.window.y, error.found))
    assert reasons == [(128, 128, "100% of a tile is not in the file: never scanned, or lost.")]
    allowed = samples(path, spacing_um=0.5, tile_um=48, tile_px=96, max_missing=1)
    pixels = next(s for s in allowed if (s.window.x, s.window.y) == (96, 96)).read()
    expected = np.zeros((96, 96), bool)
    expected[32:, 32:] = True
    np.testing.assert_array_equal(pixels.masks["nodata"], expected)
    assert (pixels.array[:, 32:, 32:] == 255).all()
    np.testing.assert_array_equal(pixels.array[:, :32], STAINED[96:128, 96:192].transpose(2, 0, 1))


@pytest.mark.parametrize(("most", "readable"), [(0.0, False), (0.2499, False), (0.25, True), (0.2501, True)])
def test_as_much_may_be_missing_as_was_said_and_no_more(tmp_path, most, readable):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, STAINED, tile=(128, 128), photometric="rgb", compression="zlib", metadata=None)
    without_tile(path, 5)  # a quarter of the tile of 256 at 0, 0
    first = samples(path, spacing_um=0.5, tile_um=128, tile_px=256, max_missing=most)[0]
    if readable:
        assert first.read().masks["nodata"].mean() == 0.25
    else:
        with pytest.raises(UnreadableFileError, match="25% of a tile"):
            first.read()


def test_strips_are_read_one_by_one(tmp_path, monkeypatch):
    from domainclip.domains.pathology import slides, tiff, tiff_segments

    # Neither file may be decoded whole: the limit lies below its size.
    monkeypatch.setattr(tiff_segments, "MAX_FLAT_PIXELS", 200_000)
    monkeypatch.setattr(tiff, "MAX_FLAT_PIXELS", 200_000)
    for name, options in {"plain": {}, "packed": {"compression": "zlib", "rowsperstrip": 32}}.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, COLOUR, photometric="rgb", metadata=None, **options)
        np.testing.assert_array_equal(open_slide(path).read_level(0, 30, 200, 100, 90), COLOUR[200:290, 30:130])
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, COLOUR, photometric="rgb", metadata=None, compression="zlib", rowsperstrip=640)
    assert "One strip has 512 x 640 pixels" in open_slide(path).facts.refusal[0]
    slides._cache.clear()


def test_a_macro_picture_is_no_slide(tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, COLOUR, photometric="rgb", description="Aperio Image Library v11.2.1\r\nmacro 1280x431", metadata=None)
    assert "macro or label" in refusal(path).found


def test_threads_read_what_one_thread_reads(tmp_path):
    slide = open_slide(ome(tmp_path / "s.ome.tif", [COLOUR]))
    boxes = [(int(x), int(y), 150, 170) for x, y in RNG.integers(0, 350, (60, 2))]
    seen: dict[int, np.ndarray] = {}

    def work(numbers):
        for number in numbers:
            seen[number] = slide.read_level(0, *boxes[number])

    threads = [threading.Thread(target=work, args=(range(start, 60, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (x, y, width, height) in enumerate(boxes):
        np.testing.assert_array_equal(seen[number], COLOUR[y : y + height, x : x + width])
