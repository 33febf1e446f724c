"""A header is parsed once for the look and for the pixels; what is read that way is what pydicom reads at one go."""

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from domainclip.captions.names import header_names
from domainclip.domains.dicom_kind import quiet_pydicom
from domainclip.domains.radiology import parsing
from domainclip.domains.radiology.dicom import read_dataset
from domainclip.domains.radiology.header import person_names
from domainclip.domains.radiology.reading import RadiologyReading
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
READING = RadiologyReading()
FILES = sorted(path.name for path in (Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


@pytest.fixture
def parsed(monkeypatch):
    """Counts how often pydicom parses a file from its start."""
    calls = []
    original = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *words, **options: calls.append(options) or original(*words, **options))
    parsing._KEPT.clear()
    return calls


def _look(radiology, path, **reading):
    (sample,) = radiology.samples(SourceItem(Path(path), "file"), radiology.reading_model(**reading))
    return sample


def test_a_header_is_parsed_once(radiology, ramp, make_dicom, tmp_path, parsed):
    sample = _look(radiology, make_dicom(tmp_path / "a.dcm", ramp, **WINDOW))
    assert len(parsing._KEPT) == 1
    first = sample.read().array
    assert len(parsed) == 1 and not parsing._KEPT  # a person's name does not wait in memory for longer than it must
    assert np.array_equal(sample.read().array, first) and len(parsed) == 2


def test_a_file_that_changes_between_look_and_pixels(radiology, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW)
    sample, status = _look(radiology, path), (tmp_path / "a.dcm").stat()
    for _ in range(100):  # pydicom draws UIDs, one in some hundred of which is shorter
        make_dicom(path, ramp, WindowCenter=1024, WindowWidth=4096)
        if path.stat().st_size == status.st_size:
            break
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert path.stat().st_size == status.st_size
    shown = sample.read().array
    assert np.array_equal(shown, _look(radiology, path).read().array) and shown.max() == 1 and shown[0, 32, 0] > 0.7


def test_long_headers_are_not_kept(radiology, ramp, make_dicom, tmp_path, parsed):
    path = make_dicom(tmp_path / "a.dcm", ramp, EncapsulatedDocument=bytes(2**20), **WINDOW)
    sample = _look(radiology, path)
    assert not parsing._KEPT
    assert sample.read().array.shape == (1, 64, 64) and len(parsed) == 2


@pytest.mark.parametrize("name", FILES)
def test_in_two_steps_as_in_one(name, pydicom_files):
    try:
        looked = read_dataset(pydicom_files / name, READING, pixels=False)
        read = read_dataset(pydicom_files / name, READING, pixels=True)
        with quiet_pydicom():
            whole, header = (pydicom.dcmread(pydicom_files / name, stop_before_pixels=stop) for stop in (False, True))
    except UnreadableFileError:
        pytest.skip("it is refused")
    assert "PixelData" not in header and looked.file_meta == whole.file_meta
    with quiet_pydicom():
        assert read == whole


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_ways_of_writing(syntax, radiology, ramp, make_dicom, tmp_path):
    plain = _look(radiology, make_dicom(tmp_path / "p.dcm", ramp, **WINDOW)).read().array
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW)
    dataset = pydicom.dcmread(path)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = ramp.astype(">u2").tobytes()
    pydicom.dcmwrite(path, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian)
    assert np.array_equal(_look(radiology, path).read().array, plain)


def test_an_implicit_length_that_looks_like_a_type(radiology, make_dicom, tmp_path):
    pixels = np.arange(3 * 2827, dtype=np.uint16).reshape(3, 2827)  # 16,962 bytes: 0x4242 reads as the letters BB
    path = make_dicom(tmp_path / "a.dcm", pixels, syntax=ImplicitVRLittleEndian, WindowCenter=32768, WindowWidth=65536)
    assert b"\xe0\x7f\x10\x00BB\x00\x00" in path.read_bytes()
    shown = _look(radiology, path).read().array
    assert np.array_equal(shown[0], (pixels / 65535).astype(np.float32))


def test_compressed_pixels_that_are_cut(radiology, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, **WINDOW)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    sample = _look(radiology, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UnreadableFileError, match="cut short"):
        sample.read()
    with pytest.raises(UnreadableFileError, match="cut short"):
        _look(radiology, path).read()


@pytest.mark.parametrize("implicit", [False, True])
def test_names_wherever_they_stand(implicit, make_dicom, ramp, tmp_path):
    path = make_dicom(tmp_path / "a.dcm", ramp, syntax=ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian)
    dataset = pydicom.dcmread(path)
    inner, outer = Dataset(), Dataset()
    inner.PersonName, outer.OperatorsName = "Innermost^Ida", ["Outer^Otto", "Second^Sue"]
    outer.PersonIdentificationCodeSequence = [inner]
    dataset.PerformedProtocolCodeSequence = [Dataset(), outer]
    dataset.private_block(0x0009, "MADE UP", create=True).add_new(1, "PN", "Private^Pia")
    dataset.save_as(path)
    header = pydicom.dcmread(path)
    found = person_names(header)
    expected = header_names(
        str(name)
        for element in pydicom.dcmread(path).iterall()
        if element.VR == "PN" and element.value
        for name in (element.value if element.VM > 1 else [element.value])
    )
    assert found == expected
    assert {"innermost", "ida", "otto", "sue", "brightwater"} <= found
    assert ("pia" in found) != implicit  # a private element without a type is bytes


def test_names_of_pydicoms_files(pydicom_files):
    compared = 0
    for name in FILES:
        with quiet_pydicom():
            try:
                whole = pydicom.dcmread(pydicom_files / name, stop_before_pixels=True, force=True)
                values = [element.value for element in whole.iterall() if element.VR == "PN" and element.value]
            except Exception:  # damaged on purpose; the others are compared
                continue
            names = header_names(
                str(one) for value in values for one in (value if type(value).__name__ == "MultiValue" else [value])
            )
            assert person_names(pydicom.dcmread(pydicom_files / name, stop_before_pixels=True, force=True)) == names
            compared += bool(names)
    assert compared > 50


def test_silence_within_silence():
    before = logging.getLogger("pydicom").level
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with quiet_pydicom():
            with quiet_pydicom():
                warnings.warn("inner", stacklevel=1)
            warnings.warn("between", stacklevel=1)
        warnings.warn("outside", stacklevel=1)
    assert [str(one.message) for one in said] == ["outside"]
    assert logging.getLogger("pydicom").level == before


def test_silence_where_the_log_is_silent_already(monkeypatch):
    monkeypatch.setattr(logging.getLogger("pydicom"), "level", logging.CRITICAL + 5)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with quiet_pydicom():
            warnings.warn("inner", stacklevel=1)
    assert not said
