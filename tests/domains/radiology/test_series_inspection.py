"""What inspect tells of series before anything is prepared."""

import pytest
from made_series import CORONAL, make_series

from domainclip.data.survey import survey
from domainclip.domains.base import inspected
from domainclip.domains.folder import list_folder
from domainclip.sample import SourceItem


@pytest.fixture
def look(radiology):
    def at(folder, **reading):
        options = radiology.reading_model(**({"axes": "CZYX"} | reading))
        listing = list_folder(folder, radiology, options)
        (path,) = listing.files
        return inspected(radiology, SourceItem(path, "x", members=tuple(listing.members.get(path, ()))), options)

    return at


def test_a_whole_series(look, make_dicom, tmp_path, secrets):
    make_series(make_dicom, tmp_path / "ct", [(0, 0, 3.0 * z) for z in range(7)])
    seen = look(tmp_path / "ct")
    assert seen.format == "DICOM series of 7 files"
    assert (seen.width, seen.height, seen.dtype, seen.missing) == (8, 6, "int16", ())
    assert seen.spacing == {"z": 3.0, "y": 2.0, "x": 1.5, "unit": "mm", "source": "PixelSpacing, ImagePositionPatient"}
    assert seen.details["stacks"] == {"0": {"slices": 7, "plane": "axial", "window": "window 40/400 (LINEAR, WindowCenter)"}}
    assert not any(secret in str(seen) for secret in secrets)


def test_gaps_and_odd_stacks_are_told(look, make_dicom, tmp_path):
    import pydicom

    files = make_series(make_dicom, tmp_path / "ct", [(0, 0, 3.0 * z) for z in (0, 1, 2, 5, 6)])
    first = pydicom.dcmread(files[0])
    same = {"SeriesInstanceUID": first.SeriesInstanceUID, "StudyInstanceUID": first.StudyInstanceUID}
    make_series(make_dicom, tmp_path / "ct" / "scout", [(0, 0, 0)], CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **same)
    seen = look(tmp_path / "ct")
    assert [line.split(":")[0] for line in seen.missing] == ["Stack 0", "Stack 1"]
    assert "Slices are missing: in 1 places, about 2 in all" in seen.missing[0]
    assert "one slice" in seen.missing[1]
    seen = look(tmp_path / "ct", gaps="interpolate")
    told = seen.details["stacks"]["0"]
    assert (told["slices"], told["plane"], told["slices_interpolated"]) == (7, "axial", 2)


def test_a_survey_has_a_line_a_series(radiology, make_dicom, tmp_path):
    make_series(make_dicom, tmp_path / "a", [(0, 0, 3.0 * z) for z in range(4)])
    make_series(make_dicom, tmp_path / "b", [(0, 0, 3.0 * z) for z in range(4)], PatientID=lambda n: f"P{n}")
    looks = survey(tmp_path, "radiology", reading=radiology.reading_model(axes="CZYX"))
    assert len(looks) == 2
    assert "several patients" in looks[0].problem
    assert looks[1].seen.format == "DICOM series of 4 files"
    assert len(survey(tmp_path, "radiology")) == 8


def test_a_cine_and_a_picture(look, radiology, pydicom_files, make_dicom, tmp_path):
    item = SourceItem(pydicom_files / "examples_ybr_color.dcm", "us")
    seen = inspected(radiology, item, radiology.reading_model(axes="TCYX", colour="rgb", allow_burned_in=True))
    assert seen.details["stacks"] == {"0": {"frames": 30}}
    assert seen.channels == ("red", "green", "blue")
    plain = inspected(radiology, item, radiology.reading_model())
    assert plain.details["frames"] == 30
