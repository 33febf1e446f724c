"""Keyed hashes and the owner's key."""

import hmac
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from domainclip.errors import UsageError
from domainclip.identifiers import keyed_hash, owner_key


def test_keyed_hash_is_hmac_sha256():
    # Independent: the standard library's one-shot function, and RFC 4231 test case 1 (key 20 x 0x0b, "Hi There").
    assert keyed_hash("Hi There", b"\x0b" * 20) == "b0344c61d8db38535ca8"
    assert keyed_hash("Größe", b"k" * 32) == hmac.digest(b"k" * 32, "Größe".encode(), "sha256").hex()[:20]


def test_keys_and_texts_matter():
    assert len({keyed_hash(t, k) for t in ("a", "b") for k in (b"1" * 16, b"2" * 16)}) == 4


def test_short_key_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        keyed_hash("a", b"short")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DOMAINCLIP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_owner_key_is_made_once_and_private(home):
    key = owner_key()
    assert len(key) == 32 and owner_key() == key
    assert sorted(p.name for p in home.iterdir()) == ["hash_key"]
    assert stat.S_IMODE((home / "hash_key").stat().st_mode) == 0o600


def test_processes_that_race_get_one_key(home):
    code = "from domainclip.identifiers import owner_key; print(owner_key().hex())"
    env = os.environ | {"DOMAINCLIP_HOME": str(home)}
    running = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert [p.name for p in home.iterdir()] == ["hash_key"]


def test_damaged_key_is_refused(home):
    owner_key()
    (home / "hash_key").write_bytes(b"half")
    with pytest.raises(UsageError, match="4 bytes instead of 32"):
        owner_key()


def test_unwritable_folder_is_a_usage_error(home, monkeypatch):
    def no_links(self: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    with pytest.raises(UsageError, match="DOMAINCLIP_HOME"):
        owner_key()
    assert list(home.iterdir()) == []
