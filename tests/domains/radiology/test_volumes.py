"""Series to volumes: order, spacing, tilt, planes, gaps, windows. Voxels are checked against their place in the patient."""

import math
from pathlib import Path

import numpy as np
import pytest
from made_series import AXIAL, CORONAL, SAGITTAL, SLOPES, make_series, number_at, points_of

from domainclip.domains.base import gathered_files
from domainclip.domains.folder import list_folder
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem


@pytest.fixture
def series(radiology):
    """Reads the samples of the one series of a folder: [(sample, pixels)]."""

    def read(folder, **reading):
        options = radiology.reading_model(**({"axes": "CZYX", "output": "hu"} | reading))
        listing = list_folder(folder, radiology, options)
        assert len(listing.files) == 1
        path = listing.files[0]
        item = SourceItem(path, "series", members=tuple(listing.members.get(path, ())))
        return [(sample, sample.read()) for sample in radiology.samples(item, options)]

    return read


@pytest.fixture
def several(radiology):
    """Returns the samples of the one series of a folder, unread."""

    def samples(folder, **reading):
        options = radiology.reading_model(**({"axes": "CZYX", "output": "hu"} | reading))
        listing = list_folder(folder, radiology, options)
        (path,) = listing.files
        return list(radiology.samples(SourceItem(path, "series", members=tuple(listing.members[path])), options))

    return samples


def places(count, step=(0, 0, 3.0), start=(-10, 20, -40)):
    return [tuple(np.array(start) + number * np.array(step)) for number in range(count)]


def expected(positions, orientation, spacing=(2.0, 1.5), shape=(6, 8)):
    return np.stack([number_at(points_of(one, orientation, spacing, shape)) for one in positions]).astype(np.float32) - 1000


def test_slices_are_sorted_by_place_and_not_by_number_or_name(series, make_dicom, tmp_path):
    # MONAI's PydicomReader sorts by InstanceNumber, which is shuffled here; so are the names.
    positions = places(7)
    make_series(make_dicom, tmp_path / "ct", positions)
    ((sample, pixels),) = series(tmp_path / "ct")
    assert sample.axes == "CZYX"
    assert sample.spacing.values == pytest.approx((3.0, 2.0, 1.5))
    assert np.array_equal(pixels.array[0], expected(positions, AXIAL))
    assert sample.meta["slices"] == 7
    assert sample.meta["plane"] == "axial"


@pytest.mark.parametrize(
    ("orientation", "step", "plane"),
    [(AXIAL, (0, 0, -3), "axial"), (CORONAL, (0, -3, 0), "coronal"), (SAGITTAL, (-3, 0, 0), "sagittal")],
)
def test_slices_lead_to_the_head_the_back_and_the_left(series, make_dicom, tmp_path, orientation, step, plane):
    positions = places(5, step)
    make_series(make_dicom, tmp_path / "ct", positions, orientation)
    ((sample, pixels),) = series(tmp_path / "ct")
    assert sample.meta["plane"] == plane
    assert np.array_equal(pixels.array[0], expected(positions[::-1], orientation))


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_planes(series, make_dicom, tmp_path, orientation, plane):
    # Whatever the acquired plane: axial rows lead to the back and slices to the head, coronal and sagittal rows to the feet.
    normal = np.cross(orientation[:3], orientation[3:])
    positions = places(5, tuple(3.0 * normal))
    make_series(make_dicom, tmp_path / "ct", positions, orientation)
    ((sample, pixels),) = series(tmp_path / "ct", plane=plane)
    left, back, head = SLOPES
    slopes = {"axial": (head, back, left), "coronal": (back, -head, left), "sagittal": (left, -head, back)}[plane]
    for axis, (slope, size) in enumerate(zip(slopes, sample.spacing.values, strict=True)):
        assert np.diff(pixels.array[0], axis=axis) == pytest.approx(slope * size), axis
    corners = np.concatenate([points_of(one, orientation, (2.0, 1.5), (6, 8)).reshape(-1, 3) for one in positions])
    assert sorted(pixels.array.ravel()) == sorted(number_at(corners).astype(float) - 1000)


def test_the_turn_is_that_of_monai(rng_volume):
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Orientation

    from domainclip.domains.radiology.grid import AXIS_CODES, Grid, turned

    array, affine = rng_volume
    for codes in AXIS_CODES.values():
        ours = turned(Grid(array, None, affine), codes)
        ras = np.diag([-1.0, -1, 1, 1]) @ affine
        tensor = MetaTensor(torch.from_numpy(array.transpose(2, 1, 0).copy())[None], affine=torch.from_numpy(ras))
        theirs = Orientation(axcodes=codes, labels=(("L", "R"), ("P", "A"), ("I", "S")))(tensor)
        assert np.array_equal(ours.array, theirs.numpy()[0].transpose(2, 1, 0))
        assert ours.affine == pytest.approx(np.diag([-1.0, -1, 1, 1]) @ theirs.affine.numpy())


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 0.7), (0.3, 4.0, 2.5)])
def test_the_resampling_is_that_of_monai(rng_volume, spacing):
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    from domainclip.domains.radiology import grid as grids

    array, affine = rng_volume
    ours = grids.resampled(grids.Grid(array, None, affine), spacing, 512.0)
    ras = np.diag([-1.0, -1, 1, 1]) @ affine
    tensor = MetaTensor(torch.from_numpy(array.transpose(2, 1, 0).copy())[None], affine=torch.from_numpy(ras))
    theirs = Spacing(pixdim=spacing[::-1], mode="bilinear", padding_mode="border")(tensor)
    assert ours.array.shape == theirs.shape[:0:-1]
    assert ours.array == pytest.approx(theirs.numpy()[0].transpose(2, 1, 0), abs=1e-4)
    assert ours.affine == pytest.approx(np.diag([-1.0, -1, 1, 1]) @ theirs.affine.numpy())
    assert ours.spacing == pytest.approx(spacing)


@pytest.fixture
def rng_volume():
    affine = np.array([[0.1, 0.2, 2.9, -10], [-1.5, 0.1, 0.2, 30], [0.05, -2.0, 0.1, 5], [0, 0, 0, 1.0]])
    return np.random.default_rng(0).normal(size=(12, 5, 6)).astype(np.float32), affine


def test_a_regular_axial_series_is_that_of_monais_reader(series, make_dicom, tmp_path):
    # Where instance numbers follow the places, MONAI reads the same numbers, and an affine with the same corners.
    from monai.data import PydicomReader

    files = make_series(make_dicom, tmp_path / "ct", places(6))
    import pydicom

    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = number + 1
        dataset.save_as(path)
    reader = PydicomReader()
    array, meta = reader.get_data(reader.read(str(tmp_path / "ct")))
    ((sample, pixels),) = series(tmp_path / "ct")
    assert np.array_equal(pixels.array[0], array.transpose(2, 1, 0))
    assert sample.spacing.values[::-1] == pytest.approx(np.linalg.norm(np.asarray(meta["affine"])[:3, :3], axis=0))


def test_a_tilted_gantry_is_noted_and_straightened(series, make_dicom, tmp_path):
    # Head CT: planes tilted by 15 degrees about x, table moving along z: each plane is shifted within itself.
    tilt = math.radians(15)
    orientation = (1, 0, 0, 0, math.cos(tilt), math.sin(tilt))
    positions = places(12, (0, 0, 4.0))
    make_series(make_dicom, tmp_path / "ct", positions, orientation, spacing=(1.0, 1.0), shape=(40, 8))
    ((sample, pixels),) = series(tmp_path / "ct")
    assert sample.meta["gantry_tilt_degrees"] == pytest.approx(15, abs=0.01)
    assert sample.spacing.values[0] == pytest.approx(4 * math.cos(tilt))  # of the planes, not of the table
    assert np.array_equal(pixels.array[0], expected(positions, orientation, (1.0, 1.0), (40, 8)))
    ((straight, after),) = series(tmp_path / "ct", spacing_mm=[2.0, 1.0, 1.0])
    inside = ~after.masks["nodata"]
    assert 0.5 < inside.mean() < 1.0
    # number_at along the normal and along the tilted rows, by hand: the grid has right angles now.
    down, normal = np.array(orientation[3:]), np.cross(orientation[:3], orientation[3:])
    for axis, expect in ((0, 2.0 * SLOPES @ normal), (1, SLOPES @ down), (2, SLOPES[0])):
        steps, both = np.diff(after.array[0], axis=axis), inside
        both = np.take(inside, range(1, inside.shape[axis]), axis) & np.take(inside, range(inside.shape[axis] - 1), axis)
        steps = np.where(both, steps, np.nan)
        core = steps[2:-2, 4:-4, 1:-1]
        assert np.nanmedian(core) == pytest.approx(expect, abs=0.6), axis
    assert straight.spacing.values == (2.0, 1.0, 1.0)
    assert straight.meta["gantry_tilt_degrees"] == pytest.approx(15, abs=0.01)


def test_resampling_keeps_numbers_at_their_places(series, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "ct", places(9))
    ((_, pixels),) = series(tmp_path / "ct", spacing_mm=[1.5, 1.0, 0.75])
    z, y, x = np.mgrid[: pixels.array.shape[1], : pixels.array.shape[2], : pixels.array.shape[3]]
    by_hand = 1000 + SLOPES[0] * (-10 + 0.75 * x) + SLOPES[1] * (20 + y) + SLOPES[2] * (-40 + 1.5 * z)
    inside = ~pixels.masks.get("nodata", np.zeros(x.shape, bool))
    assert inside.mean() > 0.8
    assert np.abs(pixels.array[0] - by_hand)[inside].max() <= 1.0  # rounding of the stored integers, and MONAI's own


@pytest.mark.parametrize("gap", [1, 3])
def test_missing_slices_are_refused_or_interpolated(series, make_dicom, tmp_path, gap):
    positions = places(10)
    kept = positions[:4] + positions[4 + gap :]
    make_series(make_dicom, tmp_path / "ct", kept)
    with pytest.raises(UnreadableFileError, match=f"Slices are missing: in 1 places, about {gap} in all") as refused:
        series(tmp_path / "ct")
    assert "interpolate" in refused.value.remedy
    ((sample, pixels),) = series(tmp_path / "ct", gaps="interpolate")
    assert sample.meta["slices_interpolated"] == gap
    assert sample.meta["slices"] == 10
    assert np.abs(pixels.array[0] - expected(positions, AXIAL)).max() <= 1  # the function is linear, its numbers are rounded


def test_uneven_slices_are_refused(series, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "ct", [(0, 0, z) for z in (0, 3, 6, 9.9, 12, 15)])
    with pytest.raises(UnreadableFileError, match=r"unevenly, 2\.1 to 3.9 mm"):
        series(tmp_path / "ct")


def test_positions_that_are_rounded_are_even(series, make_dicom, tmp_path):
    positions = [(0, 0, round(0.625 * number, 1)) for number in range(60)]
    make_series(make_dicom, tmp_path / "ct", positions)
    ((sample, _),) = series(tmp_path / "ct")
    assert sample.spacing.values[0] == pytest.approx(positions[-1][2] / 59)


def test_several_patients_in_one_series_are_refused(series, make_dicom, tmp_path, secrets):
    make_series(make_dicom, tmp_path / "ct", places(6), PatientID=lambda n: "PID-7734519" if n < 5 else "other")
    with pytest.raises(UnreadableFileError, match="several patients") as refused:
        series(tmp_path / "ct")
    assert not any(secret in str(refused.value) for secret in secrets)


def test_a_series_over_several_folders_is_one_volume(series, make_dicom, tmp_path):
    positions = places(6)
    files = make_series(make_dicom, tmp_path / "ct", positions)
    (tmp_path / "ct" / "more").mkdir()
    for path in files[::2]:
        path.rename(tmp_path / "ct" / "more" / path.name)
    ((_, pixels),) = series(tmp_path / "ct")
    assert np.array_equal(pixels.array[0], expected(positions, AXIAL))


def test_a_localizer_and_two_moments_are_stacks_of_their_own(several, make_dicom, tmp_path):
    import pydicom

    positions = places(5)
    moments = {"TemporalPositionIdentifier": lambda n: 2 - n // 5, "RescaleIntercept": lambda n: -1000 + 7 * (n // 5)}
    files = make_series(make_dicom, tmp_path / "ct", positions + positions, **moments)
    first = pydicom.dcmread(files[0])
    same = {"SeriesInstanceUID": first.SeriesInstanceUID, "StudyInstanceUID": first.StudyInstanceUID}
    make_series(make_dicom, tmp_path / "ct" / "z", places(1), CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **same)
    later, earlier, localizer = several(tmp_path / "ct")
    assert [sample.key for sample in (later, earlier, localizer)] == ["series#0", "series#1", "series#2"]
    assert np.array_equal(later.read().array[0], expected(positions, AXIAL) + 7)  # moment 1 was written last
    assert np.array_equal(earlier.read().array[0], expected(positions, AXIAL))
    with pytest.raises(UnreadableFileError, match="one slice"):
        localizer.read()


def test_magnitude_and_phase_at_the_same_places_are_two_stacks(several, make_dicom, tmp_path):
    positions = places(4)
    kinds = [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]
    make_series(
        make_dicom, tmp_path / "mr", positions + positions, Modality="MR", RescaleType="US",
        ImageType=lambda n: kinds[n // 4], RescaleSlope=lambda n: 1 + n // 4, WindowCenter=3000, WindowWidth=8001,
    )  # fmt: skip
    one, other = several(tmp_path / "mr", output="display")
    numbers = expected(positions, AXIAL) + 1000
    shown = [np.clip((numbers * slope - 1000 - 2999.5) / 8000 + 0.5, 0, 1) for slope in (1, 2)]
    found = sorted((sample.read().array[0] for sample in (one, other)), key=lambda array: array.mean())
    for array, by_hand in zip(found, shown, strict=True):
        assert array == pytest.approx(by_hand, abs=1e-5)


def test_a_real_enhanced_volume_lies_where_nibabel_says(radiology, tmp_path):
    """A Philips MPRAGE of 176 frames, oblique sagittal, in nibabel's own test data; nibabel reads its functional groups itself.

    Its pixels are blank there, so numbers are drawn into it.
    """
    import gzip

    import nibabel
    import pydicom

    packed = Path(nibabel.__file__).parent / "nicom" / "tests" / "data" / "philips_mprage.dcm.gz"
    if not packed.is_file():
        pytest.skip("this nibabel comes without its test data")
    path = tmp_path / "mprage.dcm"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    dataset = pydicom.dcmread(path)
    dataset.PixelData = np.random.default_rng(0).integers(0, 600, (176, 256, 256), dtype=np.uint16).tobytes()
    dataset.save_as(path)
    transforms = (item.PixelValueTransformationSequence[0] for item in dataset.PerFrameFunctionalGroupsSequence)
    (slope,) = {float(transform.RescaleSlope) for transform in transforms}  # nibabel hands out stored numbers
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    from domainclip.domains.radiology.geometry import ordered
    from domainclip.domains.radiology.volumes import read_series

    reading = radiology.reading_model(axes="CZYX", window=[500, 1001])
    (sample,) = radiology.samples(SourceItem(path, "a"), reading)
    _, grid = ordered(read_series(SourceItem(path, "a"), reading).slices)
    theirs = wrapper_from_file(path)
    numbers, affine = theirs.get_data(), theirs.affine  # (row, column, slice, 1) to mm, LPS
    array = sample.read().array[0]
    assert array.shape == (176, 256, 256)
    assert sample.meta["plane"] == "sagittal"
    for z, y, x in np.random.default_rng(0).integers(0, (176, 256, 256), (200, 3)):
        row, column, number, _ = np.linalg.solve(affine, np.array(grid.affine) @ (x, y, z, 1))
        assert (row, column, number) == pytest.approx(np.rint((row, column, number)), abs=0.01)
        rescaled = slope * numbers[round(row), round(column), round(number)]
        assert array[z, y, x] == pytest.approx(np.clip((rescaled - 499.5) / 1000 + 0.5, 0, 1), abs=1e-6)


def test_slices_at_one_place_that_nothing_tells_apart(series, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "ct", places(4) + places(4))
    with pytest.raises(UnreadableFileError, match="same place"):
        series(tmp_path / "ct")


def test_shifted_slices_are_refused(series, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "ct", [(10 * (z % 2), 0, 3 * z) for z in range(6)])
    with pytest.raises(UnreadableFileError, match="shifted"):
        series(tmp_path / "ct")


def test_one_window_for_all_slices(series, make_dicom, tmp_path):
    # Windows of 60, 80, 100, 120, 140: shown under the median. Each slice under its own would hide what differs between them.
    positions = places(5)
    make_series(make_dicom, tmp_path / "ct", positions, WindowCenter=lambda n: 60 + 20 * n, WindowWidth=401)
    ((_, pixels),) = series(tmp_path / "ct", output="display")
    by_hand = np.clip((expected(positions, AXIAL) - 99.5) / 400 + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1: centre 100, width 401
    assert pixels.array[0] == pytest.approx(by_hand, abs=1e-6)
    ((_, named),) = series(tmp_path / "ct", output="display", window="bone")
    assert not np.array_equal(named.array, pixels.array)


def test_without_a_window_the_whole_volume_is_stretched(series, make_dicom, tmp_path):
    positions = places(5)
    make_series(make_dicom, tmp_path / "ct", positions, WindowCenter=None, WindowWidth=None)
    ((_, pixels),) = series(tmp_path / "ct", output="display")
    numbers = expected(positions, AXIAL)
    assert pixels.array[0] == pytest.approx((numbers - numbers.min()) / np.ptp(numbers), abs=1e-6)


def test_padding_is_a_mask_of_the_volume(series, make_dicom, tmp_path):
    def padded(points):
        numbers = number_at(points)
        numbers[0, 0] = -2000
        return numbers

    make_series(make_dicom, tmp_path / "ct", places(5), values=padded, PixelPaddingValue=-2000)
    ((_, pixels),) = series(tmp_path / "ct")
    assert pixels.masks["nodata"].shape == pixels.array.shape[1:]
    assert pixels.masks["nodata"].sum() == 5
    assert pixels.masks["nodata"][:, 0, 0].all()


def test_every_second_slice(series, make_dicom, tmp_path):
    positions = places(7)
    make_series(make_dicom, tmp_path / "ct", positions)
    ((sample, pixels),) = series(tmp_path / "ct", stride=2)
    assert np.array_equal(pixels.array[0], expected(positions[::2], AXIAL))
    assert sample.spacing.values[0] == pytest.approx(6.0)


def test_slices_know_their_files(series, make_dicom, radiology, tmp_path):
    files = make_series(make_dicom, tmp_path / "ct", places(5))
    ((sample, _),) = series(tmp_path / "ct")
    assert [sorted(files)[number] for number in sample.meta["slice_files"]] == files


def test_only_volumes_gather(radiology, make_dicom, tmp_path):
    files = make_series(make_dicom, tmp_path / "ct", places(4))
    assert gathered_files(radiology, files).members == {}
    assert gathered_files(radiology, files, radiology.reading_model()).members == {}
    volumes = radiology.reading_model(axes="CZYX")
    (whole,) = gathered_files(radiology, files, volumes).members.items()
    assert gathered_files(radiology, files[::-1], volumes).members == dict([whole])


def test_gathering_says_nothing_of_headers(radiology, make_dicom, tmp_path, capfd, recwarn):
    # pydicom warns of a UID that is none and quotes it; files are looked at by several threads at once.
    files = [make_dicom(tmp_path / f"{n}.dcm", np.zeros((8, 8), np.uint16), SeriesInstanceUID=f"1.2.{n // 4}") for n in range(80)]
    for n, path in enumerate(files):
        path.write_bytes(path.read_bytes().replace(b"1.2.%d" % (n // 4), b"1.A.%d" % (n // 4)))
    gathered_files(radiology, files, radiology.reading_model(axes="CZYX"))
    assert "1.A." not in "".join(str(one.message) for one in recwarn) + "".join(capfd.readouterr())


def test_the_size_of_a_volume_is_bounded(series, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "ct", places(5), shape=(64, 64))
    with pytest.raises(UnreadableFileError, match="5 slices or frames of 64 x 64 pixels would need"):
        series(tmp_path / "ct", max_decoded_mib=0.05)
    assert series(tmp_path / "ct", max_decoded_mib=0.05, stride=2)


def test_options_of_volumes_are_refused_for_pictures(radiology):
    for idle in ({"plane": "axial"}, {"spacing_mm": [1, 1, 1]}, {"gaps": "interpolate"}, {"stride": 2}):
        with pytest.raises(ValueError, match="would do nothing"):
            radiology.reading_model(**idle)


def test_a_query_shares_the_options_of_what_it_is_compared_with(radiology):
    own = {"axes": "CZYX", "spacing_mm": [1, 1, 1], "gaps": "interpolate", "stride": 2, "window": [40, 400]}
    combine = radiology.reading_model.for_query
    assert combine(own, {}) == own
    assert combine(own, {"axes": "CYX"}) == {"axes": "CYX", "window": [40, 400]}
    assert combine(own, {"axes": "TCYX", "window": "lung"}) == {"axes": "TCYX", "stride": 2, "window": "lung"}
    with pytest.raises(ValueError, match="stride would do nothing"):  # what the owner asks for is not left out without a word
        radiology.reading_model(**combine(own, {"axes": "CYX", "stride": 3}))
