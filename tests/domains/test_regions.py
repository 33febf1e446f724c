"""Regions: areas against hand-worked cases and against shapely-free Monte Carlo; GeoJSON as QuPath writes it; broken files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from domainclip.domains.regions import best_region, coverage, read_regions
from domainclip.errors import UnreadableFileError
from domainclip.sample import Region

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]


def _write(path: Path, geometry: dict, properties: dict | None = None) -> Path:
    feature = {"type": "Feature", "geometry": geometry, "properties": properties or {}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.mark.parametrize(
    ("polygon", "window", "share"),
    [
        (((0, 0), (10, 0), (10, 10), (0, 10)), (2, 2, 4, 4), 1.0),
        (((0, 0), (10, 0), (10, 10), (0, 10)), (8, 8, 4, 4), 0.25),
        (((0, 0), (0, 10), (10, 10), (10, 0)), (8, 8, 4, 4), 0.25),  # the other orientation
        (((0, 0), (10, 0), (10, 10), (0, 10)), (12, 12, -4, -4), 0.25),  # from the far corner
        (((0, 0), (10, 0), (0, 10)), (0, 0, 10, 10), 0.5),  # a triangle is half of its box
        (((0, 0), (10, 0), (0, 10)), (5, 5, 5, 5), 0.0),
        (((0, 0), (10, 0), (0, 10)), (0, 0, 5, 5), 1.0),
        # a U (concave): two legs of width 1 and a base of height 1 in a 3 x 3 box; the window sees both legs
        (((0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)), (0, 1, 3, 2), 2 / 3),
        (((0, 0), (1, 0), (1, 1), (0, 1)), (5, 5, 1, 1), 0.0),
        # national-grid coordinates keep their digits
        (((6e5, 5.8e6), (6e5 + 10, 5.8e6), (6e5, 5.8e6 + 10)), (6e5, 5.8e6, 10, 10), 0.5),
    ],
)
def test_coverage_of_hand_worked_cases(polygon, window, share):
    assert coverage(Region(polygon, {}), *window) == pytest.approx(share, abs=1e-12)


def test_coverage_agrees_with_counting_points():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 60))
    radius = rng.uniform(2, 10, 60)
    polygon = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    xs, ys = np.meshgrid(-3 + (np.arange(400) + 0.5) * 8 / 400, 1 + (np.arange(400) + 0.5) * 6 / 400)
    inside = np.zeros(xs.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):  # even-odd ray casting
        crosses = (ay > ys) != (by > ys)
        inside ^= crosses & (xs < (bx - ax) * (ys - ay) / (by - ay) + ax)
    region = Region(tuple(map(tuple, polygon.tolist())), {})
    assert coverage(region, -3, 1, 8, 6) == pytest.approx(inside.mean(), abs=2e-3)


def test_holes_and_parts_count(tmp_path):
    holed = read_regions(_write(tmp_path / "h.geojson", {"type": "Polygon", "coordinates": [SQUARE, HOLE]}), "tissue")[0]
    assert coverage(holed, 0, 0, 10, 10) == pytest.approx(0.84)
    assert coverage(holed, 2, 2, 4, 4) == pytest.approx(0.0)
    other = [[[20, 0], [30, 0], [30, 10], [20, 10], [20, 0]]]
    parts = read_regions(_write(tmp_path / "m.geojson", {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], other]}), "tissue")
    assert len(parts) == 1
    assert coverage(parts[0], 0, 0, 30, 10) == pytest.approx((84 + 100) / 300)


@pytest.mark.parametrize(
    ("properties", "labels"),
    [
        ({"classification": {"name": "adipose", "color": [1, 2, 3]}, "metadata": {"density": "sparse", "Reviewed by": "Mueller"}},
         {"tissue": "adipose", "density": "sparse"}),
        ({"classification": {"names": ["tumour", "positive"]}}, {"tissue": "tumour: positive"}),
        ({"classification": "stroma", "metadata": {"grade": 2}}, {"tissue": "stroma", "grade": "2"}),
        ({"objectType": "annotation"}, {}),
    ],
)  # fmt: skip
def test_labels(tmp_path, properties, labels):
    path = _write(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [SQUARE]}, properties)
    assert dict(read_regions(path, "tissue", ("density", "grade"))[0].labels) == labels


def test_best_region_and_purity():
    left, right = Region(((0, 0), (6, 0), (6, 10), (0, 10)), {"t": "l"}), Region(((6, 0), (10, 0), (10, 10), (6, 10)), {"t": "r"})
    assert best_region((left, right), (0, 0, 10, 10), 0.6) is left
    assert best_region((left, right), (0, 0, 10, 10), 0.61) is None
    assert best_region((left, right), (6.5, 1, 2, 2), 1.0) is right
    assert best_region((), (0, 0, 1, 1), 0.0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[" * 200_000,
        '{"type": "Nonsense"}',
        '[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}]',
        '[{"type": "Feature", "geometry": null}]',
        '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}]',
        '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [NaN, 2]]]}}]',
        '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}}]',
        '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0,0],[1,0],[1,1]]]}, "properties": '
        '{"metadata": {"a": {"b": "4711"}}}}]',
        '[{"type": "Feature", "geometry": {"type": "4711", "coordinates": [[[0,0],[1,0],[1,1]]]}}]',
        '[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[["4711x",0],[1,0],[1,1]]]}}]',
    ],
)
def test_broken_files_are_refused_without_naming_them(tmp_path, text):
    path = tmp_path / "patient_4711.geojson"
    path.write_text(text)
    with pytest.raises(UnreadableFileError) as caught:
        read_regions(path, "tissue", ("a",))
    assert "4711" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UnreadableFileError):
        read_regions(tmp_path / "none.geojson", "tissue")
