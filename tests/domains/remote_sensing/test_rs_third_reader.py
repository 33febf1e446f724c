"""What a third reader found: cubic beside holes, forms of GeoJSON, names of points, series with one date's facts, quiet clamps."""

import json

import numpy as np
import pytest
from made_items import earth_search
from shapely.geometry import box as rectangle
from shapely.geometry import mapping

from domainclip.domains.remote_sensing import DOMAIN
from domainclip.domains.remote_sensing.places import read_area, read_points
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.sample import SourceItem

UTM = {"crs": "EPSG:32632", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_400_000.0)}


@pytest.mark.parametrize("spacing_m", [10.0, 12.0, 20.0, 30.0])
@pytest.mark.parametrize(("dtype", "hole"), [("int16", -9999), ("float32", np.nan)])
def test_cubic_beside_a_hole_in_one_band_stays_near_the_numbers(write_raster, cut, spacing_m, dtype, hole):
    """Weights of both signs that lost some of their pixels sum to nearly nothing: GDAL's numbers went from -32768 to 5083."""
    array = np.random.default_rng(0).integers(1000, 1100, (3, 300, 300)).astype(dtype)
    y, x = np.mgrid[:300, :300]
    array[1, abs(y - 150) + abs(x - 140) < 60] = hole
    path = write_raster(array, names=["B02", "B03", "B8A"], nodata=hole, **UTM)
    for sample in cut(path, crs="EPSG:3035", spacing_m=spacing_m, resampling="cubic", window_px=64, max_nodata=0.9):
        pixels = sample.read()
        valid = pixels.array[:, ~pixels.masks["nodata"]]
        assert valid.min(initial=1000) > 950 and valid.max(initial=1000) < 1150


SQUARE = mapping(rectangle(10, 48, 11, 49))
POINT = {"type": "Point", "coordinates": [10.5, 48.5]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"type": "Feature", "properties": None, "geometry": SQUARE}),
        json.dumps(SQUARE),
        "\ufeff"
        + json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": SQUARE}]}),
        "\n".join(json.dumps({"type": "Feature", "properties": {}, "geometry": SQUARE}) for _ in range(2)) + "\n",
        "\x1e" + json.dumps({"type": "Feature", "properties": {}, "geometry": SQUARE}) + "\n",
    ],
    ids=["feature", "geometry", "byte-order mark", "a line each", "RFC 8142"],
)
def test_forms_of_geojson(tmp_path, text):
    path = tmp_path / "area.geojson"
    path.write_text(text, encoding="utf-8")
    assert read_area(str(path)).bounds == (10, 48, 11, 49)


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ([{"id": 17}, {"properties": {"name": "well"}}, {"id": 18, "properties": {"name": "mill"}}, {}], ("17", "well", "18", "4")),
        ([{"id": None, "properties": {"name": "well"}}], ("well",)),
        ([{"id": 5, "properties": {"id": 7}}, {"properties": {"id": None, "name": "x"}}], ("7", "x")),
        ([{"properties": {"id": 2.5}}, {"properties": {"id": 0}}], ("2.5", "0")),
    ],
)
def test_each_point_has_its_id_else_its_name_else_its_number(tmp_path, features, names):
    path = tmp_path / "points.geojson"
    listed = [{"type": "Feature", "geometry": POINT, "properties": {}, **feature} for feature in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": listed}))
    assert read_points(str(path)).names == names


def test_areas_that_cross_themselves_and_crss_of_nowhere(tmp_path):
    import geopandas
    from shapely.geometry import Point, Polygon

    bow = Polygon([(10, 48), (11, 49), (11, 48), (10, 49)])
    geopandas.GeoDataFrame(geometry=[bow, rectangle(10, 48, 11, 49)], crs="EPSG:4326").to_parquet(tmp_path / "bow.parquet")
    assert read_area(str(tmp_path / "bow.parquet")).area == pytest.approx(1)
    local = 'LOCAL_CS["yard",UNIT["metre",1]]'
    geopandas.GeoDataFrame(geometry=[Point(1, 2)], crs=local).to_parquet(tmp_path / "yard.parquet")
    with pytest.raises(UsageError, match="does not lead to longitude and latitude"):
        read_points(str(tmp_path / "yard.parquet"))


def test_a_file_of_several_layers_is_refused_with_their_names(tmp_path):
    import geopandas
    from shapely.geometry import Point

    for name in ("wells", "mills"):
        geopandas.GeoDataFrame(geometry=[Point(1, 2)], crs="EPSG:4326").to_file(tmp_path / "two.gpkg", layer=name)
    with pytest.raises(UsageError, match="2 layers: wells, mills"):
        read_points(str(tmp_path / "two.gpkg"))


def dated(write_raster, folder, *dates):
    folder.mkdir()
    for number, date in enumerate(dates):
        array = np.full((2, 64, 64), 1000 + 2000 * number, "uint16")
        path = write_raster(
            array, names=["red", "nir"], scales=(1e-4,) * 2, offsets=(0,) * 2, tags={"ACQUISITION_DATE": date}, **UTM
        )
        path.rename(folder / f"site_{date}.tif")
    return folder


@pytest.mark.parametrize(
    ("dates", "labels", "season"),
    [
        (("2020-01-15", "2020-07-15"), {"year": "2020"}, None),
        (("2020-07-02", "2020-07-15"), {"year": "2020", "month": "July", "date": "July 2020", "season": "summer"}, "summer"),
        (("2019-07-02", "2020-08-15"), {"season": "summer"}, "summer"),
        (("2019-12-02", "2020-04-15"), {}, None),
    ],
)
def test_facts_of_a_series_hold_at_all_its_dates(write_raster, one_scene, tmp_path, dates, labels, season):
    folder = dated(write_raster, tmp_path / "series", *dates)
    (sample,) = one_scene(folder, axes="TCYX", facts=("season", "date"))
    assert sample.labels == labels and sample.meta.get("season") == season
    absent = sample.meta.get("facts_absent", {})
    assert set(absent) == {name for name, label in (("season", "season"), ("date", "year")) if label not in labels}
    (sample,) = one_scene(folder, axes="TCYX", facts=("ndvi",), values="reflectance", scale=1e-4, offset=0)
    assert "each of its dates" in sample.meta["facts_absent"]["ndvi"] and "facts" not in sample.meta


@pytest.mark.parametrize(("option", "value"), [("window_m", 4.0), ("stride_m", 0.5)])
def test_lengths_below_a_pixel_are_refused(write_raster, cut, option, value):
    path = write_raster(np.zeros((1, 90, 90), "uint8"), names=["red"], **UTM)
    with pytest.raises(UnreadableFileError, match=rf"reading.{option} is {value:g} m, and its pixels have 10 x 10 m"):
        cut(path, **{option: value})


def test_parts_of_a_mosaic_that_are_not_square(write_raster, one_scene, tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in range(3):
        array = np.full((1, 64, 256), number + 1, "uint8")
        where = {"crs": UTM["crs"], "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_400_000.0 - 640 * number)}
        write_raster(array, names=["red"], **where).rename(folder / f"part{number}.tif")
    samples = one_scene(folder, mosaic=True, window_px=64)
    assert len(samples) == 12
    for sample in samples:
        pixels = sample.read()
        assert set(np.unique(pixels.array)) == {sample.window.y // 64 + 1} and not pixels.masks["nodata"].any()


def test_a_file_beside_a_product_that_is_none_of_its_own_stands_for_itself(tmp_path, write_raster):
    from made_products import make_landsat

    from domainclip.domains.remote_sensing.reading import RemoteSensingReading

    folder = make_landsat(tmp_path)
    stray = write_raster(np.zeros((1, 64, 64), "uint8"), names=["red"], **UTM)
    stray = stray.rename(folder / "mine.tif")
    gathering = DOMAIN.gathered(sorted(folder.rglob("*.*")), RemoteSensingReading())
    assert stray in gathering.members and gathering.members[stray] == ()


def test_names_that_are_no_utf_8_are_said(write_raster, cut):
    path = write_raster(np.zeros((1, 64, 64), "uint8"), names=["red"], **UTM)
    odd = path.rename(path.with_name("sc\udce8ne.tif"))
    with pytest.raises(UnreadableFileError, match="no UTF-8"):
        cut(odd)


def test_assets_that_are_not_there_are_counted(tmp_path):
    from domainclip.domains.remote_sensing.reading import RemoteSensingReading

    path = earth_search(tmp_path, jp2=False)
    (tmp_path / "red.tif").unlink()
    source = SourceItem(path, path.name)
    kept = len(list(DOMAIN.samples(source, RemoteSensingReading())))
    account = DOMAIN.account(source)
    assert account["assets of its item that are not there"] == 1 and account["kept"] == kept > 0
