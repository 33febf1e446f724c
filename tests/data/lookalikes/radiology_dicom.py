"""Look-alikes of sets of chest radiographs that are published as DICOM."""

from __future__ import annotations

from pathlib import Path

from lookalikes.kit import Expected, LookAlike, lookalike, put
from lookalikes.radiology_files import csv_text, dicom, gz, named

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough  // pneumonia?

 COMPARISON:  None.

 FINDINGS:

 The lungs are clear.  The heart is of normal size.

 IMPRESSION:

 No acute cardiopulmonary process.
"""


@lookalike("mimic-cxr")
def mimic_cxr(root: Path) -> LookAlike:
    """mimic.mit.edu/docs/iv/modules/cxr (forms of the ids), ids 46401544569, 46624440750 (headers of both lists word for word),
    55961620020 (their use): the report lies beside the study's folder, index.html among the images (id 5777205301).
    Split and labels are those of mimic-cxr-jpg, so none is stated. Filled in: the report's text and shape, DICOM of 12 bits with a
    window and PatientID = subject_id (no header was seen), which file is missing. Ids are made up, above those that are given out.
    """
    rows = [
        ("19999991", "59999991"),
        ("19999991", "59999991"),
        ("19999991", "59999992"),
        ("19999992", "59999993"),
        ("19999993", "59999994"),
    ]
    records, studies, images = [], {}, []
    for number, (subject, study) in enumerate(rows):
        folder = f"files/p{subject[:2]}/p{subject}"
        name = f"02aa804e-bde0afdd-112c0b34-7bc16630-{number:08x}"
        records.append([subject, study, name, f"{folder}/s{study}/{name}.dcm"])
        studies[study] = [subject, study, f"{folder}/s{study}.txt"]
        put(root / f"{folder}/s{study}.txt", REPORT)
        if subject != "19999993":
            dicom(root / records[-1][-1], number, PatientID=subject, PatientName="", StudyDate="21800506")
            images.append(Expected(records[-1][-1], number, group=subject))
    put(root / "files/p19/index.html", "<html><body>Index of /files/mimic-cxr/2.1.0/files/p19/</body></html>\n")
    put(root / "cxr-record-list.csv.gz", gz(csv_text(records, "subject_id,study_id,dicom_id,path")))
    put(root / "cxr-study-list.csv.gz", gz(csv_text(studies.values(), "subject_id,study_id,path")))
    return LookAlike(tuple(images), (records[-1][-1],))


@lookalike("rsna-pneumonia")
def rsna(root: Path) -> LookAlike:
    """stage_2_train_labels.csv in the wheel torchxrayvision 1.5.7 (a row a box), id 60277065173 (class table, no rescale); id
    1288527852 prints a whole header: secondary capture of modality CR, 8-bit lossy JPEG, no window, an age without its letter,
    PatientID = the image's own id. That is no person, so there is no group. Test images have neither labels nor rows: they cannot
    be used.
    Filled in: baseline as kind of the JPEG, sex and ages. Ids are made up.
    """
    rows = [
        ("9994cfab-14fd-4e49-80ba-63a80b6bddd6", "No Lung Opacity / Not Normal", ()),
        ("99913ee0-9eaa-42f4-b0ab-c148ed3241cd", "Normal", ()),
        ("99936515-870c-4b36-a041-de91049b9ab4", "Lung Opacity", ("264.0,152.0,213.0,379.0", "562.0,152.0,256.0,453.0")),
        ("99904d08-c800-4b38-8475-49f4573b2dbb", "Lung Opacity", ("695.0,575.0,162.0,137.0",)),
    ]
    labels, classes, images = "patientId,x,y,width,height,Target\n", "patientId,class\n", []
    for number, (name, found, boxes) in enumerate(rows):
        labels += "".join(f"{name},{box},1\n" for box in boxes) or f"{name},,,,,0\n"
        classes += f"{name},{found}\n" * max(len(boxes), 1)
        rsna_file(root / f"stage_2_train_images/{name}.dcm", number, name)
        images.append(Expected(f"stage_2_train_images/{name}.dcm", number, {"finding": found}, split="train"))
    unknown = "9990a175-0e68-4ca4-b1af-167204a7e0bc"
    rsna_file(root / f"stage_2_test_images/{unknown}.dcm", 60, unknown)
    put(root / "stage_2_train_labels.csv", labels)
    put(root / "stage_2_detailed_class_info.csv", classes)
    return LookAlike(tuple(images), (f"stage_2_test_images/{unknown}.dcm",))


def rsna_file(path: Path, number: int, name: str) -> None:
    """Writes a file with the header that was seen."""
    told = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "Modality": "CR",
        "ConversionType": "WSD",
    }
    told |= {
        "StudyDate": "19010101",
        "StudyTime": "000000.00",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "PatientName": name,
    }
    told |= {"SeriesDescription": "view: AP", "PatientID": name, "PatientBirthDate": "", "PatientSex": "M", "PatientAge": "58"}
    told |= {"BodyPartExamined": "CHEST", "ViewPosition": "AP", "StudyID": "", "PixelSpacing": ["0.139", "0.139"]}
    dicom(path, number, bits=8, jpeg=True, **told)


VINDR = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion",
    "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding",
)  # fmt: skip


@lookalike("vindr-cxr")
def vindr_cxr(root: Path) -> LookAlike:
    """id 55533073284 (all four tables, a reader's rows joined by any, 'Other disease' in the test part), id 18943438438 (order of
    the labels, <set>/<image_id>.dicom), torchxrayvision 1.5.7 datasets.py (MONOCHROME1 inverted). "present" if any of the three
    readers says so, "absent" if all say 0; 'Other disease' of the test part is the same label as 'Other diseases'.
    Filled in: the header lines word for word, 0 and 1 as whole numbers, rad_id missing in annotations_test.csv, DICOM of 12 and 14
    bits with a window, which row has no file and which file no row. Ids are made up; none is a patient's.
    """
    rows = [  # part, image, readers, bits, inverted
        ("train", "99a418190bc3fb1ef1633bf9678929b3", {"R8": "No finding", "R9": "No finding", "R10": "No finding"}, 12, False),
        (
            "train",
            "99a5094b2563a1ef3ff50dc5c7ff7134",
            {"R8": "Cardiomegaly|ILD", "R9": "", "R10": "Nodule/Mass|Cardiomegaly"},
            14,
            True,
        ),
        (
            "train",
            "99a12870fa4bd8f4d4a1e3bb6b4e8f2a",
            {"R1": "Other diseases", "R2": "Lung Opacity", "R3": "Lung cavity"},
            12,
            False,
        ),
        ("test", "99f2d3a1c4b5e6978a9b0c1d2e3f4a5b", {"": "Other diseases|Enlarged PA"}, 12, False),
        ("test", "99d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4", {"": "No finding"}, 14, True),
        ("train", "99ffffff0bc3fb1ef1633bf9678929b3", {"R8": "COPD", "R9": "COPD", "R10": "COPD"}, 12, False),
    ]
    tables: dict[str, list[list[object]]] = {"train": [], "test": []}
    boxes: dict[str, list[list[object]]] = {"train": [], "test": []}
    images, lost = [], "train/99ffffff0bc3fb1ef1633bf9678929b3.dicom"
    for number, (part, image, readers, bits, inverted) in enumerate(rows):
        for reader, said in readers.items():
            found = said.split("|")
            tables[part].append([image, *([reader] if reader else []), *(int(name in found) for name in VINDR)])
            for name in found if said else ():
                box = [691.0, 1375.0, 1653.0, 1831.0] if name in {"Cardiomegaly", "Nodule/Mass", "ILD"} else ["", "", "", ""]
                boxes[part].append([image, *([reader] if reader else []), name, *box])
        path = f"{part}/{image}.dicom"
        if path != lost:
            dicom(root / path, number, bits, inverted=inverted, PatientSex="O", PixelSpacing=["0.139", "0.139"])
            anyone = {name for said in readers.values() for name in said.split("|")}
            labels = {named(name): "present" if name in anyone else "absent" for name in VINDR}
            images.append(Expected(path, number, labels, split="train" if part == "train" else "held_out"))
    unlisted = "train/99eeeeee0bc3fb1ef1633bf9678929b3.dicom"
    dicom(root / unlisted, 60)
    corners, heads = "class_name,x_min,y_min,x_max,y_max", ",".join(VINDR)
    put(root / "annotations/image_labels_train.csv", csv_text(tables["train"], f"image_id,rad_id,{heads}"))
    put(root / "annotations/image_labels_test.csv", csv_text(tables["test"], f"image_id,{heads.replace('diseases', 'disease')}"))
    put(root / "annotations/annotations_train.csv", csv_text(boxes["train"], f"image_id,rad_id,{corners}"))
    put(root / "annotations/annotations_test.csv", csv_text(boxes["test"], f"image_id,{corners}"))
    return LookAlike(tuple(images), (lost, unlisted))
