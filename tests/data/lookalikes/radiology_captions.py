"""Look-alikes of sets of figures or frames with captions of their own."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, encoded, lookalike, picture, put
from lookalikes.radiology_files import csv_text

BIOMEDICA = {  # archive: batch, article, position, image id, caption, channels
    "commercial/000000.tar": [
        ("0_12", "PMC99990001", 0, "1752-1947-5-341-1", "Chest radiograph at admission.", 1),
        ("0_12", "PMC99990001", 1, "1752-1947-5-341-2", "Two views.\n(A) Frontal. (B) Lateral.", 3),
        ("0_12", "PMC99990001", 2, "1752-1947-5-341-3", "Two views.\n(A) Frontal. (B) Lateral.", 3),
    ],
    "noncommercial/000000.tar": [("3_4", "PMC99990002", 4, "CRIONM9999-931546.003", "CT of the pelvis, 5.5 µm collimation.", 3)],
    "other/000000.tar": [
        ("1_0", "PMC99990003", 0, "CRIM.MEDICINE9999-103581.001", "Sagittal MRI.", 3),
        ("1_0", "PMC99990003", 1, "CRIM.MEDICINE9999-103581.002", "Same patient, one year later.", 3),
    ],
}


def biomedica_facts(article: str, image: str, colour: int) -> dict[str, object]:
    """Returns the JSON of a sample, keys in the order of the code."""
    about = {"accession_id": article, "title": "A case", "journal": "J Med Case Rep", "date": "1312156800", "abstract": ""}
    about |= {"mesh_terms": [""], "keywords": ["case. report"], "reference_ids": ["1", "2"], "reference_count": 2}
    about |= {"reference_list": [{"PubMedId": "1"}], "subject": ["Case Report"], "citation": "J Med Case Rep. 2011 Aug 1; 5:341"}
    about |= {"license": "CC BY", "text": "Background\nA long text. " * 50}
    told = {"file_name": f"{image}.jpg", "cluster_id": image, "hash": hashlib.sha256(bytes([colour])).hexdigest(), "label_id": "17"}
    told |= {"panel_type": "Single", "panel_subtype": "Single", "primary_label": ["Clinical Imaging"]}
    told |= {
        "secondary_label": ["x-ray radiography"],
        "size": [16, 16],
        "set": [{"image_id": image}],
        "context": {image: ["See Fig."]},
    }
    return {f"image_{key}": value for key, value in told.items()} | {f"article_{key}": value for key, value in about.items()}


@lookalike("biomedica")
def biomedica(root: Path) -> LookAlike:
    """minwoosun/biomedica-etl@c5bbea9b8045 scripts/06_serilaize_to_webdataset_parallel.py (key <batch>-<PMC id>-<position>-<image
    id>, jpg, txt, json and the order of its keys), src/pmc_oa/build_json.py (values), wd_loader.py (the three folders).
    Filled in: form of the batch's name, values of the panels, order of the members (webdataset's writer sorts the endings), its
    modes.
    """
    images, colour = [], 0
    for archive, samples in BIOMEDICA.items():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for batch, article, position, image, caption, channels in samples:
                key = f"{batch}-{article}-{position}-{image}"
                facts = json.dumps(biomedica_facts(article, image, colour)).encode()
                parts = {"jpg": encoded(colour, channels=channels), "json": facts, "txt": caption.encode()}
                for ending, content in parts.items():
                    member = tarfile.TarInfo(f"{key}.{ending}")
                    member.size, member.mode, member.uname, member.gname = len(content), 0o444, "bigdata", "bigdata"
                    tar.addfile(member, io.BytesIO(content))
                images.append(Expected(f"{archive}/{key}.jpg", colour, captions=(caption,), group=article))
                colour += 1
        put(root / archive, buffer.getvalue())
    return LookAlike(tuple(images))


@lookalike("medmax")
def medmax(root: Path) -> LookAlike:
    """Hritikbansal/medmax@1a615b48 README.md (keys, tasks, no image_path and tokens where credential is yes), id 4581608849
    (image_path a text or a list), swiss-ai/multimodal-data@6bca60d14299 medical/adapters/medmax.py (image_path is the member's
    name in the joined archive, so relative to where it was unpacked; the key is there in every row).
    Filled in: the form of image_path and of text (instruction, <image>, answer; the caption is what follows <image>), null for
    what is not given, the names of the sources, which image is missing. Rows of other tasks give no caption.
    """
    told = [  # file, image_path, text, task, source, credential
        (
            "train",
            "images/000001.jpg",
            "Describe this figure. <image> Axial CT of the chest, nodule (arrow).",
            "Image Captioning",
            "no",
        ),
        ("train", "images/000002.png", "What does the image show?\n<image>\nH&E stain of a gland.", "Image Captioning", "no"),
        ("train", "images/000001.jpg", "Is there a nodule? <image> Yes.", "VQA", "no"),
        (
            "train",
            ["images/000001.jpg", "images/000002.png"],
            "Compare <image> and <image>. They differ.",
            "Multimodal Generation",
            "no",
        ),
        ("train", None, "Summarise the report. <image> No acute process.", "Report Understanding", "yes"),
        ("train", "images/000004.jpg", "Describe this figure. <image> Lost.", "Image Captioning", "no"),
        ("validation", "images/000003.jpg", "Caption this. <image> Fundus of the left eye.", "Image Captioning", "no"),
    ]
    lines = {"train": "", "validation": ""}
    for part, path, text, task, credential in told:
        row = {"text": text, "tokens": [5, 17, 240] if credential == "no" else None, "image_path": path, "task": task}
        lines[part] += json.dumps(row | {"source": "pmc_oa", "credential": credential}) + "\n"
    for part, content in lines.items():
        put(root / f"{part}.jsonl", content)
    images = []
    for number, (name, caption, split) in enumerate(
        (
            ("000001.jpg", "Axial CT of the chest, nodule (arrow).", "train"),
            ("000002.png", "H&E stain of a gland.", "train"),
            ("000003.jpg", "Fundus of the left eye.", "val"),
        )
    ):
        picture(root / "images" / name, number)
        images.append(Expected(f"images/{name}", number, captions=(caption,), split=split))
    return LookAlike(tuple(images), ("images/000004.jpg",))


@lookalike("pmc-oa")
def pmc_oa(root: Path) -> LookAlike:
    """The loading script of the Hugging Face page (id 30174517780: both jsonl, keys, the folder inside images.zip), its README
    (the row; beta has the whole caption), ids 70134933974, 52283250732 (empty captions, odd modes). The captions are those of
    pmc_oa.jsonl; names are those of the unpacked files. An image with an empty caption is one without a caption, and no lost one.
    Filled in: alignment_type and alignment_score, that an odd mode is a PNG under the name .jpg, which row and file lack the
    other.
    """
    folder = "caption_T060_filtered_top4_sep_v0_subfigures"
    rows = [
        (
            "PMC99912319_Fig3_4.jpg",
            "A. Real time image of the translocation of ARF1-GFP to the plasma membrane",
            "Two parts. A, B.",
        ),
        ("PMC99912319_Fig3_5.jpg", " B. The same cell after 5 min", "Two parts. A, B."),
        ("PMC99943860_pbio-0030085-g005_1483.jpg", "Western blot – α-tubulin", "Western blot – α-tubulin"),
        ("PMC99946807_F2_369615.jpg", "Coronal T1-weighted MRI", "Coronal T1-weighted MRI"),
        ("PMC99946807_F3_369616.jpg", "", ""),
        ("PMC99946807_F4_369617.jpg", "Not in the archive", "Not in the archive"),
    ]
    odd, lost = "PMC99946807_F2_369615.jpg", "PMC99946807_F4_369617.jpg"
    unlisted, images, buffer = "PMC99946808_F1_369618.jpg", [], io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate([*(row[0] for row in rows), unlisted]):
            if name != lost:
                archive.writestr(f"{folder}/{name}", encoded(number, "PNG" if name == odd else "JPEG"))
    put(root / "images.zip", buffer.getvalue())
    own, beta = "", ""
    for number, (name, caption, whole) in enumerate(rows):
        own += json.dumps({"image": name, "caption": caption, "alignment_type": "sub", "alignment_score": 0.97}) + "\n"
        beta += json.dumps({"image": name, "caption": whole}) + "\n"
        if name != lost:
            told = (caption.strip(),) if caption else ()
            images.append(Expected(f"{folder}/{name}", number, captions=told, group=name.split("_")[0]))
    put(root / "pmc_oa.jsonl", own)
    put(root / "pmc_oa_beta.jsonl", beta)
    return LookAlike(tuple(images), tuple(f"{folder}/{name}" for name in (lost, unlisted)))


ROCO = [  # split, part, id, article, figure, caption as published; the last article cannot be had any more
    ("train", "radiology", "ROCO_00002", "PMC99970001", "CRIM.MED9999-103581.001.jpg", " Chest X-ray, heart enlarged."),
    ("train", "radiology", "ROCO_00003", "PMC99970001", "CRIM.MED9999-103581.002.jpg", " Chest X-ray, heart enlarged."),
    ("train", "non-radiology", "ROCO_81828", "PMC99970002", "40001_2015_99_Fig1.jpg", " Photograph of a smile"),
    ("validation", "radiology", "ROCO_00020", "PMC99970251", "CRIONM9999-931546.003.jpg", " Axial CT of the pelvis (arrow)."),
    ("test", "radiology", "ROCO_00001", "PMC99970003", "1756-0500-7-99-1.jpg", " CT “before” and after"),
    ("test", "radiology", "ROCO_00061", "PMC99970004", "gr1.jpg", " Article withdrawn."),
]
ROCO_SPLITS = {"train": "train", "validation": "val", "test": "held_out"}


def roco(root: Path, older: bool) -> LookAlike:
    """A piece at hand, radiology/roco/validation/radiology (captions.txt, cuis.txt, licences.txt),
    razorx89/roco-dataset@4a49cbf08fe5 data/test/radiology/semtypes.txt, data/train/non-radiology/keywords.txt, dlinks.txt;
    scripts/fetch.py at a1f0ad6c578c (names by ROCO_ID) and at 024433e76fa5 (names by PMC_ID). Both parts are read: the
    non-radiology part has captions as well. A row without a file goes by the newer script's name of it, whichever wrote the others.
    Filled in: keywords and links of the made-up articles, which article cannot be had. Ids of articles are made up.
    """
    files: dict[str, str] = {}
    images, rejected = [], []
    for number, (split, part, name, article, figure, caption) in enumerate(ROCO):
        folder = f"data/{split}/{part}"
        link = f"ftp://ftp.ncbi.nlm.nih.gov/pub/pmc/oa_package/1e/ed/{article}.tar.gz -P /path/to/Dir"
        kinds = "\tT047\tDisease or Syndrome\tT023\tBody Part, Organ, or Organ Component" if number % 2 else ""
        lines = {
            "captions.txt": f"{name}\t{caption}",
            "cuis.txt": f"{name}\t" + ("\tC4300092\tC0040395" if number % 2 else ""),
            "keywords.txt": f"{name}\t\tsmile\tphotograph",
            "semtypes.txt": f"{name}\t{kinds}",
            "dlinks.txt": f"{name}\twget -r -N -nc {link}\t{figure}",
            "licences.txt": f"{name},{article}_{figure},{'NO-CC CODE' if number % 2 else 'CC BY-NC-ND'}",
        }
        for table, line in lines.items():
            begin = "ROCO_ID,PMC_ID,CC\n" if table == "licences.txt" else ""
            files[f"{folder}/{table}"] = files.get(f"{folder}/{table}", begin) + line + "\n"
        path = f"{folder}/images/" + (f"{article}_{figure}" if older else f"{name}.jpg")
        if number == len(ROCO) - 1:
            rejected.append(f"{folder}/images/{name}.jpg")
            continue
        picture(root / path, number)
        images.append(Expected(path, number, captions=(caption.strip(),), group=article, split=ROCO_SPLITS[split]))
    for path, content in files.items():
        put(root / path, content)
    return LookAlike(tuple(images), tuple(rejected))


lookalike("roco")(lambda root: roco(root, older=False))
lookalike("roco+older")(lambda root: roco(root, older=True))


@lookalike("roco-v2")
def roco_v2(root: Path) -> LookAlike:
    """sctg-development/ROCOv2-radiology@06a858aa1e9b (tables of captions and concepts, file names), ids 41941601739, 61707584751
    (list of the files), 71099506923, 9075167918 (columns of license_information.csv; the first finds them without stripping, so the
    header has no blanks). Filled in: no BOM, the order ID, PMCID, Attribution, Link, the folder in each zip, which file has no row.
    """
    rows = [
        ("train", "000001", "Head CT demonstrating left parotiditis.", "PMC99980001"),
        ("train", "000004", ' MRI, "sagittal" view,  T2-weighted.', "PMC99980001"),
        ("valid", "000001", "Ultrasound of the thyroid; nodule (+)", "PMC99980002"),
        ("test", "000001", "CT chest axial view showing a huge ascending aortic aneurysm (*).", "PMC99980003"),
        ("test", "000078", "Röntgenbild – lateral", "PMC99980004"),
        ("valid", "000003", "Lost with its version.", "PMC99980005"),
    ]
    splits, images = {"train": "train", "valid": "val", "test": "held_out"}, []
    captions: dict[str, list[list[str]]] = {split: [] for split in splits}
    concepts: dict[str, list[list[str]]] = {split: [] for split in splits}
    licences, rejected = [], []
    for number, (split, digits, caption, article) in enumerate(rows):
        name = f"ROCOv2_2023_{split}_{digits}"
        path = f"{split}_images/{split}/{name}.jpg"
        captions[split].append([name, caption])
        concepts[split].append([name, "C0040405;C0856747" if number % 2 else "C1306645"])
        licences.append([name, article, "CC BY [Made Up, et al. (2021)]", f"https://www.ncbi.nlm.nih.gov/pmc/articles/{article}/"])
        if number == len(rows) - 1:
            rejected.append(path)
            continue
        picture(root / path, number)
        images.append(Expected(path, number, captions=(caption.strip(),), group=article, split=splits[split]))
    rejected.append("train_images/train/ROCOv2_2023_train_059963.jpg")
    picture(root / rejected[-1], 60)
    for split in splits:
        put(root / f"{split}_captions.csv", csv_text(captions[split], "ID,Caption"))
        for kind in ("concepts", "concepts_manual"):
            put(root / f"{split}_{kind}.csv", csv_text(concepts[split], "ID,CUIs"))
    put(
        root / "cui_mapping.csv",
        csv_text([["C0040405", "X-Ray Computed Tomography"], ["C0016522", "Foramen Ovale, Patent"]], "CUI,Canonical name"),
    )
    put(root / "license_information.csv", csv_text(licences, "ID,PMCID,Attribution,Link"))
    return LookAlike(tuple(images), tuple(rejected))
