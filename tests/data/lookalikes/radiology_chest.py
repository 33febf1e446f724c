"""Look-alikes of sets of chest radiographs with tables of findings, as JPEG or PNG."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from lookalikes.kit import Expected, LookAlike, encoded, lookalike, picture, plain, put
from lookalikes.radiology_files import SAID, csv_text, findings, gz, named
from PIL import Image

CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


@lookalike("chexpert")
def chexpert(root: Path) -> LookAlike:
    """train.csv in the wheel torchxrayvision 1.5.7 (header, Path with the archive's folder before it, -1.0 against blank against
    0.0, view1 that is a lateral).
    Filled in: valid.csv (its header is said to be the same), grey JPEG, which file has no row.
    """
    top = "CheXpert-v1.0-small"
    rows = [
        ("train/patient99901/study1/view1_frontal.jpg,Male,50,Frontal,AP", "1.0,,,,,,,,,0.0,,,,1.0"),
        ("train/patient99902/study2/view1_frontal.jpg,Female,60,Frontal,AP", ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,"),
        ("train/patient99902/study2/view2_lateral.jpg,Female,60,Lateral,", ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,"),
        ("train/patient99903/study1/view1_lateral.jpg,Unknown,0,Lateral,", ",1.0,0.0,,1.0,,,-1.0,,1.0,1.0,1.0,,"),
        ("valid/patient99951/study1/view1_frontal.jpg,Male,70,Frontal,PA", ",".join(["0.0", "1.0", "1.0", "0.0"] + ["0.0"] * 10)),
    ]
    lost, unlisted = "train/patient99904/study1/view2_frontal.jpg", "train/patient99905/study1/view3_frontal.jpg"
    images, tables = [], {"train": "", "valid": ""}
    for number, (said, cells) in enumerate(rows):
        path, _, _, view, _ = said.split(",")
        part = path.split("/", 1)[0]
        picture(root / top / path, number, channels=1)
        labels = {"view": view, **findings(CHEXPERT, cells.split(","))}
        patient, split = path.split("/")[1], "train" if part == "train" else "val"
        images.append(Expected(f"{top}/{path}", number, labels, group=patient, split=split))
        tables[part] += f"{top}/{said},{cells}\n"
    tables["train"] += f"{top}/{lost},Female,40,Frontal,LL,1.0{',' * 13}\n"
    picture(root / top / unlisted, 60, channels=1)
    for part, lines in tables.items():
        put(root / top / f"{part}.csv", "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT) + "\n" + lines)
    return LookAlike(tuple(images), (f"{top}/{lost}", f"{top}/{unlisted}"))


PLUS = (
    "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,patient_report_date_order,report,section_narrative,"
    "section_clinical_history,section_history,section_comparison,section_technique,section_procedure_comments,section_findings,"
    "section_impression,section_end_of_impression,section_summary,section_accession_number,age,sex,race,ethnicity,interpreter_needed,"
    "insurance_type,recent_bmi,deceased,split"
)


@lookalike("chexpert-plus")
def chexpert_plus(root: Path) -> LookAlike:
    """The header as a loader (id 9441573106) quotes it, paths and the wrong .jpg by a builder (id 23085955930: PNG/PNG/,
    incomplete chunks, columns by name), label files of one object a line by loaders (ids 71552464932, 57141274692).
    Filled in: no index column (the listing with one is of a table saved again by pandas), the folder CheXpert_Labels/, null for
    what is not mentioned, grey PNG. No finding is stated: the three label files need not agree, and the table has none.
    """
    studies = [
        ("train/patient99901/study1/view1_frontal", "Frontal", "AP", 1, "No acute disease", ""),
        ("train/patient99902/study3/view1_frontal", "Frontal", "PA", 3, "Small left effusion", "BLUNTED ANGLE, LEFT."),
        ("train/patient99902/study3/view2_lateral", "Lateral", "", 3, "Small left effusion", "BLUNTED ANGLE, LEFT."),
        ("valid/patient99951/study1/view1_frontal", "Frontal", "AP", 1, 'Stable "hazy" opacity', ""),
        ("train/patient99903/study1/view1_frontal", "Frontal", "AP", 1, "Chunk not at hand", ""),
    ]
    rows, images, labels = [], [], ""
    for number, (stem, view, side, order, impression, found) in enumerate(studies):
        text = f"1.  {impression.upper()}.\n\n2.  LINES UNCHANGED."
        report = (
            f"NARRATIVE:\nCHEST 1 VIEW, [DATE]\n\n{f'FINDINGS:{chr(10)}{found}{chr(10)}' if found else ''}\nIMPRESSION:\n\n{text}\n"
        )
        split, patient = stem.split("/")[:2]
        sections = ["CHEST 1 VIEW, [DATE]", "", "", "", "", "", found, text, "", "", ""]
        person = [68.0, "Female", "Unknown", "Unknown", "No", "Unknown", "", "No"]
        rows.append([f"{stem}.jpg", f"{stem}.dcm", view, side, patient, order, report, *sections, *person, split])
        labels += json.dumps(
            {"path_to_image": f"{stem}.jpg"} | {name: 1.0 if name == "Support Devices" else None for name in CHEXPERT}
        )
        labels += "\n"
        if patient != "patient99903":
            picture(root / f"PNG/PNG/{stem}.png", number, channels=1)
            part = "train" if split == "train" else "val"
            images.append(Expected(f"PNG/PNG/{stem}.png", number, {"view": view}, group=patient, split=part))
    put(root / "df_chexpert_plus_240401.csv", csv_text(rows, PLUS))
    for kind in ("report", "findings", "impression"):
        put(root / f"CheXpert_Labels/{kind}_fixed.json", labels)
    return LookAlike(tuple(images), ("PNG/PNG/train/patient99903/study1/view1_frontal.png",))


MIMIC = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
META = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)


@lookalike("mimic-cxr-jpg")
def mimic_cxr_jpg(root: Path) -> LookAlike:
    """A copy of the PhysioNet page of 2.1.0 (id 109828544: files, columns of each table), mlmed/torchxrayvision@0aa52a7bfff0
    tests/gen_mimic.py (headers of metadata and labels), ids 71216742742, 70202387400 (table of the radiologists: study_id,
    'Airspace Opacity'). A study without a row of labels, a row of blanks, an empty ViewPosition, 'validate'.
    Filled in: order of the radiologists' columns (CheXpert's), of the split's columns (the page's), which file is missing. The
    three sources of labels agree here where each speaks. Ids are made up, above those that are given out.
    """
    rows = [  # subject, study, dicom's beginning, view, split, labels (None: no row)
        ("19999991", "59999991", "02aa804e", "PA", "train", ",1.0,,-1.0,,,,0.0,,1.0,,,,"),
        ("19999991", "59999991", "174413ec", "LATERAL", "train", ",1.0,,-1.0,,,,0.0,,1.0,,,,"),
        ("19999991", "59999992", "2a2277a9", "PA", "train", None),
        ("19999992", "59999993", "68b5c4b1", "", "validate", ",,,,,,,,1.0,,,,,1.0"),
        ("19999993", "59999994", "096052b7", "AP", "test", ",,,,,,,,,,,,,"),
        ("19999993", "59999995", "8959e402", "AP", "test", "1.0,,0.0,,,,,1.0,,,,-1.0,0.0,"),
        ("19999994", "59999996", "c8c6f7a1", "AP", "train", "1.0,,,,,,,,,,,,,"),
    ]
    splits = {"train": "train", "validate": "val", "test": "held_out"}
    meta, parts, listed, table, images = [], [], [], {}, []
    for number, (subject, study, begin, view, split, cells) in enumerate(rows):
        name = f"{begin}-bde0afdd-112c0b34-7bc16630-{number:08x}"
        path = f"files/p{subject[:2]}/p{subject}/s{study}/{name}.jpg"
        side = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral"}.get(view, "")
        kind = "CHEST (PA AND LAT)" if study == "59999991" else "CHEST (PORTABLE AP)"
        meta.append([name, subject, study, kind, view, 3056, 2544, 21800506, 213014.531, kind, side, "Erect"])
        parts.append([name, study, subject, split])
        listed.append(path)
        if cells is not None:
            table[study] = [subject, study, *cells.split(",")]
        if subject != "19999994":
            picture(root / path, number, channels=1)
            said = ({"view": view} if view else {}) | (findings(MIMIC, cells.split(",")) if cells else {})
            images.append(Expected(path, number, said, group=subject, split=splits[split]))
    put(root / "mimic-cxr-2.0.0-metadata.csv.gz", gz(csv_text(meta, META)))
    put(root / "mimic-cxr-2.0.0-split.csv.gz", gz(csv_text(parts, "dicom_id,study_id,subject_id,split")))
    for labeller in ("chexpert", "negbio"):
        put(root / f"mimic-cxr-2.0.0-{labeller}.csv.gz", gz(csv_text(table.values(), "subject_id,study_id," + ",".join(MIMIC))))
    read = dict(zip(MIMIC, table["59999995"][2:], strict=True))
    heads = ",".join(CHEXPERT).replace("Lung Opacity", "Airspace Opacity")
    put(root / "mimic-cxr-2.1.0-test-set-labeled.csv", f"study_id,{heads}\n59999995,{','.join(read[name] for name in CHEXPERT)}\n")
    put(root / "IMAGE_FILENAMES", "\n".join(listed) + "\n")
    return LookAlike(tuple(images), (listed[-1],))


NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
NIH_ROWS = [
    ("00099901_000.png", "Cardiomegaly", 0, 99901, "PA"), ("00099901_001.png", "Cardiomegaly|Emphysema", 1, 99901, "PA"),
    ("00099902_000.png", "No Finding", 0, 99902, "PA"), ("00099903_000.png", "Mass|Pleural_Thickening|Nodule", 0, 99903, "AP"),
    ("00099904_000.png", "Hernia", 0, 99904, "AP"), ("00099905_000.png", "Infiltration", 0, 99905, "AP"),
]  # fmt: skip
NIH_LOST, NIH_UNLISTED = "00099905_000.png", "00099906_000.png"


def nih_tables(root: Path) -> list[Expected]:
    """Writes the tables; returns the images with their names as in the table."""
    rows = [
        [name, found, number, person, 50 + number, "M", view, 2682, 2749, 0.143, 0.143]
        for name, found, number, person, view in NIH_ROWS
    ]
    put(root / "Data_Entry_2017_v2020.csv", csv_text(rows, NIH))
    box = "00099904_000.png,Infiltrate,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661\n"
    put(root / "BBox_List_2017.csv", "Image Index,Finding Label,Bbox [x,y,w,h],,,\n" + box)
    held = ("00099903_000.png", "00099904_000.png")
    put(root / "train_val_list.txt", "".join(f"{row[0]}\n" for row in NIH_ROWS if row[0] not in held))
    put(root / "test_list.txt", "".join(f"{name}\n" for name in held))
    images = []
    for number, (name, found, _, person, view) in enumerate(NIH_ROWS):
        said = {"view": view} | {named(one): "present" for one in found.split("|")}
        images.append(Expected(name, number, said, group=str(person), split="held_out" if name in held else "train"))
    return images


@lookalike("nih-chestxray14")
def nih(root: Path) -> LookAlike:
    """Data_Entry_2017_v2020.csv and BBox_List_2017.csv in the wheel torchxrayvision 1.5.7 (headers whose brackets are split by
    commas), id 70696847699 (members images/<name>.png). train_val_list.txt serves as train: there is no published validation part.
    Only what is named is stated as present. Filled in: which row has no file and which file no row.
    """
    images = nih_tables(root)
    for image in images:
        if image.name != NIH_LOST:
            picture(root / "images" / image.name, image.colour, channels=1)
    picture(root / "images" / NIH_UNLISTED, 60, channels=1)
    return in_place(images, dict.fromkeys([row[0] for row in NIH_ROWS] + [NIH_UNLISTED], "images/"))


@lookalike("nih-chestxray14+archive")
def nih_archive(root: Path) -> LookAlike:
    """As nih-chestxray14, the images left in images_001.tar.gz and images_002.tar.gz (id 70696847699); names are those of the
    unpacked files. Filled in: that the archives hold a member for the folder.
    """
    images = nih_tables(root)
    for archive, (first, last) in {"images_001.tar.gz": (0, 3), "images_002.tar.gz": (3, 6)}.items():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            folder = tarfile.TarInfo("images")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            for image in images[first:last]:
                if image.name != NIH_LOST:
                    content = encoded(image.colour, "PNG", channels=1)
                    member = tarfile.TarInfo(f"images/{image.name}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        put(root / archive, buffer.getvalue())
    return in_place(images, dict.fromkeys([row[0] for row in NIH_ROWS], "images/"))


def in_place(images: list[Expected], places: dict[str, str]) -> LookAlike:
    """Returns what was told of file names, with the places before them."""
    usable = tuple(
        Expected(places[image.name] + image.name, image.colour, image.labels, group=image.group, split=image.split)
        for image in images
        if image.name != NIH_LOST
    )
    return LookAlike(usable, tuple(places[name] + name for name in (NIH_LOST, NIH_UNLISTED) if name in places))


PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,MethodProjection,"
    "Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,PixelRepresentation_DICOM,PixelAspectRatio_DICOM,"
    "SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,"
    "Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,"
    "LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
)
PADCHEST_ROWS = [  # image, folder, projection, labels as printed, CUIs as printed, those that a right reading gives
    ("99916840136348236148679891455886468_k6ga29.png", 0, "PA", "['normal']", "[]", "normal"),
    (
        "99936686640136348236148679891455886468_04-999-101.png", 0, "L",
        "['pulmonary fibrosis', 'chronic changes', 'kyphosis', 'COPD signs']",
        "['C0034069' 'C0742362' 'C2115817' 'C3544344' 'C0024117' 'C0000001'\n 'C0000002']",
        "pulmonary fibrosis|chronic changes|kyphosis|COPD signs",
    ),
    ("99916840111366964012283_00-999-004.png", 1, "AP_horizontal", "[' pleural effusion', '', 'NSG tube']", "['C2073625']",
     "pleural effusion|NSG tube"),
    ("99916840111366964012284_00-999-005.png", 54, "AP", "", "", ""),
    ("99916840111366964012285_04-999-084.png", 0, "PA", "['cardiomegaly']", "['C0018800']", "cardiomegaly"),
]  # fmt: skip


@lookalike("padchest")
def padchest(root: Path) -> LookAlike:
    """PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv in the wheel torchxrayvision 1.5.7 (header with a first column without
    a name, Python lists, printed arrays with newlines, labels with a blank before them, an empty Labels cell), its datasets.py
    (16-bit PNG in <ImageDir>/, missing images). The level is 257 times that of the 8-bit picture. Reports are stems, so no
    captions.
    Filled in: values of the DICOM columns, StudyID and ReportID, which image is missing; all ids are made up.
    """
    rows, images, rejected = [], [], []
    for number, (name, folder, view, labels, cuis, found) in enumerate(PADCHEST_ROWS):
        study, person = f"999168401113669640122{number}", f"99913634823614867989145588646{number // 2}"
        seen = [
            20140915,
            study,
            person,
            1930.0,
            "F",
            "POSTEROANTERIOR",
            view,
            "Manual review of DICOM fields",
            "No",
            "CR",
            "ImagingDynamics",
        ]
        taken = ["MONOCHROME2", 0, "", "", 12, 2047.5, 4095.0, 16, 16, "", "", "", 20.0, "", 4765770 + number]
        places = ["['loc basal']", f"[{labels}, ['loc basal']]"] if found else ["[]", "[]"]
        told = [" sin hallazg patolog edad pacient .", "Physician", labels, *places, cuis, "[]"]
        rows.append([number, name, folder, *seen, *taken, *told])
        path = f"{folder}/{name}"
        if found == "cardiomegaly":
            rejected.append(path)
            continue
        buffer = io.BytesIO()
        Image.fromarray(plain(number, channels=1).astype(np.uint16) * 257).save(buffer, "PNG")
        put(root / path, buffer.getvalue())
        said = {"view": view} | {named(one): SAID["1.0"] for one in found.split("|") if one}
        images.append(Expected(path, number, said, group=person))
    put(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", csv_text(rows, PADCHEST))
    return LookAlike(tuple(images), tuple(rejected))
