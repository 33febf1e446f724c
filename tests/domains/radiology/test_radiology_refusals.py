"""What the reader refuses, with real broken files; and that nothing of a person gets out."""

import logging
import pickle
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from domainclip.errors import UnreadableFileError
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.sample import Caption, SourceItem, Spacing

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def refusal(read, path, **reading):
    with pytest.raises(UnreadableFileError) as error:
        read(path, **reading)
    assert path.name not in error.value.found and str(path.parent) not in str(error.value)
    return f"{error.value.found} {error.value.remedy}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test-SR.dcm", "no picture"),
        ("liver_1frame.dcm", "no picture (modality SEG)"),
        ("rtdose.dcm", "no picture"),
        ("examples_ybr_color.dcm", "several frames"),
        ("no_meta.dcm", "no DICOM preamble"),
        ("SC_rgb_small_odd.dcm", "reading.allow_burned_in"),
        ("MR_truncated.dcm", "cut short"),
        ("README.txt", "no DICOM preamble"),
    ],
)
def test_real_files_that_are_refused(name, words, read, pydicom_files, tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes((pydicom_files / name).read_bytes())
    allowed = {} if "burned" in words else {"allow_burned_in": True, "colour": "luma"}
    assert words in refusal(read, path, **allowed)


def test_missing_file(read, tmp_path):
    assert "cannot be opened" in refusal(read, tmp_path / "gone.dcm")


BURNED = [
    ({"BurnedInAnnotation": "YES"}, True),
    ({"BurnedInAnnotation": "NO"}, False),
    ({}, False),
    ({"Modality": "US"}, True),
    ({"Modality": "XA"}, True),
    ({"Modality": "US", "BurnedInAnnotation": "NO"}, False),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, True),
    ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, True),
    ({"ConversionType": "WSD"}, True),
    ({"Modality": "DX"}, False),
    ({"Modality": "ES"}, True),
    ({"Modality": "RF"}, True),
    ({"Modality": "RF", "BurnedInAnnotation": "NO"}, False),
    ({"Modality": "CT", "BurnedInAnnotation": "Y"}, True),
    ({"Modality": "CT", "BurnedInAnnotation": "UNKNOWN"}, True),
]


@pytest.mark.parametrize(("elements", "refused"), BURNED)
def test_burnt_in_names(elements, refused, read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "b.dcm", ramp, **WINDOW | elements)
    if refused:
        assert "reading.allow_burned_in" in refusal(read, path)
        read(path, allow_burned_in=True)
    else:
        read(path)


def test_size_is_checked_before_decoding(read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "bomb.dcm", ramp, Rows=65535, Columns=65535, NumberOfFrames=1)
    assert "8192 MiB" in refusal(read, path)
    assert "limit is 0.001 MiB" in refusal(read, make_dicom(tmp_path / "f.dcm", ramp), max_file_mib=0.001)


def test_deflated_bomb_is_not_inflated(read, ramp, make_dicom, tmp_path, monkeypatch):
    path = make_dicom(tmp_path / "d.dcm", np.zeros((64, 64), np.uint16), syntax=DeflatedExplicitVRLittleEndian, **WINDOW)
    assert read(path)[1].array.max() == 0
    head = path.read_bytes()[: path.read_bytes().index(b"1.2.840.10008.1.2.1.99") + 22]
    length = int.from_bytes(head[140:144], "little")
    meta = path.read_bytes()[: 144 + length]
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join([*(press.compress(bytes(2**20)) for _ in range(64)), press.flush()])
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(meta + body)
    monkeypatch.setattr(zlib, "decompress", lambda *_: pytest.fail("inflated without a bound"))
    assert len(body) < 2**17
    assert "limit is 8 MiB" in refusal(read, bomb, max_decoded_mib=8)


def test_jpeg2000_that_is_larger_than_its_header_says(read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "p.dcm", ramp, **WINDOW)
    dataset = pydicom.dcmread(path)
    dataset.compress(JPEG2000Lossless)
    data = bytearray(dataset.PixelData)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = (60000).to_bytes(4, "big") * 2
    dataset.PixelData = bytes(data)
    dataset.save_as(tmp_path / "lie.dcm")
    assert "compressed pixels have another size" in refusal(read, tmp_path / "lie.dcm")


@pytest.mark.parametrize(
    ("elements", "reading", "words"),
    [
        ({"WindowCenter": 1, "WindowWidth": 0.5}, {}, "window is not valid"),
        ({"WindowCenter": 1, "WindowWidth": 10, "VOILUTFunction": "CUBIC"}, {}, "unknown function"),
        (WINDOW, {"voi_index": 2}, "voi_index is 2"),
        ({}, {"voi_index": 1}, "no window"),
        (WINDOW, {"output": "hu"}, "no CT"),
        (WINDOW, {"frame": 1}, "1 frame"),
        (WINDOW | {"PerFrameFunctionalGroupsSequence": []}, {}, "functional groups"),
        (WINDOW | {"PresentationLUTSequence": [Dataset()]}, {}, "presentation LUT"),
        (WINDOW | {"PhotometricInterpretation": "CMYK"}, {}, "CMYK"),
    ],
)
def test_headers_that_are_refused(elements, reading, words, read, ramp, make_dicom, tmp_path):
    assert words in refusal(read, make_dicom(tmp_path / "h.dcm", ramp, **elements), **reading)


def test_constant_image_without_a_window(read, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "c.dcm", np.full((4, 4), 7, np.uint16))
    assert "same value" in refusal(read, path)
    assert read(path, window=(7, 10))[1].array.shape == (1, 4, 4)


def test_sample_carries_the_allow_list_only(read, ramp, make_dicom, tmp_path, secrets):
    path = make_dicom(
        tmp_path / "a.dcm", ramp, **WINDOW, PatientAge="093Y", PatientSex="F", ViewPosition="AP", BodyPartExamined="CHEST",
        StudyDescription="Brightwater follow-up", ImagerPixelSpacing=[0.2, 0.1],
    )  # fmt: skip
    sample, _ = read(path)
    assert dict(sample.meta) == {
        "modality": "CR", "photometric": "MONOCHROME2", "body_part": "CHEST", "view": "AP", "sex": "F", "age_band": "90+",
    }  # fmt: skip
    assert sample.spacing == Spacing((0.2, 0.1), "mm", "ImagerPixelSpacing")
    assert sample.group == sample.ids["patient"] == "PID-7734519" and list(sample.ids) == ["patient", "study", "series"]
    assert sample.time is None and sample.key == "file" and sample.sensor == "CR"
    shown = repr((sample.meta, sample.key, sample.labels, sample.captions, sample.sensor))
    assert not any(secret in shown for secret in secrets)


def test_names_in_coded_fields_are_left_out(read, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "n.dcm", ramp, **WINDOW, BodyPartExamined="BRIGHTWATER", ViewPosition="CORDELIA", PatientSex="F?")
    assert set(read(path)[0].meta) == {"modality", "photometric"}


def test_owner_wins_over_the_file(radiology, ramp, make_dicom, tmp_path):
    path = make_dicom(tmp_path / "o.dcm", ramp, **WINDOW, PixelSpacing=[1, 1])
    own = Spacing((0.5, 0.5), "mm", "manifest")
    item = SourceItem(path, "n", group="g7", ids={"patient": "p7"}, spacing=own, labels={"finding": "x"}, split="val")
    (sample,) = radiology.samples(item, radiology.reading_model())
    assert (sample.group, sample.ids["patient"], sample.spacing, sample.split) == ("g7", "p7", own, "val")
    copy = pickle.loads(pickle.dumps(sample))
    assert np.array_equal(copy.read().array, sample.read().array)


def test_nothing_of_the_person_in_inspect_errors_or_logs(radiology, ramp, make_dicom, tmp_path, secrets, caplog, capfd, recwarn):
    path = make_dicom(tmp_path / "i.dcm", ramp, **WINDOW, NumberOfFrames="1")
    caplog.clear(), recwarn.clear(), capfd.readouterr()  # pydicom's writer has its say about the age
    with caplog.at_level(logging.DEBUG):
        seen = radiology.inspect(path)
        # pydicom warns of a number that is none, and quotes it.
        wrong = make_dicom(tmp_path / "w.dcm", ramp, **WINDOW, NumberOfFrames="1" * 12).read_bytes()
        broken = tmp_path / "broken.dcm"
        broken.write_bytes(wrong.replace(b"1" * 12, b"Brightwater1"))
        with pytest.raises(UnreadableFileError) as error:
            next(radiology.samples(SourceItem(broken, "n"), radiology.reading_model())).read()
    assert seen.group == keyed_hash("PID-7734519", owner_key())
    text = repr(seen) + str(error.value) + caplog.text + "".join(capfd.readouterr()) + "".join(str(w.message) for w in recwarn)
    assert not any(secret in text for secret in secrets)


def test_sentences_with_the_header_s_names_leave_the_owner_s_captions(tmp_path, radiology, make_dicom, ramp):
    path = make_dicom(tmp_path / "a.dcm", ramp, ReferringPhysicianName="Ostrowski^Ian")
    dataset = pydicom.dcmread(path)
    inner = Dataset()
    inner.RequestingPhysician = "Hollowell^Tess"
    dataset.RequestAttributesSequence = [inner]
    dataset.save_as(path)
    captions = (
        Caption("Clear lungs. BRIGHTWATER could not stand.", "en"),
        Caption("Seen by ostrowski.", "en"),
        Caption("Ok. Hollowell asked.", "en"),
    )
    (sample,) = radiology.samples(SourceItem(path, "file", captions=captions), radiology.reading_model())
    assert [caption.text for caption in sample.captions] == ["Clear lungs.", "Ok."]
    assert sample.meta["sentences_with_name_dropped"] == 3


@pytest.mark.parametrize(
    ("age", "band"),
    [("089Y", "80-89"), ("090Y", "90+"), ("120Y", "90+"), ("005D", "0-9"), ("018M", "0-9"), ("9Y", None), ("", None)],
)
def test_ages_from_90_on_are_one_band(age, band):
    # 45 CFR 164.514(b)(2)(i)(C): all ages over 89 are one category of 90 or older.
    from domainclip.domains.radiology.header import age_band

    assert age_band(age) == band
