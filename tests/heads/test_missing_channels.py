"""Images that lack channels of the model: refused by name, filled with the mean, or left out by a wavelength tower."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from domainclip.cli.main import main as command_line
from domainclip.config import ModelConfig
from domainclip.data.missing_channels import fit_channels
from domainclip.data.transforms import transform, transform_planes
from domainclip.domains.remote_sensing.sensors import known_wavelengths as wavelengths
from domainclip.errors import UsageError
from domainclip.heads.domain_model import load_model
from domainclip.heads.embed import embed
from domainclip.heads.retrieval import Retriever
from domainclip.model_record import ModelRecord, Preprocessing
from domainclip.models.checkpoint import save_model
from domainclip.models.tokenizer import train_tokenizer
from domainclip.models.towers import build_model
from domainclip.sample import Pixels, Sample, Values

S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
MEAN, STD = tuple(0.1 + 0.02 * i for i in range(12)), tuple(0.05 + 0.01 * i for i in range(12))
RNG = np.random.default_rng(0)
SCENE = RNG.uniform(0.05, 0.6, (12, 20, 24)).astype(np.float32)


def save_s2(folder: Path, kind="inflated") -> Path:
    tokenizer = train_tokenizer(["a scene of fields", "a scene of water and forest"] * 3, 300, 16)
    config = ModelConfig(architecture="tiny-vit", channel_embedding=kind)
    waves = wavelengths(S2, "sentinel-2") if kind == "wavelength" else {}
    model = build_model(config, S2, vocabulary_size=tokenizer.vocabulary_size, wavelengths_um=waves)
    if kind == "wavelength":
        model.clip.visual.conv1.to_kernel.weight.data.mul_(30.0)  # as after training: the image decides, not the position
    preprocessing = Preprocessing(channels=S2, values_kind="reflectance", image_size=16, mean=MEAN, std=STD)
    record = ModelRecord(
        domain="remote-sensing", architecture="tiny-vit", model_cfg=model.model_cfg, preprocessing=preprocessing,
        context_length=16, tokenizer="folder",
    )  # fmt: skip
    save_model(folder, model, record, tokenizer)
    return folder


def main(words) -> int:
    with pytest.raises(SystemExit) as left:
        command_line([str(word) for word in words])
    return left.value.code


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("missing")
    return {kind: save_s2(root / kind, kind) for kind in ("inflated", "wavelength")}


def sample(bands, array=SCENE) -> Sample:
    """A sample of some of the scene's bands, in their own order."""
    picked = Pixels(array[[S2.index(name) for name in bands]])
    return Sample("scene", "CYX", tuple(bands), Values("reflectance"), lambda: picked)


def write_scene(path: Path, bands, array=SCENE) -> Path:
    import rasterio
    from rasterio.transform import from_origin

    stored = (array[[S2.index(name) for name in bands]] * 10000).round().astype("uint16")
    with rasterio.open(
        path, "w", driver="GTiff", height=20, width=24, count=len(bands), dtype="uint16", crs="EPSG:32632",
        transform=from_origin(5e5, 5e6, 10, 10),
    ) as file:  # fmt: skip
        file.write(stored)
        file.descriptions = tuple(bands)
        file.scales = (1e-4,) * len(bands)
    return path


def test_an_rgb_picture_to_a_twelve_band_model_names_both(folders, tmp_path, capsys):
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.fromarray(RNG.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(picture)
    model = load_model(folders["inflated"])
    with pytest.raises(UsageError) as caught:
        model.encode_image(picture)
    for words in ("B01, B02, B03, B04, B05, B06, B07, B08, B8A, B09, B11, B12", "it has red, green, blue"):
        assert words in str(caught.value)
    with pytest.raises(UsageError, match=r"It has the bands R, G, B; the model takes 12 channels of reflectance \(B01"):
        model.encode_image(Image.open(picture))
    for words in (["zero-shot", picture, "--classes", "a,b"], ["embed", picture, "--output", tmp_path / "out"]):
        assert main([words[0], str(folders["inflated"]), *map(str, words[1:])]) == 2
        said = capsys.readouterr().err
        assert "B01, B02, B03, B04" in said and "it has red, green, blue" in said and "missing_channels" in said


def test_mean_is_zero_after_normalising_and_the_rest_as_before():
    preprocessing = Preprocessing(channels=S2, values_kind="reflectance", image_size=16, mean=MEAN, std=STD)
    whole = transform(Pixels(SCENE), Values("reflectance"), S2, preprocessing)
    bands = ("B12", "B03", "B08")
    some = Pixels(SCENE[[S2.index(name) for name in bands]])
    filled = transform(some, Values("reflectance"), bands, preprocessing, "mean")
    present = [S2.index(name) for name in bands]
    assert torch.equal(filled[present], whole[present])
    assert not filled[[i for i in range(12) if i not in present]].any()
    # The same as an image whose missing bands hold the model's mean everywhere.
    array = np.broadcast_to(np.array(MEAN, np.float32)[:, None, None], SCENE.shape).copy()
    array[present] = SCENE[present]
    assert (transform(Pixels(array), Values("reflectance"), S2, preprocessing) - filled).abs().max() < 1e-5
    assert transform(some, Values("reflectance"), bands, preprocessing, "drop").shape == (3, 16, 16)
    series = Pixels(np.stack([some.array, some.array]))
    assert transform_planes(series, "TCYX", Values("reflectance"), bands, preprocessing, "mean").shape == (2, 12, 16, 16)
    fit = fit_channels(bands, preprocessing, "mean")
    assert (
        fit.present == ("B03", "B08", "B12")
        and fit.mostly_missing
        and not fit_channels(S2[:6], preprocessing, "mean").mostly_missing
    )


def test_none_of_the_channels_is_never_filled():
    preprocessing = Preprocessing(channels=S2, values_kind="db", image_size=16, mean=MEAN, std=STD)
    for rule in ("mean", "drop"):
        with pytest.raises(UsageError, match="it has VV, VH"):
            fit_channels(("VV", "VH"), preprocessing, rule)


def test_dropping_is_encoding_with_what_is_there(folders):
    model = load_model(folders["wavelength"], missing_channels="drop")
    bands = ("B08", "B02", "B04", "B03", "B05", "B06")
    features = model.encode_image([sample(S2), sample(bands), sample(S2[:9]), sample(bands)])
    ordered = tuple(name for name in S2 if name in bands)
    tensor = model.to_tensor(_image(sample(S2)))
    part = tensor[:, [S2.index(name) for name in ordered]]
    with torch.inference_mode():
        alone = model.clip(images=part, mode="image", channels=ordered).image_features.numpy()
    assert np.abs(features[1] - alone[0]).max() < 1e-6 and np.abs(features[1] - features[3]).max() < 1e-6
    assert np.abs(features[0] - features[1]).max() > 1e-3
    with pytest.raises(UsageError, match=r"first layer \(inflated\) has a plane for each"):
        load_model(folders["inflated"], missing_channels="drop")
    with pytest.raises(UsageError, match="No rule for missing channels is called 'zero'"):
        load_model(folders["inflated"], missing_channels="zero")


def _image(one: Sample):
    from domainclip.heads.inputs import Image

    return Image(one.read(), one.values, one.channels)


def test_more_than_half_filled_is_said_once(folders):
    model = load_model(folders["inflated"], missing_channels="mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode_image(sample(S2[:6]))
    with pytest.warns(UserWarning, match=r"lacks 7 of the model's 12 channels \(B06, .*, which hold the model's mean"):
        model.encode_image(sample(S2[:5]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode_image(sample(S2[:5]))


def test_outputs_record_the_rule_and_what_was_filled(folders, tmp_path, capsys):
    source = tmp_path / "scenes"
    source.mkdir()
    write_scene(source / "whole.tif", S2)
    write_scene(source / "part.tif", S2[:10])
    write_scene(source / "few.tif", ("B02", "B03", "B04", "B8A"))
    command = ["embed", str(folders["inflated"]), str(source), "--output"]
    assert main([*command, str(tmp_path / "refused")]) == 0
    said = capsys.readouterr().out
    assert "1 images embedded" in said and "2 files rejected" in said and "lacked channels" not in said
    assert json.loads((tmp_path / "refused/embed.json").read_text())["missing_channels"] == {
        "rule": "refuse", "images": 0, "channels": {},
    }  # fmt: skip
    assert main([*command, str(tmp_path / "filled"), "--missing-channels", "mean"]) == 0
    out, err = capsys.readouterr()
    recorded = json.loads((tmp_path / "filled/embed.json").read_text())["missing_channels"]
    assert recorded["rule"] == "mean" and recorded["images"] == 2
    assert recorded["channels"] == {
        name: 1 if name not in ("B11", "B12") else 2 for name in S2 if name not in ("B02", "B03", "B04", "B8A")
    }
    assert "2 of 3 images lacked channels of the model, which were filled with the model's mean:" in out and "B12 in 2" in out
    assert "Warning: An image lacks 8 of the model's 12 channels" in err
    words = ["zero-shot", str(folders["wavelength"]), str(source / "few.tif"), "--classes", "fields,water"]
    assert main([*words, "--output", str(tmp_path / "table"), "--missing-channels", "drop"]) == 0
    assert "1 of 1 images lacked channels of the model, which were left out: B01 in 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "table/predictions.json").read_text())["missing_channels"]["rule"] == "drop"


def test_an_index_is_searched_by_its_own_rule(folders, tmp_path, capsys):
    source = write_scene(tmp_path / "part.tif", S2[:9])
    index = tmp_path / "index"
    assert main(["index", str(folders["wavelength"]), str(source), "--output", str(index), "--missing-channels", "drop"]) == 0
    assert main(["search", str(index), "--image", str(source)]) == 0
    assert "1.000" in capsys.readouterr().out
    assert main(["search", str(index), "--image", str(source), "--missing-channels", "refuse"]) == 2
    assert "The image lacks B09, B11, B12 of the model's 12" in capsys.readouterr().err
    assert main(["search", str(index), "water", "--missing-channels", "mean"]) == 2
    assert Retriever.load(index).model.missing_channels == "drop"
    hits = Retriever.load(index).search(sample(S2[:9]))
    assert hits[0].score > 0.999
    assert (
        embed(load_model(folders["wavelength"], missing_channels="mean"), source, tmp_path / "f")["missing_channels"]["images"] == 1
    )
