"""Look-alikes of remote-sensing sets whose captions stand in a table or json beside folders of pictures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, lookalike, picture, put


def distinct(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts))


PARTS = {"train": "train", "val": "val", "test": "held_out"}
# Class, file, split, the five sentences.
NWPU = [
    ("airplane", "airplane_001.jpg", "train", ["A white plane is on the runway .", *["The plane\u2019s wings are white ."] * 4]),
    ("airplane", "airplane_111.jpg", "train", ["There is a plane ."] * 5),
    ("airplane", "airplane_699.jpg", "test", [f"Plane number {n} stands here ." for n in range(5)]),
    ("sea_ice", "sea_ice_001.jpg", "train", ["Ice floats , white and blue ."] * 2 + ["It is sea ice ."] * 3),
    ("sea_ice", "sea_ice_700.jpg", "val", [f"Sea ice of form {n} ." for n in range(5)]),
]


@lookalike("nwpu-captions")
def nwpu_captions(root: Path) -> LookAlike:
    """dataset_nwpu.json as two readers take it apart (file ids 3537716890, 23340279153): class -> list of entries with flat
    sentence keys, the folder is the key; airplane_111.jpg is listed and missing: HaiyanHuang98/NWPU-Captions issue 2, file id
    17611249002.

    Filled in: order of the keys, types of the ids (integers), spelling of the keys of classes (RESISC45's folders), that
    non-ASCII stands unescaped, the sentences.
    """
    told: dict[str, list[dict[str, object]]] = {}
    images = []
    for number, (folder, file, split, sentences) in enumerate(NWPU):
        entry: dict[str, object] = {"filename": file, "imgid": number, "split": split}
        for place, sentence in enumerate(sentences):
            suffix = f"_{place}" if place else ""
            entry |= {f"raw{suffix}": sentence, f"sentids{suffix}": 5 * number + place}
        told.setdefault(folder, []).append(entry)
        if file != "airplane_111.jpg":
            name = f"NWPU_images/{folder}/{file}"
            picture(root / name, number)
            images.append(Expected(name, number, {"land_cover": folder}, distinct(sentences), split=PARTS[split]))
    put(root / "dataset_nwpu.json", json.dumps(told, ensure_ascii=False))
    return LookAlike(tuple(images), rejected=("NWPU_images/airplane/airplane_111.jpg",))


# Table, folder, file, sentences.
RET = [
    ("train/Ret-3_train", "Ret-3_train", "rsicd_airport_1.jpg", ["many planes , big and small , are parked ."] * 5),
    (
        "train/Ret-3_train",
        "Ret-3_train",
        "rsitmd_viaduct_452.png",
        [f"viaduct {n} over a road, with cars" for n in range(4)] + ["a viaduct "],
    ),
    (
        "train/Ret-3_train",
        "Ret-3_train",
        "ucm_12.tif",
        ["There is a piece of farmland ."] * 3 + ["It is a piece of farmland ."] * 2,
    ),
    ("test/rsicd_test", "Ret-3_test", "rsicd_airport_348.jpg", [f"airport sentence {n} ." for n in range(5)]),
    ("test/rsitmd_test", "Ret-3_test", "rsitmd_boat_0.png", [f"boat, sentence {n}" for n in range(5)]),
    ("test/ucm_test", "Ret-3_test", "ucm_81.tif", [f"There is one airplane {n} ." for n in range(5)]),
    ("train/Seg-4", "Seg-7", "isaid_P0002_0.png", ["There are many ships in the image", "a harbor, in the middle"]),
    ("train/Det-10", "Det-10_part1", "dior_00001.jpg", ["There is one golf field in the image"]),
    ("train/Det-10", "Det-10_part2", "visdrone_0000002.jpg", ["There are cars, more than ten"]),
]
LOST = ("train/Ret-3_train", "Ret-3_train", "rsitmd_farmland_900.png", ["a farmland that is not there"])


@lookalike("remoteclip-tables")
def remoteclip_tables(root: Path) -> LookAlike:
    """Names of tables, archives and folders: huggingface.co/datasets/gzqy1026/RemoteCLIP tree and file ids 10904139240 (table
    Seg-4.csv beside folder Seg-7; Det-10_part1), 22324572909 (two parts, one table); tabs, header and columns: file ids
    58713153781, 68830915960, 16845535121, 11268615722; prefixes rsitmd_, ucm_, .png and numbers up to 451 in test: the first
    two. Pictures lie at the top of the zips, so the folders are those that users unpack to.

    Filled in: all sentences, names in Seg-4 and Det-10, endings of rsicd_ and ucm_, the lost row, no byte order mark, line
    feed.
    """
    tables: dict[str, list[str]] = {}
    for number, (table, folder, file, sentences) in enumerate([*RET, LOST]):
        tables.setdefault(table, ["title\tfilename\n"]).extend(f"{sentence}\t{file}\n" for sentence in sentences)
        if number < len(RET):
            picture(root / folder / file, number)
    for table, lines in tables.items():
        put(root / "csv_file" / f"{table}.csv", "".join(lines))
    images = tuple(
        Expected(
            f"{folder}/{file}", number, captions=distinct(sentences), split="held_out" if table.startswith("test") else "train"
        )
        for number, (table, folder, file, sentences) in enumerate(RET)
    )
    return LookAlike(images, rejected=(f"{LOST[1]}/{LOST[2]}",))


def table_text(header: list[str], rows: list[list[str]]) -> str:
    """Returns a comma-separated table, quoted only where needed, as pandas writes it."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue()


# File, rule-based title, that of several objects, split: one object taken twice, by another source, into another folder.
SKY = [
    (
        "images2/a198234555_CH_19.jpg",
        "a satellite image of man made bridge",
        "a satellite image of man made bridge, near river",
        "train",
    ),
    ("images3/a198234555_S2_21.jpg", "a satellite image of man made bridge", "a satellite image of man made bridge", "train"),
    (
        "images2/w33471_US_20.jpg",
        "a satellite image of building, office of energy supplier",
        "building, surrounded by road",
        "train",
    ),
    ("images3/n4471_ES_18.jpg", "a satellite image of natural beach", 'natural beach, near "el faro"', "val"),
    ("images3/a77_FI_20.jpg", "a satellite image of quarry", "a satellite image of quarry, with track", "test"),
]
UNPACKED_NOT = "images5/a900100_DE_19.jpg"


def sky_pictures(root: Path) -> None:
    for number, (file, *_) in enumerate(SKY):
        picture(root / file, number)
        put(root / f"meta{file[6]}" / f"{Path(file).stem}.pickle", b"not opened")


@lookalike("skyscript")
def skyscript(root: Path) -> LookAlike:
    """The openai tables: names wangzhecheng/SkyScript@15d59866ca2d README.md, their four columns and two titles: file id
    70623228194; file names: README and @c05981076dbe image_sources.py. Both titles are texts of the image. Group: the OSM
    object, letter and id, in the file name. A row leads into images5, which was not unpacked (a quarter of the rows lie in
    images2 and 3).

    Filled in: columns of the val and test tables (taken as equal), titles of several objects, similarities, line ends.
    """
    tables = {"train_top30pct": "train", "val_5K": "val", "test_30K": "test"}
    header = ["filepath", "title", "title_multi_objects", "similarity_CLIP_openai"]
    lost = (UNPACKED_NOT, "a satellite image of farm", "a satellite image of farm, near road", "train")
    for table, split in tables.items():
        rows = [[file, one, many, f"0.2{number}"] for number, (file, one, many, part) in enumerate([*SKY, lost]) if part == split]
        put(root / f"SkyScript_{table}_filtered_by_CLIP_openai.csv", table_text(header, rows))
    sky_pictures(root)
    images = tuple(
        Expected(file, number, captions=distinct([one, many]), group=Path(file).stem.split("_")[0], split=PARTS[split])
        for number, (file, one, many, split) in enumerate(SKY)
    )
    return LookAlike(images, rejected=(UNPACKED_NOT,))


@lookalike("skyscript+polished")
def skyscript_polished(root: Path) -> LookAlike:
    """The language-polished table: three columns in the order filepath, title_raw, title, fixed first sentence in title: file
    ids 70623228194 and 67163525903. The caption is the column title; title_raw is the same without its first sentence. One picture
    of the other tables has no row here.

    Filled in: all sentences but "man-made bridge." and "building.", the lost row.
    """
    raws = ["man-made bridge.", "man-made bridge.", "building.", "sandy beach, with a pier."]
    first = ["An aerial image. It shows: "] * 3 + ["A satellite image. It shows: "]
    rows = [[file, raw, start + raw] for (file, *_), raw, start in zip(SKY[:4], raws, first, strict=True)]
    rows.append([UNPACKED_NOT, "farm.", first[0] + "farm."])
    name = "SkyScript_train_top30pct_filtered_by_CLIP_laion_RS_language_polished.csv"
    put(root / name, table_text(["filepath", "title_raw", "title"], rows))
    sky_pictures(root)
    images = tuple(
        Expected(file, number, captions=(title,), group=Path(file).stem.split("_")[0], split="train")
        for number, (file, _, title) in enumerate(rows[:-1])
    )
    return LookAlike(images, rejected=(UNPACKED_NOT, SKY[4][0]))


@lookalike("rsicd+coco")
def rsicd_coco(root: Path) -> LookAlike:
    """COCO form of a converter, captions_val2017.json: the copy at hand, read (order of the four parts and of the keys, indent
    of two, no newline at the end, five sentences an image with ids 5 * image + 0 to 4, repeated ones). "val2017" is the
    converter's own cut and not the published val split (published test images lie in it), so no split is told.

    Filled in: the folder of the pictures (RSICD's own; the copy has none), the lost one among them, the sentences.
    """
    files = ["square_221.jpg", "square_23.jpg", "stadium_243.jpg", "viaduct_321.jpg", "viaduct_5.jpg"]
    sentences = [
        [f"some trees are near {Path(file).stem} number {n % (place + 1)} ." for n in range(5)] for place, file in enumerate(files)
    ]
    first = 8736
    shape = {"width": 224, "height": 224, "license": 1, "date_captured": ""}
    listed = [{"id": first + place, "file_name": file, **shape} for place, file in enumerate(files)]
    said = [
        {"id": 5 * (first + place) + n, "image_id": first + place, "caption": sentence}
        for place, texts in enumerate(sentences)
        for n, sentence in enumerate(texts)
    ]
    info = {"description": "RSICD dataset converted to COCO format", "url": "https://example.org", "version": "1.0", "year": 2024}
    info |= {"contributor": "RSICD Dataset", "date_created": "2025-07-22T10:05:21.574956"}
    parts = {"images": listed, "annotations": said, "info": info, "licenses": [{"id": 1, "name": "Unknown License", "url": ""}]}
    put(root / "captions_val2017.json", json.dumps(parts, indent=2))
    for number, file in enumerate(files[:-1]):
        picture(root / "RSICD_images" / file, number)
    images = tuple(Expected(f"RSICD_images/{file}", n, captions=distinct(sentences[n])) for n, file in enumerate(files[:-1]))
    return LookAlike(images, rejected=(f"RSICD_images/{files[-1]}",))
