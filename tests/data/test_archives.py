"""Archives and containers in place: nothing leaves its folder, bombs end, damage costs one image or says which file."""

import io
import json
import struct
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest
from lookalikes.kit import encoded
from PIL import Image

from domainclip.config import DataConfig
from domainclip.data import archives
from domainclip.data.archives import ArchiveIndex, read_members
from domainclip.data.inside import samples_of
from domainclip.data.owner_map import read_owner_map
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.domains.base import checked_reading, domains
from domainclip.errors import RunInterruptedError, UnreadableFileError, UsageError

TABLE = """
name: mine
title: a set of the owner
domain: pathology
layout: {name: table, options: {table: rows.csv, path: "{file}", archives: [{file: images.*}]}}
operations: [{op: columns, rename: {label: "label:tissue", slide: group}}]
licence: none
citation: none
unverified: [layout, operations, licence, citation]
"""
TARS = """
name: mine
title: a set of the owner
domain: pathology
operations_version: 3
layout:
  name: webdataset
  files: ["*.tar"]
  images: [jpg, png]
  texts: {txt: caption}
  tables: {json: [kind, slide]}
  key_ends: last
operations:
- {op: caption_language, language: en}
- {op: where, column: kind, is_in: [tissue]}
- {op: columns, rename: {slide: group}}
licence: none
citation: none
unverified: [layout, operations, licence, citation]
"""


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def opened(root, card=TABLE):
    (root.parent / "mine.yaml").write_text(card)
    return open_source(DataConfig(source=str(root.parent / "mine.yaml"), root=str(root)), domains.get("pathology"))


def pack(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def table(root, names):
    rows = [f"{name},{'tumor' if n % 2 else 'stroma'},s{n // 3}" for n, name in enumerate(names)]
    (root / "rows.csv").write_text("\n".join(["file,label,slide", *rows]) + "\n")


def read(source, scratch):
    domain, account = domains.get("pathology"), Counter()
    reading = checked_reading(domain, None)
    return [cut.sample for item in source.items() for cut in samples_of(item, domain, reading, scratch, account)], account


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_set_in_an_archive_is_the_set_unpacked(kind, root, tmp_path):
    names = [f"im/{n}.png" for n in range(12)]
    pictures = {name: encoded(n, "PNG") for n, name in enumerate(names)}
    table(root, [*names, "im/none.png"])
    pack(root / f"images.{kind}", pictures | {"im/more.png": encoded(50, "PNG")})
    with pytest.warns(UserWarning, match=r"1 of the 13 files .* im/none\.png"):
        packed = opened(root)
    assert dict(packed.rejections) == {
        "im/none.png": "the row names a file that is not there", "im/more.png": "the file has no row",
    }  # fmt: skip
    one = prepare(packed, domains.get("pathology"), tmp_path / "packed", workers=0)
    (root / f"images.{kind}").unlink()
    for name, data in pictures.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    with pytest.warns(UserWarning, match="1 of the 13"):
        other = prepare(opened(root), domains.get("pathology"), tmp_path / "unpacked", workers=0)
    columns = ["key", "pixel_sha256", "split", "group", "labels"]
    told = [prepared.index[columns].sort_values("key").to_dict("records") for prepared in (one, other)]
    assert told[0] == told[1] and len(told[0]) == 12
    lines = {line["key"]: line for line in read_owner_map(one.card["set_id"])}
    assert {lines[key].get("member") for key in one.index["key"]} == set(names)


def test_members_lead_nowhere(root, tmp_path):
    """Names that climb, absolute names, links and devices: nothing is written outside, and rows that ask for them are refused."""
    with tarfile.open(root / "images.tar", "w") as file:
        for name in ("../evil.png", "/etc/evil.png", "good.png"):
            data = encoded(1, "PNG")
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for name, kind, target in (("link.png", tarfile.SYMTYPE, "/etc/hostname"), ("hard.png", tarfile.LNKTYPE, "good.png")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            file.addfile(info)
    table(root, ["good.png", "link.png", "hard.png"])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.warns(UserWarning, match="2 of the 3"):
        samples, _ = read(opened(root), scratch)
    assert [sample.key for sample in samples] == ["good.png"]
    samples[0].read()
    assert not list(tmp_path.rglob("evil*")) and set(scratch.iterdir()) <= set(scratch.glob("member.*.png"))
    table(root, ["../evil.png"])
    with pytest.raises(UsageError, match="outside of --root"):
        opened(root)


def test_damage_costs_one_image(root, tmp_path, monkeypatch):
    names = ["a.png", "b.png", "c.png", "d.png"]
    pack(root / "images.zip", {name: encoded(n, "PNG") for n, name in enumerate(names)})
    data = bytearray((root / "images.zip").read_bytes())
    with zipfile.ZipFile(root / "images.zip") as file:
        places = {info.filename: info for info in file.infolist()}
    at = places["b.png"].header_offset
    data[at + 30 + len("b.png") + 4] ^= 0xFF  # its packed bytes
    data[places["c.png"].header_offset + 6] |= 1  # says that it is encrypted
    (root / "images.zip").write_bytes(data)
    table(root, names)
    samples, _ = read(opened(root), tmp_path)
    reasons = {}
    for sample in samples:
        try:
            sample.read()
        except UnreadableFileError as error:
            reasons[sample.key] = error.found
    assert set(reasons) == {"b.png", "c.png"} and "damaged" in reasons["b.png"] and "encrypted" in reasons["c.png"]
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    pack(root / "images.zip", {"a.png": b"\0" * 10**6, "b.png": encoded(1, "PNG")})
    told = dict(
        read_members(
            root / "images.zip", [(m, ArchiveIndex([(root / "images.zip", "")], "It").find(m).place) for m in ("a.png", "b.png")]
        )
    )
    assert "larger" in told["a.png"] and isinstance(told["b.png"], bytes)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_truncated_archives_are_named(kind, root):
    pack(root / f"images.{kind}", {f"{n}.png": np.random.default_rng(n).bytes(3000) for n in range(9)})
    data = (root / f"images.{kind}").read_bytes()
    (root / f"images.{kind}").write_bytes(data[: len(data) // 2])
    table(root, ["1.png"])
    with pytest.raises(UsageError, match=r"no zip or tar that can be read to its end"):
        opened(root)


def test_directories_of_zips_equal_the_librarys(root):
    """Against zipfile: Zip64 places and sizes, names in UTF-8 and cp437, folders, a comment at the end; and lies are refused."""
    with zipfile.ZipFile(root / "a.zip", "w") as file:
        file.writestr("folder/", b"")
        file.writestr("ü.png", b"x" * 10)
        with file.open("big.png", "w", force_zip64=True) as member:
            member.write(b"y" * 5000)
        file.comment = b"PK\x05\x06 in a comment"[4:] * 3
    from domainclip.data.zip_directory import directory

    with (root / "a.zip").open("rb") as file, zipfile.ZipFile(root / "a.zip") as zipped:
        expected = [
            (i.filename, (i.header_offset, i.compress_size, i.file_size, i.CRC)) for i in zipped.infolist() if not i.is_dir()
        ]
        assert list(directory(file)) == expected
    data = bytearray((root / "a.zip").read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 42, 2**31)
    (root / "a.zip").write_bytes(data)
    with (root / "a.zip").open("rb") as file, pytest.raises(zipfile.BadZipFile, match="beyond"):
        list(directory(file))


def samples_tar(path, numbers, broken=()):
    members = {}
    for n in numbers:
        members[f"PMC{n}.v2_F1.jpg"] = b"no picture" if n in broken else encoded(n)
        members[f"PMC{n}.v2_F1.txt"] = f" caption {n}\n".encode()
        told = {"kind": "tissue" if n % 5 else "chart", "slide": f"s{n // 4}", "article_text": "x" * 1000}
        members[f"PMC{n}.v2_F1.json"] = json.dumps(told).encode()
    pack(path, members)


def test_a_tar_of_samples_is_resumed_at_the_next_tar(root, tmp_path, monkeypatch):
    for number in range(3):
        samples_tar(root / f"{number:06d}.tar", range(100 * number, 100 * number + 20), broken={203})
    source, domain = opened(root, TARS), domains.get("pathology")
    assert len(source) == 3
    seen = []

    def stop(done, total, text):
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError):
        prepare(source, domain, tmp_path / "set", workers=0, progress=stop)
    spools = sorted((tmp_path / "set" / ".preparing").glob("*.jsonl"))
    times = [path.stat().st_mtime_ns for path in spools]
    again = prepare(source, domain, tmp_path / "set", workers=0, resume=True)
    assert len(times) == 2
    whole = prepare(source, domain, tmp_path / "whole", workers=0)
    for one in (again, whole):
        assert len(one) == 3 * 16 - 1 and one.card["counts"]["rejected"] == 1
        assert one.card["reading_account"]["rows left out by the card"] == 3 * 4
        assert {caption.text for key in one.index["key"] for caption in one.captions_of(key)} == {
            f"caption {100 * t + n}" for t in range(3) for n in range(20) if n % 5 and 100 * t + n != 203
        }
    assert list(again.index["pixel_sha256"]) == list(whole.index["pixel_sha256"])
    assert "article" not in json.dumps(whole.index.to_dict("records"), default=str)
    assert not list((tmp_path / "whole").rglob("member.*"))


def test_a_damaged_tar_is_one_rejected_file(root, tmp_path):
    samples_tar(root / "0.tar", range(1, 5))
    (root / "1.tar").write_bytes((root / "0.tar").read_bytes()[:700])
    done = prepare(opened(root, TARS), domains.get("pathology"), tmp_path / "set", workers=0)
    assert len(done) == 4
    (line,) = [json.loads(text) for text in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    assert "tar" in line["reason"] and "1.tar" not in json.dumps(line)


def test_jpegs_of_archives_are_kept_as_they_are(root, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=80)
    pack(root / "images.zip", {"a.jpg": buffer.getvalue()})
    table(root, ["a.jpg"])
    done = prepare(opened(root), domains.get("pathology"), tmp_path / "set", workers=0)
    with tarfile.open(tmp_path / "set" / "00000.tar") as shard:
        stored = {name.rpartition(".")[2]: shard.extractfile(name).read() for name in shard.getnames()}
    assert stored["jpg"] == buffer.getvalue() and len(done) == 1


def test_an_audit_looks_for_the_names_of_members(root, tmp_path):
    from domainclip.data.audit import audit

    pack(root / "images.zip", {"Mueller_Hans.png": encoded(1, "PNG"), "b.png": encoded(2, "PNG")})
    table(root, ["Mueller_Hans.png", "b.png"])
    done = prepare(opened(root), domains.get("pathology"), tmp_path / "set", workers=0)
    report = audit(done)
    assert report.clean and any("archive" in kind for kind in report.warnings)
    card = json.loads((tmp_path / "set" / "dataset.json").read_text())
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(card | {"title": "pictures of Mueller_Hans"}))
    assert not audit(tmp_path / "set").clean
