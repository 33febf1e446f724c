"""``export``: from a starter set through prepare and embed into every format, and back: the same boxes and features."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domainclip.domains.pathology.coordinates import read_coordinates
from domainclip.domains.regions import read_regions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
h5py = pytest.importorskip("h5py")
BOX = ["x", "y", "width", "height"]
SLIDES = ["slide-000", "slide-001", "slide-002"]


def run(*words: str, cwd: Path, code: int = 0) -> dict:
    command = [sys.executable, "-m", "domainclip", *words, "--json"]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    import domainclip

    folder = tmp_path_factory.mktemp("export")
    domainclip.make_starter_set("pathology", folder / "starter", groups=3, seed=3, workers=1)
    return folder


@pytest.fixture
def made(place) -> Path:
    """The prepared set and its features; made once, with the owner's folder of the tests."""
    if not (place / "emb").exists():
        run("prepare", "starter/manifest.csv", "--domain", "pathology", "--output", "set", cwd=place)
        run("embed", "starter-pathology", "set", "--output", "emb", cwd=place)
    return place


def expected(place: Path) -> dict[str, pd.DataFrame]:
    """Windows of each slide, straight from the set's index and the owner's map."""
    from domainclip import PreparedSet

    prepared = PreparedSet(place / "set")
    paths = prepared.paths()
    table = pd.DataFrame([row["window"] for _, row in prepared.index.iterrows()])
    table["label"] = [labels["tissue"] for labels in prepared.index["labels"]]
    table["slide"] = [Path(paths[key]).stem for key in prepared.index["key"]]
    table["row"] = np.arange(len(table))
    return {str(name): part for name, part in table.groupby("slide")}


def boxes_of(part: pd.DataFrame) -> list[list[float]]:
    return part[BOX].to_numpy().tolist()


def test_trident_and_clam(made):
    parts, features = expected(made), np.load(made / "emb" / "features.npy")
    assert sorted(parts) == SLIDES
    for format, patches, stored in (
        ("trident", "patches/{}_patches.h5", "features/{}.h5"),
        ("clam", "patches/{}.h5", "h5_files/{}.h5"),
    ):
        document = run("export", "set", "--format", format, "--output", f"set-{format}", cwd=made)
        assert (document["slides"], document["tiles"], document["rejected"], document["named_by"]) == (3, len(features), 0, "file")
        run("export", "emb", "--format", format, "--output", f"emb-{format}", cwd=made)
        for slide, part in parts.items():
            tiles = read_coordinates(made / f"set-{format}" / patches.format(slide))
            assert (tiles.boxes.tolist(), tiles.slide, tiles.origin) == (boxes_of(part), slide, format)
            with h5py.File(made / f"emb-{format}" / stored.format(slide)) as file:
                assert file["coords"][:].tolist() == part[["x", "y"]].to_numpy().tolist()
                assert np.array_equal(file["features"][:], features[part["row"]])
                assert file["features"].attrs["encoder"] == "starter-pathology"
                side = part["width"].iloc[0]
                said = file["coords"].attrs
                if format == "trident":
                    assert round(said["patch_size"] * said["level0_magnification"] / said["target_magnification"]) == side
                    assert (said["patch_size"], said["target_magnification"]) == (64, pytest.approx(10 / 1.5))
                else:
                    assert (said["patch_level"], said["patch_size"]) == (0, side)


def test_qupath(made):
    parts = expected(made)
    for source in ("set", "emb"):
        run("export", source, "--format", "qupath", "--output", f"{source}-qupath", cwd=made)
        colors: dict[str, set[tuple[int, ...]]] = {}
        for slide, part in parts.items():
            path = made / f"{source}-qupath" / "annotations" / f"{slide}.geojson"
            regions = read_regions(path, "tissue")
            found = [
                [min(x), min(y), max(x) - min(x), max(y) - min(y)] for x, y in (zip(*one.polygon, strict=True) for one in regions)
            ]
            assert found == boxes_of(part)
            assert [region.labels["tissue"] for region in regions] == part["label"].tolist()
            for feature in json.loads(path.read_text())["features"]:
                one = feature["properties"]["classification"]
                colors.setdefault(one["name"], set()).add(tuple(one["color"]))
        assert all(len(several) == 1 for several in colors.values())


def test_hashed_names_no_slide(made):
    document = run("export", "emb", "--format", "trident", "--output", "hashed", "--hashed", cwd=made)
    assert document["named_by"] == "hashed group"
    files = sorted((made / "hashed").rglob("*"))
    assert len([path for path in files if path.suffix == ".h5"]) == 3
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        assert not any(word.encode() in content or word in path.name for word in [*SLIDES, str(made)])


def test_two_slides_of_one_group_are_kept_apart_or_refused(made):
    """A patient with two slides: the owner's map tells them apart; without it a tile that comes twice tells that they are mixed."""
    manifest = pd.read_csv(made / "starter" / "manifest.csv").assign(group="patient 1", split="train")
    manifest.to_csv(made / "starter" / "patient.csv", index=False)
    run("prepare", "starter/patient.csv", "--domain", "pathology", "--output", "patient", "--overwrite", cwd=made)
    document = run("export", "patient", "--format", "clam", "--output", "patient-clam", "--overwrite", cwd=made)
    assert document["slides"] == 3
    # Slides of different scanners under one hash: no square side for all.
    error = run("export", "patient", "--format", "clam", "--output", "mixed", "--hashed", cwd=made, code=2)["error"]
    assert "None of 1 slides" in error["found"] and not (made / "mixed").exists()


def test_features_come_back_and_are_searched(made):
    run("export", "emb", "--format", "trident", "--output", "round", cwd=made)
    words = ["index", "starter-pathology", "round/features", "--features", "unit", "--output", "round-index"]
    taken = run(*words, cwd=made)
    assert taken["features"] == {"stated": "unit", "encoder": "starter-pathology", "tiles_without_place": 0}
    run("index", "starter-pathology", "set", "--output", "own-index", cwd=made)
    ours, theirs = (run("search", name, "adipose tissue", "-k", "5", cwd=made)["hits"] for name in ("own-index", "round-index"))
    for one, other in zip(ours, theirs, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert [one["window"][name] for name in BOX] == [other["window"][name] for name in BOX]
        assert Path(other["path"]).stem == Path(one["path"]).stem


def test_the_output_folder_is_respected(made):
    run("export", "set", "--format", "clam", "--output", "kept", "--overwrite", cwd=made)
    error = run("export", "set", "--format", "clam", "--output", "kept", cwd=made, code=2)["error"]
    assert "--overwrite" in error["remedy"]
    # CLAM writes its results beside: they are not ours to remove.
    (made / "kept" / "pt_files").mkdir()
    error = run("export", "set", "--format", "clam", "--output", "kept", "--overwrite", cwd=made, code=2)["error"]
    assert "pt_files" in error["found"]
    assert (made / "kept" / "pt_files").is_dir() and (made / "kept" / "patches").is_dir()
    (made / "kept" / "pt_files").rmdir()
    # Nor what lies within our own folders by now.
    (made / "kept" / "patches" / "mine.h5").write_bytes(b"x")
    error = run("export", "set", "--format", "clam", "--output", "kept", "--overwrite", cwd=made, code=2)["error"]
    assert "added" in error["found"] and (made / "kept" / "patches" / "mine.h5").is_file()
    (made / "kept" / "patches" / "mine.h5").unlink()
    run("export", "set", "--format", "clam", "--output", "kept", "--overwrite", cwd=made)


def test_wrong_use_names_what_there_is(made):
    error = run("export", "set", "--format", "tridnt", "--output", "no", cwd=made, code=2)["error"]
    assert "'trident'" in error["remedy"] and all(name in error["remedy"] for name in ("clam", "qupath"))
    assert "dataset.json" in run("export", "starter", "--format", "clam", "--output", "no", cwd=made, code=2)["error"]["found"]
    words = ["index", "starter-pathology", "emb", "--features", "unit", "--output", "no", "--set", "reading.tile_px=32"]
    assert "--set" in run(*words, cwd=made, code=2)["error"]["found"]
    assert "--features" in run(*words[:3], "--coordinates", "x", "--output", "no", cwd=made, code=2)["error"]["found"]
    assert not (made / "no").exists()
