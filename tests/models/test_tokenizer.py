"""The trained tokenizer against stock open_clip, offline; determinism; cutting."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from open_clip.tokenizer import HFTokenizer

from domainclip.errors import UsageError
from domainclip.models.tokenizer import END, START, load_tokenizer, train_tokenizer

HARD = [
    "",
    "   ",
    "a  b\n\tc",
    f"{START} not {END} special <|pad|>",
    "café cafe\u0301 CAFÉ",
    "x &lt;b&gt; &amp;amp; y",
    "肝臓 🩻 العربية हिन्दी",
    "\x00 control",
    "word " * 200,
]


def test_stock_open_clip_gives_the_same_ids(tokenizer, texts, tmp_path):
    tokenizer.save(tmp_path)
    stock = HFTokenizer(str(tmp_path), context_length=32)
    ours = tokenizer(texts + HARD)
    assert ours.dtype == torch.int64 and ours.shape == (len(texts) + len(HARD), 32)
    assert torch.equal(ours, stock(texts + HARD))


def test_the_end_token_has_the_highest_id_and_survives_cutting(tokenizer, texts):
    end = tokenizer.vocabulary_size - 1
    ids = tokenizer(texts + HARD)
    assert (ids[:, 0] == 1).all() and (ids == end).sum(dim=1).eq(1).all()
    assert ids[-1, -1] == end
    for row in ids:
        assert (row[row.argmax() + 1 :] == 0).all()


def test_cut_texts_are_counted(tokenizer):
    short, exact = "a", "肝"  # three bytes of a script that the merges hardly know
    assert tokenizer.count_truncated([short, exact, "word " * 200, "z" * 300]) == 2
    longest = "q " * 40
    fitting = next(n for n in range(40, 0, -1) if tokenizer.count_truncated(["q " * n]) == 0)
    row = tokenizer(["q " * fitting])[0]
    assert row[-1] == tokenizer.vocabulary_size - 1  # full to the last place, and nothing is lost
    assert tokenizer.count_truncated([longest]) == 1


def test_every_script_comes_back(tokenizer, texts):
    import tokenizers

    bpe = tokenizers.Tokenizer.from_str(tokenizer.definition)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    for text in texts[2:5]:
        assert bpe.decode(bpe.encode(text).ids).strip() == text.lower()


@pytest.mark.parametrize("asked", [259, 300, 1000])
def test_the_vocabulary_is_never_larger_than_asked(texts, asked):
    trained = train_tokenizer(texts * 5, asked, 16)
    assert trained.vocabulary_size <= asked
    assert int(trained(texts).max()) == trained.vocabulary_size - 1


def test_the_order_of_the_texts_does_not_matter(texts):
    forwards, backwards = (train_tokenizer(list(order) * 3, 400, 16) for order in (texts, reversed(texts)))
    assert forwards.definition == backwards.definition


@pytest.mark.slow
def test_another_process_with_more_threads_trains_the_same_tokenizer(texts):
    code = (
        "import json,sys; from domainclip.models.tokenizer import train_tokenizer;"
        "print(train_tokenizer(json.load(sys.stdin) * 3, 400, 16).definition)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, env=environment, check=True)
    assert other.stdout.strip() == train_tokenizer(texts * 3, 400, 16).definition.strip()


def test_saved_and_loaded_are_the_same(tokenizer, texts, tmp_path):
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path, 32)
    assert torch.equal(again(texts + HARD), tokenizer(texts + HARD))
    assert (again.kind, again.vocabulary_size) == ("folder", tokenizer.vocabulary_size)
    assert not list(tmp_path.glob("*.part"))


def test_a_run_folder_names_its_models_tokenizer(tokenizer, texts, tmp_path):
    tokenizer.save(tmp_path / "model")
    assert torch.equal(load_tokenizer(tmp_path, 32)(texts), tokenizer(texts))


def test_clips_own_tokenizer():
    clip = load_tokenizer("clip", 8)
    ids = clip(["a photo of a cat", "one two three four five six seven eight nine"])
    # OpenAI's published ids of "a photo of a cat": 49406, 320, 1125, 539, 320, 2368, 49407.
    assert ids[0].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 0]
    assert ids[1, -1] == 49407 and clip.count_truncated(["a photo of a cat", "one two three four five six seven eight"]) == 1
    assert load_tokenizer("clip", 7).count_truncated(["a photo of a cat"]) == 0  # 7 tokens fill 7 places
    assert (clip.kind, clip.vocabulary_size) == ("clip", 49408)
    assert clip([]).shape == (0, 8)


@pytest.mark.parametrize(("texts", "size"), [(["words"], 100), ([], 500), (["  ", ""], 500)])
def test_impossible_training_is_refused(texts, size):
    with pytest.raises(UsageError):
        train_tokenizer(texts, size, 16)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b'{"added_tokens": [{"content": "<|pad|>", "id": 0}]}', b"[]", b"{}"])
def test_broken_folders_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UsageError, match="tokenizer"):
        load_tokenizer(tmp_path, 16)


def test_a_definition_that_the_library_refuses(tokenizer, tmp_path):
    broken = json.loads(tokenizer.definition)
    broken["model"] = {"type": "nothing"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(broken))
    with pytest.raises(UsageError, match="refuses"):
        load_tokenizer(tmp_path, 16)
