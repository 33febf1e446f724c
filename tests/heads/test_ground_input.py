"""What maps refuse, and how they are named: no place, other domains, broken and older folders, names that two scenes share."""

from __future__ import annotations

import json
import shutil

import geopandas
import ground_predictions as made
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine

from domainclip.data.owner_map import owner_map_path
from domainclip.errors import UsageError
from domainclip.heads.classify import classify_files
from domainclip.heads.embed import embed
from domainclip.heads.export import export
from domainclip.heads.retrieval import Retriever

FORMATS = ("cog", "geojson", "geoparquet")
UTM = Affine(10, 0, 400_000, 0, -10, 4_600_000)


@pytest.fixture
def scene():
    return made.Scene("EPSG:32630", UTM)


def refused(tmp_path, source, format="cog"):
    with pytest.raises(UsageError) as caught:
        export(source, format, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    return caught.value


@pytest.mark.parametrize("format", FORMATS)
def test_pictures_have_no_place(tmp_path, model, pictures, format):
    classify_files(model, [pictures], ["red", "green"], output=tmp_path / "predictions")
    document = json.loads((tmp_path / "predictions" / "predictions.json").read_text())
    document["model"]["domain"] = "remote-sensing"
    (tmp_path / "predictions" / "predictions.json").write_text(json.dumps(document))
    error = refused(tmp_path, tmp_path / "predictions", format)
    assert "no place on the ground" in error.found and "gdal_edit.py -a_srs" in error.remedy


def test_slides_are_refused_with_what_fits(tmp_path, model, pictures):
    classify_files(model, [pictures], ["red", "green"], output=tmp_path / "predictions")
    error = refused(tmp_path, tmp_path / "predictions")
    assert "pathology" in error.found and "qupath" in error.remedy
    back = refused(tmp_path, tmp_path / "predictions", "qupath")
    assert "predictions" in back.found and "geojson" in back.remedy


def test_scenes_without_crs_are_counted_and_left_out(tmp_path, scene):
    bare = made.Scene("", UTM, name="bare")
    made.write_predictions(tmp_path / "p", [bare, scene])
    exported = export(tmp_path / "p", "cog", tmp_path / "maps")
    assert (exported.document["scenes"], exported.document["images_without_place"]) == (1, 30)
    assert any("30 images have no coordinate system" in line for line in exported.lines)


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_folder_and_one_that_is_not_there(tmp_path, format):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "nowhere"):
        assert "domainclip zero-shot" in refused(tmp_path, source, format).remedy


def _broken(name):
    changes = {
        "no classes": lambda d: d.pop("classes"),
        "a class is missing": lambda d: d["windows"][0]["probabilities"].pop("land"),
        "a probability is a text": lambda d: d["windows"][0]["probabilities"].update(land="much"),
        "a probability is no number": lambda d: d["windows"][0]["probabilities"].update(land=float("nan")),
        "a probability is two": lambda d: d["windows"][0]["probabilities"].update(land=2),
        "five numbers": lambda d: d["windows"][0]["geo"].update(transform=[1, 2, 3, 4, 5]),
        "an infinite affine": lambda d: d["windows"][0]["geo"].update(transform=[1, 0, 1e999, 0, -1, 0]),
        "no size": lambda d: d["windows"][0].update(size=None),
        "size zero": lambda d: d["windows"][0].update(size=[0, 64]),
        "windows are a text": lambda d: d.update(windows="none"),
        "CRS is a number": lambda d: d["windows"][0]["geo"].update(crs=32630),
    }
    return changes[name] if name else list(changes)


@pytest.mark.parametrize("name", _broken(None))
def test_a_broken_table_is_refused(tmp_path, scene, name):
    folder = made.write_predictions(tmp_path / "p", [scene])
    document = json.loads((folder / "predictions.json").read_text())
    _broken(name)(document)
    (folder / "predictions.json").write_text(json.dumps(document))
    assert "is broken" in refused(tmp_path, folder).found


def test_a_table_cut_short_is_refused(tmp_path, scene):
    folder = made.write_predictions(tmp_path / "p", [scene])
    text = (folder / "predictions.json").read_text()
    (folder / "predictions.json").write_text(text[: len(text) // 2])
    assert "is broken" in refused(tmp_path, folder).found


def test_predictions_of_before_are_told_so(tmp_path, scene):
    folder = made.write_predictions(tmp_path / "p", [scene])
    document = json.loads((folder / "predictions.json").read_text())
    for row in document["windows"]:
        del row["geo"], row["size"], row["group"]
    (folder / "predictions.json").write_text(json.dumps(document))
    assert "before predictions said where they lie" in refused(tmp_path, folder).found


@pytest.mark.parametrize(("crs", "affine", "found"), [
    ("EPSG:99999", UTM, "PROJ does not know"), ("EPSG:3857", Affine(1e9, 0, 0, 0, -1e300, 1e305), "their CRS has none"),
    ("EPSG:4326", UTM, "their CRS has none"), ("EPSG:4326", Affine(1, 0, 0, 0, -1, 400), "their CRS has none"),
])  # fmt: skip
def test_a_scene_that_is_nowhere_is_rejected_alone(tmp_path, scene, crs, affine, found):
    folder = made.write_predictions(tmp_path / "p", [made.Scene(crs, affine, name="lost"), scene])
    assert export(folder, "geojson", tmp_path / "out").document["rejected"] == 1
    assert found in json.loads((tmp_path / "out" / "rejected.jsonl").read_text())["reason"]
    assert [path.name for path in (tmp_path / "out" / "geojson").iterdir()] == ["scene.geojson"]


@pytest.mark.parametrize("affine", [Affine(0, 0, 4e5, 0, 0, 4.6e6), Affine(10, 10, 4e5, 10, 10, 4.6e6)])
def test_an_affine_without_area_is_refused(tmp_path, affine):
    folder = made.write_predictions(tmp_path / "p", [made.Scene("EPSG:32630", affine)])
    assert "spans no area" in refused(tmp_path, folder).found


def test_windows_turned_against_each_other_are_no_grid(tmp_path, scene):
    turned = made.Scene("EPSG:32630", UTM @ Affine.rotation(20), path="/somewhere/secret/scene.tif")
    folder = made.write_predictions(tmp_path / "p", [scene, turned])
    assert "turned or mirrored" in refused(tmp_path, folder).found
    assert export(folder, "geojson", tmp_path / "out").document["windows"] == 60


@pytest.mark.parametrize("format", FORMATS)
def test_two_scenes_of_one_name_stay_two(tmp_path, format):
    scenes = [made.Scene("EPSG:32630", UTM @ Affine.translation(1000 * n, 0), path=f"/{n}/scene.tif") for n in range(2)]
    folder = made.write_predictions(tmp_path / "p", scenes)
    export(folder, format, tmp_path / "out")
    if format == "geoparquet":
        names = geopandas.read_parquet(tmp_path / "out" / "windows.parquet")["scene"].unique().tolist()
    else:
        names = [path.stem for path in (tmp_path / "out").rglob("scene*.tif" if format == "cog" else "*.geojson")]
    assert len(set(names)) == 2 and all(name.startswith("scene-") for name in names)


@pytest.mark.parametrize("format", FORMATS)
def test_hashed_names_nothing_of_the_owner(tmp_path, scene, format):
    folder = made.write_predictions(tmp_path / "p", [scene])
    assert export(folder, format, tmp_path / "out", hashed=True).document["named_by"] == "hash"
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any("scene" in path.name for path in files)
    assert not any(b"secret" in path.read_bytes() or b"scene.tif" in path.read_bytes() for path in files)


def test_without_the_owners_map_scenes_are_named_by_hash(tmp_path, scene):
    other = made.Scene("EPSG:32755", UTM, name="other")
    folder = made.write_predictions(tmp_path / "p", [scene, other], known=False, set_ids=["ffffffffffffffffffff"])
    assert export(folder, "cog", tmp_path / "out").document["named_by"] == "hash"
    assert sorted(path.stem for path in (tmp_path / "out" / "classes").glob("*.tif")) == ["0" * 20, "0" * 19 + "1"]


def test_what_other_programs_put_beside_a_map_is_kept(tmp_path, scene):
    folder = made.write_predictions(tmp_path / "p", [scene])
    export(folder, "cog", tmp_path / "out")
    export(folder, "cog", tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "classes" / "scene.qml").write_text("style")
    with pytest.raises(UsageError, match="Files were added"):
        export(folder, "cog", tmp_path / "out", overwrite=True)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Two GeoTIFFs of 160 x 128 pixels: UTM south, and degrees over the date line; and one without a CRS."""
    folder = tmp_path_factory.mktemp("ground") / "scenes"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, crs, affine in (
        ("south", "EPSG:32755", Affine(10, 0, 420_000, 0, -10, 6_100_000)),
        ("fiji", "EPSG:4326", Affine(1e-3, 0, 179.95, 0, -1e-3, -17)),
        ("picture", None, Affine.identity()),
    ):
        profile = {"driver": "GTiff", "width": 160, "height": 128, "count": 3, "dtype": "uint8", "photometric": "RGB"}
        place = {"crs": crs, "transform": affine} if crs else {}
        with rasterio.open(folder / f"{name}.tif", "w", **profile, **place) as file:
            file.write(random.integers(1, 255, (3, 128, 160), dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def ground_model(tmp_path_factory, make_model):
    return make_model(tmp_path_factory.mktemp("ground") / "model", domain="remote-sensing")


@pytest.mark.slow
def test_from_scene_to_features_hits_and_vectors(tmp_path, scenes, ground_model):
    embed(ground_model, scenes, tmp_path / "emb", reading={"window_px": 32})
    table = pd.read_parquet(tmp_path / "emb" / "index.parquet")
    exported = export(tmp_path / "emb", "geojson", tmp_path / "out")
    assert (exported.document["scenes"], exported.document["windows"]) == (2, 40) == (2, table["geo"].notna().sum())
    with rasterio.open(scenes / "south.tif") as file:
        truth = file.transform
    south = geopandas.read_file(tmp_path / "out" / "geojson" / "south.geojson").to_crs(32755)
    for row in south.to_dict("records"):
        where = table.iloc[row["row"]]
        centre = truth @ (where["x"] + 16.0, where["y"] + 16.0)
        assert where["key"] == row["key"] and row["geometry"].centroid.distance(shapely.Point(centre)) < 0.1
    error = refused(tmp_path, tmp_path / "emb")
    assert "Features name no class" in error.found and "zero-shot" in error.remedy
    # A hit of a search says where it lies, and an index of before, without the column, is still searched.
    retriever = Retriever(ground_model).fit(scenes, reading={"window_px": 32})
    placed = [hit for hit in retriever.search("red glands", k=60) if hit.geo]
    assert len(placed) == 40
    for hit in placed:
        with rasterio.open(hit.path) as file:
            assert (hit.geo.transform[2], hit.geo.transform[5]) == pytest.approx(file.transform @ (hit.window.x, hit.window.y))
    shutil.copytree(tmp_path / "emb", tmp_path / "old")
    table.drop(columns="geo").to_parquet(tmp_path / "old" / "index.parquet")
    assert "before features said" in refused(tmp_path, tmp_path / "old", "geojson").found


def test_from_scene_to_predictions_and_maps(tmp_path, scenes, ground_model):
    found = classify_files(ground_model, [scenes], ["red", "green"], reading={"window_px": 32}, output=tmp_path / "p")
    assert any(f"domainclip export {tmp_path / 'p'} --format cog" in line for line in found.lines())
    rows = pd.read_csv(tmp_path / "p" / "predictions.csv")
    export(tmp_path / "p", "cog", tmp_path / "maps")
    for name, crs in (("south", "EPSG:32755"), ("fiji", "EPSG:4326")):
        part = rows[rows["crs"] == crs]
        assert len(part) == 20
        with rasterio.open(scenes / f"{name}.tif") as file, rasterio.open(tmp_path / "maps" / "scores" / f"{name}.tif") as scores:
            assert scores.shape == (4, 5) and scores.bounds == pytest.approx(file.bounds)
            for row in part.to_dict("records"):
                assert Affine(*map(float, row["transform"].split())) @ (0, 0) == pytest.approx(
                    file.transform @ (row["x"], row["y"])
                )
                got = next(scores.sample([file.transform @ (row["x"] + 16.5, row["y"] + 16.5)]))
                assert got == pytest.approx([row["p:red"], row["p:green"]], abs=1e-5)
    assert found.lines()[-2].startswith("40 images lie on the ground")


def test_nothing_is_said_of_maps_without_a_place(model, pictures):
    assert not any("on the ground" in line for line in classify_files(model, [pictures], ["red", "green"]).lines())


def test_labels_of_a_set_become_a_map(tmp_path, scenes, ground_model):
    """A region labels half of a scene; windows without label stay empty."""
    from domainclip.config import DataConfig
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_source
    from domainclip.domains.base import domains

    affine = Affine(10, 0, 420_000, 0, -10, 6_100_000)
    ring = [affine @ corner for corner in ((0, 0), (64, 0), (64, 128), (0, 128), (0, 0))]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
               "properties": {"classification": {"name": "forest"}}}  # fmt: skip
    (scenes / "r.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (scenes / "manifest.csv").write_text("path,regions,caption\nsouth.tif,r.geojson,a wood\nfiji.tif,,an island\n")
    remote = domains.get("remote-sensing")
    source = open_source(DataConfig(source=str(scenes / "manifest.csv")), remote)
    prepare(source, remote, tmp_path / "set", reading={"window_px": 32, "values": "srgb"}, workers=0)
    export(tmp_path / "set", "geojson", tmp_path / "out")
    south = geopandas.read_file(tmp_path / "out" / "geojson" / "south.geojson")
    assert set(south["class"]) == {"forest"} and set(south["captions"]) == {1} and {"split", "label:land_cover"} <= set(south)
    export(tmp_path / "set", "cog", tmp_path / "maps")
    assert not (tmp_path / "maps" / "scores").exists()
    with rasterio.open(tmp_path / "maps" / "classes" / "south.tif") as file:
        assert file.read(1).tolist() == [[1, 1]] * 4 and file.bounds == (420_000, 6_098_720, 420_640, 6_100_000)
    with rasterio.open(tmp_path / "maps" / "classes" / "fiji.tif") as file:
        assert file.read(1).tolist() == [[0] * 5] * 4
    # Predictions over the set know its scenes, by file and, hashed, by group.
    classify_files(ground_model, [tmp_path / "set"], ["red", "green"], output=tmp_path / "p")
    for hashed in (False, True):
        done = export(tmp_path / "p", "cog", tmp_path / f"maps{hashed}", hashed=hashed).document
        assert (done["scenes"], done["windows"]) == (2, 28)
    # Nor does somebody without the owner's map get a map a window.
    (set_id,) = json.loads((tmp_path / "p" / "predictions.json").read_text())["set_ids"]
    owner_map_path(set_id).unlink()
    assert export(tmp_path / "p", "cog", tmp_path / "others").document["scenes"] == 2
