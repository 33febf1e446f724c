"""Mapped tags joined to windows: hand-made geometries on a grid of metres, and shapes measured by pyproj's geodesics."""

import json

import geopandas
import numpy as np
import pytest
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box, mapping

from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE
from domainclip.domains.remote_sensing.scene_facts.osm_join import ATTRIBUTION, focus_of, hits, tags_fact
from domainclip.domains.remote_sensing.scene_facts.osm_table import name_of, read_tags
from domainclip.errors import UsageError
from domainclip.sample import Geo

X, Y = 500_000.0, 5_000_000.0
SHAPE = (100, 100)
WINDOW = Geo("EPSG:32633", (10.0, 0.0, X, 0.0, -10.0, Y))  # 1 km; its middle at (500, 500) of `at`


def at(shape):
    """Moves a shape from metres right of and below the window's upper-left corner to the window's CRS."""
    import shapely

    return shapely.transform(shape, lambda points: np.stack([X + points[:, 0], Y - points[:, 1]], axis=1))


@pytest.fixture
def table(tmp_path):
    def write(*features, crs="EPSG:32633", name="tags.geojson", move=True):
        shapes = [at(shape) if move else shape for shape, _ in features]
        frame = geopandas.GeoDataFrame([tags for _, tags in features], geometry=shapes, crs=crs)
        path = tmp_path / name
        if name.endswith("parquet"):
            frame.to_parquet(path)
        else:
            (frame if name.endswith("gpkg") else frame.to_crs("EPSG:4326")).to_file(path)
        return read_tags(path)

    return write


def named(found):
    return {hit.name: hit for hit in found}


def test_shares_and_lengths_worked_by_hand(table):
    ring = Polygon([(300, 300), (700, 300), (700, 700), (300, 700)], [[(400, 400), (600, 400), (600, 600), (400, 600)]])
    lake = MultiPolygon([box(0, 0, 200, 100), box(-300, 900, 100, 1000)])
    road = LineString([(-500, 800), (1500, 800)])
    fountain, far = Point(500, 500), Point(1500, 500)
    told = table((ring, {"landuse": "forest"}), (lake, {"natural": "water"}), (road, {"highway": "residential"}),
                 (fountain, {"amenity": "fountain"}), (far, {"amenity": "school"}))  # fmt: skip
    found = named(hits(told, WINDOW, SHAPE))
    assert set(found) == {"forest", "body of water", "residential road", "fountain"}
    # UTM's scale at its central meridian is 0.9996: lengths on the ground are longer by that, shares are not.
    assert found["forest"].area == pytest.approx(0.12, abs=1e-4) and not found["forest"].holds_middle, "the hole holds it"
    assert found["forest"].central == pytest.approx(1 - (600 - 400) ** 2 / (1000 / 3) ** 2, abs=1e-3)
    assert found["body of water"].area == pytest.approx(0.02 + 0.01, abs=1e-4)
    assert found["residential road"].length == pytest.approx(1000 / 0.9996, rel=1e-3) and found["residential road"].area == 0
    assert found["fountain"].central == 1


def test_the_smallest_area_around_the_middle_is_what_it_is_about(table):
    told = table((box(0, 0, 1000, 1000), {"landuse": "industrial"}), (box(450, 450, 560, 560), {"man_made": "storage_tank"}),
                 (box(100, 100, 200, 200), {"man_made": "storage_tank"}), (box(800, 100, 950, 300), {"natural": "water"})
                 )  # fmt: skip
    fact = tags_fact(told, WINDOW, SHAPE)
    assert fact.words == {"focus": "storage tank", "surroundings": "an industrial area, a body of water and a storage tank"}
    assert fact.numbers["tags"]["focus_tags"] == {"man_made": "storage_tank"}
    assert fact.numbers["tags"]["counts"] == {"body of water": 1, "industrial area": 1, "storage tank": 2}
    one, several = fact.captions
    assert one.text == "an overhead image of a storage tank"
    assert several.text == (
        "an overhead image of a storage tank, with an industrial area, a body of water and a storage tank around it"
    )
    assert {(c.origin, c.licence, c.generator) for c in fact.captions} == {("tag", "ODbL-1.0", "domainclip.scene_facts/1")}
    assert fact.attribution == ATTRIBUTION and "OpenStreetMap" in ATTRIBUTION


def test_else_what_fills_the_middle_ninth(table):
    told = table((box(340, 340, 480, 660), {"leisure": "park"}), (LineString([(520, 0), (520, 400)]), {"highway": "primary"}),
                 (box(0, 0, 300, 1000), {"landuse": "farmland"}))  # fmt: skip
    assert focus_of(hits(told, WINDOW, SHAPE)).name == "park"


def test_nothing_in_the_middle_is_no_focus(table):
    told = table((box(0, 0, 300, 1000), {"landuse": "farmland"}), (box(0, 0, 100, 300), {"landuse": "farmland"}))
    fact = tags_fact(told, WINDOW, SHAPE)
    assert fact.words == {"surroundings": "farmland"} and [c.text for c in fact.captions] == ["an overhead image with farmland"]


def test_too_small_to_be_seen_and_cut_by_the_edge(table):
    """Four pixels of 100 m2 are the least; slivers at the edge do not count, whole small houses do."""
    told = table((box(100, 100, 118, 120), {"building": "house"}), (box(200, 200, 221, 220), {"building": "barn"}),
                 (box(995, 0, 2000, 1000), {"natural": "wood"}), (LineString([(950, 500), (1500, 500)]), {"highway": "service"}),
                 (LineString([(850, 600), (1500, 600)]), {"highway": "track"}),
                 (box(1000, 0, 1200, 1000), {"landuse": "quarry"}))  # fmt: skip
    assert set(named(hits(told, WINDOW, SHAPE))) == {"barn", "track"}


def test_nothing_there_is_said(table):
    told = table((box(5000, 5000, 6000, 6000), {"landuse": "farmland"}))
    fact = tags_fact(told, WINDOW, SHAPE)
    assert fact.words == {} and fact.captions == () and fact.absent == "no tagged feature lies in it"
    assert tags_fact(told, None, SHAPE).absent == NO_PLACE


@pytest.mark.parametrize(
    ("crs", "name"), [("EPSG:32633", "a.gpkg"), ("EPSG:3857", "b.parquet"), ("EPSG:3035", "c.gpkg"), ("EPSG:4326", "d.geojson")]
)
def test_tables_in_any_crs_give_the_same(tmp_path, crs, name):
    shape = at(box(200, 200, 700, 600))
    frame = geopandas.GeoDataFrame([{"natural": "water"}], geometry=[shape], crs="EPSG:32633").to_crs(crs)
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_file(path)
    (hit,) = hits(read_tags(path), WINDOW, SHAPE)
    assert hit.area == pytest.approx(0.2, abs=1e-3) and hit.holds_middle


def test_windows_in_web_mercator_and_degrees_see_the_same(table):
    told = table((box(250, 250, 750, 750), {"natural": "water"}))
    import rasterio.warp

    for crs in ("EPSG:3857", "EPSG:4326"):
        left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:32633", crs, X, Y - 1000, X + 1000, Y)
        geo = Geo(crs, ((right - left) / 100, 0.0, left, 0.0, (bottom - top) / 100, top))
        assert hits(told, geo, SHAPE)[0].area == pytest.approx(0.25, rel=0.01)


def test_turned_windows(table):
    """The window turned by 45 degrees about its middle: a square within half its diagonal is whole, its corners are not seen."""
    a = np.sqrt(0.5)
    geo = Geo("EPSG:32633", (10 * a, -10 * a, X + 500, -10 * a, -10 * a, Y - 500 + 1000 * a))
    told = table((box(0, 0, 100, 100), {"natural": "water"}), (box(450, -150, 550, -50), {"leisure": "park"}))
    assert set(named(hits(told, geo, SHAPE))) == {"park"}


@pytest.mark.parametrize("west", [179.98, 180.02, -179.98])
def test_over_the_date_line(tmp_path, west):
    """Split at 180 as RFC 7946 asks, or running on past it; the window on either side."""
    geo = Geo("EPSG:4326", (0.0004, 0.0, west if west < 180 else west - 360, 0.0, -0.0004, -16.98))
    split = MultiPolygon([box(179.9, -17.1, 180, -16.9), box(-180, -17.1, -179.9, -16.9)])
    running = box(179.9, -17.1, 180.1, -16.9)
    for number, shape in enumerate((split, running)):
        path = tmp_path / f"{number}.geojson"
        feature = {"type": "Feature", "properties": {"natural": "water"}, "geometry": mapping(shape)}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        (hit,) = hits(read_tags(path), geo, SHAPE)
        assert hit.area == pytest.approx(1.0, abs=1e-6) and hit.holds_middle


def test_over_the_date_line_in_a_projected_table(tmp_path):
    import shapely

    shape = shapely.segmentize(box(-50_000, -1_905_000, 50_000, -1_880_000), 1000)
    path = tmp_path / "pacific.gpkg"
    crs = "+proj=merc +lon_0=180 +datum=WGS84 +units=m +type=crs"
    geopandas.GeoDataFrame([{"natural": "water"}], geometry=[shape], crs=crs).to_file(path)
    for west in (-179.9, 179.8):
        (hit,) = hits(read_tags(path), Geo("EPSG:4326", (4e-4, 0.0, west, 0.0, -4e-4, -16.78)), SHAPE)
        assert hit.area == pytest.approx(1.0, abs=1e-6)
    assert hits(read_tags(path), Geo("EPSG:4326", (4e-4, 0.0, 10.0, 0.0, -4e-4, -16.78)), SHAPE) == []


def test_around_the_south_pole(tmp_path):
    path = tmp_path / "pole.geojson"
    shapes = [box(-180, -90, 180, -89.9), box(100, -88, 110, -87)]
    features = [{"type": "Feature", "properties": {"natural": "glacier"}, "geometry": mapping(shape)} for shape in shapes]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    geo = Geo("EPSG:3031", (500.0, 0.0, -25_000.0, 0.0, -500.0, 25_000.0))
    found = hits(read_tags(path), geo, SHAPE)
    assert [hit.number for hit in found] == [0]


def test_many_random_boxes_against_geodesic_areas(table):
    import pyproj
    import rasterio.warp

    draw = np.random.default_rng(11)
    boxes = [box(x, y, x + w, y + h) for x, y, w, h in draw.uniform([0, 0, 150, 150], [700, 700, 300, 300], (30, 4))]
    told = table(*((shape, {"building": "warehouse"}) for shape in boxes))
    geod = pyproj.Geod(ellps="WGS84")

    def area(shape):
        xs, ys = rasterio.warp.transform("EPSG:32633", "EPSG:4326", *at(shape).exterior.xy)
        return abs(geod.polygon_area_perimeter(xs, ys)[0])

    for hit in hits(told, WINDOW, SHAPE):
        assert hit.size == pytest.approx(area(boxes[hit.number]), rel=1e-4)


def test_tags_in_one_column_as_objects_or_as_text(tmp_path):
    shape = mapping(Point(15.0, 45.1))
    for number, tags in enumerate(({"natural": "water", "name": "x"}, json.dumps({"natural": "water"}))):
        path = tmp_path / f"{number}.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {"tags": tags, "osm_id": 1}, "geometry": shape},
            {"type": "Feature", "properties": {"tags": None}, "geometry": shape}]}))  # fmt: skip
        told = read_tags(path)
        assert told.names == ("body of water",) and told.nameless == 1 and told.tags == ({"natural": "water"},)


def test_names_by_the_more_telling_tag():
    assert name_of({"building": "yes", "amenity": "school"}) == "school"
    assert name_of({"building": "collapsed_thing"}) == "building" and name_of({"building": "no"}) is None
    assert name_of({"highway": "elevator", "name": "x"}) is None and name_of({"name": "Main street", "addr:city": "y"}) is None


def bad(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_tables_that_cannot_be_used_are_refused(tmp_path):
    point = {"type": "Point", "coordinates": [1, 2]}
    collection = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": point}]}
    with pytest.raises(UsageError, match="cannot be opened"):
        read_tags(tmp_path / "gone.geojson")
    with pytest.raises(UsageError, match=r"no file that ends in \.geojson"):
        read_tags(bad(tmp_path, "meta.pkl", "x"))
    with pytest.raises(UsageError, match="no file that ends in"):
        (tmp_path / "folder.geojson").mkdir()
        read_tags(tmp_path / "folder.geojson")
    for name in ("a.geojson", "a.parquet", "a.gpkg"):
        with pytest.raises(UsageError, match="cannot be read as a table"):
            read_tags(bad(tmp_path, name, "{ broken"))
    with pytest.raises(UsageError, match="None of its 1 features"):
        read_tags(bad(tmp_path, "b.geojson", json.dumps(collection)))
    collection["features"][0]["properties"] = {"other_tags": '"natural"=>"water"'}
    with pytest.raises(UsageError, match="hstore"):
        read_tags(bad(tmp_path, "c.geojson", json.dumps(collection)))
    collection["features"][0]["properties"] = {"tags": "natural=water"}
    with pytest.raises(UsageError, match="no object of tags"):
        read_tags(bad(tmp_path, "d.geojson", json.dumps(collection)))
    path = tmp_path / "e.gpkg"
    geopandas.GeoDataFrame([{"natural": "water"}], geometry=[Point(1, 2)]).to_file(path)
    with pytest.raises(UsageError, match="names no CRS"):
        read_tags(path)


def test_no_link_is_followed_and_no_other_format_under_a_known_name(tmp_path):
    """GDAL fetches a CRS that GeoJSON links to, and opens a list of other sources whatever its name."""
    feature = {"type": "Feature", "properties": {"natural": "water"}, "geometry": {"type": "Point", "coordinates": [1, 2]}}
    for kind in ("link", "url"):
        crs = {"type": kind, "properties": {"href": "http://127.0.0.1:9/x", "url": "http://127.0.0.1:9/x"}}
        with pytest.raises(UsageError, match="a link, which is not followed"):
            read_tags(bad(tmp_path, f"{kind}.geojson", json.dumps({"crs": crs, "features": [feature]})))
    real = bad(tmp_path, "real.geojson", json.dumps({"type": "FeatureCollection", "features": [feature]}))
    layer = f'<OGRVRTLayer name="real"><SrcDataSource>{real}</SrcDataSource></OGRVRTLayer>'
    for name in ("a.geojson", "a.gpkg", "a.fgb", "a.parquet"):
        with pytest.raises(UsageError, match="cannot be read as a table"):
            read_tags(bad(tmp_path, name, f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>"))
    with pytest.raises(UsageError, match="holds no features"):
        read_tags(bad(tmp_path, "none.geojson", '{"type": "FeatureCollection", "features": []}'))


def test_the_older_editions_named_crs_counts(tmp_path):
    point = {"type": "Point", "coordinates": [X, Y]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    feature = {"type": "Feature", "properties": {"natural": "water"}, "geometry": point}
    told = read_tags(bad(tmp_path, "old.geojson", json.dumps({"crs": crs, "features": [feature]})))
    assert (told.shapes[0].x, told.shapes[0].y) == pytest.approx((15.0, 45.15), abs=0.01)


def test_features_without_geometry_are_counted(tmp_path):
    features = [{"type": "Feature", "properties": {"natural": "water"}, "geometry": shape}
                for shape in (None, {"type": "Point", "coordinates": [1, 2]})]  # fmt: skip
    path = bad(tmp_path, "x.geojson", json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.warns(UserWarning, match="1 features of reading.tags have no geometry"):
        assert read_tags(path).names == ("body of water",)


def test_a_bow_tie_is_mended(table):
    told = table((Polygon([(300, 300), (700, 700), (700, 300), (300, 700)]), {"natural": "water"}))
    assert hits(told, WINDOW, SHAPE)[0].area == pytest.approx(0.08, abs=1e-4)
