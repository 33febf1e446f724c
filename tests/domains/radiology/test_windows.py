"""Windows by name, by number, by the file's own explanation; polarity and presentation tables."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_presentation_lut, apply_voi_lut, apply_windowing

from domainclip.config import validated
from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.domains.radiology.windows import WINDOWS
from domainclip.errors import UnreadableFileError, UsageError

CT = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
TWO = {"WindowCenter": [2048, 100], "WindowWidth": [4096, 100], "WindowCenterWidthExplanation": ["NORMAL", "Brightwater view"]}


def lut(entries, first=0, bits=16, explanation=None):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries) % 65536, first, bits], np.array(entries, "<u2").tobytes()
    if explanation:
        item.LUTExplanation = explanation
    return item


@pytest.mark.parametrize(
    ("name", "low", "high"), [("lung", -1350, 150), ("bone", -500, 1300), ("brain", 0, 80), ("soft-tissue", -150, 250)]
)
def test_a_named_window_covers_its_hounsfield_units(name, low, high, read, ramp, make_dicom, tmp_path):
    # Radiopaedia, "Windowing (CT)": lung W:1500 L:-600, bone W:1800 L:400, brain W:80 L:40, soft tissues W:400 L:50.
    path = make_dicom(tmp_path / "a.dcm", ramp, **CT)
    units, shown = np.arange(4096) - 1024.0, read(path, window=name)[1].array[0].ravel()
    assert (shown[units <= low] == 0).all() and (shown[units >= high] == 1).all()
    dataset = pydicom.dcmread(path)
    dataset.WindowCenter, dataset.WindowWidth = WINDOWS[name]
    expected = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    np.testing.assert_allclose(shown, (expected.ravel() + 1024) / 65535, atol=1e-6)


@pytest.mark.parametrize("words", ["Soft tissue", "soft_tissue", "SOFT-TISSUE"])
def test_names_are_forgiving_about_their_spelling(words):
    assert RadiologyReading(window=words).window == "soft-tissue"


@pytest.mark.parametrize("words", ["lungs", "file:", ""])
def test_a_window_that_does_not_exist_is_refused_with_what_there_is(words):
    with pytest.raises(UsageError) as error:
        validated(RadiologyReading, {"window": words}, "The reading section")
    assert all(name in str(error.value) for name in ("lung", "bone", "brain", "file:WORDS", "[centre, width]"))


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Modality": "MR"}, "no CT"),
        ({"RescaleSlope": None}, "no rescale"),
        ({"RescaleType": "Brightwater"}, "rescale type is another"),
    ],
)
def test_a_named_window_needs_hounsfield_units(elements, words, read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, **CT | elements)
    for reading in ({"window": "lung"}, {"output": "hu"}):
        with pytest.raises(UnreadableFileError, match=words) as error:
            read(path, **reading)
        assert "Brightwater" not in str(error.value)


def test_the_files_own_window_by_explanation(read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, **TWO)
    assert np.array_equal(read(path, window="file:normal")[1].array, read(path)[1].array)
    assert np.array_equal(read(path, window="file:BRIGHTWATER VIEW")[1].array, read(path, voi_index=1)[1].array)
    with pytest.raises(UnreadableFileError, match=r"the file has 2 \(voi_index 0 to 1\)") as error:
        read(path, window="file:lung")
    assert "inspect" in error.value.remedy and "Brightwater" not in str(error.value)


def test_the_files_own_table_by_explanation_and_index(read, ramp, make_dicom, tmp_path):
    tables = [lut(range(4096), bits=12), lut(range(4095, -1, -1), bits=12, explanation="INVERTED")]
    path = make_dicom(tmp_path / "a.dcm", ramp, VOILUTSequence=tables, **TWO)
    expected = 1 - np.arange(4096) / 4095
    for reading in ({"voi_index": 1}, {"window": "file:inverted"}):
        np.testing.assert_allclose(read(path, **reading)[1].array[0].ravel(), expected, atol=1e-6)
    # An explanation of a window chooses the window although there are tables.
    np.testing.assert_allclose(read(path, window="file:NORMAL")[1].array[0].ravel(), np.arange(4096) / 4095, atol=1e-6)
    with pytest.raises(UnreadableFileError, match=r"the file has 2 \(voi_index 0 to 1\)"):
        read(path, voi_index=2)


def test_inspect_lists_windows_and_hides_free_text(radiology, ramp, make_dicom, tmp_path):
    seen = radiology.inspect(make_dicom(tmp_path / "a.dcm", ramp, **TWO | CT))
    assert seen.details["windows"] == {
        "0": {"centre": 2048.0, "width": 4096.0, "explanation": "NORMAL"},
        "1": {"centre": 100.0, "width": 100.0},
    }
    assert seen.details["named_windows"] == list(WINDOWS) and "Brightwater" not in repr(seen)
    assert radiology.inspect(make_dicom(tmp_path / "b.dcm", ramp, **TWO)).details.get("named_windows") is None


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_voi_functions_equal_pydicom(function, dtype, read, ramp, make_dicom, tmp_path):
    pixels = (ramp.astype(np.int32) - (2048 if dtype == np.int16 else 0)).astype(dtype)
    path = make_dicom(tmp_path / "a.dcm", pixels, WindowCenter=300, WindowWidth=900, VOILUTFunction=function)
    dataset = pydicom.dcmread(path)
    low = -32768 if dtype == np.int16 else 0
    np.testing.assert_allclose(read(path)[1].array[0], (apply_voi_lut(dataset.pixel_array, dataset) - low) / 65535, atol=1e-6)


def test_presentation_table_equals_pydicom(read, ramp, make_dicom, tmp_path):
    table = (np.linspace(0, 1, 256) ** 0.5 * 4095).astype(int).tolist()
    path = make_dicom(tmp_path / "a.dcm", ramp, WindowCenter=2048, WindowWidth=4096, PresentationLUTSequence=[lut(table, bits=12)])
    dataset = pydicom.dcmread(path)
    expected = apply_presentation_lut(apply_voi_lut(dataset.pixel_array, dataset), dataset) / 4095
    shown = read(path)[1].array[0]
    # pydicom scales in float32, which puts a value at a step's edge one entry lower.
    assert (np.abs(shown - expected) > 1e-6).mean() < 0.02 and np.abs(shown - expected).max() <= max(np.diff(table)) / 4095 + 1e-6
    assert shown.ravel()[[0, 4095]].tolist() == [0.0, 1.0]


WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


@pytest.mark.parametrize(
    ("photometric", "shape", "inverse"),
    [("MONOCHROME2", "IDENTITY", False), ("MONOCHROME1", "INVERSE", True), ("MONOCHROME1", "", True), ("MONOCHROME2", "", False)],
)
def test_polarity_is_inverted_once(photometric, shape, inverse, read, ramp, make_dicom, tmp_path):
    elements = {"PhotometricInterpretation": photometric} | ({"PresentationLUTShape": shape} if shape else {})
    expected = np.arange(4096) / 4095
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW | elements)
    np.testing.assert_allclose(read(path)[1].array[0].ravel(), 1 - expected if inverse else expected, atol=1e-6)
    if inverse and shape:
        # The standard's two statements, applied by pydicom as one.
        dataset = pydicom.dcmread(path)
        plain = apply_presentation_lut(apply_voi_lut(dataset.pixel_array, dataset), dataset)
        np.testing.assert_allclose(read(path)[1].array[0], plain / plain.max(), atol=1e-6)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
def test_contradicting_polarity_is_refused_or_decided(photometric, shape, read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    with pytest.raises(UnreadableFileError, match=r"contradicts") as error:
        read(path)
    assert "reading.polarity" in error.value.remedy
    first = {how: read(path, polarity=how)[1].array.ravel()[0] for how in ("photometric", "shape")}
    assert first == {"photometric": float(photometric == "MONOCHROME1"), "shape": float(shape == "INVERSE")}


@pytest.mark.parametrize(
    "elements",
    [
        {"PresentationLUTShape": "LIN OD"},
        {"PresentationLUTSequence": [lut(range(256), bits=8)], "PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTSequence": [lut(range(256), bits=8)], "PresentationLUTShape": "INVERSE"},
        {"PresentationLUTSequence": [lut(range(256), bits=20)]},
    ],
)
def test_presentation_that_no_image_may_have(elements, read, ramp, make_dicom, tmp_path):
    with pytest.raises(UnreadableFileError):
        read(make_dicom(tmp_path / "a.dcm", ramp, **WINDOW | elements))


def test_a_real_radiograph_and_its_monochrome1_twin_show_the_same(read, pydicom_files, tmp_path):
    """MONAI, hi-ml and torchxrayvision's RSNA reader leave MONOCHROME1 as it is."""
    path = pydicom_files / "dicomdirtests" / "77654033" / "CR1" / "6154"
    dataset = pydicom.dcmread(path)
    assert dataset.PhotometricInterpretation == "MONOCHROME1" and dataset.PixelRepresentation == 0
    white = 2**dataset.BitsStored - 1
    dataset.PixelData = (white - dataset.pixel_array).astype("<u2").tobytes()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    # x becomes white - x, so the rescale is that of the reversed axis, and its sign turns the window too.
    slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    centre = [float(c) for c in np.atleast_1d(dataset.WindowCenter)]
    dataset.RescaleIntercept = str(round(-slope * white - intercept, 9))
    dataset.WindowCenter = [str(1 - c) for c in centre]
    dataset.RescaleSlope = slope
    dataset.save_as(tmp_path / "twin.dcm")
    twin, original = read(tmp_path / "twin.dcm")[1].array, read(path)[1].array
    assert original.std() > 0.01
    np.testing.assert_allclose(twin, original, atol=1e-6)


@pytest.mark.parametrize("window", [[1, 2, 3], [40], 40, ["a", "b"], {"centre": 40}])
def test_a_window_of_another_form_is_refused_in_words(radiology, window):
    with pytest.raises(ValueError, match=r"give \[centre, width\], a name such as lung, or file:WORDS"):
        radiology.reading_model(window=window)
