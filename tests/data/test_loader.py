"""Batches: exact resume, one order for every world size, captions and augmentation drawn from (seed, epoch, row)."""

import logging
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from png_domain import DOMAIN

from domainclip.batch import Batch
from domainclip.config import DataConfig
from domainclip.data.caption_draw import caption_group, mixed
from domainclip.data.loader import BatchLoader
from domainclip.data.prepare import prepare
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.sources import open_source
from domainclip.data.transforms import transform
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing

PREPROCESSING = Preprocessing(
    channels=("red", "green", "blue"), values_kind="srgb", image_size=16, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3)
)
STEPS = [{"name": "D4", "p": 1.0}, {"name": "RandomResizedCrop", "scale": [0.5, 1.0], "p": 0.5}]


class Letters:
    """A tokenizer of one token a letter."""

    context_length = 24

    def __call__(self, texts):
        rows = [[ord(letter) for letter in text[:24]] for text in texts]
        return torch.tensor([row + [0] * (24 - len(row)) for row in rows])

    def count_truncated(self, texts):
        return sum(len(text) > 24 for text in texts)


def text_of(tokens):
    return "".join(chr(n) for n in tokens.tolist() if n)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedSet:
    folder = tmp_path_factory.mktemp("loader")
    rng = np.random.default_rng(0)
    rows = ["path,caption,language,group,split,label"]
    for n in range(50):
        Image.fromarray(rng.integers(0, 256, (20 + n % 3, 24, 3), dtype=np.uint8)).save(folder / f"{n}.png")
        split = "train" if n < 43 else "held_out"
        for m in range(1 + n % 3):
            rows.append(f"{n}.png,text {n % 40} {m},{'en' if m else 'de'},g{n},{split},cat")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    source = open_source(DataConfig(source=str(folder / "manifest.csv")), DOMAIN)
    return prepare(source, DOMAIN, folder / "set", workers=0, val_fraction=0)


def loader(prepared, batch_size=8, seed=5, split="train", **more) -> BatchLoader:
    return BatchLoader(prepared, split, PREPROCESSING, Letters(), batch_size=batch_size, seed=seed, **more)


def same(one: Batch, two: Batch):
    assert one.keys == two.keys and one.languages == two.languages
    for name in ("images", "tokens", "caption_groups", "image_groups"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=0)


def test_a_batch_holds_what_the_set_says(prepared):
    batch = loader(prepared).batch(0)
    assert batch.images.shape == (8, 3, 16, 16) and batch.images.dtype == torch.float32
    assert batch.tokens.dtype == batch.caption_groups.dtype == torch.int64
    assert batch.masks is None
    rows = {row["key"]: row for _, row in prepared.index.iterrows()}
    for n, key in enumerate(batch.keys):
        row = rows[key]
        expected = transform(prepared.read(row), prepared.sample(row).values, row["channels"], PREPROCESSING)
        torch.testing.assert_close(batch.images[n], expected, rtol=0, atol=0)
        mine = {(c.text, c.language) for c in prepared.captions_of(key)}
        assert (text_of(batch.tokens[n]), batch.languages[n]) in mine
        assert batch.caption_groups[n] == caption_group(text_of(batch.tokens[n]))
        known = [caption_group(c.text) for c in prepared.captions_of(key)]
        assert sorted(batch.image_groups[n].tolist()) == sorted(known + [-1] * (3 - len(known)))


def test_an_epoch_is_a_permutation_and_the_rest_is_another_each_time(prepared):
    ours = loader(prepared)
    assert ours.steps_per_epoch == 43 // 8
    epochs = [[key for step in range(e * 5, e * 5 + 5) for key in ours.batch(step).keys] for e in range(8)]
    assert all(len(set(keys)) == 40 for keys in epochs)
    assert len({tuple(keys) for keys in epochs}) == 8
    left_out = [frozenset(ours.rows["key"]) - set(keys) for keys in epochs]
    assert len(set(left_out)) > 4


def test_a_batch_is_a_function_of_its_step(prepared):
    ours, again = loader(prepared, augmentation=STEPS), loader(prepared, augmentation=STEPS)
    batches = {step: ours.batch(step) for step in (9, 0, 4, 7)}
    for step in (0, 4, 7, 9):
        same(batches[step], again.batch(step))
    for step, batch in zip(range(4, 10), ours.iterate(4), strict=False):
        same(batch, again.batch(step))


def test_threads_and_the_size_of_the_cache_change_nothing(prepared):
    plain = loader(prepared, augmentation=STEPS, cache_gib=0)
    threads = loader(prepared, augmentation=STEPS, workers=3)
    for step, batch in zip(range(12), threads.iterate(), strict=False):
        same(batch, plain.batch(step))


def test_two_processes_see_the_batch_of_one(prepared):
    one = loader(prepared, batch_size=8, augmentation=STEPS)
    halves = [loader(prepared, batch_size=4, rank=rank, world_size=2, augmentation=STEPS) for rank in (0, 1)]
    for step in (0, 3, 5, 11):
        whole, parts = one.batch(step), [half.batch(step) for half in halves]
        assert whole.keys == parts[0].keys + parts[1].keys
        torch.testing.assert_close(whole.images, torch.cat([p.images for p in parts]), rtol=0, atol=0)
        torch.testing.assert_close(whole.tokens, torch.cat([p.tokens for p in parts]), rtol=0, atol=0)


AGAIN = """
import sys
sys.path.insert(0, {here!r})
import importlib.util, torch
spec = importlib.util.spec_from_file_location("again", {file!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
batch = module.loader(module.PreparedSet({folder!r}), augmentation=module.STEPS).batch(6)
torch.save([batch.images, batch.tokens, list(batch.keys)], {output!r})
"""


@pytest.mark.slow
def test_another_process_draws_the_same(prepared, tmp_path):
    here, output = str(Path(__file__).resolve().parent), str(tmp_path / "batch.pt")
    code = AGAIN.format(here=here, file=__file__, folder=str(prepared.folder), output=output)
    subprocess.run([sys.executable, "-c", code], check=True)
    images, tokens, keys = torch.load(output, weights_only=True)
    mine = loader(prepared, augmentation=STEPS).batch(6)
    assert list(mine.keys) == keys
    torch.testing.assert_close(mine.images, images, rtol=0, atol=0)
    torch.testing.assert_close(mine.tokens, tokens, rtol=0, atol=0)


def test_captions_of_an_image_are_drawn_equally_often(prepared):
    ours = loader(prepared, batch_size=43)
    seen = Counter((key, text_of(t)) for step in range(300) for key, t in _texts(ours, step))
    for key in ours.rows["key"]:
        counts = [count for (k, _), count in seen.items() if k == key]
        wanted = len(prepared.captions_of(key))
        assert len(counts) == wanted and sum(counts) == 300
        assert all(abs(count - 300 / wanted) < 5 * (300 / wanted * (1 - 1 / wanted)) ** 0.5 + 1 for count in counts)


def _texts(ours, step):
    positions, epochs = ours._slice(step)
    drawn = ours._captions.draw(positions, epochs)
    keys = list(ours.rows["key"])
    return [(keys[p], t) for p, t in zip(positions, ours._captions.tokens(drawn), strict=True)]


def test_a_split_smaller_than_a_batch_repeats_and_says_so(prepared):
    with pytest.warns(UserWarning, match="7 captioned images, a global batch 16"):
        ours = loader(prepared, split="held_out", batch_size=16)
    assert ours.steps_per_epoch == 1
    keys = [key for step in range(7) for key in ours.batch(step).keys]
    assert set(Counter(keys).values()) == {16}


def test_long_captions_are_counted_and_said_once(prepared, caplog):
    class Short(Letters):
        context_length = 8

        def count_truncated(self, texts):
            return sum(len(text) > 8 for text in texts)

    with caplog.at_level(logging.WARNING):
        ours = BatchLoader(prepared, "train", PREPROCESSING, Short(), batch_size=4, seed=0)
        ours.batch(0)
        ours.batch(1)
    expected = {text for text in prepared.captions["text"] if len(text) > 8}
    assert 0 < ours.truncated_captions <= len(expected)
    assert len(caplog.records) == 1


def test_images_without_captions_are_not_trained_on(prepared, monkeypatch):
    few = PreparedSet(prepared.folder)
    keys = list(few.subset("train")["key"])
    few.captions = few.captions[few.captions["key"].isin(keys[:20])]
    ours = loader(few)
    assert ours.rows_without_caption == 23
    assert {key for step in range(20) for key in ours.batch(step).keys} == set(keys[:20])
    few.captions = few.captions.iloc[:0]
    with pytest.raises(UsageError, match="None of its 43 images has a caption"):
        loader(few).batch(0)


def test_masks_come_with_the_batch(prepared, tmp_path, monkeypatch):
    from domainclip.sample import Pixels

    real = PreparedSet.read

    def with_hole(self, row):
        pixels = real(self, row)
        hole = np.zeros(pixels.array.shape[1:], bool)
        hole[:, :12] = True
        return Pixels(pixels.array, {"nodata": hole})

    monkeypatch.setattr(PreparedSet, "read", with_hole)
    batch = loader(prepared).batch(0)
    assert batch.masks.shape == (8, 16, 16) and batch.masks.dtype == torch.bool
    assert not batch.masks[:, :, :7].any() and batch.masks[:, :, 9:].all()
    assert torch.count_nonzero(batch.images[:, :, :, :7]) == 0
    turned = loader(prepared, augmentation=STEPS).batch(0)
    assert torch.count_nonzero(turned.images.masked_select(~turned.masks[:, None])) == 0


def test_caption_groups_are_stable_numbers_of_the_words():
    assert caption_group("A  cat .") == caption_group("a cat") == caption_group("A CAT.")
    assert caption_group("a cat") != caption_group("a dog")
    assert caption_group("cafe\u0301") == caption_group("café")
    import hashlib

    assert caption_group("a cat") == int.from_bytes(hashlib.blake2b(b"a cat", digest_size=8).digest(), "big") // 2
    assert 0 <= caption_group("x") < 2**63


def test_the_hash_is_splitmix64():
    # First outputs of SplitMix64 from seed 0 and from seed 1234567 (Vigna's splitmix64.c).
    assert int(mixed(0)) == 0xE220A8397B1DCDAF
    assert int(mixed(1234567)) == 6457827717110365317


def test_a_uniform_hash(prepared):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draws = mixed(3, np.arange(60000, dtype=np.uint64)) % np.uint64(6)
    assert np.abs(np.bincount(draws.astype(int)) - 10000).max() < 5 * (60000 * 5 / 36) ** 0.5
