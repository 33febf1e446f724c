"""What reads a published set by a peer's own class, in the peers' environment; started by test_peer_loaders.py.

    python peer_loaders.py '{"name": "eurosat-ms", "root": DIR, "options": {}}'

Imports nothing of domainclip and nothing of the look-alikes. One line of JSON on standard output: a list of images, each with
``colour`` (mean of each channel, 0 to 255 or digital numbers), ``labels`` (the peer's classes to the peer's values, in the
peer's own order, or one class or number), ``split`` and what else the peer says; ``{"error": ...}`` in place of an image that
the peer lists and cannot read, and in place of the list where it reads nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Images = Iterator[dict[str, Any]]
SPLITS = ("train", "val", "test")
LEVEL_2A = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
"""Bands in the order that the documentation of torchgeo's BigEarthNet gives."""


def told(error: Exception) -> dict[str, str]:
    return {"error": f"{type(error).__name__}: {error}"}


def each(dataset: Any, count: int, seen: Callable[[Any], dict[str, Any]], **more: Any) -> Images:
    """Reads by index; an image that cannot be read is told as such."""
    for index in range(count):
        try:
            sample = dataset[index]
        except Exception as error:
            yield told(error) | more
        else:
            yield seen(sample) | more


def colour(array: Any) -> list[float]:
    """Returns the mean of each channel of (C, Y, X)."""
    array = np.asarray(array, float)
    return [float(level) for level in array.reshape(len(array), -1).mean(1)]


def named(classes: list[str], values: Any) -> dict[str, float | None]:
    """Returns values by class, in the order of both; None for NaN."""
    assert len(classes) == len(values)
    return {name: None if np.isnan(value) else float(value) for name, value in zip(classes, np.asarray(values, float), strict=True)}


def of_classes(labels: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Returns what takes a sample of torchgeo apart."""
    return lambda one: {"colour": colour(one["image"]), "labels": labels(one["label"])}


def eurosat_ms(root: Path) -> Images:
    from torchgeo.datasets import EuroSAT

    class Part(EuroSAT):
        """Without the expectation that each split has images of every folder (ImageFolder refuses an empty class)."""

        @staticmethod
        def make_dataset(*arguments: Any, **options: Any) -> Any:
            return EuroSAT.make_dataset(*arguments, **(options | {"allow_empty": True}))

    for split in SPLITS:
        dataset = Part(str(root), split, checksum=False)
        seen = of_classes(lambda label, names=dataset.classes: names[label])
        yield from each(dataset, len(dataset), seen, split=split, channels=list(dataset.bands))


def bigearthnet(root: Path) -> Images:
    from torchgeo.datasets import BigEarthNetV2

    for split in SPLITS:
        dataset = BigEarthNetV2(str(root), split, bands="s2", checksum=False)
        seen = of_classes(lambda label: named(BigEarthNetV2.class_set, label))
        yield from each(dataset, len(dataset), seen, split=split, channels=LEVEL_2A)


def bigearthnet_v1(root: Path) -> Images:
    from torchgeo.datasets import BigEarthNet

    class Authors(BigEarthNet):
        """Expects the split tables as torchgeo saves them (bigearthnet-train.csv); here they bear their authors' names."""

        splits_metadata = {name: told | {"filename": f"{name}.csv"} for name, told in BigEarthNet.splits_metadata.items()}

    for split in SPLITS:
        dataset = Authors(str(root), split, bands="s2", num_classes=43, checksum=False)
        seen = of_classes(lambda label: named(BigEarthNet.class_sets[43], label))
        yield from each(dataset, len(dataset), seen, split=split, channels=LEVEL_2A)


def million_aid(root: Path, task: str = "multi-class") -> Images:
    from torchgeo.datasets import MillionAID

    dataset = MillionAID(str(root), task, "train", checksum=False)
    seen = of_classes(lambda label: [dataset.classes[index] for index in label])
    yield from each(dataset, len(dataset), seen, split="train")


def skyscript(root: Path, captions: dict[str, str] | None = None) -> Images:
    from torchgeo.datasets import SkyScript

    class Letters:
        """A tokenizer whose ids are the letters, so that the caption comes back as it was read."""

        ids: list[int]

        def encode(self, text: str) -> Letters:
            self.ids = [ord(letter) for letter in text]
            return self

    class Part(SkyScript):
        """Without the expectation that all of images2 to images7 are unpacked; other tables as its own comment allows."""

        image_dirs = tuple(name for name in SkyScript.image_dirs if (root / name).is_dir())
        caption_files = captions or SkyScript.caption_files

    def seen(one: Any) -> dict[str, Any]:
        return {"colour": colour(one["image"]), "caption": "".join(chr(int(letter)) for letter in one["caption"])}

    for split in Part.caption_files:
        dataset = Part(str(root), split, checksum=False, tokenizer=Letters())
        yield from each(dataset, len(dataset), seen, split=split)


def patch_camelyon(root: Path) -> Images:
    from torchvision.datasets import PCAM

    for split in SPLITS:
        dataset = PCAM(str(root), split)
        seen = lambda one: {"colour": colour(np.asarray(one[0]).transpose(2, 0, 1)), "labels": one[1]}  # noqa: E731
        yield from each(dataset, len(dataset), seen, split=split)


def medmnist(root: Path, flag: str) -> Images:
    import medmnist
    from medmnist import INFO

    info = INFO[flag]
    names = [info["label"][str(code)] for code in range(len(info["label"]))]
    several = info["task"].startswith("multi-label")

    def seen(one: Any) -> dict[str, Any]:
        picture = np.atleast_3d(np.asarray(one[0])).transpose(2, 0, 1)
        return {"colour": colour(picture), "labels": named(names, one[1]) if several else names[int(one[1][0])]}

    for split in SPLITS:
        dataset = getattr(medmnist, info["python_class"])(split, root=str(root))
        # len(dataset) asserts the published number of images; the arrays say how many there are.
        yield from each(dataset, len(dataset.imgs), seen, split=split)


def chest(dataset: Any) -> Images:
    """Reads a set of torchxrayvision, whose grey levels lie between -1024 and 1024."""

    def seen(one: Any) -> dict[str, Any]:
        return {
            "colour": [(level / 1024 + 1) * 127.5 for level in colour(one["img"])],
            "labels": named(dataset.pathologies, one["lab"]),
        }

    yield from each(dataset, len(dataset), seen, split=None)


def nih_chestxray14(root: Path, **rules: Any) -> Images:
    from torchxrayvision.datasets import NIH_Dataset

    tables = {"csvpath": str(root / "Data_Entry_2017_v2020.csv"), "bbox_list_path": str(root / "BBox_List_2017.csv")}
    yield from chest(NIH_Dataset(str(root / "images"), **tables, **rules))


def chexpert(root: Path, table: str, **rules: Any) -> Images:
    from torchxrayvision.datasets import CheX_Dataset

    top = root / "CheXpert-v1.0-small"
    yield from chest(CheX_Dataset(str(top), str(top / table), **rules))


def mimic_cxr_jpg(root: Path, **rules: Any) -> Images:
    from torchxrayvision.datasets import MIMIC_Dataset

    tables = [str(root / f"mimic-cxr-2.0.0-{table}.csv.gz") for table in ("chexpert", "metadata")]
    yield from chest(MIMIC_Dataset(str(root / "files"), *tables, **rules))


def padchest(root: Path, folders: bool = False, **rules: Any) -> Images:
    from torchxrayvision.datasets import PC_Dataset

    dataset = PC_Dataset(str(root), str(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"), **rules)
    if folders:  # it expects all images in one folder, whatever flat_dir says; its public table is led to <ImageDir>/
        dataset.csv["ImageID"] = dataset.csv["ImageDir"].astype(str) + "/" + dataset.csv["ImageID"]
    yield from chest(dataset)


def rsna_pneumonia(root: Path, **rules: Any) -> Images:
    from torchxrayvision.datasets import RSNA_Pneumonia_Dataset

    table = str(root / "stage_2_train_labels.csv")
    yield from chest(RSNA_Pneumonia_Dataset(str(root / "stage_2_train_images"), table, extension=".dcm", **rules))


def vindr_cxr(root: Path, part: str) -> Images:
    from torchxrayvision.datasets import VinDr_Dataset

    yield from chest(VinDr_Dataset(str(root / part), str(root / f"annotations/annotations_{part}.csv")))


READERS: dict[str, Callable[..., Images]] = {
    "eurosat-ms": eurosat_ms,
    "bigearthnet": bigearthnet,
    "bigearthnet+v1": bigearthnet_v1,
    "million-aid": million_aid,
    "skyscript": skyscript,
    "patch-camelyon": patch_camelyon,
    "medmnist": medmnist,
    "nih-chestxray14": nih_chestxray14,
    "chexpert": chexpert,
    "mimic-cxr-jpg": mimic_cxr_jpg,
    "padchest": padchest,
    "rsna-pneumonia": rsna_pneumonia,
    "vindr-cxr": vindr_cxr,
}


def main() -> None:
    job = json.loads(sys.argv[1])
    answer: Any
    try:
        answer = list(READERS[job["name"]](Path(job["root"]), **job["options"]))
    except Exception as error:
        answer = told(error)
    print(json.dumps(answer, allow_nan=False))


if __name__ == "__main__":
    main()
