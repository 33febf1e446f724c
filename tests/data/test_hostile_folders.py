"""Folders from elsewhere: names that are no UTF-8, links out of the folder, and broken slides beside good ones, in whole jobs."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domainclip.cli.main import main
from domainclip.config import DataConfig
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import domains
from domainclip.errors import UsageError

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))

import fuzz_tiff
from fuzz_seeds import FORMATS, seed_bytes

PATHOLOGY = domains.get("pathology")
READING = {"tile_um": 32.0, "spacing_um": 0.5, "min_tissue": 0.3}
BROKEN_NAME = b"caf\xe9"
"""Latin-1, which is no UTF-8."""


def picture(path, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)


def source_of(folder):
    return open_source(DataConfig(source=str(folder)), PATHOLOGY)


def reasons_of(output, prepared):
    lines = [json.loads(line) for line in (output / "rejected.jsonl").read_text().splitlines()]
    paths = prepared.paths()
    return {Path(paths[line["key"]]).name if line["key"] in paths else line["key"]: line["reason"] for line in lines}


def test_names_that_are_no_utf8(tmp_path, capfd):
    folder = tmp_path / "files"
    folder.mkdir()
    picture(folder / "plain.png")
    data, suffix = seed_bytes("svs")
    for name, content in ((BROKEN_NAME + b".png", (folder / "plain.png").read_bytes()), (BROKEN_NAME + suffix.encode(), data)):
        (Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))).write_bytes(content)  # noqa: PTH118 - bytes
    (Path(os.fsdecode(os.path.join(os.fsencode(folder), BROKEN_NAME + b"2.svs")))).write_bytes(b"no slide")  # noqa: PTH118
    output = tmp_path / "set"
    words = ["prepare", str(folder), "--domain", "pathology", "--output", str(output), "--json", "--workers", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--set", "reading.spacing_um=0.5", "--set", "reading.tile_um=32", "--set", "reading.min_tissue=0.3"])
    assert ended.value.code == 0
    counts = json.loads(capfd.readouterr().out)["counts"]
    assert counts["files"] - counts["rejected"] == 3
    prepared = source_of(output)
    names = {Path(path).name for path in prepared.paths().values()}
    assert {os.fsdecode(BROKEN_NAME + b".png"), os.fsdecode(BROKEN_NAME + b".svs"), os.fsdecode(BROKEN_NAME + b"2.svs")} < names
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(folder / os.fsdecode(BROKEN_NAME + b".png")), "--json"])
    assert ended.value.code == 0
    json.loads(capfd.readouterr().out)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    folder, outside = tmp_path / "files", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    picture(outside / "secret.png", 1)
    picture(folder / "plain.png", 2)
    (folder / "sub").mkdir()
    picture(folder / "sub" / "inner.png", 3)
    links = {
        "out.png": outside / "secret.png",
        "relative.png": Path("../outside/secret.png"),
        "dots.png": folder / "sub" / ".." / ".." / "outside" / "secret.png",
        "folder": outside,
        "nowhere.png": folder / "none.png",
        "itself.png": folder / "itself.png",
        "inside.png": folder / "sub" / "inner.png",
        "inside_folder": folder / "sub",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (folder / "twice.png").symlink_to(folder / "out.png")
    source = source_of(folder)
    assert [item.name for item in source.items()] == ["plain.png", "sub/inner.png"]
    reasons = dict(source.rejections)
    assert {name for name, reason in reasons.items() if "read already" in reason} == {"inside.png"}
    out = {name for name, reason in reasons.items() if "out of the folder" in reason}
    assert out == {"out.png", "relative.png", "dots.png", "folder", "twice.png"}
    assert {name for name, reason in reasons.items() if "nowhere" in reason} == {"nowhere.png", "itself.png"}
    assert str(outside) not in str(reasons)


def test_a_folder_given_by_a_link_is_the_folder(tmp_path):
    (tmp_path / "files").mkdir()
    picture(tmp_path / "files" / "plain.png")
    (tmp_path / "alias").symlink_to(tmp_path / "files")
    assert [item.name for item in source_of(tmp_path / "alias").items()] == ["plain.png"]


def test_a_folder_of_links_alone_says_what_to_do(tmp_path):
    picture(tmp_path / "secret.png")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "out.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UsageError, match="manifest"):
        source_of(tmp_path / "files")


def hostile_folder(folder: Path) -> set[str]:
    """Two good slides, and beside them one file for each kind of damage; returns the names of the bad ones."""
    folder.mkdir()
    for kind in ("tiff", "svs"):
        data, suffix = seed_bytes(kind)
        (folder / f"good_{kind}{suffix}").write_bytes(data)
    bad = {"magic.svs": b"no slide at all", "zero.tif": b""}
    for kind in FORMATS:
        data, suffix = seed_bytes(kind)
        bad[f"cut_{kind}{suffix}"] = data[: len(data) // 20]
    data, _ = seed_bytes("tiff")
    pages = fuzz_tiff.directories(data)
    cyclic, lying, huge = bytearray(data), bytearray(data), bytearray(data)
    struct.pack_into("<I", cyclic, pages[0].next_at, pages[0].at)
    offsets = pages[0].entry(fuzz_tiff.TILE_OFFSETS)
    struct.pack_into("<I", cyclic, 4, len(data) + 8)
    for page in pages:
        for index in range(page.entry(fuzz_tiff.TILE_OFFSETS).count):
            fuzz_tiff.put(lying, page.entry(fuzz_tiff.TILE_OFFSETS), len(data) + 8, index)
    for tag in (fuzz_tiff.WIDTH, fuzz_tiff.LENGTH):
        fuzz_tiff.widen(huge, pages[0].entry(tag), 60000)
    bad |= {"cyclic.tif": bytes(cyclic), "lying.tif": bytes(lying), "huge.tif": bytes(huge[: offsets.values_at + 1024])}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    return set(bad)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_a_job_over_good_and_hostile_slides(tmp_path):
    bad = hostile_folder(tmp_path / "slides")
    (tmp_path / "slides" / "out.svs").symlink_to(tmp_path / "elsewhere.svs")
    (tmp_path / "elsewhere.svs").write_bytes(seed_bytes("svs")[0])
    recognised = {name for name in bad if PATHOLOGY.recognises(tmp_path / "slides" / name)}
    prepared = prepare(source_of(tmp_path / "slides"), PATHOLOGY, tmp_path / "set", reading=READING, workers=2)
    reasons = reasons_of(tmp_path / "set", prepared)
    assert recognised <= set(reasons)
    assert prepared.card["counts"]["rejected"] == len(bad) + 1
    for reason in reasons.values():
        assert "slides" not in reason and str(tmp_path) not in reason and len(reason) > 10
    kept = {Path(path).name for key, path in prepared.paths().items() if key not in reasons} - set(reasons)
    assert kept == {"good_tiff.tif", "good_svs.svs"}
    assert prepared.card["counts"]["images"] > 20
