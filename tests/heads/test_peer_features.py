"""Features of other programs taken into an index; h5 files written by h5py in their layouts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from domainclip.errors import UsageError
from domainclip.heads.peer_features import features_from_h5
from domainclip.heads.retrieval import Retriever

h5py = pytest.importorskip("h5py")


def write(folder, name, features, *, encoder="enc", sized=True, corners=None):
    folder.mkdir(exist_ok=True)
    corners = np.arange(len(features) * 2).reshape(-1, 2) * 256 if corners is None else corners
    with h5py.File(folder / f"{name}.h5", "w") as file:
        coords = file.create_dataset("coords", data=corners)
        if sized:
            said = {"patch_size": 256, "patch_size_level0": 512, "level0_magnification": 40, "target_magnification": 20}
            coords.attrs.update(said)
        file.create_dataset("features", data=features).attrs.update({"encoder": encoder} if encoder else {})


def rows(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_projected_features_are_indexed_and_found(tmp_path, model):
    text = model.encode_text("red glands")
    a, b = rows(5, model.width), rows(3, model.width, 1)
    b[1] = 7 * text[0]
    write(tmp_path / "h5", "slide-a", a)
    write(tmp_path / "h5", "slide-b", b)
    facts = features_from_h5(tmp_path / "h5", tmp_path / "index", model, "projected")
    assert facts["count"] == 8 and facts["features"] == {"stated": "projected", "encoder": "enc", "tiles_without_place": 0}
    retriever = Retriever.load(tmp_path / "index", model)
    assert np.allclose(retriever.features(), np.concatenate([unit(a), unit(b)]), atol=1e-6)
    hit = retriever.search("red glands", k=1)[0]
    assert hit.score == pytest.approx(1, abs=1e-5)
    assert (hit.window.x, hit.window.y, hit.window.width) == (512, 768, 512)
    assert hit.path.endswith("slide-b.h5")
    table = pd.read_parquet(tmp_path / "index" / "index.parquet")
    assert table["group"].nunique() == 2 and table["key"].is_unique
    assert table["image_width"].tolist() == [256] * 8
    assert "slide-" not in (tmp_path / "index" / "index.json").read_text()


def test_unit_is_checked(tmp_path, model):
    write(tmp_path / "h5", "good", unit(rows(4, model.width)).astype(np.float16))
    write(tmp_path / "h5", "bad", 2 * unit(rows(4, model.width)))
    facts = features_from_h5(tmp_path / "h5", tmp_path / "emb", model, "unit", kind="embed")
    assert (facts["count"], facts["rejected"]) == (4, 1)
    assert "unit norm; norms are 2 to 2" in json.loads((tmp_path / "emb" / "rejected.jsonl").read_text())["reason"]


def test_what_does_not_fit_is_refused(tmp_path, model):
    def refused(word, name="h5", state="projected"):
        with pytest.raises(UsageError, match=word):
            features_from_h5(tmp_path / name, tmp_path / "out", model, state)
        assert not (tmp_path / "out").exists()

    refused("no .h5 file", "absent")
    write(tmp_path / "h5", "a", rows(2, model.width + 1))
    refused(f"{model.width + 1} numbers; those of the model have {model.width}")
    refused("another space", state="unprojected")
    refused("projcted", state="projcted")
    write(tmp_path / "two", "a", rows(2, model.width), encoder="uni")
    write(tmp_path / "two", "b", rows(2, model.width), encoder="conch_v1")
    refused("different encoders", "two")
    write(tmp_path / "twice", "a", rows(2, model.width))
    write(tmp_path / "twice", "a_patches", rows(2, model.width))
    refused("one slide", "twice")
    write(tmp_path / "zero", "a", np.zeros((2, model.width), np.float32))
    refused("zero throughout", "zero")


def test_clam_without_and_with_the_coordinates(tmp_path, model):
    corners = np.array([[0, 0], [300, 0]])
    write(tmp_path / "h5", "a", rows(2, model.width), sized=False, encoder=None, corners=corners)
    facts = features_from_h5(tmp_path / "h5", tmp_path / "one", model, "projected")
    assert facts["features"] == {"stated": "projected", "encoder": None, "tiles_without_place": 2}
    assert Retriever.load(tmp_path / "one", model).search("red", k=1)[0].window is None
    (tmp_path / "clam" / "patches").mkdir(parents=True)
    with h5py.File(tmp_path / "clam" / "patches" / "a.h5", "w") as file:
        coords = file.create_dataset("coords", data=corners)
        coords.attrs.update({"patch_size": 224, "patch_level": 0})
    facts = features_from_h5(tmp_path / "h5", tmp_path / "two", model, "projected", coordinates=tmp_path / "clam")
    assert facts["features"]["tiles_without_place"] == 0
    windows = pd.read_parquet(tmp_path / "two" / "index.parquet")[["x", "y", "width", "height"]]
    assert windows.to_numpy().tolist() == [[0, 0, 224, 224], [300, 0, 224, 224]]


@pytest.mark.slow
def test_a_file_on_which_the_library_hangs_or_dies_is_one_rejected_file(tmp_path, model):
    """A FIFO in place of a file never answers; the process that waits for it is ended, and the next file is read."""
    import os

    from domainclip.heads.peer_reading import read_supervised

    write(tmp_path / "h5", "b", rows(2, model.width))
    os.mkfifo(tmp_path / "h5" / "a.h5")
    jobs = [(tmp_path / "h5" / name, None) for name in ("b.h5", "a.h5", "b.h5")]
    first, second, third = read_supervised(jobs, None, seconds=20)
    assert second.startswith("reading took longer than 20 s")
    assert np.array_equal(first.values, rows(2, model.width)) and third.coordinates.boxes.shape == (2, 4)
