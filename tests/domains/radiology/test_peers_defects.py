"""What other readers get wrong, each as a test; docs/radiology.md holds the table."""

import logging

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless

from domainclip.domains.dicom_kind import quiet_pydicom
from domainclip.errors import UnreadableFileError

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
MARK = "Zq7Marker"


def table(entries, bits):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), 0, bits], np.array(entries, "<u2").tobytes()
    return [item]


def test_the_modality_table_comes_before_the_window(read, ramp, make_dicom, tmp_path):
    """torchxrayvision, hi-ml: no modality LUT; MONAI: slope and intercept only."""
    path = make_dicom(
        tmp_path / "a.dcm", ramp, ModalityLUTSequence=table((np.arange(4096) // 2).tolist(), 12), WindowCenter=512, WindowWidth=1025
    )
    shown = read(path)[1].array[0].ravel()
    # 1023 is stored, 511 after the table: the middle of the window; before it, 1023 would be white.
    assert shown[1023] == pytest.approx(0.5, abs=1e-3) and shown[2047] < 1 <= shown[2049]


def test_the_window_is_applied_without_being_asked_for(read, ramp, make_dicom, tmp_path):
    """torchxrayvision: off by default; MONAI, hi-ml: never."""
    shown = read(make_dicom(tmp_path / "a.dcm", ramp, WindowCenter=100, WindowWidth=101))[1].array[0].ravel()
    assert shown[0] == 0 and shown[150] == 1 and 0 < shown[100] < 1


def test_several_windows_in_one_file(read, ramp, make_dicom, tmp_path):
    """MedSigLIP's handler takes WindowCenter for one number."""
    path = make_dicom(tmp_path / "a.dcm", ramp, WindowCenter=[2048, 100, 50], WindowWidth=[4096, 101, 11])
    assert len({read(path, voi_index=n)[1].array.tobytes() for n in range(3)}) == 3


def test_monochrome1_is_inverted_after_the_window(read, ramp, make_dicom, tmp_path):
    """torchxrayvision: 2**BitsStored - 1 - x before the window, which then shows other numbers."""
    path = make_dicom(
        tmp_path / "a.dcm",
        ramp,
        BitsStored=12,
        HighBit=11,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=500,
        WindowWidth=401,
    )
    shown = read(path)[1].array[0].ravel()
    assert shown[299] == 1 and shown[700] == 0 and shown[500] == pytest.approx(0.5, abs=2e-3)


def test_no_division_by_zero(read, make_dicom, tmp_path):
    """hi-ml: (x - min) / (max - min) of a constant picture is 0 / 0."""
    with np.errstate(all="raise"), pytest.raises(UnreadableFileError, match="same value"):
        read(make_dicom(tmp_path / "a.dcm", np.full((4, 4), 7, np.uint16)))


@pytest.mark.parametrize("modality", ["MR", "MG", "PT", "NM", "IO", "CR", "DX", "CT"])
def test_modalities_are_not_a_closed_list(modality, read, ramp, make_dicom, tmp_path):
    """MedSigLIP's handler: CR, DX, GM, SM, XC and CT only."""
    assert read(make_dicom(tmp_path / "a.dcm", ramp, Modality=modality, **WINDOW))[0].sensor == modality


def test_numbers_above_the_stored_bits_do_not_raise(read, make_dicom, tmp_path):
    """torchxrayvision: raises where a number lies above a bound of its own."""
    path = make_dicom(tmp_path / "a.dcm", np.array([[0, 65535]], np.uint16), **WINDOW)
    assert read(path)[1].array.ravel().tolist() == [0, 1]


def test_compressed_files_need_no_other_package(read, pydicom_files):
    """torchxrayvision, hi-ml, MONAI: whatever plug-in pydicom finds, so none for JPEG-LS, lossless and 12-bit JPEG by default."""
    path = pydicom_files / "MR_small_jpeg_ls_lossless.dcm"
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLSLossless
    assert np.array_equal(read(path)[1].array, read(pydicom_files / "MR_small.dcm")[1].array)


def test_files_are_not_forced(read, pydicom_files, tmp_path):
    """torchxrayvision: force=True, so that any bytes pass for DICOM."""
    path = tmp_path / "a.dcm"
    path.write_bytes((pydicom_files / "test1.json").read_bytes())
    with pytest.raises(UnreadableFileError, match="no DICOM preamble"):
        read(path)


def test_only_allowed_facts_travel_with_the_pixels(read, ramp, make_dicom, tmp_path):
    """MONAI's ITKReader copies every element into the tensor's meta."""
    path = make_dicom(tmp_path / "a.dcm", ramp, StudyDescription=MARK, InstitutionName=MARK, OperatorsName=MARK, **WINDOW)
    sample, pixels = read(path)
    assert set(sample.meta) == {"modality", "photometric"} and set(pixels.masks) <= {"nodata"} and MARK not in repr(sample)


def marked(path):
    """Writes a marker into every element of text, and numbers that nobody would guess into the rest that no reader needs."""
    dataset = pydicom.dcmread(path)
    for element in list(dataset):
        if element.VR in {"CS", "LO", "SH", "ST", "LT", "PN"} and element.keyword not in {"PhotometricInterpretation", "Modality"}:
            element.value = MARK if element.VR != "CS" else MARK.upper()
    with quiet_pydicom():
        dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("elements", "reading"),
    [
        ({"Modality": MARK.upper()}, {"output": "hu"}),
        ({"RescaleType": MARK, "RescaleSlope": 1, "RescaleIntercept": 0, "Modality": "CT"}, {"window": "lung"}),
        ({"PhotometricInterpretation": MARK.upper()}, {}),
        ({"PresentationLUTShape": MARK.upper()}, {}),
        ({"VOILUTFunction": MARK.upper()}, {}),
        ({"WindowWidth": 0.7734519}, {}),
        ({"WindowCenterWidthExplanation": MARK}, {"window": "file:OTHER"}),
        ({"NumberOfFrames": 7734519}, {}),
        ({"NumberOfFrames": 7734519}, {"frame": 7734520}),
        ({"NumberOfFrames": 7734519}, {"frame": 3}),
        ({"BitsStored": 773}, {}),
        ({"HighBit": 7734}, {}),
        ({"SamplesPerPixel": 7734}, {"max_decoded_mib": 1e9}),
        ({"Rows": 7734}, {}),
        ({"ImageType": [MARK.upper(), "SCREEN"]}, {}),
        ({"BurnedInAnnotation": "YES"}, {}),
        ({"PerFrameFunctionalGroupsSequence": []}, {}),
    ],
)
def test_no_reason_holds_a_header_value(elements, reading, read, ramp, make_dicom, tmp_path, caplog, capfd, recwarn):
    """torchxrayvision and pydicom warn with paths and header values."""
    with quiet_pydicom():
        path = make_dicom(tmp_path / "secretpath.dcm", ramp, **WINDOW | {"StudyDescription": MARK} | elements)
    if not elements.keys() & {"BurnedInAnnotation", "ImageType"}:
        marked(path)
    caplog.clear(), recwarn.clear(), capfd.readouterr()
    with caplog.at_level(logging.DEBUG), pytest.raises(UnreadableFileError) as error:
        read(path, **reading)
    said = str(error.value) + caplog.text + "".join(capfd.readouterr()) + "".join(str(w.message) for w in recwarn)
    asked = str(reading.get("frame", ""))
    if asked:
        said = said.replace(f"reading.frame is {asked}", "")
    for secret in (MARK.casefold(), "773", "secretpath"):
        assert secret not in said.casefold(), said


def test_log_lines_of_pydicoms_modules_are_kept(caplog):
    """The decoders log their exceptions, which hold header values, with loggers of their own."""
    with caplog.at_level(logging.DEBUG), quiet_pydicom():
        logging.getLogger("pydicom.pixels.decoders.base").error(MARK)
        logging.getLogger("pydicom").critical(MARK)
    assert MARK not in caplog.text
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("pydicom.pixels.decoders.base").error("afterwards")
    assert "afterwards" in caplog.text
