"""Windows as GeoJSON and GeoParquet, read by geopandas; places by pyproj and affine, worked out here."""

from __future__ import annotations

import json

import geopandas
import ground_predictions as made
import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely
from affine import Affine

from domainclip.heads.export import export

PLACES = made.places()
AROUND = tuple(name for name in PLACES if name.endswith("over the date line"))
POLES = ("north pole", "south pole", "pole on a corner", "pole on a side")


def geojson_of(tmp_path, scene):
    made.write_predictions(tmp_path / "predictions", [scene])
    export(tmp_path / "predictions", "geojson", tmp_path / "out")
    return tmp_path / "out" / "geojson" / "scene.geojson"


def parquet_of(tmp_path, scenes):
    made.write_predictions(tmp_path / "predictions", scenes)
    export(tmp_path / "predictions", "geoparquet", tmp_path / "table")
    return tmp_path / "table" / "windows.parquet"


def inner_points(scene, number, count=40):
    """Places within a window, a fifth of a pixel off its sides at least."""
    shares = np.random.default_rng(number).uniform(0.004, 0.996, (count, 2))
    return [scene.point(number, *share) for share in (*shares, (0.004, 0.004), (0.996, 0.004), (0.5, 0.004), (0.004, 0.5))]


@pytest.mark.parametrize("name", PLACES)
def test_geojson_windows_hold_their_own_places_and_no_others(tmp_path, name):
    scene = PLACES[name]
    table = geopandas.read_file(geojson_of(tmp_path, scene))
    assert table.crs.to_epsg() == 4326 and table.geometry.is_valid.all() and len(table) == len(scene.used())
    bounds = table.total_bounds
    assert bounds[0] >= -180 and bounds[2] <= 180 and bounds[1] >= -90 and bounds[3] <= 90
    for number in scene.used():
        places = shapely.points(scene.lonlat(inner_points(scene, number)))
        inside = np.array([shapely.covers(shape, places).all() for shape in table.geometry])
        outside = np.array([shapely.disjoint(shape, places).all() for shape in table.geometry])
        assert inside.tolist() == [other == number for other in scene.used()]
        assert outside.tolist() == [other != number for other in scene.used()]
    assert table["class"].tolist() == ["water" if number == scene.planted else "land" for number in scene.used()]
    expected = [dict(zip(made.CLASSES, scene.shares(number), strict=True)) for number in scene.used()]
    assert table[[f"p:{label}" for label in made.CLASSES]].to_dict("records") == [
        {f"p:{label}": share for label, share in row.items()} for row in expected
    ]


@pytest.mark.parametrize("name", PLACES)
def test_geojson_follows_rfc_7946(tmp_path, name):
    document = json.loads(geojson_of(tmp_path, PLACES[name]).read_text())
    assert "crs" not in document and document["domainclip"]["synthetic"] is True
    parts = 0
    for feature in document["features"]:
        geometry = feature["geometry"]
        polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        parts = max(parts, len(polygons))
        for (ring,) in polygons:
            x, y = np.array(ring).T
            assert ring[0] == ring[-1] and len(ring) >= 4
            assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # counterclockwise, by the shoelace formula
    assert parts == (2 if name in AROUND else 1) or name in POLES


@pytest.mark.parametrize("name", [name for name in PLACES if name not in (*AROUND, *POLES)])
def test_bounds_are_those_of_the_window(tmp_path, name):
    """Against 400 points a side."""
    scene = PLACES[name]
    table = geopandas.read_file(geojson_of(tmp_path, scene))
    along = np.linspace(0, 1, 401)
    pixel = np.abs(np.subtract(*np.array(scene.lonlat([scene.point(0, 0, 0), scene.point(0, 1 / 64, 1 / 64)]))))
    for number in scene.used():
        ring = [scene.point(number, *share) for edge in (0, 1) for t in along for share in ((t, edge), (edge, t))]
        truth = np.array(scene.lonlat(ring))
        got = np.array(table.geometry.iloc[number].bounds).reshape(2, 2)
        assert (np.abs(got - [truth.min(axis=0), truth.max(axis=0)]) <= 0.2 * pixel.max() + 1e-8).all()


def test_a_long_side_is_bent(tmp_path):
    """Four corners would leave out what a side of a polar window bulges by: 0.5 degrees here."""
    scene = made.Scene("EPSG:3413", Affine(20_000, 0, -640_000, 0, -20_000, -800_000), (1, 1), planted=5)
    shape = geopandas.read_file(geojson_of(tmp_path, scene)).geometry.iloc[0]
    top = [scene.point(0, share, 0.001) for share in np.linspace(0.001, 0.999, 500)]
    assert shapely.contains(shape, shapely.points(scene.lonlat(top))).all()
    corners_only = shapely.Polygon(scene.lonlat([scene.point(0, *share) for share in ((0, 0), (1, 0), (1, 1), (0, 1))]))
    assert not shapely.contains(corners_only, shapely.points(scene.lonlat(top))).all()


@pytest.mark.parametrize(("affine", "size"), [
    (Affine(1, 0, -180, 0, -1, 90), (360, 180)), (Affine(1, 0, 0, 0, -1, 90), (360, 180)), (Affine(1, 0, 0, 0, 1, -90), (360, 180)),
])  # fmt: skip
def test_a_window_around_the_earth(tmp_path, affine, size):
    shape = geopandas.read_file(geojson_of(tmp_path, made.Scene("EPSG:4326", affine, (1, 1), size))).geometry.iloc[0]
    assert shape.is_valid and shape.area == pytest.approx(360 * 180) and shape.bounds == (-180, -90, 180, 90)


@pytest.mark.parametrize("name", PLACES)
def test_geoparquet_is_in_the_scenes_crs(tmp_path, name):
    scene = PLACES[name]
    path = parquet_of(tmp_path, [scene])
    table = geopandas.read_parquet(path)
    told = json.loads(pq.read_metadata(path).metadata[b"geo"])
    assert told["version"] == "1.1.0" and "covering" in told["columns"]["geometry"]
    assert table.geometry.is_valid.all() and set(table["synthetic"]) == {True} and set(table["scene"]) == {"scene"}
    if name == "degrees over the date line":
        assert table.crs == pyproj.CRS("OGC:CRS84") and (table.geometry.geom_type == "MultiPolygon").sum() == 5
        return
    assert table.crs.equals(pyproj.CRS(scene.crs), ignore_axis_order=True)
    for number in scene.used():
        ring = np.array([scene.point(number, *share) for share in ((0, 0), (1, 0), (1, 1), (0, 1))])
        assert table.geometry.iloc[number].bounds == pytest.approx((*ring.min(axis=0), *ring.max(axis=0)), rel=1e-12)
        assert table.geometry.iloc[number].exterior.is_ccw
        assert table.geometry.iloc[number].area == pytest.approx(abs(scene.affine.determinant) * scene.side[0] * scene.side[1])


def test_scenes_of_several_crss_come_in_wgs_84(tmp_path):
    scenes = [made.Scene(PLACES[name].crs, PLACES[name].affine, name=name.replace(" ", "_")) for name in ("utm north", "utm south")]
    table = geopandas.read_parquet(parquet_of(tmp_path, scenes))
    assert table.crs == pyproj.CRS("OGC:CRS84") and table["scene"].tolist() == ["utm_north"] * 30 + ["utm_south"] * 30
    for scene in scenes:
        part = table[table["scene"] == scene.name].reset_index()
        (place,) = scene.lonlat([scene.point(scene.planted)])
        assert part[part.contains(shapely.Point(place))]["class"].tolist() == ["water"]
    assert table[table["scene"] == "utm_south"].total_bounds[3] < 0 < table[table["scene"] == "utm_north"].total_bounds[1]


def test_a_scene_of_several_crss_is_written_as_vectors_and_refused_as_a_grid(tmp_path):
    both = [
        made.Scene(PLACES[name].crs, PLACES[name].affine, path="/a/mosaic.vrt")
        for name in ("utm north", "utm 1 over the date line")
    ]
    alone = made.Scene("EPSG:32630", Affine(10, 0, 5e5, 0, -10, 4.6e6), name="alone")
    made.write_predictions(tmp_path / "predictions", [*both, alone])
    done = export(tmp_path / "predictions", "geojson", tmp_path / "vectors").document
    assert (done["scenes"], done["windows"], done["rejected"]) == (2, 90, 0)
    table = geopandas.read_file(tmp_path / "vectors" / "geojson" / "mosaic.geojson")
    for scene, part in ((both[0], table.iloc[:30]), (both[1], table.iloc[30:])):
        (place,) = scene.lonlat([scene.point(scene.planted)])
        assert part[part.contains(shapely.Point(place))]["class"].tolist() == ["water"]
    done = export(tmp_path / "predictions", "cog", tmp_path / "maps").document
    assert (done["scenes"], done["rejected"]) == (1, 1)
    assert [path.name for path in (tmp_path / "maps" / "classes").glob("*.tif")] == ["alone.tif"]
    reason = json.loads((tmp_path / "maps" / "rejected.jsonl").read_text())["reason"]
    assert "2 coordinate systems" in reason and "geojson" in reason
