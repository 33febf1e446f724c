"""What is written for QuPath: compared with a document worked by hand, and read back by our own reader of regions."""

from __future__ import annotations

import json
import tracemalloc
import uuid

import numpy as np
import pytest

from domainclip.domains.pathology.qupath import PALETTE, write_qupath
from domainclip.domains.regions import coverage, read_regions
from domainclip.errors import UsageError

TRIANGLE = [(0.5, 0), (10, 0), (0, 20)]


def test_the_document_is_what_qupath_reads(tmp_path):
    path = tmp_path / "a.geojson"
    count = write_qupath(
        path,
        [(10, 20, 256, 256), TRIANGLE],
        ["tumour", None],
        [0.25, {"tumour": 1, "stroma": 0.5}],
        names=[None, "region 1"],
        colors={"tumour": (200, 0, 0)},
    )
    assert count == 2
    document = json.loads(path.read_text(encoding="utf-8"))
    ids = [feature.pop("id") for feature in document["features"]]
    assert len({uuid.UUID(text) for text in ids}) == 2
    # By hand, after QuPathTypeAdapters and GsonTools of qupath-core: a classification without a colour is an error there.
    assert document == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[[10, 20], [266, 20], [266, 276], [10, 276], [10, 20]]]},
                "properties": {
                    "objectType": "tile",
                    "classification": {"name": "tumour", "color": [200, 0, 0]},
                    "measurements": {"score": 0.25},
                },
            },
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[[0.5, 0], [10, 0], [0, 20], [0.5, 0]]]},
                "properties": {"objectType": "tile", "name": "region 1", "measurements": {"tumour": 1.0, "stroma": 0.5}},
            },
        ],
    }


def test_round_trip_through_the_reader_of_regions(tmp_path):
    path = tmp_path / "a.geojson"
    boxes = np.array([[0.0, 0, 413, 413], [412.5, 0, 413, 413]])
    write_qupath(path, boxes, ["gland", "muscle"], object_type="annotation")
    regions = read_regions(path, "tissue")
    assert [region.labels for region in regions] == [{"tissue": "gland"}, {"tissue": "muscle"}]
    for region, box in zip(regions, boxes, strict=True):
        assert coverage(region, *box) == pytest.approx(1)
        assert coverage(region, box[0], box[1], 826, 826) == pytest.approx(0.25)


def test_shapely_takes_the_geometry_if_it_is_there(tmp_path):
    shapely = pytest.importorskip("shapely")
    write_qupath(tmp_path / "a.geojson", [(10, 20, 256, 128), TRIANGLE])
    shapes = [shapely.geometry.shape(f["geometry"]) for f in json.loads((tmp_path / "a.geojson").read_text())["features"]]
    assert all(shape.is_valid for shape in shapes)
    assert [shape.area for shape in shapes] == [256 * 128, 95.0]


def test_classes_keep_one_colour_and_ids_stay(tmp_path):
    for name in ("a", "b"):
        write_qupath(tmp_path / name, [(i, 0, 1, 1) for i in range(4)], ["x", "y", "x", "z"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    colors = [f["properties"]["classification"]["color"] for f in json.loads((tmp_path / "a").read_text())["features"]]
    assert colors == [list(PALETTE[number]) for number in (0, 1, 0, 2)]


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    def peak(count: int) -> int:
        tracemalloc.start()
        boxes = ((i % 300 * 256, i // 300 * 256, 256, 256) for i in range(count))
        assert write_qupath(tmp_path / f"{count}", boxes, ("a" for _ in range(count)), (0.5 for _ in range(count))) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(5_000) < peak(200) + 100_000
    with (tmp_path / "5000").open() as file:
        assert sum(1 for _ in file) == 5_002
    assert len(json.loads((tmp_path / "5000").read_text())["features"]) == 5_000


@pytest.mark.parametrize(
    ("shapes", "options", "word"),
    [
        ([(0, 0, -1, 5)], {}, "Shape 1"),
        ([(0, 0, 1, 1), (0, 0, float("nan"), 5)], {}, "Shape 2"),
        ([[(0, 0), (1, 1), (0, 0)]], {}, "encloses nothing"),
        ([(0, 0, 1)], {}, "Shape 1"),
        (["abcd"], {}, "Shape 1"),
        ([(0, 0, 1, 1)], {"labels": []}, "more or fewer"),
        ([(0, 0, 1, 1)], {"scores": [0.1, 0.2]}, "more or fewer"),
        ([(0, 0, 1, 1)], {"scores": [float("inf")]}, "not finite"),
        ([(0, 0, 1, 1)], {"colors": {"a": (0, 0, 256)}}, "colour"),
        ([(0, 0, 1, 1)], {"object_type": "tyle"}, "tyle"),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing(tmp_path, shapes, options, word):
    with pytest.raises(UsageError, match=word):
        write_qupath(tmp_path / "a.geojson", shapes, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "a.geojson"
    write_qupath(path, [(0, 0, 1, 1)])
    with pytest.raises(UsageError, match="file of that name"):
        write_qupath(path, [])
    assert write_qupath(path, [], overwrite=True) == 0
    assert json.loads(path.read_text()) == {"type": "FeatureCollection", "features": []}
