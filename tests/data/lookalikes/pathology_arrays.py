"""Look-alikes of pathology sets without image files: arrays of patches, and patches that are places on slides."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import h5py
import numpy as np
import tifffile
from lookalikes.kit import Expected, LookAlike, lookalike, plain, put

_FOLDS = {
    1: (("Breast", 12), ("Adrenal_gland", 0), ("Bile-duct", 3), ("HeadNeck", 0)),
    2: (("Breast", 0), ("Uterus", 1)),
    3: (("Colon", 11), ("Adrenal_gland", 2), ("Testis", 0)),
}
"""Tissue and number of neoplastic nuclei of each patch; those with 0 have no nucleus at all, but for Breast."""


@lookalike("pannuke")
def pannuke(root: Path) -> LookAlike:
    """PathologyFoundation/plip@f010f3d0bef2 preprocess_PanNuke.py (folders, names, types loaded without pickle, channels of masks);
    code search ids 48140280475 (paths), 60580663336, 15974477364 (shapes), 56967458831 (float64, unicode types).

    Filled in: float64 for the masks; patches of 16 px instead of 256. PLIP's benign and malignant come from its own rule and are no
    labels of the set.
    """
    images, number = [], 300
    for fold, patches in _FOLDS.items():
        arrays, masks = [], np.zeros((len(patches), 16, 16, 6))
        for row, (tissue, nuclei) in enumerate(patches):
            number += 1
            arrays.append(plain(number))
            masks[row, 0].flat[: nuclei * 6 : 6] = np.arange(1, nuclei + 1)
            masks[row, 1, :, 4] = float(tissue in {"Breast", "Uterus"})
            masks[row, ..., 5] = masks[row, ..., :5].sum(axis=-1) == 0
            images.append(Expected(f"Fold {fold}/images/fold{fold}/images.npy/{row}", number, {"tissue": tissue}))
        for path, array in (
            (f"Fold {fold}/images/fold{fold}/images.npy", np.stack(arrays).astype(np.float64)),
            (f"Fold {fold}/images/fold{fold}/types.npy", np.array([tissue for tissue, _ in patches])),
            (f"Fold {fold}/masks/fold{fold}/masks.npy", masks),
        ):
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            put(root / path, buffer.getvalue())
    return LookAlike(tuple(images))


@lookalike("patch-camelyon")
def patch_camelyon(root: Path) -> LookAlike:
    """pytorch/vision@08485c0769f4 torchvision/datasets/pcam.py (files, keys, shape of y); code search ids 6326818410, 70937951613
    (columns of meta, an index column first), 67486422805, 870442165 (wsi the last column; names of slides, test too), 12812962063
    (True and False as texts).

    Filled in: uint8 for y, the rows, an index column without a name. A patch may be tumour (tumor_patch) and its centre not: y 0.
    """
    names = {0: "lymph node", 1: "lymph node containing metastatic tumor tissue"}
    parts = {
        "train": [("tumor_001", 1, 1), ("tumor_001", 1, 0), ("normal_033", 0, 0), ("tumor_047", 1, 1)],
        "valid": [("normal_081", 0, 0), ("tumor_102", 1, 1)],
        "test": [("122", 1, 1), ("016", 0, 0), ("016", 1, 0)],
    }
    images, number = [], 320
    for part, rows in parts.items():
        base = f"camelyonpatch_level_2_split_{part}"
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(("", "coord_y", "coord_x", "tumor_patch", "center_tumor_patch", "wsi"))
        patches, label = [], np.array([row[2] for row in rows], np.uint8).reshape(-1, 1, 1, 1)
        for index, (slide, tumour, centre) in enumerate(rows):
            number += 1
            wsi = f"camelyon16_{'test' if part == 'test' else 'train'}_{slide}"
            writer.writerow((index, 40000 + 96 * index, 9000 + 7 * index, bool(tumour), bool(centre), wsi))
            patches.append(plain(number, 96))
            split = {"train": "train", "valid": "val", "test": "held_out"}[part]
            images.append(Expected(f"{base}_x.h5/{index}", number, {"tissue": names[centre]}, group=wsi, split=split))
        put(root / f"{base}_meta.csv", buffer.getvalue())
        for key, array in (("x", np.stack(patches)), ("y", label)):
            with h5py.File(root / f"{base}_{key}.h5", "w") as file:
                file.create_dataset(key, data=array)
    return LookAlike(tuple(images))


_SIDE, _HALF = 1536, 768


def _slide(path: Path, numbers: tuple[int, int, int, int], power: int, mpp: float) -> None:
    """Writes a slide of Aperio's kind whose quarters (left above, right above, left below, right below) are of these colours."""
    image = np.empty((_SIDE, _SIDE, 3), np.uint8)
    for place, number in enumerate(numbers):
        top, left = place // 2 * _HALF, place % 2 * _HALF
        image[top : top + _HALF, left : left + _HALF] = plain(number)[0, 0]
    said = f"{_SIDE}x{_SIDE} [0,0 {_SIDE}x{_SIDE}] (256x256) JPEG/RGB Q=90|AppMag = {power}|MPP = {mpp:.4f}"
    flat = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}, "metadata": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path, bigtiff=False) as writer:
        writer.write(image, tile=(256, 256), description=f"Aperio Image Library v12.0.15\r\n{said}", **flat)
        writer.write(image[::16, ::16].copy(), rowsperstrip=16, description="Aperio Image Library v12.0.15\r\nthumbnail", **flat)
        writer.write(image[::4, ::4].copy(), tile=(256, 256), description="Aperio Image Library v12.0.15\r\nlevel", **flat)


@lookalike("pathgen")
def pathgen(root: Path) -> LookAlike:
    """PathFoundation/PathGen-1.6M@18660bf85865 README.md (keys and their order, flat slides, 672 px at level 0 whatever the scale);
    the published sample at hand (texts as positions, both cases of the UUID, ’ not escaped, no indentation); code search ids
    38756489235, 59344015035 (<file_id>/<wsi_id>.svs, as gdc-client writes).

    Filled in: the ids and captions, that the slides lie in the JSON's folder, indentation of the full JSON. One slide is missing.
    """
    flat = "TCGA-ZZ-A0AA-01Z-00-DX1.0D1E2F30-4152-4364-8758-697A8B9CADBE"
    nested = "TCGA-ZZ-A0BB-01Z-00-DX1.bf00ce1f-0601-40c8-813e-4e3df51b0000"
    missing = "TCGA-ZZ-A0CC-01Z-00-DX1.73040c3e-0000-4d21-88f2-000000000000"
    files = dict(zip((flat, nested, missing), (f"{digit * 8}-4942-496d-9c5d-d36294d80a9d" for digit in "abc"), strict=True))
    _slide(root / f"{flat}.svs", (340, 349, 366, 383), 40, 0.2525)
    _slide(root / f"{files[nested]}/{nested}.svs", (392, 409, 418, 435), 20, 0.5015)
    rows = [
        (flat, 0, 0, 340, "The colon tissue exhibits pleomorphism, hyperchromatic nuclei, and irregular glands."),
        (flat, 832, 800, 383, "White adipose tissue, likely of the adrenal gland’s cortex."),
        (nested, 800, 32, 409, "Fibrous stroma with scattered lymphocytes."),
        (missing, 35136, 33344, None, "Its slide is not there."),
        (nested, 32, 832, 418, "Smooth muscle in parallel bundles, without atypia."),
        (flat, 832, 0, 349, "Dense lymphoid infiltrate next to the glands."),
    ]
    told = [{"wsi_id": wsi, "position": [str(x), str(y)], "caption": text, "file_id": files[wsi]} for wsi, x, y, _, text in rows]
    put(root / "PathGen-1.6M.json", json.dumps(told, indent=0, ensure_ascii=False))
    folders = {flat: "", nested: f"{files[nested]}/", missing: ""}
    images, rejected = [], []
    for wsi, x, y, colour, text in rows:
        name = f"{folders[wsi]}{wsi}.svs@{x},{y}"
        if colour is None:
            rejected.append(name)
        else:
            images.append(Expected(name, colour, captions=(text,), group="-".join(wsi.split("-")[:3])))
    return LookAlike(tuple(images), tuple(rejected))
