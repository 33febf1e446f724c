"""Which tiles a cap keeps: deterministic, spread over what there is, and nearest to prompts as an independent model says."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

import domainclip
from domainclip import heartbeat
from domainclip.domains.base import domains
from domainclip.domains.pathology import choose
from domainclip.domains.pathology.choose import diverse
from domainclip.domains.pathology.reading import PathologyReading
from domainclip.errors import UsageError
from domainclip.sample import SourceItem
from domainclip.tile_scoring import tile_scorers

PATHOLOGY = domains.get("pathology")
RNG = np.random.default_rng(2)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """64 tiles of 96 um: most of one colour, a few of two others."""
    colours = np.tile(np.array([[200, 120, 180]]), (64, 1))
    colours[[5, 40]] = (120, 60, 140)
    colours[[11, 22, 33]] = (230, 150, 160)
    image = np.kron(colours.reshape(8, 8, 3), np.ones((192, 192, 1))) + RNG.normal(0, 4, (1536, 1536, 3))
    path = tmp_path_factory.mktemp("choose") / "s.tif"
    tifffile.imwrite(path, image.clip(0, 255).astype(np.uint8), tile=(256, 256), photometric="rgb", metadata=None,
                     resolution=(2e4, 2e4), resolutionunit="CENTIMETER")  # fmt: skip
    return path


def kept(path, name="s", **reading):
    samples = list(PATHOLOGY.samples(SourceItem(path, name), PathologyReading(min_tissue=0, **reading)))
    return [round(sample.window.y / 192) * 8 + round(sample.window.x / 192) for sample in samples], samples


def test_random_depends_on_seed_and_slide_alone(slide):
    first, _ = kept(slide, max_tiles=20, choose="random")
    assert first == kept(slide, max_tiles=20, choose="random")[0] == sorted(first) and len(set(first)) == 20
    assert first != kept(slide, max_tiles=20, choose="random", choose_seed=1)[0]
    assert first != kept(slide, name="other", max_tiles=20, choose="random")[0]


def test_diverse_keeps_what_is_rare(slide):
    chosen, samples = kept(slide, max_tiles=8, choose="diverse")
    assert {5, 40} & set(chosen) and {11, 22, 33} & set(chosen)
    assert samples[0].meta["tiles"]["over_cap"] == 56
    # An even spread meets fewer of the rare ones: that is what clustering is for.
    rare = {5, 40, 11, 22, 33}
    assert len(rare & set(chosen)) > len(rare & set(kept(slide, max_tiles=8)[0]))


def test_a_slow_model_gives_signs_of_life(slide, monkeypatch):
    """A worker that is silent for 120 s is taken for lost; a model on a CPU takes longer over the tiles of a slide."""
    beats = []

    class Slow:  # imitates a model: features are the mean colour
        def text_features(self, prompts):
            return np.eye(3, dtype=np.float32)[: len(prompts)]

        def image_features(self, tiles):
            beats.append("model")
            return np.stack([tile.reshape(-1, 3).mean(axis=0) for tile in tiles]).astype(np.float32)

    monkeypatch.setitem(tile_scorers._entries, "model", lambda name: Slow())
    monkeypatch.setattr(heartbeat, "_listener", lambda: beats.append("beat"))
    kept(slide, max_tiles=5, choose="prompt", choose_model="slow", choose_prompts=("red",))
    between = "".join("m" if beat == "model" else "." for beat in beats).split("m")
    assert len(between) == 2 and len(between[0]) >= 64  # one for each tile that is read


def test_clusters_of_many_tiles_are_found_by_some_of_them(monkeypatch):
    """All rows of 100,000 tiles would take k-means minutes, without a sign of life."""
    beats = []
    monkeypatch.setattr(heartbeat, "_listener", lambda: beats.append(1))
    monkeypatch.setattr(choose, "_MOST_FITTED", 40)
    centres = RNG.normal(0, 10, (6, 3))
    features = np.concatenate([centre + RNG.normal(0, 0.01, (50, 3)) for centre in centres]).astype(np.float32)
    chosen = diverse(features, 6, seed=1)
    assert sorted(i // 50 for i in chosen) == [0, 1, 2, 3, 4, 5]  # k-means saw 40 of 300 rows, and each group gives one
    assert chosen == diverse(features, 6, seed=1) and len(beats) >= 10


def test_clusters_give_in_turn(slide):
    features = np.concatenate([np.zeros((50, 2)), np.full((3, 2), 9.0), np.full((2, 2), -9.0)]) + RNG.normal(0, 0.01, (55, 2))
    chosen = diverse(features.astype(np.float32), 3, seed=0)
    assert [i // 50 + (i >= 53) for i in chosen] == [0, 1, 2]
    assert diverse(features.astype(np.float32), 54, seed=0) == sorted(set(diverse(features.astype(np.float32), 54, seed=0)))
    assert len(diverse(np.zeros((10, 2), np.float32), 4, seed=0)) == 4  # all alike: one cluster gives all


def test_prompts_keep_the_nearest_by_the_models_own_cosines(slide):
    model = domainclip.load_model("starter-pathology")
    prompts = ("tissue of adipose", "dense lymphoid tissue")
    _, everything = kept(slide)
    cosines = model.encode_image(everything) @ model.encode_text(list(prompts)).T
    for pooling, pooled in (("max", cosines.max(axis=1)), ("sum", cosines.sum(axis=1))):
        chosen, _ = kept(slide, max_tiles=6, choose="prompt", choose_prompts=prompts, choose_model="starter-pathology",
                         choose_pooling=pooling)  # fmt: skip
        assert chosen == sorted(np.argsort(-pooled, kind="stable")[:6].tolist())


def test_diverse_takes_a_models_features(slide):
    chosen, _ = kept(slide, max_tiles=6, choose="diverse", choose_model="starter-pathology")
    assert len(chosen) == 6


@pytest.mark.parametrize("reading", [{"choose_model": "starter-pathology"}, {"choose_prompts": ("a",)}])
def test_prompts_need_a_model_and_texts(slide, reading):
    with pytest.raises(UsageError, match="choose_prompts"):
        kept(slide, max_tiles=3, choose="prompt", **reading)


def test_prompts_do_not_pile_up_from_slide_to_slide(slide):
    """PathGen's script appends the findings of earlier slides to the prompts of later ones."""
    alone, _ = kept(slide, max_tiles=5, choose="prompt", choose_prompts=("necrosis",), choose_model="starter-pathology")
    kept(slide, max_tiles=5, choose="prompt", choose_prompts=("adipose tissue",), choose_model="starter-pathology")
    again, _ = kept(slide, max_tiles=5, choose="prompt", choose_prompts=("necrosis",), choose_model="starter-pathology")
    assert again == alone
