"""A look over a folder: everything in it is accounted for, and a file that kills its reader costs no other."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from domainclip.config import DataConfig
from domainclip.data.sources import open_source
from domainclip.data.supervised import Limits
from domainclip.data.survey import scale_counts, survey, write_manifest
from domainclip.domains.base import Inspection, domains
from domainclip.errors import UnreadableFileError, UsageError


class KillingDomain:
    """Files of one word; some make the process that inspects them end, hang or raise, as broken libraries do."""

    name = "killing"
    facts = SimpleNamespace(domain="killing", class_label="kind", labels={})

    def recognises(self, path: Path) -> bool:
        return path.suffix == ".word"

    def inspect(self, path: Path) -> Inspection:
        word = path.read_text()
        if word == "CRASH":
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "HANG":
            signal.pause()
        if word == "RAISE":
            raise RuntimeError("secret-of-the-patient")
        if word == "PRINT":
            os.write(1, b'{"seen": 1}\n')
        if word == "BROKEN":
            raise UnreadableFileError("Inspect.", "It is broken.", "Copy it again.")
        spacing = {"x": 0.5, "y": 0.5, "unit": "um", "source": "word"} if word == "SCALE" else None
        return Inspection(word, 4, 3, ((4, 3, 1.0),), ("red",), spacing, "uint8", "none", None, "g", ("much",), {"a": [1, 2]})


DOMAIN = KillingDomain()


@pytest.fixture
def killing(monkeypatch):
    monkeypatch.setitem(domains._entries, "killing", DOMAIN)


def test_each_kind_of_hostile_file_is_one_line(tmp_path, killing):
    words = ["PLAIN", "CRASH", "SCALE", "HANG", "RAISE", "PRINT", "BROKEN", "LAST"]
    for number, word in enumerate(words):
        (tmp_path / f"{number}.word").write_text(word)
    looks = {look.path.name: look for look in survey(tmp_path, "killing", limits=Limits(seconds=2.0))}
    assert {name: look.problem for name, look in looks.items() if look.problem} == {
        "1.word": "the process that read it died (signal 11)",
        "3.word": "reading took longer than 2 s",
        "4.word": "the reader failed (RuntimeError)",
        "6.word": "It is broken. Copy it again.",
    }
    assert looks["7.word"].seen == DOMAIN.inspect(tmp_path / "7.word")
    assert looks["5.word"].seen.format == "PRINT"
    assert scale_counts(list(looks.values())) == {"unknown": 3, "unreadable": 4, "word": 1}


def test_what_prepare_would_not_read_is_listed_with_the_same_reason(tmp_path):
    """Links that lead out, files of other kinds: nothing is passed over without a word."""
    folder = tmp_path / "share"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "elsewhere.png")
    (folder / "out.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "nowhere.png").symlink_to(tmp_path / "missing.png")
    (folder / "in.png").symlink_to(folder / "a.png")
    (folder / "notes.txt").write_text("beside")
    (folder / "thing.xyz").write_text("foreign")
    looks = survey(folder, "pathology")
    assert {look.path.name: look.problem.split(";")[0] for look in looks if look.problem} == {
        "out.png": "a symbolic link that leads out of the folder",
        "nowhere.png": "a symbolic link that leads nowhere",
        "thing.xyz": "no file that the domain pathology reads",
    }
    prepared = open_source(DataConfig(source=str(folder)), domains.get("pathology"))
    assert {(look.path.name, look.problem) for look in looks if look.seen is None} == set(prepared.rejections)
    assert (
        {look.path.name for look in looks if look.seen is not None}
        == {item.name for item in prepared.items()}
        == {"a.png", "in.png"}
    )
    assert write_manifest(looks, tmp_path / "table.csv") == 2


def test_a_folder_of_nothing_is_told(tmp_path):
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(UsageError, match="holds 1 files, none of which"):
        survey(tmp_path, "pathology")
