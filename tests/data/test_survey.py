"""A look over a folder: everything in it is accounted for, and a file that kills its reader costs no other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from domainclip.cli.main import main
from domainclip.config import DataConfig
from domainclip.data.sources import open_source
from domainclip.data.supervised import Limits
from domainclip.data.survey import scale_counts, survey, write_manifest
from domainclip.domains.base import Inspection, domains
from domainclip.errors import UnreadableFileError, UsageError
from domainclip.heads.peer_reading import read_supervised


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
        if word == "MEMORY":
            np.ones(2**31, dtype=np.uint8)
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
    words = ["PLAIN", "CRASH", "SCALE", "HANG", "RAISE", "PRINT", "BROKEN", "LAST", "MEMORY"]
    for number, word in enumerate(words):
        (tmp_path / f"{number}.word").write_text(word)
    looks = {look.path.name: look for look in survey(tmp_path, "killing", limits=Limits(seconds=2.0, memory_gib=1.0))}
    assert {name: look.problem for name, look in looks.items() if look.problem} == {
        "1.word": "the process that read it died (signal 11)",
        "3.word": "reading took longer than 2 s",
        "4.word": "the reader failed (RuntimeError)",
        "6.word": "It is broken. Copy it again.",
        "8.word": "reading needs more memory than the limit",
    }
    assert looks["7.word"].seen == DOMAIN.inspect(tmp_path / "7.word")
    assert looks["5.word"].seen.format == "PRINT"
    assert scale_counts(list(looks.values())) == {"unknown": 3, "unreadable": 5, "word": 1}
    # Those that need somebody's attention come first.
    assert [look.scale for look in looks.values()] == ["unreadable"] * 5 + ["unknown"] * 3 + ["word"]


def test_what_prepare_would_not_read_is_listed_with_the_same_reason(tmp_path):
    """Links that lead out, files of other kinds: nothing is passed over without a word."""
    folder = tmp_path / "share"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "elsewhere.png")
    (folder / "out.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "nowhere.png").symlink_to(tmp_path / "missing.png")
    (folder / "in.png").symlink_to(folder / "a.png")
    (folder / ".annex").mkdir()
    Image.fromarray(np.ones((8, 8, 3), np.uint8)).save(folder / ".annex" / "object.png")
    (folder / "annexed.png").symlink_to(folder / ".annex" / "object.png")
    (folder / "annexed-too.png").symlink_to(folder / ".annex" / "object.png")
    (folder / "notes.txt").write_text("beside")
    (folder / "thing.xyz").write_text("foreign")
    looks = survey(folder, "pathology")
    assert {look.path.name: look.problem.split(";")[0] for look in looks if look.problem} == {
        "out.png": "a symbolic link that leads out of the folder",
        "nowhere.png": "a symbolic link that leads nowhere",
        "thing.xyz": "no file that the domain pathology reads",
        "in.png": "a symbolic link to a file of the folder that is read already",
        "annexed.png": "a symbolic link to a file of the folder that is read already",
    }
    prepared = open_source(DataConfig(source=str(folder)), domains.get("pathology"))
    assert {(look.path.name, look.problem) for look in looks if look.seen is None} == set(prepared.rejections)
    assert (
        {look.path.name for look in looks if look.seen is not None}
        == {item.name for item in prepared.items()}
        == {"a.png", "annexed-too.png"}
    )
    assert write_manifest(looks, tmp_path / "table.csv") == 2


def test_the_processes_end_with_their_parent_even_when_they_hang(tmp_path):
    """A reader that hangs in a library would burn a core for ever."""
    (tmp_path / "a.word").write_text("HANG")
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_survey as t\n"
    code += "from domainclip.domains.base import domains; domains.register('killing', t.DOMAIN)\n"
    code += f"t.survey(t.Path({str(tmp_path)!r}), 'killing')"
    parent = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until = time.monotonic() + 60
    while not (children := _children(parent.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(children) == 1
    time.sleep(1.0)  # it hangs by now
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def test_a_process_that_cannot_start_is_no_broken_file(tmp_path, killing, monkeypatch):
    (tmp_path / "a.word").write_text("PLAIN")

    def no_more(*args, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_more)
    with pytest.raises(UsageError, match="Resource temporarily unavailable"):
        survey(tmp_path, "killing")
    with pytest.raises(UsageError, match="Resource temporarily unavailable"):
        list(read_supervised([(tmp_path / "a.h5", None)], None))


def test_what_lacks_something_says_so_in_the_list(tmp_path, killing, capsys):
    (tmp_path / "a.word").write_text("PLAIN")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path), "--domain", "killing", "--table", str(tmp_path / "t.csv")])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "a.word: 4 x 3, scale unknown, PLAIN\n    much\n" in said
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path), "--domain", "killing", "--table", str(tmp_path / "t.csv")])
    assert ended.value.code == 2 and "inspecting" not in capsys.readouterr().err  # before the look, not after it


def test_a_manifest_of_nothing_is_not_written(tmp_path, killing):
    (tmp_path / "a.word").write_text("BROKEN")
    with pytest.raises(UsageError, match="No file of the folder can be read"):
        write_manifest(survey(tmp_path, "killing"), tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_a_folder_of_nothing_is_told(tmp_path):
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(UsageError, match="holds 1 files, none of which"):
        survey(tmp_path, "pathology")
