"""Look-alikes of remote-sensing sets that are not unpacked: parquet with picture bytes, WebDataset tars, Zarr in zips."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from lookalikes.kit import Expected, LookAlike, encoded, lookalike, plain, put
from lookalikes.remote_sensing_bands import L2A, digital_number

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def hub_table(path: Path, columns: dict[str, tuple[pa.DataType, list[object], object]]) -> None:
    """Writes parquet as the Hugging Face libraries do: columns (type, values, feature), features as the schema's metadata."""
    features = {name: feature for name, (_, _, feature) in columns.items()}
    schema = pa.schema([(name, kind) for name, (kind, _, _) in columns.items()])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [pa.array(values, kind) for kind, values, _ in columns.values()]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def value(kind: str) -> dict[str, str]:
    return {"dtype": kind, "_type": "Value"}


# Picture name, score, caption, tile.
GIT = [
    [
        ("img_0001.png", 4.5, "Seven green circular farmlands are neatly arranged on the ground.", "16_13456_24831"),
        ("img_0002.png", 5.25, "A river, brown and wide, winds past a town.", "14_3364_6207"),
        ("img_0003.png", 5.0, "Dense houses with red roofs.", "18_53824_99325"),
    ],
    [("img_0004.png", 3.75, "Seven green circular farmlands are neatly arranged on the ground.", "16_13457_24831")],
]


@lookalike("git-10m")
def git_10m(root: Path) -> LookAlike:
    """Columns and their order, Google_location as Z_X_Y and resolution = 2 ** (17 - Z): sample code of the card (its mirrors at
    29f192b and 50ef85d); one split train: file id 70142129633. The group is the tile; that a coarser tile covers a finer one is
    not told by it.

    Filled in: names of the parquet files and of the pictures, types of score and resolution (float), kind of the pictures
    (PNG), rows.
    """
    images = []
    for shard, rows in enumerate(GIT):
        name = f"data/train-{shard:05d}-of-{len(GIT):05d}.parquet"
        names, scores, captions, tiles = map(list, zip(*rows, strict=True))
        first = len(images)
        pictures = [{"bytes": encoded(first + n, "PNG"), "path": picture} for n, picture in enumerate(names)]
        sizes = [2.0 ** (17 - int(tile.split("_")[0])) for tile in tiles]
        columns = {
            "image": (IMAGE, pictures, {"_type": "Image"}),
            "img_name": (pa.string(), names, value("string")),
            "img_quality_score": (pa.float64(), scores, value("float64")),
            "caption": (pa.string(), captions, value("string")),
            "caption_length": (pa.int64(), [len(caption.split()) for caption in captions], value("int64")),
            "resolution": (pa.float64(), sizes, value("float64")),
            "Google_location": (pa.string(), tiles, value("string")),
        }
        hub_table(root / name, columns)
        for n, (caption, tile) in enumerate(zip(captions, tiles, strict=True)):
            images.append(Expected(f"{name}/{n}", first + n, captions=(caption,), group=tile, split="train"))
    return LookAlike(tuple(images))


# Tar, split, samples (name in its own set, caption).
RS5M = {
    "train/pub11-train-0000.tar": [
        ("laion2b_0_12.jpg", "aerial view of a \u201cgolf course\u201d, spring"),
        ("cc3m_77.png", "aerial view of the harbour"),
        ("yfcc_5.jpg", "aerial view of the harbour"),
    ],
    "train/rs3-train-0000.tar": [
        (
            "fmow_stadium_211_3_msrgb.jpg",
            "a stadium near Reykjav?k, seen at an angle of 314.30? in Summer. this satellite image shows a campus",
        ),
        ("ben_258884.jpg", "this satellite image from the Summer season, utm zone 29N. light blue, a navy fabric"),
    ],
    "val/pub11-val-0000.tar": [("redcaps_9.jpg", "my town from above")],
    "val/rs3-val-0000.tar": [("millionaid_P0173410.jpg", "an aerial view of a baseball diamond")],
}


@lookalike("rs5m")
def rs5m(root: Path) -> LookAlike:
    """Names of tars and the three endings: om-ai-lab/RS5M@25d77f955870 dataloader.py (pictures of any kind that Pillow reads,
    UTF-8 texts); names in RS3 and the lost letters ("?"): @bb57a64ad4e5 rating_app/rating_sys_webdataset/rs3_dump.csv. One
    picture is PNG.

    Filled in: the keys (nine digits), the order of a sample's members (by ending, as webdataset writes), names in PUB11,
    captions. Left out: the tables, which say the same again.
    """
    images = []
    for name, samples in RS5M.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(root / name, "w") as tar:
            for key, (file, caption) in enumerate(samples):
                content = encoded(len(images), "PNG" if file.endswith(".png") else "JPEG")
                parts = {"caption": caption.encode(), "img_content": content, "img_name": file.encode()}
                for ending, data in parts.items():
                    member = tarfile.TarInfo(f"{key:09d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                split = name.split("/")[0]
                images.append(Expected(f"{name}/{key:09d}.img_content", len(images), captions=(caption,), split=split))
    return LookAlike(tuple(images))


SATIN = {
    "EuroSAT": (
        "mit",
        [
            "annual crop",
            "forest",
            "herbaceous vegetation",
            "highway",
            "industrial",
            "pasture",
            "permanent crop",
            "residential",
            "river",
            "sea or lake",
        ],
        [0, 9, 4, 0],
        "JPEG",
    ),
    "WHU-RS19": (
        "cc-by-4.0",
        [
            "airport",
            "beach",
            "bridge",
            "commercial",
            "desert",
            "farmland",
            "football field",
            "forest",
            "industrial",
            "meadow",
            "mountain",
            "park",
            "parking",
            "pond",
            "port",
            "railway station",
            "residential",
            "river",
            "viaduct",
        ],
        [6, 15, 18],
        "PNG",
    ),
}


@lookalike("satin")
def satin(root: Path) -> LookAlike:
    """Two single-label parts: huggingface.co/datasets/jonathan-roberts1/{EuroSAT,WHU-RS19} README.md (dataset_info with the
    names of the integers); file names with a hash after the count: the commits of NWPU-RESISC45, GID and RSI-CB256 there. The
    integer's name is the class. Published split: train alone, although the sets serve as tests.

    Filled in: the hash, kinds of the pictures, paths within the image column (none), that the parquet schema bears the names
    too.
    """
    images = []
    for part, (licence, names, labels, kind) in SATIN.items():
        lines = "".join(f"          '{code}': {name}\n" for code, name in enumerate(names))
        head = (
            f"---\nlicense: {licence}\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n"
        )
        tail = f"  splits:\n  - name: train\n    num_examples: {len(labels)}\n---\n# Dataset Card\n"
        put(root / part / "README.md", f"{head}      class_label:\n        names:\n{lines}{tail}")
        file = f"{part}/data/train-00000-of-00001-05fa8f4228c3576a.parquet"
        pictures = [{"bytes": encoded(len(images) + n, kind), "path": None} for n in range(len(labels))]
        columns = {
            "image": (IMAGE, pictures, {"_type": "Image"}),
            "label": (pa.int64(), labels, {"names": names, "_type": "ClassLabel"}),
        }
        hub_table(root / file, columns)
        first = len(images)
        images += [Expected(f"{file}/{n}", first + n, {"land_cover": names[code]}, split="train") for n, code in enumerate(labels)]
    return LookAlike(tuple(images))


@lookalike("rsicd+parquet")
def rsicd_parquet(root: Path) -> LookAlike:
    """huggingface.co/datasets/arampacha/rsicd commit 820466c8716e dataset_infos.json (columns filename, captions, image in this
    order; splits train, valid, test) and its data folder; filename with the folder rsicd_images/ as the viewers of its derived
    copies (YingxuHe/rsicd_matched_v1) show it; repeated sentences stay in the list.

    Filled in: the sentences, the path within the image column.
    """
    files = {
        "train": ["airport_1.jpg", "viaduct_420.jpg", "00001.jpg"],
        "valid": ["square_40.jpg"],
        "test": ["airport_348.jpg", "00623.jpg"],
    }
    images = []
    for split, names in files.items():
        table = f"data/{split}-00000-of-00001.parquet"
        first = len(images)
        sentences = [[f"sentence {n % (first + place + 1)} of {file} ." for n in range(5)] for place, file in enumerate(names)]
        pictures = [{"bytes": encoded(first + n), "path": file} for n, file in enumerate(names)]
        columns = {
            "filename": (pa.string(), [f"rsicd_images/{file}" for file in names], value("string")),
            "captions": (pa.list_(pa.string()), sentences, {"feature": value("string"), "length": -1, "_type": "Sequence"}),
            "image": (IMAGE, pictures, {"_type": "Image"}),
        }
        hub_table(root / table, columns)
        part = {"valid": "val", "test": "held_out"}.get(split, split)
        for n, texts in enumerate(sentences):
            images.append(Expected(f"{table}/{n}", first + n, captions=tuple(dict.fromkeys(texts)), split=part))
    return LookAlike(tuple(images))


ZLIB = {"id": "zlib", "level": 1}
BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
Arrays = dict[str, tuple[tuple[str, ...], np.ndarray, tuple[int, ...]]]


def packed(chunk: np.ndarray, compressor: dict[str, object]) -> bytes:
    if compressor["id"] == "zlib":
        return zlib.compress(chunk.tobytes(), 1)
    return imagecodecs.blosc_encode(chunk.tobytes(), level=5, compressor="lz4", shuffle=1, typesize=chunk.dtype.itemsize)


def zarr_zip(path: Path, arrays: Arrays, compressor: dict[str, object] = ZLIB) -> None:
    """Writes a group of Zarr version 2 as xarray lays it out (dimensions as an attribute), without a package for it.

    Args:
        path: The zip.
        arrays: Name to dimensions, values and the shape of a chunk (which divides that of the values).
        compressor: Of all chunks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(".zgroup", json.dumps({"zarr_format": 2}))
        archive.writestr(".zattrs", "{}")
        for name, (dimensions, values, chunk) in arrays.items():
            told = {"chunks": chunk, "compressor": compressor, "dtype": values.dtype.str, "fill_value": None}
            told |= {"filters": None, "order": "C", "shape": values.shape, "zarr_format": 2}
            archive.writestr(f"{name}/.zarray", json.dumps(told))
            archive.writestr(f"{name}/.zattrs", json.dumps({"_ARRAY_DIMENSIONS": dimensions}))
            for place in np.ndindex(*(size // step for size, step in zip(values.shape, chunk, strict=True))):
                window = tuple(slice(at * step, (at + 1) * step) for at, step in zip(place, chunk, strict=True))
                key = ".".join(map(str, place))
                archive.writestr(f"{name}/{key}", packed(np.ascontiguousarray(values[window]), compressor))


SSL_COLUMNS = ["caption", "question_1", "question_2", "question_3", "file", "sample_id", "time_id", "classes", "tags", "names"]
SSL_PLACES = ("0080717", "0060573")


SSL_FILE = "ssl4eos12_val_seasonal_data_000001.zarr.zip"
SSL_LOST = "ssl4eos12_train_seasonal_data_000001.zarr.zip"


def ssl_arrays(bands: np.ndarray, names: tuple[str, ...]) -> Arrays:
    """Returns two places at four times, (place, time, band, y, x), beside the coordinates that the README lists."""
    ids = np.array([[f"{place}_{time}" for time in range(4)] for place in SSL_PLACES])
    return {
        "bands": (("sample", "time", "band", "y", "x"), bands, (2, 1, len(names), 16, 16)),
        "band": (("band",), np.array(names), (len(names),)),
        "sample": (("sample",), np.array(SSL_PLACES), (2,)),
        "time": (("time",), np.arange(4), (4,)),
        "sample_id": (("sample", "time"), ids, (2, 4)),
        "center_lat": (("sample",), np.array([42.66, -30.64]), (2,)),
        "center_lon": (("sample",), np.array([125.6, 121.4]), (2,)),
        "crs": (("sample",), np.array([32651, 32751]), (2,)),
        "y": (("y",), np.arange(16), (16,)),
        "x": (("x",), np.arange(16), (16,)),
    }


def ssl_captions(root: Path, modality: str, first: int) -> LookAlike:
    """Writes the tables, of which one row leads to a train zip that was not brought; picture ``first + 4 * place + time``."""
    captions, images, tables = "Llama3-SSL4EO-S12-v1.1-captions", [], {"train": [], "val": []}
    for place, sample in enumerate(SSL_PLACES):
        for time in range(4):
            caption = f"The image is a satellite view of a landscape, number {place} at time {time}."
            asked = [f"What is the most prominent {thing}?" for thing in ("body of water", "field", "feature")]
            words = ["land, wood, reservoir, farmyard", "land, natural, wood, water, reservoir", "Renhe Reservoir (reservoir)"]
            tables["val"].append([caption, *asked, SSL_FILE, int(sample), time, *words])
            name = f"data/ssl4eo-s12/val/{modality}/{SSL_FILE}/{sample}_{time}"
            images.append(Expected(name, first + 4 * place + time, captions=(caption,), group=sample, split="val"))
    tables["train"].append(["A town.", "What?", "Where?", "Which?", SSL_LOST, 211, 0, "land", "land", "Rome (city)"])
    for split, rows in tables.items():
        table = pd.DataFrame(rows, columns=SSL_COLUMNS)
        put(root / captions / split / f"ssl4eos12_{split}_seasonal_data_000001.csv", table.to_csv(index=True))
        table.to_parquet(root / captions / f"{split}.parquet", index=False)
    return LookAlike(tuple(images), rejected=(f"data/ssl4eo-s12/train/{modality}/{SSL_LOST}/0000211_0",))


@lookalike("ssl4eo-captions")
def ssl4eo_captions(root: Path) -> LookAlike:
    """Columns, their order and the first row's values: mirror of the card at cee1b521
    (aifasthub.com/datasets/ibm-esa-geospatial); names of the csv: the repository's val folder; row numbers before its columns:
    its loader's index_col=0 (file id 44044425635); the zips (Zarr version 2, dimensions, coordinates, places in text of seven
    digits, times in chunks of their own) and their folders: README of SSL4EO-S12 v1.1 (file id 7813835948). The parquet files
    say the same rows again. An image is named by its zip and the zip's own sample_id; the group is the place as the zips spell
    it. A row leads to a train zip that was not brought.

    Filled in: the sentences, bands of S2RGB (R, G, B), compression, 2 places of 16 px for 64 of 264. Left out: file_id, time_,
    x_, y_.
    """
    bands = np.stack([[plain(4 * place + time).transpose(2, 0, 1) for time in range(4)] for place in range(2)])
    zarr_zip(root / "data/ssl4eo-s12/val/S2RGB" / SSL_FILE, ssl_arrays(bands, ("R", "G", "B")))
    return ssl_captions(root, "S2RGB", 0)


@lookalike("ssl4eo-captions+s2l2a")
def ssl4eo_captions_s2l2a(root: Path) -> LookAlike:
    """As above; int16, twelve bands B01 to B12, cloud_mask beside them: README (file id 7813835948). The numbers bear an offset
    of 1000 (DLR-MF-DAS/SSL4EO-S12-v1.1@bdc1ce13 zarr_dataset.py), so all are above it. S2RGB lies beside, as it does at Juelich.

    Filled in: compression (Blosc with LZ4, what the zarr package takes when nobody says).
    """
    numbers = [[20 + 4 * place + time for time in range(4)] for place in range(2)]
    values = np.array([[[digital_number(number, band) for band in L2A] for number in row] for row in numbers], np.int16)
    bands = np.broadcast_to(values[..., None, None], (*values.shape, 16, 16))
    cloud = {"cloud_mask": (("sample", "time", "y", "x"), np.zeros((2, 4, 16, 16), np.uint8), (2, 1, 16, 16))}
    zarr_zip(root / "data/ssl4eo-s12/val/S2L2A" / SSL_FILE, ssl_arrays(bands, L2A) | cloud, BLOSC)
    zarr_zip(root / "data/ssl4eo-s12/val/S2RGB" / SSL_FILE, ssl_arrays(bands[:, :, :3].astype(np.uint8), ("R", "G", "B")))
    return ssl_captions(root, "S2L2A", 20)
