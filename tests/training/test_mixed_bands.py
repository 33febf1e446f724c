"""Training on scenes of two sensors, and all kinds of first layer through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from domainclip.cli.main import main as command_line
from domainclip.data.loader import BatchLoader
from domainclip.data.prepare import prepare
from domainclip.data.sources import open_dataset
from domainclip.domains.base import domains
from domainclip.errors import UsageError
from domainclip.heads.domain_model import load_model
from domainclip.models.tokenizer import train_tokenizer
from domainclip.training.input_statistics import fit_preprocessing

TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
FOUR = ("B8A", "B04", "B03", "B02")
BASE = {"B02": 600, "B03": 800, "B04": 900, "B8A": 3000}


def write_scene(path: Path, bands, kind: str, seed: int) -> None:
    """A scene of stripes or of blocks; bands differ in their level."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    pattern = (x // 4 % 2) if kind == "stripes" else ((x // 8 + y // 8) % 2)
    planes = [BASE.get(name, 2000) + 500 * pattern + rng.normal(0, 60, (32, 32)) for name in bands]
    with rasterio.open(
        path, "w", driver="GTiff", height=32, width=32, count=len(bands), dtype="uint16", crs="EPSG:32632",
        transform=from_origin(5e5 + 1000 * seed, 5e6, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.stack(planes).astype("uint16"))
        file.descriptions = tuple(bands)
        file.scales = (1e-4,) * len(bands)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """36 scenes: of every three, two have ten bands and one has four in another order."""
    folder = tmp_path_factory.mktemp("scenes")
    rows = []
    for number in range(36):
        kind = ("stripes", "blocks")[number % 2]
        write_scene(folder / f"s{number:02}.tif", FOUR if number % 3 == 2 else TEN, kind, number)
        split = "held_out" if number >= 30 else "val" if number >= 24 else "train"
        rows.append([f"s{number:02}.tif", kind, f"fields in {kind}", f"g{number}", split])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label:pattern", "caption", "group", "split"], *rows])
    return folder


@pytest.fixture(scope="module")
def prepared(scenes, tmp_path_factory):
    domain = domains.get("remote-sensing")
    source = open_dataset(scenes / "manifest.csv", domain="remote-sensing")
    return prepare(source, domain, tmp_path_factory.mktemp("set") / "set", reading={})


def fitted(prepared, channels=None, missing="refuse"):
    domain = domains.get("remote-sensing")
    return fit_preprocessing(prepared, domain, channels=channels, image_size=16, one_channel="own", seed=0, missing=missing)


def test_two_sensors_are_refused_by_name_unless_a_rule_is_chosen(prepared):
    with pytest.raises(UsageError) as caught:
        fitted(prepared)
    said = str(caught.value)
    assert "sentinel-2: B02, B03, B04, B05, B06, B07, B08, B8A, B11, B12 (16 images); " in said
    assert "sentinel-2: B8A, B04, B03, B02 (8 images)" in said and "data.missing_channels=mean" in said
    with pytest.raises(UsageError, match=r"Images of the set lack B11: .*\(16 images\).*\(8 images\)"):
        fitted(prepared, ["B04", "B11"])
    with pytest.raises(UsageError, match="Images of the set lack B10"):
        fitted(prepared, ["B04", "B10"], "mean")


def test_statistics_of_a_channel_are_those_of_the_images_that_have_it(prepared):
    found = fitted(prepared, missing="mean")
    assert found.channels == TEN
    train = prepared.subset("train")
    for name in ("B11", "B8A"):
        rows = train[[name in own for own in train["channels"]]]
        numbers = [prepared.read(row).array[list(row["channels"]).index(name)] * 1e-4 for _, row in rows.iterrows()]
        assert found.mean[TEN.index(name)] == pytest.approx(np.mean(numbers), abs=2e-6)
        assert found.std[TEN.index(name)] == pytest.approx(np.std(numbers), abs=2e-6)
        assert len(rows) == {"B11": 16, "B8A": 24}[name]


def loader(prepared, rule, rank=0, world_size=1, batch_size=4):
    tokenizer = train_tokenizer(["fields in stripes", "fields in blocks"] * 3, 300, 16)
    return BatchLoader(
        prepared, "train", fitted(prepared, missing=rule), tokenizer, batch_size=batch_size, seed=1, missing_channels=rule,
        rank=rank, world_size=world_size,
    )  # fmt: skip


def test_batches_are_of_one_band_set_on_every_process(prepared):
    one = loader(prepared, "drop")
    assert one.steps_per_epoch == 16 // 4 + 8 // 4
    parts = [loader(prepared, "drop", rank, 2, 2) for rank in range(2)]
    kinds = set()
    for step in range(one.steps_per_epoch):
        whole, halves = one.batch(step), [part.batch(step) for part in parts]
        assert [half.channels for half in halves] == [whole.channels] * 2
        assert whole.keys == halves[0].keys + halves[1].keys
        assert torch.equal(whole.images, torch.cat([half.images for half in halves]))
        kinds.add(whole.channels)
        assert whole.images.shape[1] == len(whole.channels or TEN)
    assert kinds == {None, ("B02", "B03", "B04", "B8A")}


def test_filled_planes_are_the_mean_and_the_named_ones_are_those_of_the_file(prepared):
    mean, drop = loader(prepared, "mean"), loader(prepared, "drop")
    few = [batch for batch in map(drop.batch, range(6)) if batch.channels]
    dropped = {key: image for batch in few for key, image in zip(batch.keys, batch.images, strict=True)}
    seen = 0
    for step in range(mean.steps_per_epoch):
        batch = mean.batch(step)
        assert batch.images.shape == (4, 10, 16, 16) and batch.channels is None
        for key, image in zip(batch.keys, batch.images, strict=True):
            if key in dropped:
                seen += 1
                there = [TEN.index(name) for name in ("B02", "B03", "B04", "B8A")]
                assert torch.equal(image[there], dropped[key])
                assert not image[[i for i in range(10) if i not in there]].any()
    assert seen


def run(*words) -> int:
    with pytest.raises(SystemExit) as left:
        command_line([str(word) for word in words])
    return left.value.code


def settings(**values) -> list[str]:
    fixed = {"model.architecture": "starter-vit", "model.image_size": 16, "training.max_steps": 10, "training.batch_size": 4}
    fixed |= {"optimizer.warmup_steps": 2, "training.max_seconds": 60, "evaluation.bootstrap": 100, "data.class_label": "pattern"}
    return [word for name, value in (fixed | values).items() for word in ("--set", f"{name}={value}")]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "precision"), [("torch", "fp32"), ("deepspeed", "bf16")])
def test_a_wavelength_tower_trains_on_both_sensors_and_answers_to_each(scenes, tmp_path, capsys, engine, precision):
    out = tmp_path / "run"
    more = {"model.channel_embedding": "wavelength", "data.missing_channels": "drop"}
    more |= {"training.engine": engine, "training.precision": precision, "training.zero_stage": 3}
    words = ["pretrain", "--domain", "remote-sensing", "--data", scenes / "manifest.csv", "--output", out, *settings(**more)]
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "Training: 8 of 24 images lacked channels of the model, which were left out: B05 in 8" in said.out + said.err
    assert "Warning: 8 of these lack more than half of the model's channels" in said.out + said.err
    record = json.loads((out / "model/domainclip.json").read_text())
    assert record["channel_embedding"] == "wavelength" and record["wavelengths_um"]["B8A"] == 0.8647
    summary = json.loads((out / "summary.json").read_text())
    assert summary["held_out"]["missing_channels"]["images"] == 2 and summary["held_out"]["images"] == 6
    assert summary["held_out"]["baselines"]["control"]["channels"] == ["B02", "B03", "B04", "B8A"]
    model = load_model(out, missing_channels="drop")
    features = model.encode_image([scenes / "s30.tif", scenes / "s32.tif"])
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    assert "made from wavelengths" in (out / "model/README.md").read_text()


@pytest.mark.slow
def test_every_kind_trains_resumes_and_loads(scenes, tmp_path, capsys):
    data = ["--domain", "remote-sensing", "--data", scenes / "manifest.csv"]
    first = tmp_path / "first"
    rgb = {"model.channels": "[B04, B03, B02]", "training.engine": "torch"}
    assert run("pretrain", *data, "--output", first, *settings(**rgb)) == 0
    for kind in ("inflated", "zero-inflated", "by-name", "wavelength"):
        out = tmp_path / kind
        more = {"model.channel_embedding": kind, "data.missing_channels": "mean", "training.engine": "torch"}
        more |= {"model.initial_weights": first, "model.tokenizer": first, "training.save_every_steps": 5}
        assert run("pretrain", *data, "--output", out, *settings(**more)) == 0
        record = json.loads((out / "model/domainclip.json").read_text())
        assert record["channel_embedding"] == kind and record["inflated_from"]["B04"] == "B04"
        kept = load_model(out, missing_channels="mean").encode_image(scenes / "s32.tif")
        # The last half once more, from its checkpoint.
        for step in sorted((out / "checkpoints").iterdir())[1:]:
            (step / "state.json").unlink()
        (out / "model/domainclip.json").unlink()
        assert run("pretrain", *data, "--output", out, "--resume") == 0
        again = load_model(out, missing_channels="mean").encode_image(scenes / "s32.tif")
        assert np.abs(kept - again).max() < 1e-5, kind
    capsys.readouterr()


@pytest.mark.slow
def test_ten_steps_on_the_starter_scenes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    more = {"model.channel_embedding": "wavelength", "starter.groups": 6, "training.batch_size": 32}
    more |= {"data.class_label": "null", "evaluation.control": "false", "model.image_size": 16}
    assert run("pretrain", "--domain", "remote-sensing", "--output", "run", *settings(**more)) == 0
    record = json.loads(Path("run/model/domainclip.json").read_text())
    assert len(record["wavelengths_um"]) == 12 and record["wavelengths_um"]["B12"] == 2.2024 and record["sar_wavelength"] is None
    assert not Path("run/model/open_clip_config.json").exists()
    scene = next(Path("starter-sets").rglob("*.tif"))
    assert run("zero-shot", "run", scene, "--classes", "forest,highways", "--set", "reading.bands=[B02,B03,B04,B08,B11,B12]") == 2
    assert "The image lacks B01, B05, B06, B07, B8A, B09 of the model's 12 channels" in capsys.readouterr().err
    words = ["zero-shot", "run", scene, "--classes", "forest,highways", "--missing-channels", "drop"]
    assert run(*words, "--set", "reading.bands=[B02,B03,B04,B08,B11,B12]") == 0
    assert "images lacked channels of the model, which were left out: B01 in" in capsys.readouterr().out
