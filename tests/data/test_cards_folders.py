"""Cards of published sets against look-alikes of their files, written from the evidence that each card cites under ``layout``.

The names are those that the evidence shows; pictures are 8 px of noise. The sets themselves were not at hand.
"""

import json

import numpy as np
import pytest
from PIL import Image

from domainclip.cli.main import main
from domainclip.config import DataConfig
from domainclip.data.operations import Regex
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError

NCT, CRC, KATHER = "NCT-CRC-HE-100K", "CRC-VAL-HE-7K", "Kather_texture_2016_image_tiles_5000"
BREAST = "BreaKHis_v1/histology_slides/breast"
# Path, label, group (None: the file's own), split; and what else belongs there and is no image.
SETS = {
    "nct-crc-he-100k": [
        (f"{NCT}/ADI/ADI-AAAFLCLY.tif", "ADI", None, "train"), (f"{NCT}/TUM/TUM-AAAMHQMK.tif", "TUM", None, "train"),
        (f"{CRC}/ADI/ADI-TCGA-EENSRDNW.tif", "ADI", None, "held_out"), (f"{NCT}-NONORM/STR/STR-AACCGLYD.tif", "STR", None, "train"),
    ],
    "kather-texture-2016": [
        (f"{KATHER}/01_TUMOR/1A11_CRC-Prim-HE-07_022.tif_Row_601_Col_151.tif", "01_TUMOR", "CRC-Prim-HE-07", None),
        (f"{KATHER}/01_TUMOR/1D8F_CRC-Prim-HE-02_007b.tif_Row_151_Col_1.tif", "01_TUMOR", "CRC-Prim-HE-02", None),
        (f"{KATHER}/08_EMPTY/10647_CRC-Prim-HE-10c.tif_Row_1_Col_1.tif", "08_EMPTY", "CRC-Prim-HE-10", None),
    ],
    "lc25000": [
        ("lung_colon_image_set/colon_image_sets/colon_aca/colonca1.jpeg", "colon_aca", None, None),
        ("lung_colon_image_set/lung_image_sets/lung_n/lungn1004.jpeg", "lung_n", None, None),
    ],
    "breakhis": [
        (f"{BREAST}/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-001.png", "A", "22549", None),
        (f"{BREAST}/malignant/SOB/ductal_carcinoma/SOB_M_DC_14-17614/100X/SOB_M_DC-14-17614-100-023.png", "DC", "17614", None),
        (f"{BREAST}/malignant/SOB/lobular_carcinoma/SOB_M_LC_14-13412/400X/SOB_M_LC-14-13412-400-001.png", "LC", "13412", None),
    ],
    "bach": [
        ("ICIAR2018_BACH_Challenge/Photos/Benign/b001.tif", "Benign", None, None),
        ("ICIAR2018_BACH_Challenge/Photos/InSitu/is001.tif", "InSitu", None, None),
        ("ICIAR2018_BACH_Challenge/Photos/Invasive/iv001.tif", "Invasive", None, None),
        ("ICIAR2018_BACH_Challenge/Photos/Normal/n032.tif", "Normal", None, None),
    ],
    "resisc45": [
        ("NWPU-RESISC45/airplane/airplane_001.jpg", "airplane", None, None),
        ("NWPU-RESISC45/sea_ice/sea_ice_700.jpg", "sea_ice", None, None),
    ],
    "patternnet": [
        ("PatternNet/images/airplane/airplane001.jpg", "airplane", None, None),
        ("PatternNet/images/baseball_field/baseballfield001.jpg", "baseball_field", None, None),
    ],
    "rsscn7": [("RSSCN7/aGrass/a001.jpg", "aGrass", None, None), ("RSSCN7/gParking/g400.jpg", "gParking", None, None)],
    "aid": [
        ("AID/StorageTanks/storagetanks_12.jpg", "StorageTanks", None, None), ("AID/Airport/airport_1.jpg", "Airport", None, None),
    ],
    "eurosat-rgb": [
        ("2750/AnnualCrop/AnnualCrop_1.jpg", "AnnualCrop", None, None), ("2750/SeaLake/SeaLake_2756.jpg", "SeaLake", None, None),
    ],
}  # fmt: skip
BESIDE = {
    "rsscn7": ["RSSCN7/README.md", "RSSCN7/.idea/RSSCN7.iml"],
    "bach": ["ICIAR2018_BACH_Challenge/Photos/microscopy_ground_truth.csv", "ICIAR2018_BACH_Challenge/WSI/A01.svs"],
    "resisc45": ["resisc45-train.txt"],
    "eurosat-rgb": ["eurosat-train.txt"],
}


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path.name))).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(noise).save(path)


def source_of(name, root):
    from domainclip.data.cards import load_card

    return open_source(DataConfig(source=name, root=str(root)), domains.get(load_card(name).domain))


@pytest.mark.parametrize("name", SETS)
def test_folders_of_classes(tmp_path, name):
    for path, *_ in SETS[name]:
        picture(tmp_path / path)
    for path in BESIDE.get(name, ()):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    source = source_of(name, tmp_path)
    items = {item.name: item for item in source.items()}
    assert set(items) == {path for path, *_ in SETS[name]} and source.rejections == ()
    label = source.card["class_label"]
    for path, value, group, split in SETS[name]:
        item = items[path]
        assert item.labels[label] == value and item.group == group and item.split == split
        spoken = source.card["classes"][label][value]["names"]["en"][0]
        assert len(item.captions) >= 3 and all(spoken in caption.text for caption in item.captions)
        assert {caption.origin for caption in item.captions} == {"template"}


def test_breakhis_says_more(tmp_path):
    for path, *_ in SETS["breakhis"]:
        picture(tmp_path / path)
    labels = [item.labels for item in source_of("breakhis", tmp_path).items()]
    assert {each["magnification"] for each in labels} == {"40", "100", "400"}
    assert sorted(each["malignancy"] for each in labels) == ["benign", "malignant", "malignant"]


@pytest.mark.parametrize(
    ("name", "table", "images", "files"),
    [
        ("rsicd", "dataset_rsicd.json", "RSICD_images", ["stadium_243.jpg", "00623.jpg", "airport_348.jpg"]),
        ("rsitmd", "dataset_RSITMD.json", "images", ["boat_0.tif", "viaduct_446.tif", "denseresidential_447.tif"]),
        ("sydney-captions", "dataset.json", "images", ["1.tif", "602.tif", "613.tif"]),
    ],
)
def test_captions_of_karpathys_form(tmp_path, name, table, images, files):
    listed = []
    for number, (file, split) in enumerate(zip(files, ("train", "val", "test"), strict=True)):
        picture(tmp_path / images / file)
        raws = [f"sentence {n % 2} of {number} ." for n in range(5)]
        sentences = [{"tokens": raw.split(), "raw": raw, "imgid": number, "sentid": 5 * number + n} for n, raw in enumerate(raws)]
        told = {"imgid": number, "sentids": [5 * number + n for n in range(5)], "sentences": sentences}
        listed.append({**told, "split": split, "filename": file})
    (tmp_path / table).write_text(json.dumps({"images": listed, "dataset": name}))
    items = {item.name: item for item in source_of(name, tmp_path).items()}
    assert set(items) == {f"{images}/{file}" for file in files}
    for number, (file, split) in enumerate(zip(files, ("train", "val", "held_out"), strict=True)):
        item = items[f"{images}/{file}"]
        assert item.split == split and {caption.language for caption in item.captions} == {"en"}
        assert {caption.text for caption in item.captions} == {f"sentence {n} of {number} ." for n in range(2)}
    if name == "rsitmd":
        assert [item.labels["land_cover"] for item in items.values()] == ["boat", "viaduct", "denseresidential"]


def test_other_files_under_the_root_are_named(tmp_path):
    for path, *_ in SETS["kather-texture-2016"]:
        picture(tmp_path / path)
    for number in range(12):
        picture(tmp_path / KATHER / "01_TUMOR" / f"mine{number}.tif")
    with pytest.raises(UsageError, match=r"12 of 15 texts in filename are not in the form") as told:
        list(source_of("kather-texture-2016", tmp_path).items())
    assert str(told.value).count("mine") == 10
    picture(tmp_path / "other" / "NCT-CRC-HE-100K" / "ADI" / "x.tif")
    with pytest.raises(UsageError, match="texts in path"):
        list(source_of("nct-crc-he-100k", tmp_path / "other" / "NCT-CRC-HE-100K").items())


def test_a_folder_of_no_class_is_refused(tmp_path):
    picture(tmp_path / "RSSCN7" / "hMine" / "a.jpg")
    with pytest.raises(UsageError, match="'hMine', which the card does not know"):
        list(source_of("rsscn7", tmp_path).items())


@pytest.mark.parametrize("pattern", ["(", "no group"])
def test_patterns_are_checked_when_the_card_is_read(pattern):
    with pytest.raises(ValueError, match=r"regular expression|no named group"):
        Regex(op="regex", column="a", pattern=pattern)


def test_a_group_that_takes_no_part_is_empty():
    rows = list(Regex(op="regex", column="a", pattern="(?P<x>[a-z]+)(?P<y>[0-9]+)?").apply([{"a": "b7"}, {"a": "c"}], "It"))
    assert rows == [{"a": "b7", "x": "b", "y": "7"}, {"a": "c", "x": "c", "y": ""}]


def test_cards_that_only_describe_say_so(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", "pathcap", "--root", ".", "--domain", "pathology", "--output", "never"])
    told = capfd.readouterr().err
    assert stopped.value.code == 2 and "only describes it" in told
    with pytest.raises(SystemExit):
        main(["datasets", "pathcap"])
    assert "data.json" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        main(["datasets", "--json"])
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)["datasets"]}
    assert rows["pathcap"]["read"] is False and rows["aid"]["read"] is True and len(rows) >= 69
