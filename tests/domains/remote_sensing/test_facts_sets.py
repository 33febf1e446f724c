"""Facts from files to the captions of a prepared set, by the command line and by the functions."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from domainclip.cli.main import main
from domainclip.domains.remote_sensing.scene_facts import FACTS, scene_facts, with_facts
from domainclip.errors import UsageError
from domainclip.sample import Caption, Geo, Pixels, Sample, Values

NAMES = ("B02", "B03", "B04", "B08", "B8A", "B12")
# Kenya's south (32737) and Germany (32632): two hemispheres in one July.
KENYA = {"crs": "EPSG:32737", "transform": (10.0, 0.0, 260_000.0, 0.0, -10.0, 9_858_000.0)}
GERMANY = {"crs": "EPSG:32632", "transform": (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_500_000.0)}
FREE = ("place", "climate", "season", "date", "gsd", "sensor")


def scene(write_raster, name, where, **options):
    draw = np.random.default_rng(len(name))
    array = np.full((6, 64, 64), 1500, np.uint16) + draw.integers(0, 50, (6, 64, 64)).astype(np.uint16)
    array[3:5] += 4000
    return write_raster(array, name=name, names=NAMES, scales=(1e-4,) * 6, offsets=(-0.1,) * 6, nodata=0,
                        tags={"ACQUISITION_DATE": "2019-07-14"}, **where, **options)  # fmt: skip


@pytest.fixture
def folder(write_raster, tmp_path):
    place = tmp_path / "scenes"
    place.mkdir()
    for name, where in (
        ("a.tif", KENYA),
        ("b.tif", GERMANY),
        ("c.tif", {**GERMANY, "transform": (10.0, 0.0, 7e5, 0.0, -10.0, 5.6e6)}),
    ):
        shutil.move(scene(write_raster, name, where), place / name)
    return place


def run(*words):
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return stopped.value.code


def prepared(folder, output, capfd, *settings, code=0):
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ("prepare", str(folder), "--domain", "remote-sensing", "--output", str(output), "--json", "--workers", "1")
    assert run(*words, *sets) == code
    out = capfd.readouterr()
    return (pd.read_parquet(output / "index.parquet"), pd.read_parquet(output / "captions.parquet")) if code == 0 else out.err


def test_facts_reach_labels_and_captions_of_a_set(folder, tmp_path, capfd):
    index, captions = prepared(folder, tmp_path / "set", capfd, f"reading.facts={json.dumps([*FREE, 'ndvi'])}")
    labels = {labels["country"]: labels for labels in map(json.loads, index["labels"])}
    assert labels["Kenya"] == {
        "country": "Kenya", "climate": labels["Kenya"]["climate"], "date": "July 2019", "month": "July", "year": "2019",
        "gsd": "10 m", "sensor": "Sentinel-2", "vegetation": "dense vegetation",
    }, "no season between the tropics"  # fmt: skip
    assert labels["Germany"]["season"] == "summer" and labels["Germany"]["climate"] in {"Cfb", "Dfb"}
    meta = [json.loads(text) for text in index["meta"]]
    assert all(told["facts"]["ndvi"]["mean"] == pytest.approx(0.8, abs=0.1) and told["facts"]["gsd_m"] for told in meta)
    assert all("CC BY 4.0" in told["attribution"][0] for told in meta)
    absent = [told.get("facts_absent") for told in meta]
    assert sum(reasons is not None and "between the tropics" in reasons["season"] for reasons in absent) == 1
    assert len(captions) == 9 and set(captions["origin"]) == {"template"} and set(captions["language"]) == {"en"}
    assert not captions["text"].str.contains(r"[{}]|None|nan").any()


def test_without_asking_nothing_changes(folder, tmp_path, capfd):
    index, captions = prepared(folder, tmp_path / "set", capfd)
    assert set(index["labels"]) == {"{}"} and captions.empty
    assert not any("facts" in text or "attribution" in text for text in index["meta"])


def test_tags_become_captions_with_their_licence_beside_those_of_labels(folder, tmp_path, capfd):
    import rasterio.warp

    features = []
    for where, tags in ((KENYA, {"natural": "water", "name": "Lake Somebody"}), (GERMANY, {"landuse": "orchard"})):
        left, top = where["transform"][2], where["transform"][5]
        corners = [(left + x, top - y) for x, y in ((200, 200), (400, 200), (400, 400), (200, 400), (200, 200))]
        xs, ys = rasterio.warp.transform(where["crs"], "EPSG:4326", *zip(*corners, strict=True))
        ring = {"type": "Polygon", "coordinates": [list(map(list, zip(xs, ys, strict=True)))]}
        features.append({"type": "Feature", "properties": tags, "geometry": ring})
    table = tmp_path / "private_place.geojson"
    table.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    settings = (f"reading.tags={table}", 'reading.facts=["place"]')
    index, captions = prepared(folder, tmp_path / "set", capfd, *settings)
    tagged = captions[captions["origin"] == "tag"]
    assert sorted(tagged["text"]) == ["an overhead image of a body of water", "an overhead image of an orchard"]
    assert set(tagged["licence"]) == {"ODbL-1.0"} and set(tagged["generator"]) == {"domainclip.scene_facts/1"}
    composed = captions[captions["origin"] == "template"]
    assert set(composed["key"]) == set(index["key"]), "images with tags are put into words by their labels as well"
    assert composed["licence"].isna().all() and composed["text"].str.contains("Kenya|Germany").all()
    attributions = [json.loads(text).get("attribution", []) for text in index["meta"]]
    assert sum("OpenStreetMap" in " ".join(names) for names in attributions) == 2
    for path in (tmp_path / "set").rglob("*"):
        if path.is_file():
            assert b"private_place" not in path.read_bytes() and b"Somebody" not in path.read_bytes(), path.name


def test_a_wrong_table_of_tags_is_exit_2(folder, tmp_path, capfd):
    told = prepared(folder, tmp_path / "set", capfd, f"reading.tags={tmp_path / 'gone.geojson'}", code=2)
    assert "cannot be opened" in told and "Traceback" not in told


def test_indices_of_scenes_without_the_band_are_rejected_and_told(folder, tmp_path, capfd):
    told = prepared(folder, tmp_path / "set", capfd, 'reading.facts=["ndvi"]', 'reading.bands=["B02"]', code=2)
    assert "needs the band nir" in told


def test_unknown_facts_are_refused(folder, tmp_path, capfd):
    told = prepared(folder, tmp_path / "set", capfd, 'reading.facts=["weather"]', code=2)
    assert "facts.0" in told and "'ndvi'" in told and "weather" in told


def test_inspect_tells_the_facts_of_a_georeferenced_file(folder, write_raster, capfd):
    assert run("inspect", str(folder / "b.tif"), "--json") == 0
    details = json.loads(capfd.readouterr().out)["details"]
    assert details["facts"]["country"] == "Germany" and details["facts"]["season"] == "summer" and details["facts"]["gsd"] == "10 m"
    assert "facts_absent" not in details and "CC BY 4.0" in details["attribution"][0]
    picture = write_raster(np.zeros((3, 32, 32), np.uint8), name="picture.tif", photometric="RGB")
    assert run("inspect", str(picture), "--domain", "remote-sensing", "--json") == 0
    assert "facts" not in json.loads(capfd.readouterr().out)["details"]


def made(**fields):
    return Sample("s", "CYX", ("red",), Values("dn"), lambda: Pixels(np.zeros((1, 64, 64), np.uint8)), **fields)


def test_the_owners_words_win(domain):
    sample = made(geo=Geo("EPSG:32632", GERMANY["transform"]), labels={"country": "Utopia"}, captions=(Caption("Mine.", "en"),))
    told = with_facts(sample, domain.reading_model(facts=("place", "gsd")), shape=(64, 64))
    assert told.labels == {"country": "Utopia", "gsd": "10 m"} and told.captions == sample.captions
    assert with_facts(sample, domain.reading_model(), shape=(64, 64)) is sample


def test_what_is_not_known_is_said_fact_by_fact():
    found = scene_facts(made(), None, FREE)
    assert list(found) == list(FREE) and all(fact.absent and not fact.words for fact in found.values())


def test_names_are_checked():
    with pytest.raises(UsageError, match="'wether'"):
        scene_facts(made(), None, ("wether",))
    with pytest.raises(UsageError, match="No table of features"):
        scene_facts(made(), None, ("tags",))
    assert set(FREE) < set(FACTS)


def test_facts_come_in_a_fixed_order():
    assert list(scene_facts(made(), None, ("sensor", "place", "gsd"))) == ["place", "gsd", "sensor"]


def test_readers_with_facts_still_conform(write_raster, domain):
    from domainclip.domains.check import check_domain

    path = scene(write_raster, "x.tif", GERMANY)
    assert check_domain(domain, [path], domain.reading_model(facts=(*FREE, "ndvi", "ndwi", "nbr", "objects"))) == ()
