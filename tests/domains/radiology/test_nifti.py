"""NIfTI: numbers as nibabel reads them, planes as radiologists look at them, and broken files."""

import gzip

import nibabel
import numpy as np
import pytest

from domainclip.domains.radiology.grid import AXIS_CODES
from domainclip.errors import UnreadableFileError

WINDOW = {"axes": "CZYX", "window": [50, 100]}


@pytest.fixture
def numbers():
    """(X, Y, Z) int16, every number once."""
    return np.random.default_rng(0).permutation(5 * 6 * 7).reshape(5, 6, 7).astype(np.int16)


def saved(path, numbers, codes="RAS", spacing=(1.0, 1.5, 4.0), kind=nibabel.Nifti1Image, unit="mm", **header):
    """Writes a file whose voxel axes lead where ``codes`` say."""
    turn = nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)),
        numbers.shape[:3],
    )
    affine = turn @ np.eye(4)
    affine[:3, :3] = affine[:3, :3] * np.array(spacing)
    image = kind(numbers, affine)
    image.header.set_xyzt_units(unit, "sec")
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def test_the_numbers_are_those_of_nibabel(read, numbers, tmp_path):
    for suffix in (".nii", ".nii.gz"):
        for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
            path = saved(tmp_path / f"a{suffix}", numbers, "LPS", kind=kind)
            sample, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu")
            assert np.array_equal(pixels.array[0], nibabel.load(path).get_fdata().transpose(2, 1, 0))
            assert sample.spacing.values == (4.0, 1.5, 1.0)
            assert (sample.spacing.unit, sample.spacing.source) == ("mm", "pixdim")


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIL", "RSA", "ASL", "SPR"])
@pytest.mark.parametrize("slices", [0, 1, 2])
def test_slices_lie_as_radiologists_look_at_them(read, numbers, tmp_path, codes, slices):
    spacing = [1.0, 1.0, 1.0]
    spacing[slices] = 5.0
    path = saved(tmp_path / "a.nii", numbers, codes, spacing)
    sample, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu")
    plane = {"L": "sagittal", "R": "sagittal", "A": "coronal", "P": "coronal", "S": "axial", "I": "axial"}[codes[slices]]
    assert sample.meta["plane"] == plane
    assert sample.spacing.values == (5.0, 1.0, 1.0)
    image = nibabel.load(path)
    change = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(AXIS_CODES[plane])
    )
    assert np.array_equal(pixels.array[0], image.as_reoriented(change).get_fdata().transpose(2, 1, 0))


def test_slope_and_intercept_and_the_window_of_the_header(read, numbers, tmp_path):
    path = saved(tmp_path / "a.nii", numbers, "LPS", cal_min=20, cal_max=120)
    image = nibabel.load(path)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([2.0, -10.0], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(data)
    assert image is not None
    _, pixels = read(path, axes="CZYX")
    by_hand = np.clip((numbers * 2.0 - 10.0 - 20.0) / 100.0, 0, 1).transpose(2, 1, 0)
    assert pixels.array[0] == pytest.approx(by_hand, abs=1e-6)


def test_without_a_window_the_whole_volume_is_stretched(read, numbers, tmp_path):
    path = saved(tmp_path / "a.nii", numbers, "LPS")
    _, pixels = read(path, axes="CZYX")
    assert pixels.array[0] == pytest.approx(numbers.transpose(2, 1, 0) / 209, abs=1e-6)


def test_hounsfield_units_must_be_said(read, numbers, tmp_path):
    path = saved(tmp_path / "a.nii", numbers)
    for asked in ({"output": "hu"}, {"window": "lung"}):
        with pytest.raises(UnreadableFileError, match="does not say what its numbers mean") as refused:
            read(path, axes="CZYX", **asked)
        assert "reading.nifti_values=hu" in refused.value.remedy
    _, lung = read(path, axes="CZYX", window="lung", nifti_values="hu")
    assert lung.array.min() > 0  # 0 HU and above is bright in a lung window
    with pytest.raises(UnreadableFileError, match="no windows by name"):
        read(path, axes="CZYX", window="file:LUNG")


def test_one_of_several_volumes_in_time(read, tmp_path):
    numbers = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    path = saved(tmp_path / "a.nii.gz", numbers, "LPS", spacing=(1, 1, 3))
    with pytest.raises(UnreadableFileError, match="5 volumes in time"):
        read(path, **WINDOW)
    _, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu", frame=3)
    assert np.array_equal(pixels.array[0], numbers[..., 3].transpose(2, 1, 0))
    with pytest.raises(UnreadableFileError, match="the file has 5"):
        read(path, frame=5, **WINDOW)
    with pytest.raises(UnreadableFileError, match="4 slices and 5 moments"):
        read(path, axes="TCYX")


def test_one_slice_in_time(read, tmp_path):
    numbers = np.arange(2 * 3 * 1 * 5, dtype=np.float32).reshape(2, 3, 1, 5)
    path = saved(tmp_path / "a.nii", numbers, "LPS")
    sample, pixels = read(path, axes="TCYX", output="hu", nifti_values="hu")
    assert np.array_equal(pixels.array[:, 0], numbers[:, :, 0].transpose(2, 1, 0))
    assert sample.spacing.values == (1.5, 1.0)


def test_halves_of_pairs_are_told_for_what_they_are(radiology, numbers, tmp_path):
    from domainclip.domains.folder import list_folder

    nibabel.save(nibabel.Nifti1Pair(numbers, np.eye(4)), tmp_path / "a.img")
    nibabel.save(nibabel.AnalyzeImage(numbers, np.eye(4)), tmp_path / "b.img")
    (tmp_path / "envi.hdr").write_text("ENVI\nsamples = 5\n")
    told = {path.name: reason for path, reason in list_folder(tmp_path, radiology).rejected}
    assert all("save both as one NIfTI file" in told[name] for name in ("a.hdr", "b.hdr"))
    assert "NIfTI" not in told["envi.hdr"]


def test_the_limit_holds_for_all_moments_together(read, tmp_path):
    numbers = np.zeros((64, 64, 1, 40), np.float32)
    path = saved(tmp_path / "a.nii", numbers, "LPS", cal_max=1)
    assert read(path, axes="TCYX", max_decoded_mib=0.7)[1].array.shape == (40, 1, 64, 64)
    with pytest.raises(UnreadableFileError, match=r"limit is 0\.5 MiB"):
        read(path, axes="TCYX", max_decoded_mib=0.5)[1]


def test_what_is_no_number_is_masked(read, tmp_path):
    numbers = np.ones((3, 4, 5), np.float32)
    numbers[0, 0, 0], numbers[1, 0, 0], numbers[2, 3, 4] = np.nan, np.inf, 7
    path = saved(tmp_path / "a.nii", numbers, "LPS")
    _, pixels = read(path, axes="CZYX")
    assert pixels.masks["nodata"].sum() == 2
    assert pixels.masks["nodata"][0, 0, :2].all()
    assert np.isfinite(pixels.array).all()


def test_units_and_orientation_that_are_not_stated_are_told(read, radiology, numbers, tmp_path):
    path = saved(tmp_path / "a.nii", numbers, "LPS", spacing=(1e-3, 1e-3, 5e-3), unit="meter")
    assert read(path, **WINDOW)[0].spacing.values == pytest.approx((5.0, 1.0, 1.0))
    path = saved(tmp_path / "b.nii", numbers, "LPS", unit="unknown")
    assert "not stated" in read(path, **WINDOW)[0].spacing.source
    path = saved(tmp_path / "c.nii", numbers, "LPS")
    path.write_bytes(broken(path.read_bytes(), 252, bytes(4)))  # qform_code and sform_code
    sample, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu")
    assert sample.meta["plane"] == "unknown"
    assert np.array_equal(pixels.array[0], numbers.transpose(2, 1, 0))
    with pytest.raises(UnreadableFileError, match="how it lies in the patient"):
        read(path, plane="axial", **WINDOW)
    assert any(line.startswith("Orientation") for line in radiology.inspect(path).missing)


def test_stride_and_plane(read, numbers, tmp_path):
    path = saved(tmp_path / "a.nii", numbers, "LPS")
    sample, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu", stride=3)
    assert np.array_equal(pixels.array[0], numbers[..., ::3].transpose(2, 1, 0))
    assert sample.spacing.values[0] == 12.0
    sample, pixels = read(path, axes="CZYX", output="hu", nifti_values="hu", stride=3, plane="coronal")
    assert sample.spacing.values == (1.5, 12.0, 1.0)
    assert pixels.array.shape == (1, 6, 3, 5)


def test_inspect_tells_what_is_missing(radiology, numbers, tmp_path):
    path = saved(tmp_path / "a.nii.gz", numbers, "LPS", descrip=b"Brightwater^Cordelia", aux_file=b"PID-7734519")
    seen = radiology.inspect(path)
    assert (seen.width, seen.height, seen.details["slices"], seen.details["plane"]) == (5, 6, 7, "axial")
    assert seen.range == {"minimum": 0, "maximum": 209, "pixels": 210}
    assert "Brightwater" not in str(seen)
    assert "PID-7734519" not in str(seen)
    assert any("reading.nifti_values=hu" in line for line in seen.missing)


def test_as_a_picture_it_is_refused(read, numbers, tmp_path):
    with pytest.raises(UnreadableFileError, match="is a volume") as refused:
        read(saved(tmp_path / "a.nii", numbers))
    assert "reading.axes=CZYX" in refused.value.remedy


def broken(whole, offset, value):
    data = bytearray(whole)
    data[offset : offset + len(value)] = value
    return bytes(data)


def test_broken_files(read, numbers, tmp_path):
    whole = saved(tmp_path / "a.nii", numbers).read_bytes()
    small = lambda *sizes: np.array(sizes, "<i2").tobytes()  # noqa: E731
    cases = {
        "cut": (whole[:-1], "cut short"),
        "head only": (whole[:200], "lacks the mark"),
        "60,000 cubed": (broken(whole, 40, small(3, 30000, 30000, 30000)), "MiB; the limit"),
        "negative size": (broken(whole, 40, small(3, -5, 6, 7)), "no volume|failed"),
        "seven axes": (broken(whole, 40, small(7, 2, 2, 2, 2, 2, 2, 2)), "no volume"),
        "no axes": (broken(whole, 40, small(0)), "no volume|failed"),
        "complex": (broken(whole, 70, small(32, 64)), "colours or complex"),
        "unknown type": (broken(whole, 70, small(9999)), "failed"),
        "far away": (broken(whole, 108, np.array([1e30], "<f4").tobytes()), "at no place"),
        "nowhere": (broken(whole, 108, np.array([np.nan], "<f4").tobytes()), "at no place"),
        "no pixel size": (broken(whole, 80, np.array([0, np.nan, 0], "<f4").tobytes()), "pixel size|failed|usable"),
        "a pair": (broken(whole, 344, b"ni1\0"), "one half of a pair"),
        "gzip of noise": (b"\x1f\x8b\x08" + bytes(range(200)), "damaged"),
        "gzip cut": (gzip.compress(whole)[:-20], "damaged|cut short"),
    }
    for name, (data, words) in cases.items():
        path = tmp_path / f"Doe_{name[:3]}.nii"
        path.write_bytes(data)
        with pytest.raises(UnreadableFileError, match=words) as refused:
            read(path, **WINDOW)
        assert "Doe" not in str(refused.value), name


def test_a_bomb_is_not_inflated(read, numbers, tmp_path):
    # 4 GiB of zeros behind the header: only what the header promises is inflated.
    whole = saved(tmp_path / "a.nii", numbers, "LPS").read_bytes()
    packed = gzip.compress(bytes(2**28))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(whole) + packed * 16)
    _, pixels = read(tmp_path / "b.nii.gz", axes="CZYX", output="hu", nifti_values="hu")
    assert np.array_equal(pixels.array[0], numbers.transpose(2, 1, 0))
