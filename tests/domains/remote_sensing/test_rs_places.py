"""Windows at points, in areas, chosen, and in spatial blocks; expectations by pyproj and by hand."""

import json
import math

import numpy as np
import pytest

from domainclip.errors import UnreadableFileError, UsageError

UTM = {"crs": "EPSG:32630", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_000_000.0)}


@pytest.fixture
def scene(write_raster):
    array = np.arange(512 * 512, dtype="float32").reshape(1, 512, 512)
    return write_raster(array, names=["B8A"], **UTM)


def lonlat(x, y, crs="EPSG:32630"):
    from pyproj import Transformer

    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)


def features(path, *geometries):
    listed = [{"type": "Feature", "properties": {"id": f"p{n}"}, "geometry": g} for n, g in enumerate(geometries)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": listed}))
    return path


def point(column, row):
    """A point in the middle of a pixel of the scene."""
    return {"type": "Point", "coordinates": lonlat(600_005 + 10 * column, 4_999_995 - 10 * row)}


def box(column, row, width, height):
    corners = [(column, row), (column + width, row), (column + width, row + height), (column, row + height), (column, row)]
    return {"type": "Polygon", "coordinates": [[lonlat(600_000 + 10 * c, 5_000_000 - 10 * r) for c, r in corners]]}


def test_a_window_is_centred_on_each_point(scene, cut, tmp_path):
    path = features(tmp_path / "at.geojson", point(100, 200), point(300, 37), point(9000, 9000))
    samples = cut(scene, points=str(path), window_px=33)
    assert [s.labels["place"] for s in samples] == ["p0", "p1"]  # the third lies in another scene
    for sample, (column, row) in zip(samples, [(100, 200), (300, 37)], strict=True):
        middle = sample.read().array[0, 16, 16]
        assert middle == row * 512 + column
        assert sample.geo.transform[2] == 600_000 + 10 * (column - 16)


def test_points_at_the_edge_have_pixels_without_data(scene, cut, tmp_path):
    path = features(tmp_path / "at.geojson", point(0, 0), point(511, 256))
    assert len(cut(scene, points=str(path), window_px=32, max_nodata=0.6)) == 1
    corner = cut(scene, points=str(path), window_px=32, max_nodata=0.8)[0].read()
    assert corner.masks["nodata"].sum() == 32 * 32 - 16 * 16
    assert corner.array[0, 16, 16] == 0 and not corner.masks["nodata"][16:, 16:].any()


def test_points_as_a_table(scene, cut, tmp_path):
    path = tmp_path / "at.csv"
    longitude, latitude = point(50, 60)["coordinates"]
    path.write_text(f"id,longitude,latitude\nwell,{longitude},{latitude}\n")
    sample = cut(scene, points=str(path), window_px=9)[0]
    assert sample.read().array[0, 4, 4] == 60 * 512 + 50 and sample.labels == {"place": "well"}


def test_points_on_another_grid(scene, cut, tmp_path):
    path = features(tmp_path / "at.geojson", point(100, 200))
    sample = cut(scene, points=str(path), window_px=33, crs="EPSG:3035", spacing_m=10, resampling="nearest")[0]
    rows, columns = np.divmod(sample.read().array[0, 16, 16], 512)
    assert abs(rows - 200) <= 1 and abs(columns - 100) <= 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("longitude,latitude\n200,10\n", "1 of 1 points lie outside"),
        ("lon,lat\n1,2\n", "no longitude and latitude"),
        ("longitude,latitude\n", "0 of 0"),
        ("longitude,latitude\nx,2\n", "no longitude"),
    ],
)
def test_points_that_are_none(scene, cut, tmp_path, text, found):
    path = tmp_path / "at.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=found):
        cut(scene, points=str(path))


def test_tables_that_cannot_be_read(scene, cut, tmp_path):
    broken = tmp_path / "broken.geojson"
    broken.write_text("{")
    for name, value in (("points", broken), ("area", broken), ("points", tmp_path / "gone.geojson"), ("area", tmp_path / "a.txt")):
        with pytest.raises(UsageError):
            cut(scene, **{name: str(value)})
    with pytest.raises(UsageError, match=r"points alone; polygons go to reading\.area"):
        cut(scene, points=str(features(tmp_path / "poly.geojson", box(0, 0, 9, 9))))
    with pytest.raises(UsageError, match=r"polygons alone; points go to reading\.points"):
        cut(scene, area=str(features(tmp_path / "point.geojson", point(0, 0))))


def test_windows_of_an_area_have_their_centre_in_it(scene, cut, tmp_path):
    path = features(tmp_path / "area.geojson", box(0, 0, 130, 512), box(400, 400, 112, 112))
    samples = cut(scene, area=str(path), window_px=64)
    # Centres of columns 32, 96 lie left of 130; of 416, 480 right of 400, in rows 416, 480.
    wanted = {(x, y) for x in (0, 64) for y in range(0, 512, 64)} | {(384, 384), (448, 384), (384, 448), (448, 448)}
    assert {(s.window.x, s.window.y) for s in samples} == wanted
    assert samples.account == {"windows": 64, "kept": 20, "outside the area": 44}


def test_an_area_in_another_crs(scene, cut, tmp_path):
    import geopandas
    import shapely

    frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.box(600_000, 4_999_000, 601_000, 5_000_000)], crs="EPSG:32630")
    for name in ("area.gpkg", "area.parquet"):
        path = tmp_path / name
        frame.to_parquet(path) if name.endswith("parquet") else frame.to_file(path)
        assert {(s.window.x, s.window.y) for s in cut(scene, area=str(path), window_px=50, stride_px=50)} == {
            (0, 0),
            (50, 0),
            (0, 50),
            (50, 50),
        }


def test_no_window_in_the_area(scene, cut, tmp_path):
    with pytest.raises(UnreadableFileError, match="64 outside the area"):
        cut(scene, area=str(features(tmp_path / "far.geojson", box(5000, 5000, 10, 10))))


def test_max_windows_are_spread_evenly_and_the_rest_is_counted(scene, cut):
    samples = cut(scene, max_windows=16, window_px=32)
    places = {(s.window.x // 128, s.window.y // 128) for s in samples}
    assert len(samples) == 16 == len(places)  # one in each cell of 4 x 4
    assert samples.account == {"windows": 256, "kept": 16, "beyond reading.max_windows": 240}


def test_random_windows_are_the_same_in_every_run_and_differ_by_seed(scene, cut):
    def drawn(**more):
        return [(s.window.x, s.window.y) for s in cut(scene, max_windows=12, choose="random", window_px=32, **more)]

    assert drawn() == drawn() != drawn(choose_seed=1)
    assert len(set(drawn())) == 12


def test_windows_without_data_do_not_use_up_max_windows(write_raster, cut):
    array = np.ones((1, 512, 512), "uint16")
    array[:, :, 256:] = 0
    samples = cut(write_raster(array, names=["B8A"], nodata=0, **UTM), max_windows=20, window_px=64)
    assert len(samples) == 20 and max(s.window.x for s in samples) < 256


def test_blocks_are_cells_of_equal_area_and_windows_lie_in_one(scene, cut):
    from pyproj import Transformer

    samples = cut(scene, group_by="block", block_m=1500, window_px=32)
    to = Transformer.from_crs("EPSG:32630", "EPSG:6933", always_xy=True)
    for sample in samples:
        a, b, c, d, e, f = sample.geo.transform
        corners = [(c + a * x + b * y, f + d * x + e * y) for x in (0, 32) for y in (0, 32)]
        cells = {tuple(math.floor(v / 1500) for v in to.transform(*corner)) for corner in corners}
        assert len(cells) == 1
        assert sample.group == "block {} {} of 1500 m".format(*cells.pop())
    assert samples.account["across two blocks"] + len(samples) == 256
    assert len({s.group for s in samples}) > 9 and samples[0].ids == {"scene": "folder/scene"}


def test_overlapping_scenes_never_share_ground_across_blocks(write_raster, cut):
    """Two scenes of one place in two UTM zones: windows that overlap on the ground have one group."""
    import shapely
    from pyproj import Transformer

    array = np.ones((1, 256, 256), "uint16")
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32631", always_xy=True).transform(*lonlat(600_400, 4_999_700))
    one = write_raster(array, "one.tif", names=["B8A"], **UTM)
    other = write_raster(array, "other.tif", names=["B8A"], crs="EPSG:32631", transform=(10, 0, x, 0, -10, y))
    samples = [s for path in (one, other) for s in cut(path, group_by="block", block_m=700, window_px=16)]

    def outline(sample):
        a, _, c, _, e, f = sample.geo.transform
        to = Transformer.from_crs(sample.geo.crs, "EPSG:4326", always_xy=True)
        return shapely.Polygon([to.transform(c + a * u, f + e * v) for u, v in ((0, 0), (16, 0), (16, 16), (0, 16))])

    outlines = [outline(s) for s in samples]
    shared = 0
    for i, first in enumerate(outlines):
        for j in range(i):
            if first.intersection(outlines[j]).area > 0.01 * first.area:
                shared += samples[i].geo.crs != samples[j].geo.crs
                assert samples[i].group == samples[j].group
    assert shared > 20


def test_blocks_need_a_place(write_raster, cut):
    bare = write_raster(np.ones((1, 64, 64), "uint16"), names=["B8A"])
    with pytest.raises(UnreadableFileError, match="no CRS"):
        cut(bare, group_by="block")


def test_ids_of_features_count_beside_their_properties(scene, cut, tmp_path):
    """RFC 7946, section 3.2: the identifier is a member of the feature."""
    path = tmp_path / "at.geojson"
    feature = {"type": "Feature", "id": 17, "properties": None, "geometry": point(50, 60)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert cut(scene, points=str(path), window_px=9)[0].labels == {"place": "17"}


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.shp", "a.fgb"])
@pytest.mark.parametrize("option", ["points", "area"])
def test_a_list_of_other_sources_is_not_followed_under_any_name(scene, cut, tmp_path, name, option):
    """GDAL opens a VRT by its content, and what it names with it."""
    real = features(tmp_path / "real.geojson", point(50, 60) if option == "points" else box(0, 0, 99, 99))
    layer = f'<OGRVRTLayer name="real"><SrcDataSource>{real}</SrcDataSource></OGRVRTLayer>'
    listed = tmp_path / name
    listed.write_text(f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>")
    with pytest.raises(UsageError, match="cannot be read as a table"):
        cut(scene, **{option: str(listed)})


@pytest.mark.parametrize("name", ["at.shp", "at.fgb", "at.gpkg", "at.parquet"])
def test_points_in_other_formats_and_another_crs(scene, cut, tmp_path, name):
    import geopandas
    from shapely.geometry import Point

    frame = geopandas.GeoDataFrame({"name": ["well"]}, geometry=[Point(*point(50, 60)["coordinates"])], crs="EPSG:4326")
    frame = frame.to_crs("EPSG:3035")
    frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_file(tmp_path / name)
    sample = cut(scene, points=str(tmp_path / name), window_px=9)[0]
    assert sample.read().array[0, 4, 4] == 60 * 512 + 50 and sample.labels == {"place": "well"}
