"""Members of archives against zipfile and tarfile: what the directory says of one holds, and nothing else passes."""

import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest

from domainclip.data import archives
from domainclip.data.archives import ArchiveIndex, read_members
from domainclip.data.zip_directory import directory
from domainclip.errors import UsageError

NOISE = bytes(random.Random(0).choices(range(64), k=3000))


class Stream:
    """A file that cannot seek, as a pipe or a web server's answer."""

    def __init__(self, file):
        self._file = file

    def write(self, data):
        return self._file.write(data)

    def flush(self):
        self._file.flush()


def zipped(path, members, method=zipfile.ZIP_DEFLATED, streamed=False):
    with path.open("wb") as file, zipfile.ZipFile(Stream(file) if streamed else file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)


def tarred(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def read(path, *names):
    """Returns the members as the index leads to them; the names are those that they would have unpacked."""
    index = ArchiveIndex([(path, "")], "It")
    found = [index.find(name) for name in names]
    told = dict(read_members(path, [(one.name, one.place) for one in found]))
    return [told[one.name] for one in found]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_in_a_zip_is_found_where_zipfile_finds_it(method, streamed, tmp_path):
    """In streamed zips too, whose local headers have no sum (bit 3); the pictures need have none of their own."""
    path = tmp_path / "a.zip"
    zipped(path, [("a.tif", NOISE), ("b.tif", NOISE[::-1])], method, streamed)
    data = bytearray(path.read_bytes())
    assert bool(data[6] & 8) is streamed and read(path, "a.tif", "b.tif") == [NOISE, NOISE[::-1]]
    found = 0
    for at in range(60, 900, 80):
        broken = data.copy()
        broken[at] ^= 1
        path.write_bytes(broken)
        with zipfile.ZipFile(path) as archive:
            try:
                same = archive.read("a.tif") == NOISE
            except (zipfile.BadZipFile, zlib.error):
                same = False
        one, other = read(path, "a.tif", "b.tif")
        assert other == NOISE[::-1] and (one == NOISE if same else "damaged" in one)
        found += not same
    assert found > 9


def lied(path, at, fmt, value):
    """Changes a number of the first entry of the directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(fmt, data, data.index(b"PK\x01\x02") + at, value)
    path.write_bytes(data)


def test_deflate_ends_where_the_directory_says(tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, [("a", NOISE)])
    with zipfile.ZipFile(path) as archive:
        packed = archive.getinfo("a").compress_size
    for at, fmt, value in ((20, "<L", packed - 1), (24, "<L", len(NOISE) - 1), (24, "<L", len(NOISE) + 1), (16, "<L", 7)):
        zipped(path, [("a", NOISE)])
        lied(path, at, fmt, value)
        (told,) = read(path, "a")
        assert "damaged" in told


def test_a_bomb_stops_at_the_size_that_it_says(tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, [("a", bytes(2**26))])
    lied(path, 24, "<L", 1000)
    tracemalloc.start()
    (told,) = read(path, "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "damaged" in told and peak < 2**22


def test_old_names_are_cp437(tmp_path):
    """As zipfile decodes names without the mark of UTF-8."""
    path = tmp_path / "a.zip"
    zipped(path, [("a_b.png", b"x")])
    path.write_bytes(path.read_bytes().replace(b"a_b.png", b"a\x81\xe1.png"))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["aüß.png"]
    assert read(path, "aüß.png") == [b"x"]


def test_zip64_sizes_come_in_their_order(tmp_path):
    """A directory entry made by hand after APPNOTE.TXT 4.5.3 (unpacked, packed, place) in a sparse file of 9 GiB."""
    path, all_ones = tmp_path / "a.zip", 2**32 - 1
    unpacked, packed, place = 2**32 + 3, 2**32 + 2, 2**32 + 1
    for wide in ((unpacked, packed, place), (place,)):
        small = (all_ones, all_ones) if len(wide) == 3 else (22, 11)
        extra = struct.pack("<2HL", 0x5455, 4, 0) + struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide)
        numbers = (20, 45, 0, 8, 0, 0, 99, *small, 1, len(extra), 0, 0, 0, 0, all_ones)
        entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *numbers) + b"a" + extra
        with path.open("wb") as file:
            file.write(entry)
            file.seek(2**33 + 2**30)
            file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), 0, 0))
        with path.open("rb") as file:
            expected = (place, packed, unpacked, 99) if len(wide) == 3 else (place, 22, 11, 99)
            assert list(directory(file)) == [("a", expected)]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_members_that_say_that_they_are_large_are_refused(name, tmp_path, monkeypatch):
    (zipped if name == "a.zip" else tarred)(tmp_path / name, [("./a", NOISE), ("./d/b", b"x")])
    assert read(tmp_path / name, "a", "./d/b") == [NOISE, b"x"]
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    large, small = read(tmp_path / name, "a", "d/b")
    assert "larger than" in large and small == b"x"


def test_a_tar_that_was_cut_after_it_was_indexed(tmp_path):
    path = tmp_path / "a.tar"
    tarred(path, [("a", NOISE), ("b", NOISE)])
    member = ArchiveIndex([(path, "")], "It").find("b")
    path.write_bytes(path.read_bytes()[: member.place[0] + len(NOISE) - 1])
    assert dict(read_members(path, [("b", member.place)])) == {"b": "the archive ends within the member"}


def test_of_two_members_with_one_name_the_later_counts(tmp_path):
    """As where it is unpacked; a compressed tar is read in one go, and refused."""
    twice = [("a", b"old"), ("b", b"b"), ("a", b"new")]
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(tmp_path / "a.zip", twice)
    tarred(tmp_path / "a.tar", twice)
    with zipfile.ZipFile(tmp_path / "a.zip") as one, tarfile.open(tmp_path / "a.tar") as other:
        assert one.read("a") == other.extractfile("a").read() == b"new"
    assert read(tmp_path / "a.zip", "a", "b") == read(tmp_path / "a.tar", "a", "b") == [b"new", b"b"]
    tarred(tmp_path / "a.tar.gz", twice)
    with pytest.raises(UsageError, match="two members with the name 'a'"):
        ArchiveIndex([(tmp_path / "a.tar.gz", "")], "It")
    tarred(tmp_path / "b.tar.gz", [("a", b"other")])
    index = ArchiveIndex([(tmp_path / "a.zip", ""), (tmp_path / "b.tar.gz", "")], "It")
    assert index.find("a").archive.name == "a.zip" and list(index.paths()) == ["b", "a"]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_names_that_are_no_utf8_cost_no_archive(name, tmp_path):
    tarred(tmp_path / name, [("ü", b"x"), ("a", b"y")])
    with tarfile.open(tmp_path / name) as file:
        assert (odd := file.getnames()[0]) == "\udcfc"
    assert read(tmp_path / name, odd, "a") == [b"x", b"y"]
