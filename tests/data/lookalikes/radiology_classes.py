"""Look-alikes of sets with one class an image: BiomedCoOp's nine splits and MedMNIST."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lookalikes.kit import Expected, LookAlike, lookalike, picture, plain, put

SPLITS = {"train": "train", "val": "val", "test": "held_out"}


@dataclass(frozen=True)
class Coop:
    """One of BiomedCoOp's sets.

    Attributes:
        rows: Split, path, code, class name; the form of the names is that of the entries seen.
        missing: Rows without a file.
        extra: Files without a row.
        group: What of the path may not cross a split.
        channels: 1 where the evidence says grey.
    """

    rows: tuple[tuple[str, str, int, str], ...]
    missing: tuple[tuple[str, str, int, str], ...] = ()
    extra: tuple[str, ...] = ()
    group: str = ""
    channels: int = 3


COOP = {
    # Filled in: the names of meningioma, pituitary and normal (by image03.jpg of glioma); which rows have no file.
    "BTMRI": Coop(
        (
            ("train", "glioma_tumor/image03.jpg", 0, "glioma tumor"),
            ("train", "meningioma_tumor/image14.jpg", 1, "meningioma tumor"),
            ("val", "normal_brain/image7.jpg", 3, "normal brain"),
            ("test", "pituitary_tumor/image9.jpg", 2, "pituitary tumor"),
        ),
        missing=(("train", "normal_brain/image8.jpg", 3, "normal brain"),),
    ),
    # Filled in: that the archive still has a mask (the original has; the JSON has none).
    "BUSI": Coop(
        (
            ("train", "benign_tumor/benign (376).png", 0, "benign tumor"),
            ("train", "malignant_tumor/malignant (10).png", 1, "malignant tumor"),
            ("val", "normal_scan/normal (101).png", 2, "normal scan"),
            ("test", "benign_tumor/benign (1).png", 0, "benign tumor"),
        ),
        extra=("benign_tumor/benign (376)_mask.png",),
    ),
    # Filled in: the name in covid_lungs.
    "COVID_19": Coop(
        (
            ("train", "covid_lungs/COVID-1.png", 0, "covid lungs"),
            ("train", "lung_opacity_lungs/Lung_Opacity-1126.png", 1, "lung opacity lungs"),
            ("val", "normal_lungs/Normal-10000.png", 3, "normal lungs"),
            ("test", "viral_pneumonia_lungs/Viral Pneumonia-98.png", 2, "viral pneumonia lungs"),
        ),
    ),
    # Filled in: the name in kidney_tumor.
    "CTKidney": Coop(
        (
            ("train", "cyst_kidney/Cyst- (10).jpg", 0, "cyst kidney"),
            ("train", "kidney_tumor/Tumor- (12).jpg", 2, "kidney tumor"),
            ("val", "kidney_stone/Stone- (100).jpg", 1, "kidney stone"),
            ("test", "normal_kidney/Normal- (978).jpg", 3, "normal kidney"),
        ),
        extra=("normal_kidney/Normal- (979).jpg",),
    ),
    "KneeXray": Coop(
        (
            ("train", "doubtful_osteoarthritis/9999001R.png", 1, "doubtful osteoarthritis"),
            ("train", "healthy_knee/9999001L.png", 0, "healthy knee"),
            ("train", "minimal_osteoarthritis/9999002L.png", 2, "minimal osteoarthritis"),
            ("val", "moderate_osteoarthritis/9999003L.png", 3, "moderate osteoarthritis"),
            ("test", "severe_osteoarthritis/9999004L.png", 4, "severe osteoarthritis"),
        ),
        group=r"/(\d{7})[LR]\.",
    ),
    # Filled in: the name in polyps, the letters before _00000332.
    "Kvasir": Coop(
        (
            ("train", "dyed_lifted_polyps/a8baebbb-0000-4375-ab04-ae5a88eab27a.jpg", 0, "dyed lifted polyps"),
            ("train", "dyed_resection_margins/009bd044-0000-4c81-b481-d20fb223cd81.jpg", 1, "dyed resection margins"),
            ("train", "esophagitis/a8295f9a-0000-4323-afdc-41b9ab509757.jpg", 2, "esophagitis"),
            ("train", "normal_cecum/00b99f19-0000-4c7c-931a-4c3b38d70d1a.jpg", 3, "normal cecum"),
            ("val", "normal_pylorus/932e4b00-0000-475a-b805-650e073bdc0b.jpg", 4, "normal pylorus"),
            ("val", "normal_z_line/00bee375-0000-4ba9-89e5-bd6132d79c0c.jpg", 5, "normal z line"),
            ("test", "polyps/0a7bdce4-0000-4827-aef5-7e2d16c8c4f1.jpg", 6, "polyps"),
            ("test", "ulcerative_colitis/0b2c46d0-0000-4c0b-9f6e-0d7a2b3c4d5e_00000332.jpg", 7, "ulcerative colitis"),
        ),
    ),
    # The list begins with train1; codes are those of MedMNIST, whose words the class names shorten.
    "DermaMNIST": Coop(
        (
            ("train", "melanocytic_nevus/train1_5.png", 5, "melanocytic nevus"),
            ("train", "melanoma/train4_4.png", 4, "melanoma"),
            ("train", "benign_keratosis/train10_2.png", 2, "benign keratosis"),
            ("train", "basal_cell_carcinoma/train12_1.png", 1, "basal cell carcinoma"),
            ("train", "vascular_lesion/train23_6.png", 6, "vascular lesion"),
            ("train", "actinic_keratosis/train64_0.png", 0, "actinic keratosis"),
            ("train", "dermatofibroma/train67_3.png", 3, "dermatofibroma"),
            ("val", "melanoma/val5_4.png", 4, "melanoma"),
            ("test", "actinic_keratosis/test1970_0.png", 0, "actinic keratosis"),
        ),
        missing=(("val", "melanocytic_nevus/val0_5.png", 5, "melanocytic nevus"),),
        extra=("melanocytic_nevus/train0_5.png",),
    ),
    "OCTMNIST": Coop(
        (
            ("train", "normal_OCT_scan/train1_3.png", 3, "normal OCT scan"),
            ("train", "choroidal_neovascularization/train4_0.png", 0, "choroidal neovascularization"),
            ("train", "diabetic_macular_edema/train6_1.png", 1, "diabetic macular edema"),
            ("val", "drusen/val11_2.png", 2, "drusen"),
            ("test", "choroidal_neovascularization/test999_0.png", 0, "choroidal neovascularization"),
        ),
        channels=1,
    ),
    # The digits are a person's within a class only: 99904 stands in two classes.
    "RETINA": Coop(
        (
            ("train", "cataract/_85_9957077.jpg", 2, "cataract"),
            ("train", "diabetic_retinopathy/99903_left.jpeg", 0, "diabetic retinopathy"),
            ("train", "diabetic_retinopathy/99903_right.jpeg", 0, "diabetic retinopathy"),
            ("val", "glaucoma/99904_left.jpg", 1, "glaucoma"),
            ("test", "diabetic_retinopathy/99904_right.jpeg", 0, "diabetic retinopathy"),
            ("test", "normal_retina/99905_left.jpg", 3, "normal retina"),
        ),
        missing=(("test", "normal_retina/99906_left.jpg", 3, "normal retina"),),
        group=r"^(.*/\d+)_(?:left|right)\.",
    ),
}


def coop(root: Path, folder: str) -> LookAlike:
    """tientrandinh/OGKD@96351fbb9fe8 data/<set>/split_<set>.json (BUSI and CTKidney read anew), datasets/kneexray.py (the loader);
    HealthX-Lab/BiomedCoOp@0112d3c447a0 assets/DATASETS.md (tree). Numbers of persons are made up; filled in: see at each set.
    The label's value is the class name of the JSON (the word in the table), not the folder.
    """
    wanted = COOP[folder]
    images, below = [], f"data/{folder}/{folder}"
    listed: dict[str, list[list[object]]] = {split: [] for split in SPLITS}
    for split, path, code, name in (*wanted.rows, *wanted.missing):
        listed[split].append([path, code, name])
    for number, (split, path, _, name) in enumerate(wanted.rows):
        picture(root / below / path, number, channels=wanted.channels)
        found = re.search(wanted.group, path) if wanted.group else None
        said = {"finding": name}
        images.append(Expected(f"{below}/{path}", number, said, group=found and found[1], split=SPLITS[split]))
    for number, path in enumerate(wanted.extra, 60):
        picture(root / below / path, number, channels=wanted.channels)
    put(root / f"data/{folder}/split_{folder}.json", json.dumps(listed, indent=4, separators=(",", ": ")))
    put(root / f"data/{folder}/split_fewshot/shot_16-seed_1.pkl", b"not opened")
    rejected = (*(path for _, path, _, _ in wanted.missing), *wanted.extra)
    return LookAlike(tuple(images), tuple(f"{below}/{path}" for path in rejected))


for _folder in COOP:
    lookalike("biomedcoop-" + _folder.lower().replace("_", "-"))(lambda root, folder=_folder: coop(root, folder))

PATH = (
    "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa", "cancer-associated stroma",
    "colorectal adenocarcinoma epithelium",
)  # fmt: skip
CHEST = (
    "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax", "consolidation",
    "edema", "emphysema", "fibrosis", "pleural", "hernia",
)  # fmt: skip
PNEUMONIA = ("normal", "pneumonia")
MNIST = {
    "pathmnist": {"train": [0, 8], "val": [7], "test": [6]},
    "chestmnist": {"train": [(1, 8), ()], "val": [(12,)], "test": [(0, 2, 13)]},
    "pneumoniamnist": {"train": [1, 0], "val": [0], "test": [1]},
}


@lookalike("medmnist")
def medmnist(root: Path) -> LookAlike:
    """The wheel medmnist 3.0.2 medmnist/info.py (names of the classes), medmnist/dataset.py (names and shapes of the arrays): grey
    sets have no axis of channels, labels are N x 1 (ChestMNIST N x 14).
    Filled in: uint8 as type of the labels, that the zip is not packed.
    """
    images, number = [], 0
    root.mkdir(parents=True, exist_ok=True)
    for flag, parts in MNIST.items():
        arrays: dict[str, np.ndarray] = {}
        for split, codes in parts.items():
            rows = [[int(place in code) for place in range(14)] if isinstance(code, tuple) else [code] for code in codes]
            pictures = []
            for place, (code, row) in enumerate(zip(codes, rows, strict=True)):
                if isinstance(code, tuple):
                    said = {name: "present" if one else "absent" for name, one in zip(CHEST, row, strict=True)}
                else:
                    said = {"finding": (PATH if flag == "pathmnist" else PNEUMONIA)[code]}
                pictures.append(plain(number, 28, 3 if flag == "pathmnist" else 1))
                images.append(Expected(f"{flag}.npz/{split}/{place}", number, said, split=SPLITS[split]))
                number += 1
            arrays |= {f"{split}_images": np.stack(pictures), f"{split}_labels": np.array(rows, np.uint8)}
        np.savez(root / f"{flag}.npz", **dict(sorted(arrays.items(), key=lambda item: item[0].endswith("labels"))))
    return LookAlike(tuple(images))
