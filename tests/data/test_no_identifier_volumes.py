"""No planted identifier of a series, a cine or a NIfTI file is in anything that is written of them."""

from __future__ import annotations

import contextlib
import io

import nibabel
import numpy as np
import planted_dicom
import pytest
from planted_search import found_in, leaks

from domainclip.data.prepare import prepare
from domainclip.data.sources import open_dataset
from domainclip.domains.base import domains
from domainclip.heads.domain_model import load_model
from domainclip.heads.retrieval import Retriever

NAMES = ["PLANTEDfolder", "PLANTEDfile"]


def planted_series(tmp_path, step):
    """Writes five slices whose headers hold every listed attribute, so many mm apart, a broken one, and NIfTI."""
    folder, planter = tmp_path / "source" / "PLANTEDfolder", planted_dicom.Planter()
    for number in range(5):
        patient = folder / f"PLANTEDfolder{number % 2}"
        patient.mkdir(parents=True, exist_ok=True)
        # What makes them one series; both are planted all the same.
        one = {"PatientID": "QZ90001XK", "StudyInstanceUID": "1.2.826.0.1.9999999.779000577"}
        one |= {"SeriesInstanceUID": "1.2.826.0.1.9999999.779000477", "FrameOfReferenceUID": "1.2.826.0.1.9999999.779000677"}
        place = {
            "ImagePositionPatient": [0, 0, step * number],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [1, 1],
        }
        planted_dicom.write_planted(patient / f"PLANTEDfile{number}.dcm", planter, **one, **place)
    whole = (folder / "PLANTEDfolder0" / "PLANTEDfile0.dcm").read_bytes()
    (folder / "PLANTEDfilebroken.dcm").write_bytes(whole[:200])
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = b"QZ90002XK", b"QZ90003XK", b"QZ90004XK"
    nibabel.save(image, folder / "PLANTEDfile.nii.gz")
    return folder, planter


@pytest.mark.parametrize(("axes", "step"), [("CZYX", 3), ("TCYX", 0)])
def test_nothing_of_a_series_identifies(axes, step, tmp_path, caplog):
    folder, planter = planted_series(tmp_path, step)
    planted = [
        *(word for words in planter.planted.values() for word in words),
        *NAMES,
        *(f"QZ9000{n}XK" for n in (1, 2, 3, 4)),
        "9999999.779000577",
        "9999999.779000477",
        "9999999.779000677",
    ]
    reading = {"axes": axes, "window": [40.0, 400.0]}
    radiology = domains.get("radiology")
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        prepared = prepare(
            open_dataset(folder, domain="radiology", reading=reading),
            radiology,
            tmp_path / "out" / "set",
            reading=reading,
            workers=1,
        )
        if axes == "CZYX":
            assert sorted(prepared.index["depth"]) == [5, 5]
            Retriever(load_model("starter-radiology")).fit(prepared).save(tmp_path / "out" / "index")
    assert (tmp_path / "out" / "set" / "rejected.jsonl").read_text().count("reason") >= 1
    assert leaks(tmp_path / "out", planted) == {}
    assert found_in((told.getvalue() + caplog.text).encode(), planted) == set()
    assert leaks(tmp_path / "source", planted) != {}  # the search finds what is there
