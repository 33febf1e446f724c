"""The main job end to end, on few groups and steps: real files, real DeepSpeed, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ["--set", "starter.groups=12", "--set", "evaluation.bootstrap=200", "--set", "training.batch_size=16"]


def domainclip(*words: str, cwd: Path, launcher: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    start = launcher or [sys.executable, "-m", "domainclip"]
    return subprocess.run([*start, *words], cwd=cwd, capture_output=True, text=True, timeout=800)


def summary_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("main-job")


@pytest.fixture(scope="module")
def first_run(place: Path) -> Path:
    words = ["pretrain", "--domain", "pathology", "--output", "first", *SMALL]
    result = domainclip(*words, "--set", "training.max_steps=8", cwd=place)
    assert result.returncode == 0, result.stderr
    assert "synthetic" in result.stdout
    assert "Next" in result.stdout
    (place / "first.out").write_text(result.stdout)
    return place / "first"


def test_the_run_folder_holds_what_the_contract_says(first_run: Path) -> None:
    summary = summary_of(first_run)
    assert (summary["engine"], summary["zero_stage"]) == ("DeepSpeedEngine", 1)
    assert summary["samples_seen"] == 8 * 16
    assert summary["synthetic"] is True
    assert (first_run.parent / summary["starter_set"] / "manifest.csv").is_file()
    figure = summary["held_out"]["zero_shot"]["balanced_accuracy"]
    assert set(figure) >= {"value", "low", "high", "chance", "n", "groups"}
    assert {"control", "majority"} <= set(summary["held_out"]["baselines"])
    files = ["config.yaml", "metrics.jsonl", "checkpoints", "model/model.safetensors", "model/domainclip.json", "model/README.md"]
    for name in files:
        assert (first_run / name).exists(), name
    assert "synthetic" in (first_run / "model" / "README.md").read_text().lower()


def test_the_next_command_of_the_last_line_works(first_run: Path) -> None:
    said = (first_run.parent / "first.out").read_text()
    command = said.splitlines()[-1].removeprefix("Next").strip()
    assert "example_file" not in summary_of(first_run)
    shell = f'domainclip() {{ "{sys.executable}" -m domainclip "$@"; }}; {command} --json'
    result = subprocess.run(["bash", "-c", shell], cwd=first_run.parent, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)


@pytest.mark.parametrize("domain", ["radiology", "remote-sensing"])
def test_other_domains_run(domain: str, place: Path) -> None:
    words = ["pretrain", "--domain", domain, "--output", domain, *SMALL]
    result = domainclip(*words, "--set", "training.max_steps=4", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["domain"] == domain
    assert document["held_out"]["zero_shot"]["classes"] >= 6


def test_two_processes_train_one_model(first_run: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "domainclip"]
    words = ["pretrain", "--domain", "pathology", "--data", str(first_run / "set"), "--output", "two"]
    settings = ["--set", "training.max_steps=4", "--set", "training.batch_size=8", "--set", "evaluation.bootstrap=200"]
    result = domainclip(*words, *settings, cwd=first_run.parent, launcher=launcher)
    assert result.returncode == 0, result.stderr
    summary = summary_of(first_run.parent / "two")
    assert summary["processes"] == 2
    assert summary["samples_seen"] == 4 * 16
    # One process goes on where two stopped, with the same global batch; another global batch is refused.
    more = ["--set", "training.max_steps=4", "--resume"]
    alone = domainclip(*words, *more, "--set", "training.batch_size=16", cwd=first_run.parent)
    assert alone.returncode == 0, alone.stderr
    assert summary_of(first_run.parent / "two")["processes"] == 1
    other = domainclip(*words, *more, "--set", "training.batch_size=12", cwd=first_run.parent)
    assert other.returncode == 2 and "global batch" in other.stderr


def test_a_failed_start_gives_back_the_run_that_it_was_to_replace(first_run: Path) -> None:
    place = first_run.parent
    words = ["pretrain", "--domain", "pathology", "--output", "kept", "--set", "training.max_steps=2"]
    small = ["--set", "training.batch_size=8", "--set", "evaluation.bootstrap=200", "--set", "model.views=d4"]
    assert domainclip(*words, *small, "--data", str(first_run / "set"), cwd=place).returncode == 0
    before = (place / "kept" / "summary.json").read_bytes()
    assert json.loads((place / "kept" / "model" / "domainclip.json").read_text())["preprocessing"]["views"] == "d4"
    own = str(first_run / "set")
    for wrong in (
        ["--data", "no/such/set"],
        *(["--data", own, "--set", w] for w in ("training.augmentation=nope", "model.channels=[nir]")),
    ):
        failed = domainclip(*words, *wrong, "--overwrite", cwd=place)
        assert failed.returncode == 2, failed.stderr
        assert (place / "kept" / "summary.json").read_bytes() == before
        assert domainclip(*words[:-3], "fresh", *wrong, cwd=place).returncode == 2
        assert not (place / "fresh").exists()
    again = domainclip(*words, *small, "--data", str(first_run / "set"), "--overwrite", cwd=place)
    assert again.returncode == 0, again.stderr
    assert not list(place.glob(".kept*"))


def test_a_killed_run_resumes_to_the_same_losses(first_run: Path) -> None:
    """SIGKILL at an arbitrary moment of training; the resumed run's losses equal the uninterrupted one's."""
    settings = ["--set", "training.max_steps=24", "--set", "training.batch_size=16", "--set", "training.log_every_steps=1"]
    settings += ["--set", "training.save_every_steps=5", "--set", "training.max_seconds=null", "--set", "evaluation.bootstrap=200"]
    words = ["pretrain", "--domain", "pathology", "--data", str(first_run / "set")]
    place = first_run.parent
    whole = domainclip(*words, *settings, "--output", "whole", cwd=place)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "domainclip", *words, *settings, "--output", "killed"]
    victim = subprocess.Popen(command, cwd=place, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = place / "killed" / "metrics.jsonl"
    while victim.poll() is None and (not metrics.exists() or len(metrics.read_text().splitlines()) < 8):
        time.sleep(0.02)
    assert victim.poll() is None, "it ended before it could be killed"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    resumed = domainclip(*words, *settings, "--output", "killed", "--resume", cwd=place)
    assert resumed.returncode == 0, resumed.stderr

    def losses(run: str) -> dict[int, float]:
        rows = [json.loads(line) for line in (place / run / "metrics.jsonl").read_text().splitlines()]
        return {row["step"]: row["loss"] for row in rows}

    expected, found = losses("whole"), losses("killed")
    assert set(found) == set(expected) == set(range(1, 25))
    assert max(abs(found[step] - expected[step]) for step in expected) <= 1e-6


def test_control_c_stops_cleanly_and_says_how_to_go_on(first_run: Path) -> None:
    place = first_run.parent
    words = ["pretrain", "--domain", "pathology", "--data", str(first_run / "set"), "--output", "stopped"]
    endless = ["--set", "training.max_steps=4000", "--set", "training.log_every_steps=1"]
    command = [sys.executable, "-m", "domainclip", *words, *endless]
    victim = subprocess.Popen(command, cwd=place, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = place / "stopped" / "metrics.jsonl"
    while victim.poll() is None and not metrics.exists():
        time.sleep(0.05)
    victim.send_signal(signal.SIGINT)
    _, said = victim.communicate(timeout=120)
    assert victim.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert list((place / "stopped" / "checkpoints").glob("step-*"))


def test_wrong_use_of_a_run_folder(first_run: Path) -> None:
    place = first_run.parent
    again = domainclip("pretrain", "--domain", "pathology", "--output", "first", cwd=place)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    other = domainclip("pretrain", "--domain", "pathology", "--output", "first", "--resume", "--set", "optimizer.lr=0.5", cwd=place)
    assert other.returncode == 2
    assert "optimizer.lr" in other.stderr
    nothing = domainclip("pretrain", "--domain", "pathology", "--output", "nowhere", "--resume", cwd=place)
    assert nothing.returncode == 2
    foreign = place / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("irreplaceable")
    refused = domainclip("pretrain", "--domain", "pathology", "--output", "foreign", "--overwrite", cwd=place)
    assert refused.returncode == 2
    assert (foreign / "thesis.txt").read_text() == "irreplaceable"


def test_own_pictures_without_a_stated_language_train_and_answer(tmp_path: Path) -> None:
    """A manifest of pictures, captions and labels without a column ``language``: the command of the last line works."""
    import numpy as np
    from PIL import Image

    rows = ["path,caption,label,group"]
    for number in range(24):
        kind = ("adipose", "muscle")[number % 2]
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"p{number}.png")
        rows.append(f"p{number}.png,this is {kind},{kind},g{number // 2}")
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    words = ["pretrain", "--domain", "pathology", "--data", "mine.csv", "--output", "run", "--set", "training.max_steps=2"]
    result = domainclip(*words, "--set", "training.batch_size=8", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answer = domainclip("zero-shot", "run", "p0.png", "--classes", "adipose,muscle", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr


def test_one_group_is_refused_before_training(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "a.png")
    (tmp_path / "one.csv").write_text("path,caption,group\na.png,words,g\n")
    result = domainclip("pretrain", "--domain", "pathology", "--data", "one.csv", "--output", "run", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
