"""Every domain conforms, and the conformance suite sees a domain that does not."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from domainclip.domains.base import Gathering, domains
from domainclip.domains.check import check_domain
from domainclip.sample import Pixels, SourceItem
from domainclip.starter import make_starter_set

GROUPS = {"pathology": 3, "radiology": 12, "remote-sensing": 6}
"""As few as each generator allows."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A file of each domain, made as the starter set makes them."""
    made: dict[str, list[SourceItem]] = {}

    def of(name: str) -> list[SourceItem]:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            manifest = make_starter_set(name, folder / "set", groups=GROUPS[name], seed=5, workers=1)
            with manifest.open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))[:1]
            made[name] = [SourceItem(manifest.parent / row["path"], Path(row["path"]).name) for row in rows]
        return made[name]

    return of


@pytest.mark.parametrize("name", ["pathology", "radiology", "remote-sensing"])
def test_every_domain_conforms(name, examples):
    assert check_domain(domains.get(name), examples(name)) == ()


def test_pathology_conforms_on_flat_patches_too(tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "patch.png")
    Image.fromarray(pixels).save(tmp_path / "patch.jpg")
    assert check_domain(domains.get("pathology"), [tmp_path / "patch.png", tmp_path / "patch.jpg"]) == ()


class Faulty:
    """A domain with one fault: a wrapper around a good one."""

    def __init__(self, inner, **faults):
        self.name, self.facts, self.reading_model = inner.name, inner.facts, inner.reading_model
        self.inner, self.faults = inner, faults
        for name in ("name", "facts", "reading_model"):
            if name in faults:
                setattr(self, name, faults[name])

    def recognises(self, path):
        return self.faults.get("recognises", self.inner.recognises)(path)

    def inspect(self, path):
        return self.faults.get("inspect", self.inner.inspect)(path)

    def gathered(self, paths, reading=None):
        return self.faults.get("gathered", self.inner.gathered)(paths, reading)

    def samples(self, item, reading):
        change = self.faults.get("samples", lambda sample, item: sample)
        for sample in self.inner.samples(item, reading):
            yield change(sample, item)


def _eager(sample, item):
    pixels = sample.read()
    return sample.with_(reader=_Fixed(pixels))


@dataclasses.dataclass
class _Fixed:
    pixels: Pixels

    def __call__(self):
        return self.pixels


class _Restless:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return Pixels(np.full((3, 8, 8), self.count, np.uint8))


def _pathology():
    return domains.get("pathology")


FAULTS = {
    "facts: are of": lambda: {"name": "other"},
    "accepts an option": lambda: {"reading_model": __import__("pydantic").create_model("Loose", x=(int, 1))},
    "is not among the labels": lambda: {"facts": _pathology().facts.model_copy(update={"class_label": "none"})},
    "takes a text file": lambda: {"recognises": lambda path: path.is_file()},
    "does not know its own": lambda: {"recognises": lambda path: False},
    "names a path": lambda: {"inspect": lambda path: dataclasses.replace(_pathology().inspect(path), group=str(path))},
    "disagree": lambda: {"inspect": lambda path: dataclasses.replace(_pathology().inspect(path), width=1)},
    "keys are not unique": lambda: {"samples": lambda sample, item: sample.with_(key=item.name)},
    "keys are not the item's name": lambda: {"samples": lambda sample, item: sample.with_(key=f"{item.path}#{sample.key}")},
    "meanwhile succeeded": lambda: {"samples": _eager},
    "cannot pickle": lambda: {"samples": lambda sample, item: sample.with_(reader=(lambda: sample.read()))},
    "two reads differ": lambda: {"samples": lambda sample, item: sample.with_(reader=_Restless())},
    "channels are named": lambda: {"samples": lambda sample, item: sample.with_(channels=("red",))},
    "has no group": lambda: {"samples": lambda sample, item: sample.with_(group="")},
    "has two roles": lambda: {"gathered": lambda paths, reading: Gathering({paths[0]: (paths[0],)})},
    "does not open its own example": lambda: {
        "gathered": lambda paths, reading: Gathering({}, ((paths[0], "no"), (paths[-1], "no")))
    },
    "order of the files": lambda: {"gathered": lambda paths, reading: Gathering({paths[0]: ()})},
    "reason names a path": lambda: {"gathered": lambda paths, reading: Gathering({}, ((paths[0], paths[0].name),))},
    "captions are lost": lambda: {"samples": lambda sample, item: sample.with_(captions=())},
    "not UnreadableFileError": lambda: {"inspect": _raises_usage},
}


def _raises_usage(path):
    from domainclip.errors import UnreadableFileError, UsageError

    try:
        return _pathology().inspect(path)
    except UnreadableFileError as error:
        raise UsageError("a", "b", "c") from error


@pytest.mark.parametrize("word", FAULTS)
def test_faults_are_seen(word, examples):
    problems = check_domain(Faulty(_pathology(), **FAULTS[word]()), examples("pathology")[:1])
    assert any(word in problem or (word == "cannot pickle" and "pickle" in problem) for problem in problems), problems
