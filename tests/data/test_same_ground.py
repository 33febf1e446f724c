"""Scenes that overlap on the ground are one group for a split, whatever their CRSs."""

import json

import pyarrow as pa
import pytest

from domainclip.data.same_ground import same_ground
from domainclip.data.splits import split_records


def table(*images):
    """(group, crs, transform, side in pixels)."""
    return pa.table({
        "geo": [None if crs is None else json.dumps({"crs": crs, "transform": transform}) for _, crs, transform, _ in images],
        "height": [side for *_, side in images],
        "width": [side for *_, side in images],
        "group": [group for group, *_ in images],
    })  # fmt: skip


def at(group, x, y, crs="EPSG:32630", pixel=10, side=64):
    return group, crs, [pixel, 0, x, 0, -pixel, y], side


def moved(x, y, source, target):
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True).transform(x, y)


def test_neighbours_that_touch_share_no_ground():
    grid = [at(f"g{column}{row}", 6e5 + 640 * column, 5e6 - 640 * row) for column in range(4) for row in range(4)]
    assert same_ground([table(*grid)]) == []


def test_overlaps_are_found_across_crs_and_tables():
    x, y = moved(6e5 + 300, 5e6 - 300, "EPSG:32630", "EPSG:3857")
    tables = [table(at("a", 6e5, 5e6), at("c", 6e5 + 6400, 5e6)), table(at("b", x, y, "EPSG:3857"))]
    assert same_ground(tables) == [("a", "b")]


def test_an_overlap_of_a_strip_is_one():
    assert same_ground([table(at("a", 6e5, 5e6), at("b", 6e5 + 620, 5e6))]) == [("a", "b")]  # 20 m of 640
    assert same_ground([table(at("a", 6e5, 5e6), at("b", 6e5 + 637, 5e6))]) == []  # 3 m of 640


def test_a_small_image_inside_a_large_one():
    assert same_ground([table(at("a", 6e5, 5e6, side=4096), at("b", 6.1e5, 4.99e6, side=8))]) == [("a", "b")]


def test_the_date_line():
    east = ("east", "EPSG:4326", [0.01, 0, 179.7, 0, -0.01, -17], 64)  # reaches to 180.34
    west = ("west", "EPSG:4326", [0.01, 0, -179.9, 0, -0.01, -17], 64)
    far = ("far", "EPSG:4326", [0.01, 0, -178.0, 0, -0.01, -17], 64)
    assert same_ground([table(east, west, far)]) == [("east", "west")]


def test_the_poles():
    here = ("here", "EPSG:3413", [1000, 0, -32_000, 0, -1000, 32_000], 64)  # the north pole in its middle
    there = ("there", "EPSG:3413", [1000, 0, 10_000, 0, -1000, 20_000], 64)
    south = ("south", "EPSG:3031", [1000, 0, -32_000, 0, -1000, 32_000], 64)
    apart = ("apart", "EPSG:3413", [1000, 0, 200_000, 0, -1000, 20_000], 64)
    assert same_ground([table(here, there, south, apart)]) == [("here", "there")]


def test_images_without_a_place():
    assert same_ground([table(("a", None, None, 64), ("b", None, None, 64), at("c", 6e5, 5e6))]) == []


def test_what_shares_ground_is_on_one_side_of_the_split():
    def record(group, number, split=None):
        return {"group": group, "order": f"{hash((group, 3)) & 0xFFFF:04x}", "pixel_sha256": f"{group}{number}", "split": split}

    groups = [f"g{n}" for n in range(20)]
    records = [record(group, number) for group in groups for number in range(3)]
    pairs = [(f"g{n}", f"g{n + 1}") for n in range(0, 20, 2)]
    splits, report = split_records(records, held_out_fraction=0.3, val_fraction=0.2, same_ground=pairs)
    of = {r["group"]: s for r, s in zip(records, splits, strict=True)}
    assert all(of[one] == of[other] for one, other in pairs) and set(splits) == {"train", "val", "held_out"}
    assert report.groups_on_same_ground == 10 and report.same_ground_across_splits == 0
    told = [record("a", 0, "train"), record("b", 0, "held_out"), record("c", 0, "val")]
    assert split_records(told, held_out_fraction=0.3, val_fraction=0.2, same_ground=[("a", "b")])[1].same_ground_across_splits == 1


@pytest.mark.slow
def test_a_hundred_thousand_images_take_seconds():
    import time

    images = [at(f"g{n % 500}", 6e5 + 640 * (n % 300), 5e6 - 640 * (n // 300)) for n in range(100_000)]
    began = time.monotonic()
    assert same_ground([table(*images)]) == []
    assert time.monotonic() - began < 60


def test_prepare_keeps_overlapping_scenes_together(tmp_path):
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_dataset
    from domainclip.domains.base import domains

    folder = tmp_path / "scenes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):  # pairs 0 and 1, 2 and 3 ... overlap by half
        x = 600_000 + (number // 2) * 5000 + (number % 2) * 640
        with rasterio.open(
            folder / f"s{number}.tif", "w", driver="GTiff", dtype="uint16", count=1, width=128, height=128, crs="EPSG:32630",
            transform=Affine(10, 0, x, 0, -10, 5_000_000),
        ) as file:  # fmt: skip
            file.descriptions = ["B8A"]
            file.write(rng.integers(1, 4000, (1, 128, 128)).astype("uint16"))
    domain = domains.get("remote-sensing")
    source = open_dataset(folder, domain="remote-sensing")
    prepared = prepare(source, domain, tmp_path / "set", held_out_fraction=0.25, workers=0)
    assert prepared.card["counts"]["groups_on_same_ground"] == 4
    names = {}
    for row in prepared.index.itertuples():
        left = row.geo["transform"][2] // 5000
        names.setdefault(left, set()).add(row.split)
    assert all(len(splits) == 1 for splits in names.values()) and len({s for one in names.values() for s in one}) == 3
    assert prepared.card["reading_account"] == {"windows": 32, "kept": 32}
