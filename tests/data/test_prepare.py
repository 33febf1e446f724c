"""The whole way from files to a set: order, privacy, rejections, refusals, a full disk."""

import errno
import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zstandard
from PIL import Image
from png_domain import DOMAIN, PngReading

from domainclip.captions.build import CAPTION_COLUMNS
from domainclip.config import DataConfig
from domainclip.data import entries
from domainclip.data.prepare import prepare
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.sources import open_source
from domainclip.errors import RunInterruptedError, UnreadableFileError, UsageError
from domainclip.resources import owner_folder


def with_manifest(pictures):
    names = sorted(p.relative_to(pictures).as_posix() for p in pictures.rglob("*.png"))
    rows = [f"{name},{'cat' if n % 2 else 'dog'},PAT^NAME{n // 2}" for n, name in enumerate(names)]
    (pictures / "manifest.csv").write_text("\n".join(["path,label,ids:patient", *rows]) + "\n")
    return open_source(DataConfig(source=str(pictures)), DOMAIN)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_set_holds_what_was_read(pictures, tmp_path):
    prepared = prepare(with_manifest(pictures), DOMAIN, tmp_path / "set", workers=0)
    names = ["00000.tar", "captions.parquet", "contact_sheet.jpg", "dataset.json", "index.parquet", "rejected.jsonl"]
    assert sorted(content(tmp_path / "set")) == names
    assert list(prepared.captions.columns) == CAPTION_COLUMNS
    paths = prepared.paths()
    assert len(paths) == len(prepared) == 12
    for position in range(12):
        row = prepared.index.iloc[position]
        expected = np.asarray(Image.open(paths[row["key"]])).transpose(2, 0, 1)
        np.testing.assert_array_equal(prepared.read(row).array, expected)
        sample = prepared.sample(position)
        np.testing.assert_array_equal(sample.read().array, expected)
        assert sample.labels["kind"] in {"cat", "dog"}
        assert len(sample.captions) == 3 and all(sample.labels["kind"] in c.text for c in sample.captions)
        assert sample.geo.crs == "EPSG:32630" and sample.meta == {"made": 3}
    assert prepared.subset("train")["group"].nunique() == prepared.card["counts"]["groups_train"]
    assert prepared.card["channels"] == ["red", "green", "blue"]
    with pytest.raises(UsageError, match="'test'"):
        prepared.subset("test")


def test_a_prepared_set_is_a_source_once_it_is_finished(pictures, tmp_path):
    prepare(with_manifest(pictures), DOMAIN, tmp_path / "set", workers=0)
    opened = open_source(DataConfig(source=str(tmp_path / "set")), DOMAIN)
    assert isinstance(opened, PreparedSet) and (opened.domain, opened.synthetic, len(opened)) == ("png", False, 12)
    (tmp_path / "set" / "dataset.json").unlink()
    (tmp_path / "set" / "index.parquet").unlink()
    (tmp_path / "set" / ".preparing").mkdir()
    with pytest.raises(UsageError, match="--resume"):
        open_source(DataConfig(source=str(tmp_path / "set")), DOMAIN)


def test_the_tar_is_a_webdataset_shard(pictures, tmp_path):
    prepared = prepare(with_manifest(pictures), DOMAIN, tmp_path / "set", workers=0)
    with tarfile.open(tmp_path / "set" / "00000.tar") as shard:
        members = shard.getmembers()
        assert all((m.uid, m.gid, m.mtime, m.uname) == (0, 0, 0, "") for m in members)
        bases = [m.name.split(".", 1)[0] for m in members]
        assert bases == [key for key in prepared.index["key"] for _ in range(3)]
        first = prepared.index.iloc[0]
        png = shard.extractfile(f"{first['key']}.png").read()
        assert np.asarray(Image.open(io.BytesIO(png))).shape == (20, 24, 3)
        text = shard.extractfile(f"{first['key']}.txt").read().decode()
        assert text == prepared.captions_of(first["key"])[0].text
        assert json.load(shard.extractfile(f"{first['key']}.json"))["labels"] == first["labels"]


def test_bytes_depend_neither_on_workers_nor_on_the_clock(pictures, tmp_path):
    prepare(with_manifest(pictures), DOMAIN, tmp_path / "one", workers=0)
    prepare(with_manifest(pictures), DOMAIN, tmp_path / "three", workers=3)
    assert content(tmp_path / "one") == content(tmp_path / "three")


def test_files_of_one_image_share_the_tables_of_the_index(pictures, tmp_path, monkeypatch):
    # 20,000 tables of one row took 1.1 GiB.
    rows, original = [], entries.index_columns
    monkeypatch.setattr(entries, "index_columns", lambda lines: rows.append(len(lines)) or original(lines))
    whole = prepare(with_manifest(pictures), DOMAIN, tmp_path / "whole", workers=0).index
    assert rows == [12]
    monkeypatch.setattr(entries, "_ROWS_OF_TABLE", 5)
    pieces = prepare(with_manifest(pictures), DOMAIN, tmp_path / "pieces", workers=0).index
    assert rows == [12, 5, 5, 2]
    pd.testing.assert_frame_equal(whole, pieces)


def test_splits_and_captions_do_not_depend_on_the_owners_key(pictures, tmp_path, monkeypatch):
    source = with_manifest(pictures)
    one = prepare(source, DOMAIN, tmp_path / "one", workers=0)
    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path / "other-owner"))
    other = prepare(source, DOMAIN, tmp_path / "other", workers=0)
    assert list(one.index["split"]) == list(other.index["split"])
    assert list(one.captions["text"]) == list(other.captions["text"])
    assert not set(one.index["key"]) & set(other.index["key"])
    assert one.paths() == {}  # Another owner has no map to these files.


def test_nothing_in_a_set_names_a_path_or_a_person(tmp_path):
    folder = tmp_path / "PLANTEDfolder" / "PLANTEDpatient"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x010E] = "PLANTED exif"
    for n in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        picture.save(folder / f"PLANTED{n}.jpg", exif=exif, comment=b"PLANTED comment")
    (folder / "PLANTEDbroken.jpg").write_bytes(b"PLANTED")
    rows = [f"PLANTEDpatient/PLANTED{n}.jpg,cat,PLANTED^JOHN,PLANTEDgroup{n}" for n in range(6)]
    rows += ["PLANTEDpatient/PLANTEDbroken.jpg,cat,PLANTED^JOHN,PLANTEDgroup1", "PLANTEDmissing.png,cat,PLANTED^JOHN,PLANTEDgroup2"]
    (folder.parent / "manifest.csv").write_text("path,label,ids:patient,group\n" + "\n".join(rows) + "\n")
    source = open_source(DataConfig(source=str(folder.parent / "manifest.csv")), DOMAIN)
    prepared = prepare(source, DOMAIN, tmp_path / "set", workers=1)
    assert prepared.card["counts"]["images"] == 6 and prepared.card["counts"]["rejected"] == 2
    seen = content(tmp_path / "set")
    seen["names"] = " ".join(seen).encode()
    for name in ("index.parquet", "captions.parquet"):
        seen[f"{name} decoded"] = str(pq.read_table(tmp_path / "set" / name).to_pydict()).encode()
        seen[f"{name} schema"] = str(pq.read_schema(tmp_path / "set" / name).metadata).encode()
    with tarfile.open(tmp_path / "set" / "00000.tar") as shard:
        for member in shard.getmembers():
            data = shard.extractfile(member).read()
            if member.name.endswith(("png", "jpg")):
                with Image.open(io.BytesIO(data)) as image:
                    seen[f"{member.name} info"] = str(image.info).encode() + str(dict(image.getexif())).encode()
            if member.name.endswith("zst"):
                seen[f"{member.name} decoded"] = zstandard.ZstdDecompressor().decompress(data)
    assert any(name.endswith("info") for name in seen)
    for name, data in seen.items():
        assert b"planted" not in data.lower(), name
        assert str(tmp_path).encode() not in data, name
    owner = owner_folder() / "sources" / f"{prepared.card['set_id']}.jsonl"
    assert stat.S_IMODE(owner.stat().st_mode) == 0o600
    assert owner.read_text().count("PLANTEDbroken") == 1
    named = {line["key"] for line in map(json.loads, (tmp_path / "set" / "rejected.jsonl").read_text().splitlines())}
    assert {path.rsplit("/", 1)[-1] for key, path in prepared.paths().items() if key in named} == {
        "PLANTEDbroken.jpg",
        "PLANTEDmissing.png",
    }


def broken_files(folder):
    good = next(folder.rglob("*.png")).read_bytes()
    (folder / "bad").mkdir()
    (folder / "bad" / "truncated.png").write_bytes(good[: len(good) // 2])
    (folder / "bad" / "empty.png").write_bytes(b"")
    (folder / "bad" / "text.png").write_text("not a picture")
    header = bytearray(good)
    header[16:24] = (60000).to_bytes(4, "big") * 2  # A bomb: 60,000 x 60,000 pixels claimed.
    import zlib

    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    (folder / "bad" / "bomb.png").write_bytes(bytes(header))


def test_broken_files_are_rejected_and_the_rest_goes_on(pictures, tmp_path):
    broken_files(pictures)
    source = open_source(DataConfig(source=str(pictures)), DOMAIN)
    with pytest.warns(UserWarning, match="12 images have no caption"):
        bare = prepare(source, DOMAIN, tmp_path / "none", workers=0)
    assert len(bare.captions) == 0 and bare.card["counts"]["images_without_caption"] == 12
    source = with_manifest(pictures)
    prepared = prepare(source, DOMAIN, tmp_path / "set", workers=2)
    lines = [json.loads(line) for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    reasons = {Path(prepared.paths()[line["key"]]).name: line["reason"] for line in lines}
    assert set(reasons) == {"truncated.png", "empty.png", "text.png", "bomb.png"}
    assert "DecompressionBombError" in reasons["bomb.png"]
    assert prepared.card["counts"]["images"] == 12
    with pytest.raises(UnreadableFileError, match="--strict"):
        prepare(source, DOMAIN, tmp_path / "strict", workers=0, strict=True)


def test_only_broken_files_is_an_error(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"nothing")
    source = open_source(DataConfig(source=str(folder)), DOMAIN)
    with pytest.raises(
        UsageError, match=r"None of its 1 files gave an image: it cannot be decoded \(UnidentifiedImageError\)\. Mend it \(1\)"
    ):
        prepare(source, DOMAIN, tmp_path / "set", workers=0)


def test_equal_pictures_of_two_groups_share_a_split(pictures, tmp_path):
    twin = (pictures / "case0" / "img00.png").read_bytes()
    for case in range(1, 6):
        (pictures / f"case{case}" / "twin.png").write_bytes(twin)
    source = with_manifest(pictures)
    with pytest.warns(UserWarning, match=r"too few groups \(1\) for held_out and val"):  # All six have become one.
        assert set(prepare(source, DOMAIN, tmp_path / "set", workers=0).index["split"]) == {"train"}
    (pictures / "case5" / "twin.png").unlink()
    (pictures / "case4" / "twin.png").unlink()
    prepared = prepare(with_manifest(pictures), DOMAIN, tmp_path / "set2", workers=0)
    twins = prepared.index[prepared.index["pixel_sha256"].duplicated(keep=False)]
    assert len(twins) == 4 and twins["split"].nunique() == 1
    assert twins["group"].nunique() == 1 and twins["source_group"].nunique() == 4  # whoever counts groups counts them once
    assert prepared.card["counts"]["duplicates"] == 3


def test_a_file_that_gives_no_image_is_counted(pictures, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(pictures / "case0" / "small.png")
    prepared = prepare(with_manifest(pictures), DOMAIN, tmp_path / "set", workers=0, reading={"tile": 20})
    lines = [json.loads(line) for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    assert [Path(prepared.paths()[line["key"]]).name for line in lines] == ["small.png"]
    assert "no image" in lines[0]["reason"] and prepared.card["counts"]["rejected"] == 1


def test_a_key_that_comes_twice_is_counted(pictures, tmp_path):
    prepared = prepare(with_manifest(pictures), DOMAIN, tmp_path / "set", workers=0, reading={"twice": True})
    assert (len(prepared), prepared.index["key"].nunique(), prepared.card["counts"]["rejected"]) == (12, 12, 12)
    assert "same key" in (tmp_path / "set" / "rejected.jsonl").read_text()


def test_a_group_in_two_splits_is_refused(pictures, tmp_path):
    (pictures / "manifest.csv").write_text(
        "path,label,group,split\ncase0/img00.png,cat,A,train\ncase0/img01.png,cat,A,held_out\ncase1/img02.png,cat,B,train\n"
    )
    source = open_source(DataConfig(source=str(pictures)), DOMAIN)
    with pytest.raises(UsageError, match="1 groups"):
        prepare(source, DOMAIN, tmp_path / "set", workers=0)


def test_an_output_that_exists_is_refused_or_replaced_but_never_a_users_folder(pictures, tmp_path):
    source = with_manifest(pictures)
    prepare(source, DOMAIN, tmp_path / "set", workers=0)
    before = content(tmp_path / "set")
    with pytest.raises(UsageError, match="--resume"):
        prepare(source, DOMAIN, tmp_path / "set", workers=0)
    assert len(prepare(source, DOMAIN, tmp_path / "set", workers=0, resume=True)) == 12
    with pytest.raises(UsageError, match="other options"):
        prepare(source, DOMAIN, tmp_path / "set", workers=0, resume=True, seed=1)
    prepare(source, DOMAIN, tmp_path / "set", workers=0, overwrite=True)
    assert content(tmp_path / "set") == before
    (tmp_path / "set" / "thesis.docx").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.docx"):
        prepare(source, DOMAIN, tmp_path / "set", workers=0, overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="a file of that name"):
        prepare(source, DOMAIN, tmp_path / "file", workers=0)
    with pytest.raises(UsageError, match="already"):
        prepare(PreparedSet(tmp_path / "set"), DOMAIN, tmp_path / "again")


def test_reading_options_reach_the_reader_and_unknown_ones_are_refused(pictures, tmp_path):
    source = with_manifest(pictures)
    prepared = prepare(source, DOMAIN, tmp_path / "set", workers=0, reading={"tile": 10})
    assert len(prepared) == 12 * 4
    assert prepared.index["window"].iloc[1] == {"x": 10, "y": 0, "width": 10, "height": 10, "level": 0}
    assert len(prepare(source, DOMAIN, tmp_path / "two", workers=0, reading=PngReading(tile=20))) == 12
    with pytest.raises(UsageError, match="'tile'"):
        prepare(source, DOMAIN, tmp_path / "three", workers=0, reading={"tyle": 10})


def small_disk(tmp_path, kib):
    """A disk of its own of a few KiB; skips where mounting is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    return disk


@pytest.mark.parametrize(("kib", "workers"), [(12, 1), (32, 1), (32, 0)])
def test_a_full_disk_is_one_clean_message_and_leaves_no_half_file(pictures, tmp_path, kib, workers):
    """12 KiB end within the spools, 32 KiB within the shard."""
    disk = small_disk(tmp_path, kib)
    try:
        with pytest.raises(UsageError, match="disk is full"):
            prepare(with_manifest(pictures), DOMAIN, disk / "set", workers=workers)
        assert [path.name for path in disk.rglob("*") if path.suffix in {".part", ".tar"}] == []
        with pytest.raises(UsageError):
            PreparedSet(disk / "set")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_when_the_shard_is_flushed(pictures, tmp_path, monkeypatch):
    from domainclip.data import shards

    real, source = os.fsync, with_manifest(pictures)

    def full(handle):
        if str(Path(f"/proc/self/fd/{handle}").readlink()).endswith(".tar.part"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(shards.os, "fsync", full)
        with pytest.raises(UsageError, match="disk is full"):
            prepare(source, DOMAIN, tmp_path / "set", workers=0)
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [".preparing"]
    prepare(source, DOMAIN, tmp_path / "set", workers=0, resume=True)
    prepare(source, DOMAIN, tmp_path / "whole", workers=0)
    assert content(tmp_path / "set") == content(tmp_path / "whole")


def test_ctrl_c_stops_cleanly_and_resume_goes_on(pictures, tmp_path):
    source = with_manifest(pictures)

    def interrupt(done, total, text):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match="--resume"):
        prepare(source, DOMAIN, tmp_path / "set", workers=1, progress=interrupt)
    with pytest.raises(UsageError, match="--resume"):
        PreparedSet(tmp_path / "set")
    calls = []
    prepare(source, DOMAIN, tmp_path / "set", workers=1, resume=True, progress=lambda *call: calls.append(call))
    assert calls[0][0] >= 5
    prepare(source, DOMAIN, tmp_path / "whole", workers=0)
    assert content(tmp_path / "set") == content(tmp_path / "whole")


def test_damaged_shards_and_sets_are_reported(pictures, tmp_path):
    prepared = prepare(with_manifest(pictures), DOMAIN, tmp_path / "set", workers=0)
    row = dict(prepared.index.iloc[11])
    (tmp_path / "secret.tar").write_bytes((tmp_path / "set" / "00000.tar").read_bytes())
    for change in ({"shard": "../secret.tar"}, {"shard": "00007.tar"}, {"size": 10**12}, {"offset": -5}, {"storage": "exe"}):
        with pytest.raises(UnreadableFileError):
            prepared.read(row | change)
    shard = tmp_path / "set" / "00000.tar"
    data = bytearray(shard.read_bytes())
    data[row["offset"] + row["size"] // 2] ^= 0xFF
    shard.write_bytes(bytes(data))
    with pytest.raises(UnreadableFileError):
        PreparedSet(tmp_path / "set").read(11)
    with pytest.raises(UsageError, match=r"dataset\.json"):
        PreparedSet(pictures)
    table = pd.read_parquet(tmp_path / "set" / "index.parquet")
    assert list(table.columns[:6]) == ["key", "shard", "offset", "size", "sha256", "split"]
