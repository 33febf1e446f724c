"""Damaged NIfTI files: refused with a reason, or read as nibabel reads them; never a crash, never another number."""

import gzip
import struct
import warnings

import nibabel
import numpy as np
import pytest
from test_nifti import saved

from domainclip.errors import UnreadableFileError

MUTANTS = 400
FIELDS = {  # offset and kind of the fields of a NIfTI-1 header that say where numbers lie and what they mean
    "sizeof_hdr": (0, "i"), "dim": (40, "8h"), "intent": (56, "3f"), "datatype": (70, "h"), "bitpix": (72, "h"),
    "pixdim": (76, "8f"), "vox_offset": (108, "f"), "slope": (112, "2f"), "xyzt": (123, "B"), "cal": (124, "2f"),
    "codes": (252, "2h"), "quaternion": (256, "6f"), "srow": (280, "12f"), "magic": (344, "4B"),
}  # fmt: skip
ODD = (0, 1, -1, 2, 7, 348, 32767, -32768, float("nan"), float("inf"), -float("inf"), 1e30, 1e-30, 0.5)


def mutant(whole, number):
    """The n-th: cuts, bytes at random, fields with odd numbers; every third one compressed afterwards or before."""
    draw = np.random.default_rng(number)
    data = bytearray(whole)
    if number < 10:
        data = data[: len(data) * number // 10]
    elif number % 3 == 0:
        for _ in range(1 + int(draw.integers(8))):
            data[int(draw.integers(len(data)))] = int(draw.integers(256))
    else:
        offset, kind = FIELDS[list(FIELDS)[int(draw.integers(len(FIELDS)))]]
        values = list(struct.unpack_from(f"<{kind}", data, offset))
        place = int(draw.integers(len(values)))
        odd = ODD[int(draw.integers(len(ODD)))]
        try:
            values[place] = odd if kind.endswith("f") else int(odd)
            struct.pack_into(f"<{kind}", data, offset, *values)
        except (struct.error, ValueError, OverflowError):
            data[offset] ^= 0xFF
    if number % 5 == 0:
        packed = bytearray(gzip.compress(bytes(data), mtime=0))
        if number % 2:
            packed[int(draw.integers(len(packed)))] ^= 0xFF
        return bytes(packed), ".nii.gz"
    return bytes(data), ".nii"


def by_nibabel(path, sample):
    """(Z, Y, X) numbers as nibabel reads and turns them, or None where it does not read the file."""
    from domainclip.domains.radiology.grid import AXIS_CODES

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nibabel.load(path)
            data = np.asarray(image.dataobj, np.float64)
            while data.ndim > 3 and data.shape[-1] == 1:
                data = data[..., 0]
            if sample.meta["plane"] == "unknown":
                return data.reshape(*data.shape, *(1,) * (3 - data.ndim)).transpose(2, 1, 0)
            turn = nibabel.orientations.ornt_transform(
                nibabel.orientations.io_orientation(image.affine),
                nibabel.orientations.axcodes2ornt(AXIS_CODES[sample.meta["plane"]]),
            )
            return nibabel.orientations.apply_orientation(data, turn).transpose(2, 1, 0)
    except Exception:  # what nibabel does not read, nobody can compare
        return None


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_mutants(radiology, read, tmp_path, kind):
    numbers = np.random.default_rng(0).permutation(5 * 6 * 7).reshape(5, 6, 7).astype(np.int16)
    whole = saved(tmp_path / "seed.nii", numbers, "PIL", kind=kind).read_bytes()
    outcomes = {"equal": 0, "read, not by nibabel": 0, "refused": 0}
    for number in range(MUTANTS):
        data, suffix = mutant(whole, number)
        path = tmp_path / f"Doe_Jane{suffix}"
        path.write_bytes(data)
        try:
            sample, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu", max_decoded_mib=64)
        except UnreadableFileError as error:
            assert all((error.asked, error.found, error.remedy)), number
            assert "Doe" not in str(error), number
            outcomes["refused"] += 1
            continue
        radiology.inspect(path)
        assert pixels.array.shape[1:] == pixels.masks.get("nodata", pixels.array[0]).shape
        theirs = by_nibabel(path, sample)
        if theirs is None:
            outcomes["read, not by nibabel"] += 1
            continue
        finite = np.isfinite(theirs.astype(np.float32))
        assert np.array_equal(pixels.array[0][finite], theirs.astype(np.float32)[finite]), number
        assert pixels.masks.get("nodata", np.zeros(finite.shape, bool)).sum() == (~finite).sum(), number
        outcomes["equal"] += 1
    assert outcomes["equal"] > MUTANTS / 5, outcomes
    assert outcomes["refused"] > MUTANTS / 5, outcomes
