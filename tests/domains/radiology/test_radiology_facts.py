"""The words of the domain: they read well with every class, and the augmentations keep left and right apart."""

import numpy as np
import pandas as pd

from domainclip.captions.build import build_captions
from domainclip.data.augment import Augmentation
from domainclip.starter.radiology import FINDINGS


def test_every_finding_has_names_and_nothing_reads_no_no(radiology):
    facts = radiology.facts
    assert set(facts.labels["finding"]) == set(FINDINGS) and len(FINDINGS) >= 6
    prompts = [t.format(n) for t in facts.prompt_templates["en"] for c in facts.labels["finding"].values() for n in c.names["en"]]
    assert len(set(prompts)) == len(prompts)
    for prompt in prompts:
        assert "no no" not in prompt.lower() and "a no " not in prompt.lower() and "a a " not in prompt.lower()


def test_names_of_classes_are_distinct(radiology):
    names = [n for c in radiology.facts.labels["finding"].values() for n in c.names["en"]]
    assert len(set(names)) == len(names)


def test_caption_templates_without_a_report(radiology):
    labels = [
        {"finding": "no_finding", "view": "PA"},
        {"finding": "cardiomegaly"},
        {"finding": "pneumothorax", "side": "left", "size": "small", "view": "AP", "composition": "seen"},
    ]
    table = build_captions(pd.DataFrame({"key": ["a", "b", "c"], "labels": labels}), radiology.facts, per_sample=12)
    counts = table.groupby("key").size()
    assert (counts >= 6).all()
    assert not table["text"].str.contains(r"\bno no\b|\ba an?\b|\ban a\b|[{}_]", case=False, regex=True).any()
    assert table.loc[table["key"] == "c", "text"].str.contains("left").any()


def test_augmentation_runs_and_never_mirrors(radiology):
    steps = radiology.facts.augmentations["default"]
    assert not {"HorizontalFlip", "VerticalFlip", "D4", "Transpose", "SquareSymmetry", "RandomRotate90"} & {
        s["name"] for s in steps
    }
    Augmentation(steps, 0)
    assert radiology.facts.preprocessing.channels == ("MONOCHROME2",) and not radiology.facts.reviewed
    assert np.isfinite(radiology.facts.preprocessing.mean).all()
