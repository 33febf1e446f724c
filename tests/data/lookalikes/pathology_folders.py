"""Look-alikes of pathology sets without a table: the class stands in a folder's name or in the file's."""

from __future__ import annotations

import io
import re
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, lookalike, picture, put
from PIL import Image


def _indexed(values: int, size: int) -> bytes:
    """Returns an indexed PNG, as masks are: value 0 and, from the middle down, another."""
    image = Image.new("P", (size, size), 0)
    image.putpalette([0, 64, 128, 64, 128, 0, 243, 152, 0, 255, 255, 255])
    image.paste(values, (0, size // 2, size, size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@lookalike("databiox")
def databiox(root: Path) -> LookAlike:
    """Code search: ids 69116071266 (folders), 53757152763 (these file names, a list of 30), 69369139789 (the specimen's part).

    The endings are as there: ``.jpg`` at 4x, ``.JPG`` at 10x, 20x and 40x. 9287 of grade 2 occurs under the ordinals 06 and 10, so
    the group is the number alone. Filled in: that the grade in the name is that of the folder.
    """
    files = (
        "01_BC_G1_9057_40x_2.JPG", "01_BC_G1_9057_4x_1.jpg", "03_BC_G1_10959_20x_1.JPG",
        "06_BC_G2_9287_10x_3.JPG", "06_BC_G2_9287_4x_1.jpg", "10_BC_G2_9287_40x_2.JPG",
        "02_BC_G3_10397_40x_2.JPG", "10_BC_G3_10812_20x_1.JPG",
    )  # fmt: skip
    images = []
    for number, file in enumerate(files, start=10):
        _, _, grade, specimen, magnification, _ = file.split("_")
        folder = f"BC_IDC_Grade_{grade[1]}"
        name = f"{folder}/{magnification}/{file}"
        picture(root / name, number)
        images.append(Expected(name, number, {"grade": folder, "magnification": magnification}, group=specimen))
    return LookAlike(tuple(images))


@lookalike("digestpath")
def digestpath(root: Path) -> LookAlike:
    """PathologyFoundation/plip@f010f3d0bef2 preprocess_DigestPath.py (folders, masks); code search id 9234071879 (rule of names).

    That reader takes a patient's id from names in two forms: ``<4 digits><sign><digits>...`` and ``<text><date>...``, both with
    ``-lv1`` behind the date and a digit before the ending. Filled in: the names themselves, made to that rule. The masks are JPEG,
    one beside each positive image, none beside a negative one; they are no images of the set.
    """
    folder = "Colonoscopy_tissue_segment_dataset"
    files = (
        ("tissue-train-neg", "D201900253_2019-05-21 09_13_23-lv1-40859-8006-5000-5000", "D201900253"),
        ("tissue-train-neg", "2018_61902_1-1_2019-02-25 21_57_36-lv1-34816-14277-8042-3237", "2018_61902"),
        ("tissue-train-neg", "2018_61902_1-2_2019-02-25 22_05_11-lv1-1204-9310-3120-3316", "2018_61902"),
        ("tissue-train-pos-v1", "2018_64982_1-3_2019-02-25 21_20_52-lv1-20544-13998-3871-4253", "2018_64982"),
        ("tissue-train-pos-v1", "2018_64982_1-3_2019-02-25 21_20_52-lv1-9011-4410-2998-3022", "2018_64982"),
        ("tissue-train-pos-v1", "D201901187_2019-06-11 10_02_47-lv1-5120-6144-4096-4096", "D201901187"),
    )
    images = []
    for number, (part, stem, patient) in enumerate(files, start=30):
        name = f"{folder}/{part}/{stem}.jpg"
        picture(root / name, number)
        positive = part == "tissue-train-pos-v1"
        if positive:
            picture(root / f"{folder}/{part}/{stem}_mask.jpg", 60 + number, channels=1)
        images.append(Expected(name, number, {"diagnosis": "positive" if positive else "negative"}, group=patient))
    return LookAlike(tuple(images))


@lookalike("renal-cell")
def renal_cell(root: Path) -> LookAlike:
    """Code search ids 54241506964 (tree with names), 67497731260 (the first name of TCGA), 70666039496 (the case of a TCGA tile);
    vahvero/RCC_textures_...@0cb3f9e86399 README.md (six folders, PNG).

    Filled in: the words before "Tile" outside of blood, other slides' names, the second name of TCGA.
    """
    files = (
        ("blood", "FIMM6_14_ML1412133.mrxs_BloodTile 1"), ("blood", "FIMM6_14_ML1412133.mrxs_BloodTile 10"),
        ("cancer", "FIMM6_14_ML1412133.mrxs_CancerTile 1"), ("empty", "FIMM2_03_ML1412021.mrxs_EmptyTile 7"),
        ("normal", "FIMM2_03_ML1412021.mrxs_NormalTile 12"), ("other", "FIMM2_03_ML1412021.mrxs_OtherTile 3"),
        ("stroma", "FIMM4_09_ML1412088.mrxs_StromaTile 2"),
        ("cancer", "TCGA-B0-5691_27828_20422_cancer_11339"), ("stroma", "TCGA-B0-5691_9012_31200_stroma_407"),
    )  # fmt: skip
    images = []
    for number, (tissue, stem) in enumerate(files, start=50):
        name = f"tissue_classification/{tissue}/{stem}.png"
        picture(root / name, number)
        images.append(Expected(name, number, {"tissue": tissue}, group=re.split(r"\.mrxs_|_(?=\d+_\d+_)", stem)[0]))
    return LookAlike(tuple(images))


@lookalike("wsss4luad")
def wsss4luad(root: Path) -> LookAlike:
    """Code search: ids 28904970267, 40309016594 (names of training), 55509716095, 14188930763 (validation and testing, masks).

    Images of validation and testing come with masks only, so nothing tells a label: they are counted as files without a row.
    Filled in: all coordinates but the first two, the values in the masks.
    """
    files = (
        ("436219-7159-48057", (1, 0, 0)), ("436219-33187-43407", (1, 0, 0)), ("436219-9012-40110", (1, 1, 0)),
        ("1003370-11205-20411", (0, 1, 0)), ("1003370-12090-21877", (0, 1, 1)), ("1009821-8021-3307", (0, 0, 1)),
    )  # fmt: skip
    images = []
    for number, (stem, flags) in enumerate(files, start=70):
        name = f"1.training/{stem}-[{', '.join(map(str, flags))}].png"
        picture(root / name, number)
        told = {word: "present" if flag else "absent" for word, flag in zip(("tumor", "stroma", "normal"), flags, strict=True)}
        images.append(Expected(name, number, told, group=stem.split("-")[0], split="train"))
    rejected = []
    for number, (part, index, masks) in enumerate(
        [("2.validation", 0, ("mask", "background-mask")), ("2.validation", 1, ("mask", "background-mask")),
         ("3.testing", 0, ("background-mask",))], start=90
    ):  # fmt: skip
        rejected.append(f"{part}/img/{index:02d}.png")
        picture(root / rejected[-1], number, size=24)
        for mask in masks:
            put(root / f"{part}/{mask}/{index:02d}.png", _indexed(1, 24))
    return LookAlike(tuple(images), tuple(rejected))
