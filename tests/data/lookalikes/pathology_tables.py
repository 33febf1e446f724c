"""Look-alikes of pathology sets with a table of labels beside folders of images."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, encoded, lookalike, picture, put
from PIL import Image

_MHIST = (
    ("aaa", "SSA", 6, "train"),
    ("aab", "HP", 0, "train"),
    ("aac", "HP", 3, "test"),
    ("aad", "SSA", 4, "train"),
    ("aae", "SSA", 7, "test"),
)


def _mhist(root: Path) -> LookAlike:
    header = "Image Name,Majority Vote Label,Number of Annotators who Selected SSA (Out of 7),Partition\n"
    lines = [f"MHIST_{letters}.png,{label},{votes},{part}\n" for letters, label, votes, part in _MHIST]
    put(root / "annotations.csv", header + "".join(lines))
    put(root / "Dataset Research Use Agreement.pdf", b"%PDF-1.4\n%%EOF\n")
    put(root / "MD5SUMs.txt", "486973abb3cf7985df2034701d81e9c1  images.zip\n")
    return LookAlike(
        tuple(
            Expected(
                f"images/MHIST_{letters}.png", number, {"diagnosis": label, "ssa_votes": str(votes)},
                split="train" if part == "train" else "held_out",
            )
            for number, (letters, label, votes, part) in enumerate(_MHIST, start=200)
        )
    )  # fmt: skip


@lookalike("mhist")
def mhist(root: Path) -> LookAlike:
    """kaiko-ai/eva@010d5359b74d docs/datasets/mhist.md (tree, files); code search ids 51949680579, 67003740887 (header, votes).

    Filled in: the rows, line ends, what stands in MD5SUMs.txt.
    """
    for number, (letters, *_) in enumerate(_MHIST, start=200):
        picture(root / f"images/MHIST_{letters}.png", number)
    return _mhist(root)


@lookalike("mhist+archive")
def mhist_archive(root: Path) -> LookAlike:
    """As mhist, named as if unpacked; members images/MHIST_*.png of images.zip: code search ids 67003740887, 55054974037."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/", b"")
        for number, (letters, *_) in enumerate(_MHIST, start=200):
            archive.writestr(f"images/MHIST_{letters}.png", encoded(number, "PNG"))
    put(root / "images.zip", buffer.getvalue())
    return _mhist(root)


@lookalike("skin-cancer")
def skin_cancer(root: Path) -> LookAlike:
    """Code search: ids 54241506964 (tree with names), 61387636110 (14 columns, set the last, case); wisdomikezogwo/quilt1m@
    0ca843fb167f eval/histopathology_datasets.py (columns, classes).

    Filled in: names and place of the nine columns ``unseen_*``, the order of the others but ``set``, cases, ``nontumor``,
    contents of class_dict.json and README.md.
    """
    rows = (
        ("nontumor_skin_chondraltissue_chondraltissue", "44_1", "17", "Train"),
        ("nontumor_skin_chondraltissue_chondraltissue", "44_5", "17", "Train"),
        ("nontumor_skin_dermis_dermis", "101_3", "17", "Train"), ("nontumor_skin_muscle_skeletal", "12_40", "203", "Validation"),
        ("tumor_skin_epithelial_bcc", "7_2", "88", "Test"), ("tumor_skin_melanoma_melanoma", "9_11", "311", "Test"),
        ("tumor_skin_naevus_naevus", "310_6", "45", "Train"),
    )  # fmt: skip
    unseen = [f"unseen_{number}" for number in range(1, 10)]
    lines, images = [",".join(["file", "class", "malignicy", "case", *unseen, "set"])], []
    for number, (kind, place, case, part) in enumerate(rows, start=220):
        file = f"data/tiles/{kind}/{kind}_ws_{place}.jpg"
        lines.append(",".join([file, kind, kind.split("_")[0], case, *["0"] * len(unseen), part]))
        picture(root / file, number)
        split = {"Train": "train", "Validation": "val", "Test": "held_out"}[part]
        images.append(Expected(file, number, {"tissue": kind}, group=case, split=split))
    put(root / "data/tiles-v2.csv", "\n".join(lines) + "\n")
    put(
        root / "data/class_dict.json", json.dumps({str(index): kind for index, kind in enumerate(sorted({row[0] for row in rows}))})
    )
    put(root / "README.md", "not seen\n")
    return LookAlike(tuple(images))


@lookalike("osteosarcoma")
def osteosarcoma(root: Path) -> LookAlike:
    """Code search: ids 70931268382 (names of tables, four groups, folders), 71144820105 (69 columns, classes), 4403099735,
    8086866055, 62065588777 (a PathologistValidation.csv without header in each set, spaces there and hyphens in the files' names);
    42017468191, 41729357198, 42113230339 (set and file of the last three).

    Filled in: names of the 67 columns ``unseen_*`` and the order of all, which class each row has, set of the others but the first.
    """
    rows = (
        ("Training-Set-2/set1", "Case 3 A10-10547-25283", "Non-Viable-Tumor"),
        ("Training-Set-2/set1", "Case 3 A7-20011-8042", "Viable"),
        ("Training-Set-1/set4", "Case 4 C21-8120-33004", "viable: non-viable"),
        ("Training-Set-1/set4", "Case 4 C48-1177-2301", "Viable"),
        ("Training-Set-1/set10", "Case 48 - P5 C25-41901-28675", "Non-Tumor"),
        ("Training-Set-2/set8", "Case 48 - P5 C17-7752-15521", "Viable"),
        ("Training-Set-1/set11", "P9 B6-19328-19600", "Non-Tumor"),
    )  # fmt: skip
    unseen = [f"unseen_{number}" for number in range(1, 68)]
    lines, seen, images = [",".join(["image.name", *unseen, "classification"])], {}, []
    for number, (folder, named, label) in enumerate(rows, start=240):
        lines.append(",".join([named, *["0.5"] * len(unseen), label]))
        file = named.replace(" - ", "-").replace(" ", "-") + ".jpg"
        picture(root / folder / file, number)
        seen.setdefault(folder, []).append(f"{named}.jpg,{label}\n")
        group = "P9" if named.startswith("P9") else " ".join(named.split(" ")[:2])
        images.append(Expected(f"{folder}/{file}", number, {"tissue": label}, group=group))
    put(root / "ML_Features_1144.csv", "\n".join(lines) + "\n")
    for folder, told in seen.items():
        put(root / folder / "PathologistValidation.csv", "".join(told))
    return LookAlike(tuple(images))


def _xlsx(path: Path, rows: list[tuple[object, ...]]) -> None:
    from openpyxl import Workbook

    book = Workbook()
    for row in rows:
        book.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def _mask(path: Path, value: int) -> None:
    buffer = io.BytesIO()
    Image.new("L", (16, 16), value).save(buffer, "PNG")
    put(path, buffer.getvalue())


@lookalike("sicapv2")
def sicapv2(root: Path) -> LookAlike:
    """Code search: ids 54241506964, 26106318821 (tree, names), 70854174721 (headers of all tables, four folds of the main Train),
    70316565505 (one grade a row, images in no table, masks 0/3/4/5), 71491919526 (slide before _Block_, patient a whole number).

    Filled in: the rows, the other names, the sheet's name. Two slides here are of one patient. The image in no table is counted.
    """
    blocks = (
        ("16B0001851_Block_Region_1_0_0_xini_6803_yini_59786", "Train", "NC", 0, 1),
        ("16B0001851_Block_Region_1_0_1_xini_7827_yini_59786", "Train", "G3", 0, 1),
        ("16B0001852_Block_Region_2_1_4_xini_9107_yini_10344", "Train", "G4", 1, 1),
        ("17B00208_Block_Region_0_7_2_xini_13012_yini_4402", "Train", "G5", 0, 12),
        ("18B0001159D_Block_Region_3_5_26_xini_35472_yini_8051", "Test", "G4", 0, 40),
        ("18B0001159D_Block_Region_3_5_27_xini_36496_yini_8051", "Test", "NC", 0, 40),
    )
    head = ("image_name", "NC", "G3", "G4", "G5", "G4C")
    tables: dict[str, list[tuple[object, ...]]] = {"Train": [head], "Test": [head]}
    slides: dict[str, int] = {}
    images = []
    for number, (stem, part, grade, cribriform, patient) in enumerate(blocks, start=260):
        tables[part].append((f"{stem}.jpg", *(int(grade == one) for one in head[1:5]), cribriform))
        slides[stem.split("_Block_")[0]] = patient
        name = f"SICAPv2/images/{stem}.jpg"
        picture(root / name, number)
        _mask(root / f"SICAPv2/masks/{stem}.png", {"NC": 0, "G3": 3, "G4": 4, "G5": 5}[grade])
        images.append(
            Expected(name, number, {"gleason": grade}, group=str(patient), split="train" if part == "Train" else "held_out")
        )
    extra = "16B0001851_Block_Region_1_0_2_xini_8851_yini_59786"
    picture(root / f"SICAPv2/images/{extra}.jpg", 270)
    _mask(root / f"SICAPv2/masks/{extra}.png", 0)
    for part, rows in tables.items():
        _xlsx(root / f"SICAPv2/partition/Test/{part}.xlsx", rows)
    train = tables["Train"][1:]
    for fold in range(4):
        held = [train[fold]]
        _xlsx(root / f"SICAPv2/partition/Validation/Val{fold + 1}/Test.xlsx", [head, *held])
        _xlsx(root / f"SICAPv2/partition/Validation/Val{fold + 1}/Train.xlsx", [head, *(row for row in train if row not in held)])
    grades = [(slide, patient, 3, 4) for slide, patient in slides.items()]
    _xlsx(root / "SICAPv2/wsi_labels.xlsx", [("slide_id", "patient_id", "Gleason_primary", "Gleason_secondary"), *grades])
    put(root / "SICAPv2/readme.txt", "Version 1: 2020-05\n")
    put(root / "SICAPv2/Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    return LookAlike(tuple(images), (f"SICAPv2/images/{extra}.jpg",))


@lookalike("biomedcoop-splits")
def biomedcoop_splits(root: Path) -> LookAlike:
    """split_CHMNIST.json at hand (these rows); HealthX-Lab/BiomedCoOp@0112d3c447a0 assets/DATASETS.md (tree, sets).

    CHMNIST's names tell the section (CRC-Prim-HE-05), which the published split cuts through; LungColon has twins across
    the split (issue 6). Filled in: paths in split_LungColon.json: folders by the rule of CHMNIST's (blank to _), files as LC25000
    calls them.
    """
    chmnist = {
        "train": [["adipose_tissue/1003E_CRC-Prim-HE-05_032.tif_Row_1951_Col_2701.tif", 0, "adipose tissue"],
                  ["adipose_tissue/10183_CRC-Prim-HE-07.tif_Row_1051_Col_2701.tif", 0, "adipose tissue"],
                  ["tumour_epithelium/100B0_CRC-Prim-HE-09_009.tif_Row_1_Col_301.tif", 7, "tumour epithelium"]],
        "val": [["normal_mucosal_glands/10088_CRC-Prim-HE-08_022.tif_Row_751_Col_151.tif", 5, "normal mucosal glands"]],
        "test": [["tumour_epithelium/10062_CRC-Prim-HE-02_003b.tif_Row_1_Col_301.tif", 7, "tumour epithelium"],
                 ["adipose_tissue/1000E_CRC-Prim-HE-07.tif_Row_901_Col_4201.tif", 0, "adipose tissue"]],
    }  # fmt: skip
    lung_colon = {
        "train": [["colon_adenocarcinoma/colonca1.jpeg", 0, "colon adenocarcinoma"],
                  ["lung_benign_tissue/lungn4.jpeg", 3, "lung benign tissue"]],
        "val": [["lung_squamous_cell_carcinoma/lungscc3.jpeg", 4, "lung squamous cell carcinoma"]],
        "test": [["colon_adenocarcinoma/colonca2.jpeg", 0, "colon adenocarcinoma"],
                 ["colon_benign_tissue/colonn9.jpeg", 1, "colon benign tissue"]],
    }  # fmt: skip
    images, number = [], 280
    for name, parts in (("CHMNIST", chmnist), ("LungColon", lung_colon)):
        put(root / f"{name}/split_{name}.json", json.dumps(parts, indent=4))
        for part, rows in parts.items():
            for path, _, label in rows:
                number += 1
                colour = 400 if "colonca" in path else number  # colonca1 and colonca2: twins on either side of the split
                picture(root / f"{name}/{name}/{path}", colour)
                section = path.split("_CRC-Prim-HE-")[1][:2] if name == "CHMNIST" else None
                split = {"train": "train", "val": "val", "test": "held_out"}[part]
                group = f"CRC-Prim-HE-{section}" if section else None
                images.append(Expected(f"{name}/{name}/{path}", colour, {"tissue": label}, group=group, split=split))
    return LookAlike(tuple(images))
