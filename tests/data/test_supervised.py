"""Hostile files: a reader that hangs, crashes, eats memory or raises costs one file, never the job."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from png_domain import DOMAIN

from domainclip.config import DataConfig
from domainclip.data import shards
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_source
from domainclip.data.supervised import Limits, domain_reference
from domainclip.errors import UsageError


def hostile(folder, words):
    rows = ["path,label"]
    for number, word in enumerate(words):
        name = f"p{number}.png"
        if word:
            (folder / name).write_text(word)
        else:
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
        rows.append(f"{name},{'cat' if number % 2 else 'dog'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "groups").mkdir(exist_ok=True)
    text = (folder / "manifest.csv").read_text().splitlines()
    grouped = [text[0] + ",group", *(f"{line},g{n}" for n, line in enumerate(text[1:]))]
    (folder / "manifest.csv").write_text("\n".join(grouped) + "\n")
    return open_source(DataConfig(source=str(folder / "manifest.csv")), DOMAIN)


def test_each_kind_of_hostile_file_is_one_rejection(tmp_path):
    words = ["", "CRASH", "", "HANG", "", "MEMORY", "", "RAISE", "", "PRINT", "", ""]
    (tmp_path / "files").mkdir()
    source = hostile(tmp_path / "files", words)
    began = time.monotonic()
    prepared = prepare(source, DOMAIN, tmp_path / "set", workers=2, limits=Limits(seconds=3.0, memory_gib=1.0))
    assert time.monotonic() - began < 60
    lines = [json.loads(line) for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    reasons = {Path(prepared.paths()[line["key"]]).name: line["reason"] for line in lines}
    assert {name: reason.split(". ")[0] for name, reason in reasons.items()} == {
        "p1.png": "the process that read it died (signal 11)",
        "p3.png": "reading took longer than 3 s",
        "p5.png": "decoding needs more memory than the limit",
        "p7.png": "the reader failed (RuntimeError)",
        "p9.png": "it cannot be decoded (UnidentifiedImageError)",
    }
    assert prepared.card["counts"]["images"] == 7
    assert "secret-of-the-patient" not in str((tmp_path / "set" / "rejected.jsonl").read_bytes())


@pytest.mark.slow
def test_a_slow_file_that_goes_on_giving_images_is_not_cut_off(tmp_path):
    """The clock runs between images, since a slide of many tiles takes long and does no harm."""
    (tmp_path / "files").mkdir()
    source = hostile(tmp_path / "files", [""])
    reading = {"tile": 2, "tile_pause_s": 0.15}  # 16 tiles of one file, 2.4 s
    prepared = prepare(source, DOMAIN, tmp_path / "set", workers=1, reading=reading, limits=Limits(seconds=1.5))
    assert len(prepared) == 16


def test_workers_start_without_torch_and_without_the_callers_main():
    code = "import sys, domainclip.data.worker, domainclip.data.spool; print('torch' in sys.modules, 'pandas' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


def test_a_domain_that_workers_cannot_find_is_refused():
    assert domain_reference(DOMAIN) == "png_domain:DOMAIN"
    with pytest.raises(UsageError, match="workers=0"):
        domain_reference(type(DOMAIN)())


KILLED = """
    import sys
    sys.path.insert(0, {here!r})
    from png_domain import DOMAIN
    from domainclip.config import DataConfig
    from domainclip.data import shards
    from domainclip.data.prepare import prepare
    from domainclip.data.sources import open_source
    shards.MAX_SAMPLES = 2
    def show(done, total, text):
        print(done, text, flush=True)
    source = open_source(DataConfig(source={source!r}), DOMAIN)
    prepare(source, DOMAIN, {output!r}, workers=1, resume={resume}, reading={{"pause_s": {pause}}}, progress=show)
    print("finished", flush=True)
"""


def script(tmp_path, output, resume, pause=0.1):
    here = str(Path(__file__).resolve().parent)
    code = KILLED.format(here=here, source=str(tmp_path / "files" / "manifest.csv"), output=str(output), resume=resume, pause=pause)
    return [sys.executable, "-c", textwrap.dedent(code)]


def whole(tmp_path, monkeypatch, pause):
    monkeypatch.setattr(shards, "MAX_SAMPLES", 2)
    source = open_source(DataConfig(source=str(tmp_path / "files" / "manifest.csv")), DOMAIN)
    prepare(source, DOMAIN, tmp_path / "whole", workers=0, reading={"pause_s": pause})


def test_kill_nine_and_resume_gives_the_same_bytes(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    hostile(tmp_path / "files", [""] * 10)
    whole(tmp_path, monkeypatch, 0.1)
    process = subprocess.Popen(script(tmp_path, tmp_path / "set", False), stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("4 "):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "set" / "dataset.json").exists()
    # As if it had been killed later again, with a half-written shard and a torn spool.
    (tmp_path / "set" / "00000.tar.part").write_bytes(b"half")
    torn = tmp_path / "set" / ".preparing" / "00000001.bin"
    torn.write_bytes(torn.read_bytes()[:-3])
    out = subprocess.run(script(tmp_path, tmp_path / "set", True), check=True, capture_output=True, text=True).stdout
    assert int(out.split()[0]) >= 3  # Went on, did not start anew.
    assert out.split()[-1] == "finished"
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("whole", "set"))
    assert sorted(one) == [
        *(f"{n:05d}.tar" for n in range(5)),
        "captions.parquet",
        "contact_sheet.jpg",
        "dataset.json",
        "index.parquet",
        "rejected.jsonl",
    ]
    assert one == other


@pytest.mark.slow
def test_killed_between_shards_the_finished_ones_stay(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    hostile(tmp_path / "files", [""] * 10)
    whole(tmp_path, monkeypatch, 0.0)
    command = script(tmp_path, tmp_path / "set", False, 0)
    stop = "import os\nfrom domainclip.data import set_writer\nreal = set_writer.write_shard\n"
    stop += "def write(folder, plan, members):\n    if plan.name == '00003.tar': os.kill(os.getpid(), 9)\n"
    stop += "    real(folder, plan, members)\n"
    command[-1] = stop + "set_writer.write_shard = write\n" + command[-1]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    left = sorted(p.name for p in (tmp_path / "set").iterdir())
    assert left == [".preparing", "00000.tar", "00001.tar", "00002.tar"]
    times = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("*.tar")}
    subprocess.run(script(tmp_path, tmp_path / "set", True, 0), check=True, capture_output=True)
    assert {name: (tmp_path / "set" / name).stat().st_mtime_ns for name in times} == times
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("whole", "set"))
    assert one == other
