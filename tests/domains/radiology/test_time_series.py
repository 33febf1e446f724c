"""Frames in time, and enhanced objects whose frames say where they lie."""

import numpy as np
import pydicom
import pytest
from made_series import AXIAL, make_series, number_at, points_of
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from domainclip.domains.folder import list_folder
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem


@pytest.fixture
def samples(radiology):
    """Reads all samples of a folder's one item."""

    def read(folder, **reading):
        options = radiology.reading_model(**reading)
        listing = list_folder(folder, radiology, options)
        (path,) = listing.files
        item = SourceItem(path, "series", members=tuple(listing.members.get(path, ())))
        return [(sample, sample.read()) for sample in radiology.samples(item, options)]

    return read


@pytest.fixture
def make_cine(make_dicom):
    """Writes a multi-frame file of (T, Y, X) or (T, Y, X, 3) frames."""

    def make(path, frames, **elements):
        own = {"NumberOfFrames": len(frames), "Rows": frames.shape[1], "Columns": frames.shape[2], **elements}
        return make_dicom(path, frames, **own)

    return make


def test_frames_of_a_file_in_their_order(read, make_cine, tmp_path):
    frames = np.random.default_rng(0).integers(0, 4096, (7, 5, 6), dtype=np.uint16)
    path = make_cine(tmp_path / "a.dcm", frames, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    sample, pixels = read(path, axes="TCYX")
    assert (sample.axes, pixels.array.shape) == ("TCYX", (7, 1, 5, 6))
    assert pixels.array[:, 0] == pytest.approx(frames / 4095, abs=1e-6)
    assert read(path, axes="TCYX", stride=3)[1].array[:, 0] == pytest.approx(frames[::3] / 4095, abs=1e-6)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "r.dcm")
    assert np.array_equal(read(tmp_path / "r.dcm", axes="TCYX")[1].array, pixels.array)


def test_without_a_window_all_frames_are_stretched_together(read, make_cine, tmp_path):
    # Frame by frame, the rise from one frame to the next would vanish.
    frames = np.stack([np.array([[number, number + 10]]) for number in range(5)]).astype(np.uint16)
    _, pixels = read(make_cine(tmp_path / "a.dcm", frames), axes="TCYX")
    assert pixels.array[:, 0] == pytest.approx(frames / 14, abs=1e-6)


def test_a_cine_in_colour(read, pydicom_files):
    path = pydicom_files / "examples_ybr_color.dcm"
    sample, pixels = read(path, axes="TCYX", colour="rgb", allow_burned_in=True)
    assert sample.channels == ("red", "green", "blue")
    from pydicom.pixels import pixel_array

    reference = pixel_array(path, raw=False)  # pydicom's own, converted to RGB
    assert np.array_equal(pixels.array, reference.transpose(0, 3, 1, 2))
    with pytest.raises(UnreadableFileError, match="burnt-in"):
        read(path, axes="TCYX", colour="rgb")
    with pytest.raises(UnreadableFileError, match="in colour"):
        read(path, axes="CZYX", colour="rgb", allow_burned_in=True)


def test_files_at_one_place_are_sorted_by_time(samples, make_dicom, tmp_path):
    # Cardiac cine: 3 places with 4 phases each; names and instance numbers are shuffled.
    positions = [(0, 0, 5.0 * place) for place in range(3) for _ in range(4)]
    phases = np.array([3, 0, 2, 1] * 3)
    make_series(
        make_dicom, tmp_path / "mr", positions, shape=(3, 4), Modality="MR",
        TriggerTime=lambda n: float(phases[n] * 40), RescaleIntercept=lambda n: int(phases[n]) * 100,
        RescaleType="US", WindowCenter=None, WindowWidth=None,
    )  # fmt: skip
    found = samples(tmp_path / "mr", axes="TCYX")
    assert [sample.key for sample, _ in found] == ["series#0", "series#1", "series#2"]
    for sample, pixels in found:
        assert sample.spacing.values == (2.0, 1.5)
        assert np.diff(pixels.array[:, 0], axis=0) == pytest.approx(np.diff(pixels.array[:, 0], axis=0).mean(), abs=1e-5)
        assert np.diff(pixels.array[:, 0], axis=0).min() > 0
    volumes = samples(tmp_path / "mr", axes="CZYX")
    assert len(volumes) == 4
    assert all(pixels.array.shape == (1, 3, 3, 4) for _, pixels in volumes)


def test_slices_of_a_volume_make_no_time_series(samples, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "ct", [(0, 0, z) for z in range(5)])
    with pytest.raises(UnreadableFileError, match="No two of its 5 frames lie at the same place"):
        samples(tmp_path / "ct", axes="TCYX")


def test_an_enhanced_object_is_a_volume(read, make_cine, tmp_path):
    # PS3.3 C.7.6.16.2: place and rescale of each frame in its own group, direction and pixel size in the shared one; shuffled.
    heights = [6.0, 0.0, 3.0, 9.0]
    frames = np.stack([number_at(points_of((0, 0, z), AXIAL, (2.0, 1.5), (6, 8))) for z in heights])
    own = []
    for number, z in enumerate(heights):
        position, transform, item = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, z]
        transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = number + 1, -1000, "HU"
        item.PlanePositionSequence, item.PixelValueTransformationSequence = [position], [transform]
        own.append(item)
    measures, direction, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, direction.ImageOrientationPatient = [2.0, 1.5], list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [direction]
    groups = {"PerFrameFunctionalGroupsSequence": own, "SharedFunctionalGroupsSequence": [shared]}
    path = make_cine(tmp_path / "a.dcm", frames, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", **groups)
    sample, pixels = read(path, axes="CZYX", output="hu")
    order = np.argsort(heights)
    assert np.array_equal(pixels.array[0], np.stack([frames[n] * (n + 1.0) - 1000 for n in order]))
    assert sample.meta["slice_frames"] == list(order)
    assert sample.spacing.values == (3.0, 2.0, 1.5)


def test_reading_frame_is_refused(read, make_cine, tmp_path):
    frames = np.zeros((3, 4, 5), np.uint16)
    with pytest.raises(UnreadableFileError, match="takes all frames"):
        read(make_cine(tmp_path / "a.dcm", frames), axes="TCYX", frame=1)


def test_pictures_have_no_axes(read, tmp_path):
    from PIL import Image

    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UnreadableFileError, match="one picture"):
        read(tmp_path / "a.png", axes="CZYX")
