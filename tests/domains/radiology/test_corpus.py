"""Every file that pydicom ships, and of its package pydicom-data where that is there: read and equal, or refused for a reason."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom_oracle import pydicom_display

from domainclip.domains.radiology.dicom import decode_frame
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem

HERE = Path(__file__).parent / "corpus"
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
OUTCOMES = {part: dict(rows) for part, rows in yaml.safe_load((HERE / "outcomes.yaml").read_text()).items()}
DECODED = json.loads((HERE / "decoded.json").read_text())
LOSSY_12 = {"JPGExtended.dcm"}  # libjpeg and libjpeg-turbo round differently, by one.
# What a policy's reason says, and the option that lifts it.
POLICIES = {
    "frame": ("reading.frame", {"frame": 0}),
    "burned": ("reading.allow_burned_in", {"allow_burned_in": True}),
    "colour": ("reading.colour", {"colour": "rgb"}),
}
REFUSALS = {
    "no picture": "It holds no picture",
    "not an image file": "",
    "no preamble": "no DICOM preamble",
    "cut short": "cut short",
    "codestream": "compressed pixels have another size",
}


def extra_folder():
    """Returns the folder of pydicom-data: installed, or unpacked where DOMAINCLIP_PYDICOM_DATA says."""
    if told := os.environ.get("DOMAINCLIP_PYDICOM_DATA"):
        return Path(told)
    spec = importlib.util.find_spec("data_store")
    return Path(spec.origin).parent / "data" if spec and spec.origin else None


EXTRA = extra_folder()
ALL = [(SHIPPED, name) for name in OUTCOMES["shipped"]] + [(EXTRA, name) for name in OUTCOMES["pydicom-data"]]


def ends(outcome):
    return outcome.split(" > ")[-1]


def read_as(radiology, path, options):
    (sample,) = radiology.samples(SourceItem(path, "file"), radiology.reading_model(**options))
    return sample, sample.read()


def test_the_table_names_every_shipped_file():
    assert sorted(OUTCOMES["shipped"]) == sorted(p.relative_to(SHIPPED).as_posix() for p in SHIPPED.rglob("*") if p.is_file())
    for name, outcome in (OUTCOMES["shipped"] | OUTCOMES["pydicom-data"]).items():
        accepted = ends(outcome) == "read"
        assert accepted or ends(outcome) in REFUSALS, name
        if name in DECODED and not accepted:
            # What pydicom decodes and is refused is no picture: masks and doses.
            dataset = pydicom.dcmread((SHIPPED if name in OUTCOMES["shipped"] else EXTRA) / name) if EXTRA else None
            assert ends(outcome) == "no picture" and (dataset is None or dataset.Modality in {"SEG", "RTDOSE"}), name
        # The one file that only we decode is a damaged copy of JPGExtended.dcm.
        assert not accepted or name in DECODED or name == "JPEG-lossy.dcm"


@pytest.mark.parametrize(("folder", "name"), ALL, ids=[name for _, name in ALL])
def test_every_file_is_a_sample_or_refused(folder, name, radiology, recwarn, caplog, capfd):
    if folder is None or not (folder / name).is_file():
        pytest.skip("pydicom-data is not installed; set DOMAINCLIP_PYDICOM_DATA to its folder data_store/data")
    *policies, end = (OUTCOMES["shipped"] | OUTCOMES["pydicom-data"])[name].split(" > ")
    path, options = folder / name, {}
    if end == "not an image file":
        assert not radiology.recognises(path)
        return
    assert radiology.recognises(path)
    recwarn.clear(), caplog.clear(), capfd.readouterr()
    for policy in policies:
        words, lifts = POLICIES[policy]
        with pytest.raises(UnreadableFileError) as error:
            read_as(radiology, path, options)
        assert words in error.value.remedy, error.value
        options |= lifts
    got = None
    if end == "read":
        got = read_as(radiology, path, options)
    else:
        with pytest.raises(UnreadableFileError) as error:
            read_as(radiology, path, options)
        assert REFUSALS[end] in error.value.found and error.value.remedy.endswith((".", ")"))
    assert not recwarn.list and not caplog.text and capfd.readouterr() == ("", "")
    if got is not None:
        compare(path, name, *got)


def compare(path, name, sample, pixels):
    """Stored numbers against pydicom with all its plug-ins, display values against pydicom's functions on these numbers."""
    dataset = pydicom.dcmread(path)
    stored = decode_frame(dataset, 0)
    if name in DECODED:
        seen = DECODED[name]
        assert (list(stored.shape), stored.dtype.newbyteorder("=").name) == (seen["shape"], seen["dtype"])
        for number, frame in ((0, "first"), (seen["frames"] - 1, "last")):
            assert_equals_oracle(name, dataset, number, seen[frame])
    if sample.values.kind == "srgb":
        if dataset.PhotometricInterpretation.startswith("MONOCHROME"):
            return  # A supplemental palette, which pydicom does not apply; test_colour.py has it.
        expected = apply_color_lut(stored, with_native_tables(dataset)) if stored.ndim == 2 else stored
        white = 2.0 ** (8 * expected.dtype.itemsize) - 1
        np.testing.assert_allclose(np.moveaxis(pixels.array * sample.values.scale, 0, -1), expected / white, rtol=1e-6)
        return
    assert sample.channels == ("MONOCHROME2",) and pixels.array.shape == (1, *stored.shape)
    np.testing.assert_allclose(pixels.array[0], pydicom_display(dataset, stored), atol=3e-7)


def assert_equals_oracle(name, dataset, number, seen):
    frame = decode_frame(dataset, number)
    plain = np.ascontiguousarray(frame.astype(frame.dtype.newbyteorder("<")))
    if dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50":
        # Lossy, by the Pillow of this environment: equal to what pydicom makes of it here.
        assert np.array_equal(frame, pixel_array(dataset, index=number))
        return
    if name in LOSSY_12:
        picked = plain.ravel()[np.linspace(0, plain.size - 1, 16).astype(int)].astype(int)
        assert np.abs(picked - seen["picked"]).max() <= 1
        return
    assert hashlib.sha256(plain.tobytes()).hexdigest() == seen["sha256"]


def with_native_tables(dataset):
    """Swaps the tables of a big-endian file, which pydicom's apply_color_lut reads in the machine's byte order."""
    if dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2" and "RedPaletteColorLookupTableData" in dataset:
        for colour in ("Red", "Green", "Blue"):
            element = dataset[f"{colour}PaletteColorLookupTableData"]
            element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
    return dataset
