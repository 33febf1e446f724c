"""Which slices of a series belong together, and what is told or refused where headers contradict each other."""

import time
from functools import partial

import numpy as np
import pytest
from made_series import AXIAL, make_series, number_at, points_of

from domainclip.domains.folder import list_folder
from domainclip.domains.radiology.series import SliceHeader, moments_of, stacks_of
from domainclip.errors import UnreadableFileError
from domainclip.sample import Caption, SourceItem

PLACES = [(0.0, 0.0, 3.0 * z) for z in range(8)]


@pytest.fixture
def samples(radiology):
    """Returns the samples of the one series of a folder, unread."""

    def of(folder, captions=(), **reading):
        options = radiology.reading_model(**({"axes": "CZYX", "output": "hu"} | reading))
        listing = list_folder(folder, radiology, options)
        (path,) = listing.files
        item = SourceItem(path, "x", members=tuple(listing.members[path]), captions=captions)
        return list(radiology.samples(item, options))

    return of


def heights(sample):
    """What number_at gives along Z where x and y are 0, back to millimetres."""
    return [(float(number) + 1000 - 2000) / 22 for number in sample.read().array[0, :, 0, 0]]


def test_b_values_directions_and_echoes_are_told(samples, make_dicom, tmp_path):
    mr = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "RescaleType": "US"}
    make_series(make_dicom, tmp_path / "b", PLACES * 3, DiffusionBValue=lambda n: float(n // 8 * 500), **mr)
    found = samples(tmp_path / "b", output="display", window=[1000, 5000])
    assert [sample.meta["told_apart_by"] for sample in found] == [{"DiffusionBValue": value} for value in (0, 500, 1000)]
    directions = [[1, 0, 0], [0, 1, 0]]
    make_series(
        make_dicom,
        tmp_path / "d",
        PLACES * 2,
        DiffusionBValue=1000.0,
        DiffusionGradientOrientation=lambda n: directions[n // 8],
        **mr,
    )
    found = samples(tmp_path / "d", output="display", window=[1000, 5000])
    assert [sample.meta["told_apart_by"] for sample in found] == [
        {"DiffusionGradientOrientation": (0.0, 1.0, 0.0)}, {"DiffusionGradientOrientation": (1.0, 0.0, 0.0)},
    ]  # fmt: skip
    make_series(make_dicom, tmp_path / "e", PLACES * 2, EchoNumbers=lambda n: 1 + n // 8, **mr)
    found = samples(tmp_path / "e", output="display", window=[1000, 5000])
    assert [sample.meta["told_apart_by"] for sample in found] == [{"EchoNumbers": 1}, {"EchoNumbers": 2}]


def test_marks_that_do_not_cover_the_same_places_tell_nothing(samples, make_dicom, tmp_path):
    # Content time changes every four slices of the same four directions: eight half heads, none of which is a volume.
    times = {"ContentTime": lambda n: f"1200{n // 4:02d}"}
    make_series(make_dicom, tmp_path / "a", PLACES * 4, **times)
    with pytest.raises(UnreadableFileError, match="do not tell which belong together"):
        samples(tmp_path / "a")
    # Slices z and z + 4 are acquired at one time (simultaneous multi-slice): no volumes of two slices, 12 mm apart.
    make_series(
        make_dicom,
        tmp_path / "b",
        PLACES * 2,
        AcquisitionTime=lambda n: f"1200{n % 4 + 10 * (n // 8):02d}",
        AcquisitionNumber=lambda n: 1 + n // 8,
    )
    found = samples(tmp_path / "b")
    assert [sample.meta["told_apart_by"] for sample in found] == [{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}]
    assert [round(height) for height in heights(found[0])] == [0, 3, 6, 9, 12, 15, 18, 21]


def test_an_incomplete_moment_is_refused_beside_whole_ones(samples, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "a", (PLACES * 3)[:21], TemporalPositionIdentifier=lambda n: 1 + n // 8)
    one, two, three = samples(tmp_path / "a")
    assert len(heights(one)) == len(heights(two)) == 8
    with pytest.raises(UnreadableFileError, match="lacks 3 slices that others at the same places have"):
        three.read()
    assert len(heights(samples(tmp_path / "a", gaps="interpolate")[2])) == 5


def test_frames_of_reference_and_objects_are_not_mixed(samples, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "a", PLACES, FrameOfReferenceUID=lambda n: f"1.2.3.{n // 4}")
    assert [len(heights(sample)) for sample in samples(tmp_path / "a")] == [4, 4]
    make_series(make_dicom, tmp_path / "b", PLACES, SOPClassUID=lambda n: f"1.2.840.10008.5.1.4.1.1.{2 if n < 4 else 4}")
    assert len(samples(tmp_path / "b", output="display")) == 2
    make_series(make_dicom, tmp_path / "c", PLACES, PixelSpacing=lambda n: [1.0, 1.0] if n < 4 else [0.5, 0.5])
    assert sorted(sample.spacing.values[1:] for sample in samples(tmp_path / "c")) == [(0.5, 0.5), (1.0, 1.0)]


def test_studies_and_polarities_are_not_mixed(samples, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "a", PLACES, StudyInstanceUID=lambda n: f"1.2.3.{n // 7}")
    with pytest.raises(UnreadableFileError, match="several patients or studies"):
        samples(tmp_path / "a")
    make_series(make_dicom, tmp_path / "b", PLACES, PhotometricInterpretation=lambda n: "MONOCHROME1" if n == 3 else "MONOCHROME2")
    with pytest.raises(UnreadableFileError, match="some MONOCHROME2"):
        samples(tmp_path / "b", output="display")


def test_a_copied_study_is_one_volume(samples, make_dicom, tmp_path):
    files = make_series(make_dicom, tmp_path / "a", PLACES)
    (tmp_path / "a" / "again").mkdir()
    for path in files:
        (tmp_path / "a" / "again" / path.name).write_bytes(path.read_bytes())
    (sample,) = samples(tmp_path / "a")
    assert len(heights(sample)) == 8
    assert sample.meta["copies_left_out"] == 8


def test_slices_twice_as_far_apart_as_the_header_says(samples, make_dicom, tmp_path):
    said = {"SpacingBetweenSlices": 3.0, "SliceThickness": 3.0}
    make_series(make_dicom, tmp_path / "a", PLACES[::2], **said)
    with pytest.raises(UnreadableFileError, match="they lie 6 mm apart, their headers say 3 mm"):
        samples(tmp_path / "a")
    make_series(make_dicom, tmp_path / "b", PLACES, **said)
    assert samples(tmp_path / "b")
    assert samples(tmp_path / "b", stride=2)
    # Some scanners write the gap between slices there: 0.3 mm of 3 mm slices say nothing of their distance.
    make_series(make_dicom, tmp_path / "c", PLACES, SpacingBetweenSlices=0.3, SliceThickness=2.7)
    assert samples(tmp_path / "c")


def test_wide_gaps_are_not_interpolated(samples, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "a", [*PLACES[:3], (0.0, 0.0, 30.0), (0.0, 0.0, 33.0)])
    with pytest.raises(UnreadableFileError, match="widest gap lacks about 7 slices"):
        samples(tmp_path / "a", gaps="interpolate")


def test_windows_that_differ_too_much_are_refused(samples, make_dicom, tmp_path):
    make_series(
        make_dicom,
        tmp_path / "a",
        PLACES,
        WindowCenter=lambda n: 40 if n < 4 else -600,
        WindowWidth=lambda n: 400 if n < 4 else 1500,
    )
    with pytest.raises(UnreadableFileError, match="differ too much for one") as refused:
        samples(tmp_path / "a", output="display")
    assert "reading.window" in refused.value.remedy
    (sample,) = samples(tmp_path / "a", output="display", window="lung")
    assert sample.meta["window"].startswith("window -600/1500 (LINEAR, reading.window lung)")
    make_series(make_dicom, tmp_path / "b", PLACES, VOILUTFunction=lambda n: "LINEAR" if n < 4 else "SIGMOID")
    with pytest.raises(UnreadableFileError, match="shown in different ways"):
        samples(tmp_path / "b", output="display")


def test_windows_that_do_not_exist_are_refused_before_pixels_are_read(samples, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "a", PLACES)
    for asked in ({"voi_index": 7}, {"window": "file:LUNG"}):
        with pytest.raises(UnreadableFileError):
            samples(tmp_path / "a", output="display", **asked)
    make_series(make_dicom, tmp_path / "b", PLACES, Modality="MR", RescaleType="US")
    for asked in ({"output": "hu"}, {"output": "display", "window": "lung"}):
        with pytest.raises(UnreadableFileError, match="the file is no CT"):
            samples(tmp_path / "b", **asked)


def test_tables_that_differ_are_refused(samples, make_dicom, tmp_path):
    from pydicom.dataset import Dataset

    def table(number):
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [256, -1000, 16], [value * (2 if number == 5 else 1) for value in range(256)]
        item["LUTDescriptor"].VR = item["LUTData"].VR = "US" if number < 0 else "SS"
        item.LUTDescriptor = [256, -1000, 16]
        return [item]

    same = make_series(make_dicom, tmp_path / "a", PLACES, VOILUTSequence=lambda n: table(0))
    assert same
    assert samples(tmp_path / "a", output="display")[0].read().array.max() <= 1
    make_series(make_dicom, tmp_path / "b", PLACES, VOILUTSequence=table)
    with pytest.raises(UnreadableFileError, match="shown in different ways"):
        samples(tmp_path / "b", output="display")[0].read()


def test_monochrome1_volumes_and_cines_are_inverted(samples, make_dicom, read, tmp_path):
    twins = {}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        make_series(make_dicom, tmp_path / photometric, PLACES, PhotometricInterpretation=photometric, WindowWidth=3000)
        twins[photometric] = samples(tmp_path / photometric, output="display")[0].read().array
    assert twins["MONOCHROME1"] == pytest.approx(1 - twins["MONOCHROME2"], abs=1e-6)
    frames = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)
    path = make_dicom(tmp_path / "c.dcm", frames, NumberOfFrames=2, Rows=3, Columns=4, PhotometricInterpretation="MONOCHROME1")
    assert read(path, axes="TCYX")[1].array[:, 0] == pytest.approx(1 - frames / 23, abs=1e-6)


def test_captions_of_series_lose_names_of_every_header(samples, make_dicom, tmp_path):
    names = {
        "PatientName": lambda n: "Brightwater^Cordelia",
        "ReferringPhysicianName": lambda n: "Ostrowski^Piet" if n == 6 else "",
    }
    make_series(make_dicom, tmp_path / "a", PLACES, **names)
    captions = (Caption("A nodule. Seen by Ostrowski. Patient PID-7734519 has no effusion."),)
    (sample,) = samples(tmp_path / "a", captions=captions)
    assert [caption.text for caption in sample.captions] == ["A nodule."]
    assert sample.meta["sentences_with_name_dropped"] == 2


def test_where_slices_are_from_after_gaps_turns_and_strides(samples, make_dicom, read, tmp_path):
    kept = [*PLACES[:3], *PLACES[5:]]
    files = make_series(make_dicom, tmp_path / "a", kept)
    (sample,) = samples(tmp_path / "a", gaps="interpolate")
    ordered = sorted(files)
    assert [ordered[number] for number in sample.meta["slice_files"]] == [files[n] for n in (0, 1, 2, 2, 3, 3, 4, 5)]
    assert "slice_files" not in samples(tmp_path / "a", gaps="interpolate", plane="coronal")[0].meta
    frames = np.random.default_rng(0).integers(0, 99, (7, 3, 4), dtype=np.uint16)
    path = make_dicom(tmp_path / "c.dcm", frames, NumberOfFrames=7, Rows=3, Columns=4)
    assert read(path, axes="TCYX", stride=3)[0].meta["slice_frames"] == [0, 3, 6]


def test_interpolated_voxels_beside_padding_are_no_data(samples, make_dicom, tmp_path):
    def padded(points):
        numbers = number_at(points)
        if points[0, 0, 2] == 6.0:
            numbers[2, 3] = -2000
        return numbers

    make_series(make_dicom, tmp_path / "a", [*PLACES[:3], *PLACES[4:]], values=padded, PixelPaddingValue=-2000)
    (sample,) = samples(tmp_path / "a", gaps="interpolate")
    assert np.argwhere(sample.read().masks["nodata"]).tolist() == [[2, 2, 3], [3, 2, 3]]
    (finer,) = samples(tmp_path / "a", gaps="interpolate", spacing_mm=[3.0, 1.0, 0.75])
    pixels = finer.read()
    whole = number_at(points_of((0, 0, 0), AXIAL, (2.0, 1.5), (6, 8))).min() - 1000
    assert pixels.array[0][~pixels.masks["nodata"]].min() > whole - 1  # -2000 does not leak into its neighbours


def test_a_small_tilt_is_noted(samples, make_dicom, tmp_path):
    tilt = np.radians(2.0)
    make_series(make_dicom, tmp_path / "a", PLACES, (1, 0, 0, 0, float(np.cos(tilt)), float(np.sin(tilt))))
    assert samples(tmp_path / "a")[0].meta["gantry_tilt_degrees"] == pytest.approx(2.0, abs=0.01)


def test_limits_of_time_series_and_of_what_resampling_makes(samples, make_dicom, read, tmp_path):
    frames = np.zeros((8, 64, 64), np.uint16)
    path = make_dicom(tmp_path / "c.dcm", frames, NumberOfFrames=8, Rows=64, Columns=64, WindowCenter=1, WindowWidth=2)
    with pytest.raises(UnreadableFileError, match="8 slices or frames of 64 x 64 pixels would need"):
        read(path, axes="TCYX", max_decoded_mib=0.1)
    make_series(make_dicom, tmp_path / "a", PLACES)
    with pytest.raises(UnreadableFileError, match=r"spacing_mm makes \d+ x \d+ x \d+ voxels"):
        samples(tmp_path / "a", spacing_mm=[0.05, 0.05, 0.05], max_decoded_mib=8)[0].read()


def test_no_series_number(radiology, make_dicom, tmp_path):
    (path, *_) = make_series(make_dicom, tmp_path / "a", PLACES, SeriesInstanceUID="")
    with pytest.raises(UnreadableFileError, match="no Series Instance UID"):
        list(radiology.samples(SourceItem(path, "x"), radiology.reading_model(axes="CZYX")))


def headers(count, places, **marks):
    return [
        SliceHeader(
            0, n, (8, 8), (1.0, 1.0), (0.0, 0.0, float(n % places)), AXIAL, ("a",), tuple((k, f(n)) for k, f in marks.items()), n
        )
        for n in range(count)
    ]


def _drawn(row, n):
    return float(row[n])


def test_thirty_thousand_frames_are_sorted_out_in_seconds():
    began = time.process_time()
    assert len(moments_of(headers(30_000, 30_000))) == 30_000
    assert len(moments_of(headers(30_000, 100))) == 100
    assert len(stacks_of(headers(30_000, 30_000))) == 1
    drawn = np.random.default_rng(0).integers(0, 4, (6, 4096))
    names = ("EchoTime", "TriggerTime", "DiffusionBValue", "AcquisitionTime", "ContentTime", "AcquisitionNumber")
    marks = {name: partial(_drawn, row) for name, row in zip(names, drawn, strict=True)}
    with pytest.raises(UnreadableFileError):
        stacks_of(headers(4096, 16, **marks))
    assert time.process_time() - began < 20
