"""Captions from labels: against hand-written texts, and the draw's independence of order and neighbours."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest

from domainclip.captions.build import CAPTION_COLUMNS, GENERATOR, build_captions, caption_table
from domainclip.captions.templates import indefinite_article, parse_template
from domainclip.domains.base import DomainFacts
from domainclip.errors import UsageError
from domainclip.sample import Caption


def _facts(templates: tuple[str, ...] = ("{a tissue} with {stroma}", "histology of {tissue}"), **changes) -> DomainFacts:
    values = {
        "domain": "pathology",
        "class_label": "tissue",
        "labels": {
            "tissue": {
                "adipose": {"names": {"en": ["adipose tissue", "fat"], "fr": ["tissu adipeux"]}},
                "gland": {"names": {"en": ["glands"]}},
            },
            "stroma": {"dense": {"names": {"en": ["dense stroma"]}}},
        },
        "prompt_templates": {"en": ["{}"]},
        "caption_templates": {"en": templates, "fr": ["coupe de {tissue}"]},
        "augmentations": {},
        "preprocessing": {
            "channels": ["red", "green", "blue"],
            "values_kind": "srgb",
            "image_size": 64,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.2, 0.2, 0.2],
        },
    }
    return DomainFacts.model_validate(values | changes)


def _samples(*labels: dict) -> pd.DataFrame:
    return pd.DataFrame({"key": [f"k{i}" for i in range(len(labels))], "labels": list(labels)})


BOTH = {"tissue": "adipose", "stroma": "dense"}
ALL_TEXTS = {"an adipose tissue with dense stroma", "a fat with dense stroma", "histology of adipose tissue", "histology of fat"}


def test_all_wordings_come_out_and_no_other():
    table = build_captions(_samples(BOTH), _facts(), per_sample=10)
    assert set(table["text"]) == ALL_TEXTS
    assert len(table) == 4


def test_columns_and_provenance():
    table = build_captions(_samples(BOTH), _facts(), per_sample=1)
    assert list(table.columns) == CAPTION_COLUMNS
    row = table.iloc[0]
    assert (row["origin"], row["generator"], row["language"], row["polarity"]) == ("template", GENERATOR, "en", 0)
    assert json.loads(row["scores"]) == {}
    assert row[["parent", "region", "licence", "section"]].isna().all()
    spelled_out = f"k0\x1f{row['text']}\x1fen\x1ftemplate".encode()
    assert row["caption_id"] == hashlib.sha256(spelled_out).hexdigest()[:24]


def test_only_templates_whose_fields_the_sample_has():
    table = build_captions(_samples({"tissue": "adipose"}), _facts(), per_sample=10)
    assert set(table["text"]) == {"histology of adipose tissue", "histology of fat"}


def test_draw_depends_on_seed_and_key_alone():
    many = pd.DataFrame({"key": [f"k{i}" for i in range(40)], "labels": [BOTH] * 40})
    together = build_captions(many, _facts(), seed=3, per_sample=2)
    backwards = build_captions(many.iloc[::-1], _facts(), seed=3, per_sample=2)
    alone = build_captions(many.iloc[[7]], _facts(), seed=3, per_sample=2)
    assert (
        together.sort_values("caption_id").reset_index(drop=True).equals(backwards.sort_values("caption_id").reset_index(drop=True))
    )
    assert list(together.loc[together["key"] == "k7", "text"]) == list(alone["text"])
    other = build_captions(many, _facts(), seed=4, per_sample=2)
    assert set(other["caption_id"]) != set(together["caption_id"])
    assert set(together["text"]) == ALL_TEXTS  # forty draws of two reach every wording
    assert together.groupby("key")["text"].nunique().eq(2).all()


def test_same_draw_in_a_process_with_other_hash_seed():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_build import _facts, _samples, BOTH, build_captions\n"
        "print('|'.join(build_captions(_samples(BOTH, BOTH), _facts(), seed=1)['caption_id']))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert seen == {"|".join(build_captions(_samples(BOTH, BOTH), _facts(), seed=1)["caption_id"])}


def test_language_uses_its_own_names_and_leaves_out_what_has_none():
    with pytest.warns(UserWarning, match="1 of 2 samples fit no caption template"):
        table = build_captions(_samples({"tissue": "adipose"}, {"tissue": "gland"}), _facts(), language="fr")
    assert list(table["text"]) == ["coupe de tissu adipeux"]
    assert list(table["language"]) == ["fr"]


def test_a_value_without_names_stands_for_itself_and_is_counted():
    with pytest.warns(UserWarning, match=r"tissue=mucosa \(1\)"):
        table = build_captions(_samples({"tissue": "mucosa"}), _facts())
    assert list(table["text"]) == ["histology of mucosa"]


def test_names_are_never_read_as_templates():
    hostile = "{tissue.__class__} {0} %s"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = build_captions(_samples({"tissue": hostile}), _facts(("x {tissue}",)))
    assert list(table["text"]) == ["x " + hostile]


def test_text_is_nfc():
    table = caption_table([("k", Caption("cafe\u0301", "fr"))])
    assert table["text"][0] == "caf\u00e9"


def test_no_sample_fits_is_an_error_that_names_the_label():
    with pytest.raises(UsageError) as error:
        build_captions(_samples({"organ": "lung"}, {}), _facts())
    assert "tissue (2)" in error.value.found


@pytest.mark.parametrize(
    ("samples", "kwargs", "found"),
    [
        (pd.DataFrame({"key": ["a"]}), {}, "labels"),
        (pd.DataFrame({"key": ["a", "a"], "labels": [BOTH, BOTH]}), {}, "repeat"),
        (_samples(BOTH), {"per_sample": 0}, "none"),
        (_samples(BOTH), {"language": "de"}, "No language"),
        (pd.DataFrame({"key": ["a"], "labels": ['{"tissue": "adipose"}']}), {}, "a str"),
    ],
)
def test_wrong_input(samples, kwargs, found):
    with pytest.raises(UsageError) as error:
        build_captions(samples, _facts(), **kwargs)
    assert found in error.value.found


def test_empty_table_gives_empty_table(tmp_path):
    table = build_captions(pd.DataFrame({"key": [], "labels": []}), _facts())
    assert list(table.columns) == CAPTION_COLUMNS
    table.to_parquet(tmp_path / "captions.parquet")


def test_parquet_round_trip(tmp_path):
    table = build_captions(_samples(BOTH, BOTH), _facts())
    table.to_parquet(tmp_path / "captions.parquet")
    assert pd.read_parquet(tmp_path / "captions.parquet").equals(table)


@pytest.mark.parametrize(
    "text",
    ["{tissue.__class__}x{", "{}", "{tissue!r}", "{tissue:>9}", "{tissue[0]}", "{a {tissue}}", "a } b", "{", "{__import__('os')}"],
)
def test_the_language_is_closed(text):
    with pytest.raises(UsageError):
        parse_template(text)


def test_template_rendering():
    template = parse_template("{{x}} {cap a tissue}, {tissue}")
    assert template.labels == ("tissue",)
    assert template.render({"tissue": "abscess"}) == "{x} An abscess, abscess"
    assert parse_template("{cap tissue}", "fr").render({"tissue": "œdème"}) == "Œdème"
    with pytest.raises(UsageError, match="article"):
        parse_template("{a tissue}", "fr")


def test_indefinite_articles():
    # Each spoken aloud by hand.
    an = "abscess,ulcer,MRI,X-ray,x-ray,H&E stain,HER2-positive tumour,8-bit image,80 mm nodule,18 mm nodule,11-band scene,hour"
    a = "nodule,unit,uniform field,ureter,uterine tube,CT,T1-weighted image,US scan,European city,one-band scene,180 mm nodule"
    assert [name for name in an.split(",") if indefinite_article(name) != "an"] == []
    assert [name for name in a.split(",") if indefinite_article(name) != "a"] == []


def test_a_million_samples_would_take_minutes_at_most():
    labels = [dict(zip(("tissue", "stroma"), pair, strict=True)) for pair in itertools.product(("adipose", "gland"), ("dense",))]
    samples = pd.DataFrame({"key": [f"k{i}" for i in range(10_000)], "labels": [labels[i % 2] for i in range(10_000)]})
    start = time.process_time()
    table = build_captions(samples, _facts(), per_sample=2)
    assert len(table) == 20_000
    assert time.process_time() - start < 3
