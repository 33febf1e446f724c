"""Slides at the command line: one command gives a set of tiles at their true scale, whatever interrupts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import domainclip
from domainclip.cli.main import main
from domainclip.data.prepared_set import PreparedSet

MACRO = "Aperio Image Library v11\r\nmacro 1200x1200"
TILES = ("--set", "reading.tile_um=64", "--set", "reading.tile_px=64")


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    domainclip.make_starter_set("pathology", folder / "starter", groups=3, seed=5)
    return folder / "starter" / "slides"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return int(stopped.value.code or 0)


def prepare(source: Path, output: Path, *more: str) -> PreparedSet:
    assert run("prepare", source, "--domain", "pathology", "--output", output, *TILES, *more) == 0
    return PreparedSet(output)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_the_set_is_the_same_bytes_for_any_number_of_workers(slides: Path, tmp_path: Path) -> None:
    one = prepare(slides, tmp_path / "one", "--workers", "1")
    prepare(slides, tmp_path / "two", "--workers", "2")
    # One file and no number: its tiles are read and encoded by several threads.
    alone = prepare(slides / "slide-000.tif", tmp_path / "threads")
    prepare(slides / "slide-000.tif", tmp_path / "thread", "--workers", "1")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "threads") == content(tmp_path / "thread")
    assert len(alone) > 20 and len(one) > len(alone)
    assert {row["values"][0] for row in one.index["spacing"]} == {1.0}
    assert {row["source"] for row in one.index["spacing"]} == {"tiff-resolution"}


def test_every_slide_has_an_overview_and_the_set_a_contact_sheet(slides: Path, tmp_path: Path) -> None:
    prepare(slides, tmp_path / "set")
    overviews = sorted((tmp_path / "set" / "overviews").iterdir())
    assert len(overviews) == 3 and not any("slide" in path.name for path in overviews)  # names are keyed hashes
    for path in (*overviews, tmp_path / "set" / "contact_sheet.jpg"):
        with Image.open(path) as picture:
            assert min(picture.size) > 80 and np.asarray(picture).std() > 10 and not picture.getexif()


def test_jpeg_sets_are_small_and_near(slides: Path, tmp_path: Path) -> None:
    exact, small = prepare(slides, tmp_path / "png"), prepare(slides, tmp_path / "jpg", "--set", "data.jpeg_quality=90")
    assert set(small.index["storage"]) == {"jpg"} and small.card["jpeg_quality"] == 90
    assert small.index["size"].sum() < exact.index["size"].sum() / 3
    assert list(small.index["key"]) == list(exact.index["key"]) and list(small.index["split"]) == list(exact.index["split"])
    first, second = (prepared.read(prepared.index.iloc[7]).array.astype(int) for prepared in (exact, small))
    assert 0 < np.abs(first - second).mean() < 6


@pytest.mark.slow
def test_a_normalised_set_says_how_each_slide_was_changed(slides: Path, tmp_path: Path) -> None:
    plain, stained = prepare(slides, tmp_path / "plain"), prepare(slides, tmp_path / "macenko", "--set", "reading.stain=macenko")
    stains = [json.dumps(meta["stain"], sort_keys=True) for meta in stained.index["meta"]]
    assert len(set(stains)) == 3  # one fit a slide
    assert len(set(zip(stains, stained.index["group"], strict=True))) == 3
    assert stained.card["reading"]["stain"] == "macenko"
    before, after = (prepared.read(prepared.index.iloc[3]).array for prepared in (plain, stained))
    assert np.abs(before.astype(int) - after).mean() > 2


def test_the_owner_finds_slides_again_and_nobody_else(slides: Path, tmp_path: Path) -> None:
    shutil.copy(slides / "slide-000.tif", tmp_path / "Roe, Jane 1950.tif")
    prepared = prepare(tmp_path / "Roe, Jane 1950.tif", tmp_path / "set")
    assert not [name for name, data in content(tmp_path / "set").items() if b"Jane" in data or "Jane" in name]
    assert {Path(path).name for path in prepared.paths().values()} == {"Roe, Jane 1950.tif"}


@pytest.mark.slow
def test_killed_slides_are_neither_lost_nor_read_twice(slides: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(8):
        os.link(slides / f"slide-{number % 3:03d}.tif", many / f"s{number}.tif")
    command = [sys.executable, "-m", "domainclip", "prepare", str(many), "--domain", "pathology", "--workers", "2", *TILES]
    subprocess.run([*command, "--output", str(tmp_path / "whole")], check=True, capture_output=True)
    work = tmp_path / "killed" / ".preparing"
    first: dict[str, int] = {}
    for share in (2, 5):
        process = subprocess.Popen([*command, "--output", str(tmp_path / "killed"), *(("--resume",) if share > 2 else ())],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        until = time.monotonic() + 60
        while len(list(work.glob("*.jsonl"))) < share and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        first = first or {path.name: path.stat().st_mtime_ns for path in work.glob("*.jsonl")}
    done = {path.name: path.stat().st_mtime_ns for path in work.glob("*.jsonl")}
    assert 5 <= len(done) < 8
    assert {name: done[name] for name in first} == first  # what the first call had finished, the second did not read again
    subprocess.run([*command, "--output", str(tmp_path / "killed"), "--resume"], check=True, capture_output=True)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    owner = owner_map(tmp_path / "killed")
    assert len({line["path"] for line in owner}) == 8
    # Overviews are named by keys that the owner can look up.
    assert {path.stem for path in (tmp_path / "killed" / "overviews").iterdir()} <= {line["key"] for line in owner}


def owner_map(folder: Path) -> list[dict[str, str]]:
    from domainclip.data.owner_map import owner_map_path

    return [json.loads(line) for line in owner_map_path(PreparedSet(folder).card["set_id"]).read_text().splitlines()]


def test_inspect_draws_what_prepare_would_take(slides: Path, tmp_path: Path) -> None:
    assert run("inspect", slides / "slide-001.tif", "--overview", tmp_path / "o.png", *TILES) == 0
    assert np.asarray(Image.open(tmp_path / "o.png")).std() > 10


def test_a_slide_without_tissue_is_drawn_all_the_same(tmp_path: Path) -> None:
    glass = grey_slide(tmp_path / "glass.tif")
    assert run("inspect", glass, "--overview", tmp_path / "o.png") == 0
    assert Image.open(tmp_path / "o.png").width > 100


def test_inspect_writes_a_region_at_a_scale(slides: Path, tmp_path: Path) -> None:
    part = ("--region", "100,200,60,40", "--um-per-px", "1")
    assert run("inspect", slides / "slide-001.tif", *part, "--output", tmp_path / "r.png") == 0
    assert run("inspect", slides / "slide-001.tif", *part, "--output", tmp_path / "r.npy") == 0
    assert Image.open(tmp_path / "r.png").size == (60, 40)
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy").transpose(1, 2, 0), np.asarray(Image.open(tmp_path / "r.png")))


def grey_slide(path: Path, um: float = 0.5, side: int = 1200, **options: object) -> Path:
    image = np.full((side, side, 3), (236, 234, 236), np.uint8)
    tifffile.imwrite(path, image, tile=(256, 256), photometric="rgb", resolution=(1e4 / um, 1e4 / um), metadata=None,
                     resolutionunit="CENTIMETER", **options)  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("make", "settings", "words"),
    [
        (lambda p: grey_slide(p / "glass.tif"), [], ["No tissue was found", "min_tissue=0"]),
        (lambda p: grey_slide(p / "coarse.tif", um=4), [], ["coarser than the 1 asked for", "reading.upsample"]),
        (lambda p: grey_slide(p / "small.tif", side=1100), ["reading.tile_um=900"], ["less than one tile", "tile_um is 900"]),
        (lambda p: grey_slide(p / "macro.tif", description=MACRO), [], ["macro or label picture"]),
        (lambda p: grey_slide(p / "print.tif", um=352.9), [], ["print resolution", "reading.spacing_um"]),
        (lambda p: grey_slide(p / "zero.tif"), ["reading.spacing_um=352.9"], ["at most 100 um"]),
    ],
    ids=["no tissue", "finer than the slide", "tile larger than the slide", "macro picture", "print resolution", "nonsense scale"],
)  # fmt: skip
def test_people_are_told_what_is_wrong_with_a_slide(make, settings, words, tmp_path, capsys) -> None:
    path = make(tmp_path)
    more = [word for setting in settings for word in ("--set", setting)]
    assert run("prepare", path, "--domain", "pathology", "--output", tmp_path / "set", *TILES, *more) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert not (tmp_path / "set").exists()


def test_a_fluorescence_slide_is_refused_by_a_model_of_stained_tissue(tmp_path, capsys) -> None:
    markers = np.random.default_rng(0).integers(0, 3000, (3, 1200, 1200), dtype=np.uint16)
    path = tmp_path / "panel.ome.tif"
    tifffile.imwrite(path, markers, tile=(256, 256), photometric="minisblack", ome=True,
                     metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3", "CD8"]}, "PhysicalSizeX": 0.5,
                               "PhysicalSizeXUnit": "um", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "um"})  # fmt: skip
    assert run("zero-shot", "starter-pathology", path, "--classes", "adipose tissue,smooth muscle") == 2
    said = capsys.readouterr().err
    assert "DAPI" in said and "red" in said


def test_a_share_is_looked_over_and_its_scales_filled_in(slides, tmp_path, capfd) -> None:
    share = tmp_path / "share"
    (share / "more").mkdir(parents=True)
    shutil.copy(slides / "slide-000.tif", share / "a.tif")
    with tifffile.TiffFile(slides / "slide-001.tif") as file:  # the same pixels without a scale
        tifffile.imwrite(share / "more" / "b.tif", file.pages[0].asarray(), tile=(256, 256), photometric="rgb", metadata=None)
    (share / "c.svs").write_bytes(b"broken")
    assert run("inspect", share, "--domain", "pathology", "--table", tmp_path / "slides.csv", "--json") == 0
    said = json.loads(capfd.readouterr().out)
    assert said["scale"] == {"tiff-resolution": 1, "unknown": 1, "unreadable": 1}
    rows = (tmp_path / "slides.csv").read_text().splitlines()
    assert rows == ["path,spacing", "share/more/b.tif,", "share/a.tif,"]
    (tmp_path / "slides.csv").write_text("path,spacing\nshare/more/b.tif,0.5\nshare/a.tif,\n")
    prepared = prepare(tmp_path / "slides.csv", tmp_path / "set")
    assert {row["source"] for row in prepared.index["spacing"]} == {"manifest", "tiff-resolution"}
    assert run("inspect", share, "--domain", "pathology", "--table", tmp_path / "slides.csv") == 2  # never over a filled-in table
