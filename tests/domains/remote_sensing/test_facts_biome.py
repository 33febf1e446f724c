"""Biomes by a stand-in of RESOLVE Ecoregions 2017: its columns, spelling and Shapefile, with boxes in place of its polygons.

The published table (150 MB) was not at hand; columns and names are those of its entry in Earth Engine's catalogue.
"""

import json

import geopandas
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from shapely.geometry import MultiPolygon, Point, box

from domainclip.cli.main import main
from domainclip.domains.remote_sensing.scene_facts.biome import BIOMES, biome_fact, biome_map
from domainclip.domains.remote_sensing.scene_facts.coarse_map import cell_of, coarsened
from domainclip.domains.remote_sensing.scene_facts.fact import NO_PLACE
from domainclip.errors import UsageError

NAMES = (*BIOMES, "N/A")
MOIST = "Tropical & Subtropical Moist Broadleaf Forests"


def run(*words):
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return stopped.value.code


def table(names=NAMES, **columns):
    """A row of boxes from west to east, 20 degrees wide; the first biome again on an island over the date line."""
    island = MultiPolygon([box(178, -60, 180, -58), box(-180, -60, -179, -58)])
    shapes = [box(-150 + 20 * n, -20.003, -130 + 20 * n, 10.007 + n) for n in range(len(names))] + [island]
    told = [*names, names[0]]
    rows = {"ECO_NAME": [f"eco {n}" for n in range(len(told))], "BIOME_NUM": [float(n + 1) for n in range(len(told))]}
    rows |= {"BIOME_NAME": told, "REALM": "N/A", "ECO_ID": range(len(told)), "LICENSE": "CC-BY 4.0", **columns}
    return geopandas.GeoDataFrame(rows, geometry=shapes, crs="EPSG:4326")


@pytest.fixture(scope="module")
def ecoregions(tmp_path_factory):
    path = tmp_path_factory.mktemp("biomes") / "Ecoregions2017.shp"
    table().to_file(path)
    return path


def test_places_have_the_biome_that_geopandas_finds(ecoregions):
    random = np.random.default_rng(0)
    places = np.column_stack([random.uniform(-180, 180, 3000), random.uniform(-62, 30, 3000)])
    frame = geopandas.read_file(ecoregions)
    edges = frame.boundary.union_all()
    points = geopandas.GeoDataFrame(geometry=[Point(*place) for place in places], crs="EPSG:4326")
    clear = np.array([point.distance(edges) > 0.15 for point in points.geometry])  # a cell's diagonal
    joined = points.sjoin(frame, how="left")["BIOME_NAME"]
    found = [biome_fact(tuple(place), ecoregions) for place in places[clear]]
    wanted = [BIOMES.get(name) for name in joined[clear]]
    assert [fact.words.get("biome") for fact in found] == wanted and len(set(wanted)) == 15
    assert {fact.attribution is not None for fact in found if fact.words} == {True}
    assert "CC BY 4.0" in next(fact.attribution for fact in found if fact.words)


def test_cells_begin_where_the_polygons_do(ecoregions):
    """Boxes meet at 130 degrees west, a border of cells; the first ends at 10.007 north, under a tenth of a cell beyond."""
    names = list(BIOMES.values())
    for (longitude, latitude), wanted in {
        (-130.05, 0.0): names[0], (-129.95, 0.0): names[1], (-149.95, 9.95): names[0], (-140.0, 10.05): None, (-150.05, 0.0): None,
        (-140.0, -19.95): names[0], (-140.0, -20.05): None, (-110.05, 10.95): names[1], (-110.05, 11.05): None,
    }.items():  # fmt: skip
        assert biome_fact((longitude, latitude), ecoregions).words.get("biome") == wanted, (longitude, latitude)


@pytest.mark.slow
def test_tables_in_another_crs_and_with_names_in_capitals(ecoregions, tmp_path):
    table().to_crs("EPSG:8857").to_parquet(tmp_path / "equal_area.parquet")
    assert biome_fact((-140.0, 0.0), tmp_path / "equal_area.parquet").words == {"biome": BIOMES[MOIST]}
    for suffix in (".shp", ".shx", ".dbf", ".prj"):
        (tmp_path / f"ECO{suffix.upper()}").write_bytes(ecoregions.with_suffix(suffix).read_bytes())
    assert biome_fact((-140.0, 0.0), tmp_path / "ECO.SHP").words == {"biome": BIOMES[MOIST]}


@pytest.mark.slow
def test_one_process_makes_the_map_and_the_others_wait(ecoregions, tmp_path, monkeypatch):
    """Locks of a file hold between descriptors, so threads stand for processes here."""
    from threading import Thread

    from domainclip.domains.remote_sensing.scene_facts import biome

    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path))
    made, plain = [], biome._rasterised
    monkeypatch.setattr(biome, "_rasterised", lambda frame: (made.append(1), plain(frame))[1])
    biome._map.cache_clear()
    threads = [Thread(target=biome_map, args=(ecoregions,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_where_nothing_is_said(ecoregions):
    assert biome_fact(None, ecoregions).absent == NO_PLACE
    assert biome_fact((0.0, 60.0), ecoregions).absent == "no land in the table of biomes there"
    assert biome_fact((140.0, 0.0), ecoregions).absent == "rock and ice, which is no biome"
    fine = np.repeat(np.array([[1, 2]], np.uint8), 9000, axis=0).repeat(9000, axis=1)
    fine[::2], fine[:, ::5] = 1, 2  # half and half in every cell
    assert cell_of(coarsened(fine, 2), 10.0, 10.0) == 3, "several meet there"


def test_over_the_date_line_and_beyond(ecoregions):
    for longitude in (179.5, -179.5, 180.0, 180.5, -180.5):
        assert biome_fact((longitude, -59.0), ecoregions).words == {"biome": BIOMES[MOIST]}


def test_cells_count_their_land_as_the_map_of_climates_does():
    """By hand: a cell of 5 x 5 with 24 % land of one class, one with 8 %, one with 15 to 10, one with 14 to 11."""
    fine = np.zeros((9000, 18000), np.uint8)
    fine[0, 0:5], fine[1, 0] = 4, 4
    fine[0, 5:7] = 4
    fine[0:3, 10:15], fine[3:5, 10:15] = 4, 5
    fine[0:3, 15:20], fine[3:5, 15:20], fine[2, 19] = 4, 5, 5
    assert coarsened(fine, 5)[0, :4].tolist() == [4, 0, 4, 6]


@pytest.mark.slow
def test_the_map_is_made_once_and_again_when_damaged(ecoregions, tmp_path, monkeypatch):
    from domainclip.domains.remote_sensing.scene_facts import biome

    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path))
    biome._map.cache_clear()
    first = biome_map(ecoregions)
    (kept,) = (tmp_path / "tables").glob("biomes-*.png")
    biome._map.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(biome, "read_lonlat", lambda *_: pytest.fail("read again"))
        assert np.array_equal(biome_map(ecoregions), first)
    Image.new("L", (4, 4)).save(kept)
    biome._map.cache_clear()
    assert np.array_equal(biome_map(ecoregions), first), "a map of another size is none"
    kept.write_bytes(kept.read_bytes()[:100])
    biome._map.cache_clear()
    assert np.array_equal(biome_map(ecoregions), first) and not list((tmp_path / "tables").glob("*.part"))


def test_tables_that_are_others(ecoregions, tmp_path):
    def refused(path, match):
        with pytest.raises(UsageError, match=match):
            biome_map(path)

    def written(name, frame):
        frame.to_parquet(tmp_path / name)
        return tmp_path / name

    refused(tmp_path / "gone.shp", "cannot be opened")
    refused(written("teow.parquet", table().rename(columns={"BIOME_NAME": "BIOME"})), "no column BIOME_NAME")
    refused(written("other.parquet", table(("Steppe",))), "'Steppe', which is no biome")
    refused(written("points.parquet", table().set_geometry(table().centroid)), "something else than polygons")
    refused(written("metres.parquet", table().set_geometry(table().scale(9e4, 9e4, origin=(0, 0)))), "outside of -180")
    refused(written("crs.parquet", table().set_crs(None, allow_override=True)), "names no CRS")
    alone = tmp_path / "alone.shp"
    alone.write_bytes(ecoregions.read_bytes())
    refused(alone, r"\.dbf of the table cannot be opened")
    cut = tmp_path / "cut.shp"
    cut.write_bytes(b"\0\0\x27\x0a" + bytes(30))
    cut.with_suffix(".dbf").write_bytes(b"\3")
    refused(cut, "cannot be read as a table")


def test_biomes_reach_inspection_labels_and_captions_and_no_path_is_kept(ecoregions, write_raster, tmp_path, capfd):
    where = {"crs": "EPSG:4326", "transform": (0.001, 0.0, -145.0, 0.0, -0.001, 5.0)}
    path = write_raster(np.full((1, 70, 70), 40, "uint8"), names=["red"], **where)
    options = ("--set", f"reading.biomes={ecoregions}")
    assert run("inspect", str(path), "--json", *options) == 0
    assert json.loads(capfd.readouterr().out)["details"]["facts"]["biome"] == BIOMES[MOIST]
    output = tmp_path / "set"
    words = ("prepare", str(path), "--domain", "remote-sensing", "--output", str(output), "--workers", "1", "--json")
    assert run(*words, *options) == 0
    index, captions = pd.read_parquet(output / "index.parquet"), pd.read_parquet(output / "captions.parquet")
    assert json.loads(index["labels"][0])["biome"] == BIOMES[MOIST]
    assert json.loads(index["meta"][0])["attribution"][0].startswith("Biomes: RESOLVE")
    assert set(captions["text"]) == {f"a satellite image from the biome of {BIOMES[MOIST]}"}
    for file in output.rglob("*"):
        assert not file.is_file() or str(ecoregions).encode() not in file.read_bytes()


def test_every_biome_reads_as_a_caption():
    from domainclip.domains.remote_sensing import DOMAIN

    assert "biome" in DOMAIN.facts.open_labels and len(BIOMES) == len(set(BIOMES.values())) == 14
    for words in BIOMES.values():
        assert "&" not in words and "/" not in words


def test_a_wrong_table_stops_the_inspection_of_a_folder_and_blames_no_scene(write_raster, tmp_path, capfd):
    folder = tmp_path / "scenes"
    folder.mkdir()
    where = {"crs": "EPSG:4326", "transform": (0.001, 0.0, -145.0, 0.0, -0.001, 5.0)}
    write_raster(np.full((1, 70, 70), 40, "uint8"), names=["red"], **where).rename(folder / "scene.tif")
    words = ("inspect", str(folder), "--domain", "remote-sensing", "--set", f"reading.biomes={tmp_path / 'gone.shp'}")
    assert run(*words) == 2
    told = capfd.readouterr().err
    assert "reading.biomes" in told and "cannot be opened" in told and "scene.tif" not in told
