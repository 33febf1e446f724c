"""Colour: palettes plain, segmented and supplemental, YBR, planar configuration, depths; what grey's options say to it."""

import numpy as np
import pydicom
import pytest
from pydicom.data import get_palette_files
from pydicom.pixels import apply_color_lut, convert_color_space
from pydicom.uid import ExplicitVRBigEndian

from domainclip.domains.radiology.palette import expand_segments
from domainclip.errors import UnreadableFileError

NO = {"BurnedInAnnotation": "NO"}
INDICES = np.arange(256, dtype=np.uint8).reshape(16, 16)
RGB = np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8)
COLOURED = {**NO, "SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}


def palette(entries=256, first=0, bits=16, segmented=False, **tables):
    """Elements of a palette; tables red, green, blue as bytes."""
    kind = "Segmented{}" if segmented else "{}"
    elements = {"PhotometricInterpretation": "PALETTE COLOR", **NO}
    for colour, data in tables.items():
        name = f"{colour.capitalize()}PaletteColorLookupTable"
        elements |= {f"{name}Descriptor": [entries % 65536, first, bits], kind.format(name) + "Data": data}
    return elements


def ramps(dtype="<u2", scale=257):
    tables = [np.arange(256) * scale, (255 - np.arange(256)) * scale, np.full(256, 7 * scale)]
    return dict(zip(("red", "green", "blue"), (t.astype(dtype).tobytes() for t in tables), strict=True))


def test_rgb_is_three_channels_and_refused_by_default(read, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", RGB, **COLOURED)
    with pytest.raises(UnreadableFileError, match=r"in colour \(RGB\)") as error:
        read(path)
    assert "reading.colour to rgb" in error.value.remedy
    sample, pixels = read(path, colour="rgb")
    assert (sample.channels, sample.axes, sample.values.kind) == (("red", "green", "blue"), "CYX", "srgb")
    assert pixels.array.dtype == np.uint8 and np.array_equal(np.moveaxis(pixels.array, 0, -1), RGB)
    assert sample.values.scale == pytest.approx(1 / 255)


def test_planar_configuration(read, make_dicom, tmp_path):
    planes = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
    path = make_dicom(tmp_path / "a.dcm", planes, **COLOURED | {"PlanarConfiguration": 1}, Rows=6, Columns=8)
    assert np.array_equal(read(path, colour="rgb")[1].array, planes)


def test_ybr_full_by_the_standards_formula(read, make_dicom, tmp_path):
    # PS3.3 C.7.6.3.1.2: Y = .299 R + .587 G + .114 B, Cb and Cr around 128; pure colours by hand, the rest by pydicom.
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    ybr[0, 0], ybr[0, 1] = (255, 128, 128), (76, 85, 255)
    shown = read(make_dicom(tmp_path / "a.dcm", ybr, **COLOURED | {"PhotometricInterpretation": "YBR_FULL"}), colour="rgb")[1].array
    assert shown[:, 0, 0].tolist() == [255, 255, 255] and np.abs(shown[:, 0, 1] - np.array([254, 0, 0])).max() <= 1
    assert np.array_equal(np.moveaxis(shown, 0, -1), convert_color_space(ybr, "YBR_FULL", "RGB"))


def test_ybr_full_422_shares_chroma_between_two_pixels(read, make_dicom, tmp_path):
    packed = np.array([[76, 150, 85, 255], [30, 60, 128, 128]], np.uint8)  # Y1 Y2 Cb Cr
    elements = COLOURED | {"PhotometricInterpretation": "YBR_FULL_422"}
    shown = read(make_dicom(tmp_path / "a.dcm", packed, **elements, Rows=2, Columns=2), colour="rgb")[1].array
    assert np.abs(shown[:, 0].T.astype(int) - [[254, 0, 0], [255, 74, 74]]).max() <= 1
    assert shown[:, 1].T.tolist() == [[30] * 3, [60] * 3]
    with pytest.raises(UnreadableFileError, match="cut short"):
        read(make_dicom(tmp_path / "b.dcm", packed[:1], **elements, Rows=2, Columns=2), colour="rgb")


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 16), (np.uint16, 12), (np.uint32, 32)])
def test_deep_colour(dtype, bits, read, make_dicom, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 2**bits, (4, 5, 3), np.uint64).astype(dtype)
    pixels[0, 0] = 2**bits - 1
    sample, shown = read(make_dicom(tmp_path / "a.dcm", pixels, **COLOURED, BitsStored=bits, HighBit=bits - 1), colour="rgb")
    physical = np.moveaxis(shown.array, 0, -1) * sample.values.scale
    np.testing.assert_allclose(physical, pixels / (2.0**bits - 1), atol=1e-6)
    assert physical[0, 0].tolist() == pytest.approx([1, 1, 1]) and shown.array.dtype == (np.float32 if bits == 32 else np.uint16)


def test_luma_of_colour_and_of_a_palette(read, make_dicom, tmp_path):
    shown = read(make_dicom(tmp_path / "a.dcm", RGB, **COLOURED), colour="luma")[1].array[0]
    assert np.abs(shown - RGB @ [0.299, 0.587, 0.114] / 255).max() <= 0.5 / 255 + 1e-6
    path = make_dicom(tmp_path / "p.dcm", INDICES, **palette(**ramps()))
    colours = np.stack([INDICES, 255 - INDICES, np.full_like(INDICES, 7)], -1).astype(float)
    assert np.abs(read(path, colour="luma")[1].array[0] - colours @ [0.299, 0.587, 0.114] / 255).max() < 1e-5


@pytest.mark.parametrize(("dtype", "bits", "scale"), [("<u2", 16, 257), ("u1", 8, 1), ("<u2", 8, 1)])
def test_palette_by_hand_and_equal_to_pydicom(dtype, bits, scale, read, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", INDICES, **palette(bits=bits, **ramps(dtype, scale)))
    sample, pixels = read(path, colour="rgb")
    assert np.array_equal(pixels.array[:, 3, 5], np.array([53, 202, 7]) * scale)
    dataset = pydicom.dcmread(path)
    assert np.array_equal(np.moveaxis(pixels.array, 0, -1), apply_color_lut(dataset.pixel_array, dataset))
    assert sample.values.scale == pytest.approx(1 / (2**bits - 1)) and pixels.array.dtype == (np.uint8 if bits == 8 else np.uint16)


def test_palette_of_a_big_endian_file_is_that_of_its_twin(read, make_dicom, tmp_path):
    """pydicom's apply_color_lut takes the words of a big-endian file in the machine's order."""
    little = make_dicom(tmp_path / "l.dcm", INDICES, **palette(**ramps()))
    big = make_dicom(tmp_path / "b.dcm", INDICES, **palette(**ramps(">u2")), syntax=ExplicitVRBigEndian)
    assert np.array_equal(read(little, colour="rgb")[1].array, read(big, colour="rgb")[1].array)


def test_palette_that_begins_later_and_ends_earlier(read, make_dicom, tmp_path):
    tables = {colour: np.array([10, 20, 30], "u1").tobytes() + b"\0" for colour in ("red", "green", "blue")}
    path = make_dicom(tmp_path / "a.dcm", INDICES, **palette(3, first=100, bits=8, **tables))
    shown = read(path, colour="rgb")[1].array[0].ravel()
    assert shown[[0, 99, 100, 101, 102, 103, 255]].tolist() == [10, 10, 10, 20, 30, 30, 30]


def test_segmented_palette_by_hand():
    # PS3.3 C.7.9.2: three discrete entries; a line of 4 to 90; a copy of both segments from byte 0, worked on by hand.
    words = np.array([0, 3, 10, 20, 30, 1, 4, 90], np.uint16)
    first = [10, 20, 30, 45, 60, 75, 90]
    assert expand_segments(words, 7, 16).tolist() == first
    line_again = np.array([*words, 2, 1, 10, 0], np.uint16)  # the line begins at byte 10 and goes from the last entry, 90, to 90
    assert expand_segments(line_again, 11, 16).tolist() == [*first, 90, 90, 90, 90]
    narrow = np.array([*words, 2, 2, 0, 0, 0, 0], np.uint8)  # 8-bit words: an offset of four bytes
    assert expand_segments(narrow, 14, 8).tolist() == first * 2


@pytest.mark.parametrize("name", ["spring", "summer", "fall", "winter"])
def test_the_standards_own_segmented_palettes_equal_pydicom(name, read, make_dicom, tmp_path):
    dataset = pydicom.dcmread(get_palette_files(f"{name}.dcm")[0])
    tables = {c: getattr(dataset, f"Segmented{c.capitalize()}PaletteColorLookupTableData") for c in ("red", "green", "blue")}
    shown = read(make_dicom(tmp_path / "a.dcm", INDICES, **palette(bits=8, segmented=True, **tables)), colour="rgb")[1].array
    assert np.array_equal(np.moveaxis(shown, 0, -1), apply_color_lut(INDICES, dataset))


@pytest.mark.parametrize(
    "words",
    [
        [1, 4, 90],  # a line needs a point before it
        [2, 1, 0, 0],  # nothing to copy yet
        [0, 9, 1, 2],  # cut short
        [0, 3, 1, 2, 3],  # too few
        [0, 3, 1, 2, 3, 1, 65535, 9],  # too many
        [7, 3, 1, 2, 3],  # no such opcode
        [0, 3, 1, 2, 3, 2, 65535, 0, 0],  # 65535 copies
        [0, 1, 5, 2, 1, 6, 0],  # a copy of itself
        [0, 1, 5, 2, 2, 65535, 65535],  # outside
        [0, 1, 5, 1, 0, 9, 0, 1, 5],  # a line of no length
    ],
)
def test_broken_segmented_palettes_end(words):
    with pytest.raises(UnreadableFileError, match="segmented palette"):
        expand_segments(np.array(words, np.uint16), 256, 16)


def test_a_segmented_palette_stops_at_its_last_entry():
    with pytest.raises(UnreadableFileError, match="more entries"):
        expand_segments(np.array([0, 3, 1, 2, 3, 1, 65535, 9], np.uint16), 256, 16)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        (palette(**ramps()) | {"GreenPaletteColorLookupTableDescriptor": [255, 0, 16]}, "differ in size"),
        (palette(bits=12, **ramps()), "neither 8 nor 16"),
        (palette(red=b"", green=b"", blue=b""), "no entries"),
        (palette(**{c: d[:100] for c, d in ramps().items()}), "lookup table"),
        (palette(bits=8, **ramps()), "lookup table"),
        ({"PhotometricInterpretation": "PALETTE COLOR", **NO}, "no complete palette"),
        ({"PhotometricInterpretation": "RGB", **NO}, "not read"),
        ({"PhotometricInterpretation": "CMYK", "SamplesPerPixel": 1, **NO}, "CMYK"),
        ({"PhotometricInterpretation": "Brightwater", **NO}, "none that DICOM defines"),
    ],
)
def test_broken_colour(elements, words, read, make_dicom, tmp_path):
    with pytest.raises(UnreadableFileError) as error:
        read(make_dicom(tmp_path / "a.dcm", INDICES, **elements), colour="rgb")
    assert words in error.value.found and "Brightwater" not in str(error.value)


def test_greys_options_are_refused_for_colour(read, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", RGB, **COLOURED)
    for reading in ({"window": (1, 2)}, {"voi_index": 1}, {"output": "hu"}):
        with pytest.raises(UnreadableFileError, match="in colour"):
            read(path, colour="rgb", **reading)


def test_supplemental_palette_colours_from_a_number_on(read, make_dicom, tmp_path):
    # PS3.3 C.8.16.2.1.1.1: below the palette's first number grey by the window, from there on its colours.
    pixels = np.array([[0, 2047, 4095], [5000, 5001, 9000]], np.uint16)
    tables = {"red": [65535, 0], "green": [0, 65535], "blue": [0, 0]}
    elements = palette(2, first=5000, **{c: np.array(t, "<u2").tobytes() for c, t in tables.items()})
    elements |= {
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelPresentation": "COLOR",
        "WindowCenter": 2048,
        "WindowWidth": 4096,
    }
    path = make_dicom(tmp_path / "a.dcm", pixels, **elements)
    with pytest.raises(UnreadableFileError, match="colour palette"):
        read(path)
    sample, shown = read(path, colour="rgb")
    assert sample.channels[0] == "red" and sample.values.scale == 1
    np.testing.assert_allclose(shown.array[:, 0].T, np.repeat([[0.0], [2047 / 4095], [1.0]], 3, axis=1), atol=1e-6)
    assert shown.array[:, 1].T.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert read(path, colour="luma")[1].array[0, 1].tolist() == pytest.approx([0.299, 0.587, 0.587])


def test_colour_pictures_as_png(read, tmp_path):
    from PIL import Image

    Image.fromarray(RGB).save(tmp_path / "a.png")
    sample, pixels = read(tmp_path / "a.png", colour="rgb")
    assert (sample.channels, sample.values.kind) == (("red", "green", "blue"), "srgb")
    assert np.array_equal(np.moveaxis(pixels.array, 0, -1), RGB)
    Image.fromarray(RGB[..., 0]).save(tmp_path / "g.png")
    sample, pixels = read(tmp_path / "g.png", colour="rgb")
    assert sample.channels == ("MONOCHROME2",) and np.array_equal(pixels.array[0], RGB[..., 0])


def test_inspect_tells_colour_frames_and_profiles(radiology, pydicom_files, make_dicom, tmp_path):
    seen = radiology.inspect(pydicom_files / "examples_ybr_color.dcm")
    assert seen.channels == ("red", "green", "blue") and seen.details["frames"] == 30
    assert "YBR_FULL_422" in seen.values and any("has 30" in line for line in seen.missing)
    seen = radiology.inspect(make_dicom(tmp_path / "a.dcm", RGB, **COLOURED, ICCProfile=b"none"))
    assert any("ICC" in line for line in seen.missing)
