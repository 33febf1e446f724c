"""The conformance suite: what every domain must do, whoever wrote it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from domainclip.domains.base import Domain, DomainFacts, GathersFiles, Inspection
from domainclip.errors import DomainClipError, UnreadableFileError
from domainclip.sample import Caption, Sample, SourceItem

_LOOKED_AT = 5
_GROUP, _SPLIT, _LABEL, _TEXT = "check-group", "held_out", "check-value", "A caption of the owner."


def check_domain(domain: Domain, example_files: Sequence[Path | SourceItem], reading: BaseModel | None = None) -> tuple[str, ...]:
    """Holds a domain against the contract in ``domains.base``.

    Args:
        domain: The object that a domain's package exposes.
        example_files: Readable files of the domain, each complete in itself; as SourceItem where one needs the owner's help
            (a spacing, regions).
        reading: Options to read them with; None for the defaults.

    Returns:
        What is broken, one sentence each; empty when the domain conforms.
    """
    problems = [f"facts: {p}" for p in _facts(domain)] + [f"reading_model: {p}" for p in _reading_model(domain)]
    options = reading if reading is not None else domain.reading_model()
    if not example_files:
        problems.append("no example file was given, so nothing is known of the reader")
    with tempfile.TemporaryDirectory(prefix="domainclip-check-") as scratch:
        for number, example in enumerate(example_files):
            item = example if isinstance(example, SourceItem) else SourceItem(example, f"example-{number}{example.suffix}")
            for check in (_recognises, _gathers, _inspect, _samples, _owner_wins, _lazy, _broken):
                label = f"{check.__name__.strip('_')} ({item.name})"
                problems += [
                    f"{label}: {problem}" for problem in _guarded(check, domain, item, options, Path(scratch) / str(number))
                ]
    return tuple(problems)


Check = Callable[[Domain, SourceItem, BaseModel, Path], Iterator[str]]


def _guarded(check: Check, domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> list[str]:
    try:
        return list(check(domain, item, options, scratch))
    except Exception as error:  # noqa: BLE001 - a foreign domain may raise anything; it is reported, not hidden.
        return [f"raised {type(error).__name__}: {error}"]


def _facts(domain: Domain) -> Iterator[str]:
    facts = domain.facts
    if not isinstance(facts, DomainFacts):
        yield "is no DomainFacts"
        return
    if facts.domain != domain.name:
        yield f"are of {facts.domain!r}, the domain is {domain.name!r}"
    if facts.class_label not in facts.labels:
        yield f"the class label {facts.class_label!r} is not among the labels"
    elif len(facts.labels[facts.class_label]) < 2:
        yield "there are fewer than two classes"
    for label, values in facts.labels.items():
        for value, names in values.items():
            if not names.names.get("en") or not all(name.strip() for some in names.names.values() for name in some):
                yield f"{label}={value} has no English name, or an empty one"
    templates = [text for some in facts.prompt_templates.values() for text in some]
    if not templates or any(text.count("{}") != 1 for text in templates):
        yield "every language needs prompt templates with one {} each"
    if not any(facts.caption_templates.values()):
        yield "there are no caption templates"
    for text in (text for some in facts.caption_templates.values() for text in some):
        fields = [field.split()[-1] for field in re.findall(r"\{([^{}]+)\}", text.replace("{{", "").replace("}}", ""))]
        if unknown := sorted(set(fields) - {*facts.labels, *facts.open_labels}):
            yield f"the caption template {text!r} names unknown labels {unknown}"
    p = facts.preprocessing
    if not len(p.channels) == len(p.mean) == len(p.std) or min(p.std, default=0) <= 0:
        yield "preprocessing needs one mean and one positive std for each channel"
    if any("name" not in step for steps in facts.augmentations.values() for step in steps):
        yield "an augmentation step has no name"


def _reading_model(domain: Domain) -> Iterator[str]:
    try:
        default = domain.reading_model()
    except ValidationError:
        yield "has fields without defaults"
        return
    try:
        domain.reading_model.model_validate({"no_such_option_": 1})
        yield "accepts an option that it does not have"
    except ValidationError:
        pass
    if domain.reading_model.model_validate(json.loads(json.dumps(default.model_dump(mode="json")))) != default:
        yield "does not survive JSON"


def _recognises(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    if domain.recognises(item.path) is not True:
        yield "does not know its own example"
    scratch.mkdir(exist_ok=True)
    if domain.recognises(scratch):
        yield "takes a folder for an image"
    domain.recognises(scratch / f"gone{item.path.suffix}")  # must not raise
    text = scratch / "notes.txt"
    text.write_text("words", encoding="utf-8")
    if domain.recognises(text):
        yield "takes a text file for an image"
    for content in (b"", b"II", bytes(range(256))):
        (scratch / f"odd{item.path.suffix}").write_bytes(content)
        domain.recognises(scratch / f"odd{item.path.suffix}")  # must not raise


def _gathers(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    if not isinstance(domain, GathersFiles):
        return
    paths = [item.path, scratch / "notes.txt", scratch / f"gone{item.path.suffix}", scratch / f"odd{item.path.suffix}"]
    seen = domain.gathered(paths, options)
    absorbed = [path for some in seen.members.values() for path in some]
    named = [*seen.members, *absorbed, *(path for path, _ in seen.rejected)]
    if len(set(named)) != len(named) or not set(named) <= set(paths):
        yield "a file has two roles, or was never given"
    if item.path in named and item.path not in seen.members:
        yield "does not open its own example"
    if domain.gathered(paths[::-1], options) != seen:
        yield "the order of the files matters"
    if any(path.name in reason or str(path.parent) in reason for path, reason in seen.rejected):
        yield "a reason names a path"


def _inspect(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    seen = domain.inspect(item.path)
    if not isinstance(seen, Inspection):
        yield "returns no Inspection"
        return
    if seen.width < 1 or seen.height < 1 or not seen.levels or tuple(seen.levels[0][:2]) != (seen.width, seen.height):
        yield "width, height and level 0 disagree"
    if not seen.format or not seen.dtype or not seen.values:
        yield "format, dtype or values is empty"
    if seen.spacing is not None and not ({"unit", "source"} <= set(seen.spacing)):
        yield "spacing lacks unit or source"
    text = json.dumps(dataclasses.asdict(seen))  # raises where a value is not plain
    if str(item.path.parent) in text:
        yield "names a path"


def _samples(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    samples = list(domain.samples(item, options))
    keys = [sample.key for sample in samples]
    if not samples:
        yield "there are none"
    if len(set(keys)) != len(keys):
        yield "keys are not unique"
    if [sample.key for sample in domain.samples(item, options)] != keys:
        yield "a second call gives other keys"
    if not all(key == item.name or key.startswith(f"{item.name}#") for key in keys):
        yield "keys are not the item's name, with '#' and a part after it"
    if any(str(item.path.parent) in key for key in keys):
        yield "a key holds a path"
    for sample in samples[:_LOOKED_AT]:
        yield from _one_sample(sample)


def _one_sample(sample: Sample) -> Iterator[str]:
    if sample.axes not in {"CYX", "CZYX", "TCYX"}:
        yield f"axes are {sample.axes!r}"
    try:
        sample.key = "changed"  # type: ignore[misc]
        yield "a sample can be changed"
    except AttributeError:
        pass
    if not sample.group:
        yield "a sample has no group"
    spatial = len(sample.axes) - 1 - sample.axes.count("T")
    if sample.spacing is not None and (len(sample.spacing.values) != spatial or min(sample.spacing.values) <= 0):
        yield "spacing is not one positive number for each spatial axis"
    if sample.spacing is not None and not sample.spacing.source:
        yield "spacing has no source"
    ForkingPickler.dumps(sample.reader)  # raises where the reader cannot go to a worker process
    pixels, again = sample.read(), sample.read()
    if pixels.array.ndim != len(sample.axes):
        yield f"axes {sample.axes} but {pixels.array.ndim} dimensions"
    elif pixels.array.shape[sample.axes.index("C")] != len(sample.channels):
        yield f"{len(sample.channels)} channels are named, {pixels.array.shape} is the shape"
    grid = tuple(size for size, axis in zip(pixels.array.shape, sample.axes, strict=False) if axis != "C")
    if any(mask.dtype != np.bool_ or mask.shape != grid for mask in pixels.masks.values()):
        yield "a mask is not boolean on the pixels' grid"
    if not np.array_equal(pixels.array, again.array, equal_nan=np.issubdtype(pixels.array.dtype, np.floating)):
        yield "two reads differ"


def _owner_wins(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    owned = dataclasses.replace(
        item, group=_GROUP, split=_SPLIT, labels={**item.labels, "check": _LABEL}, captions=(Caption(_TEXT),)
    )
    for sample in islice(domain.samples(owned, options), _LOOKED_AT):
        if (sample.group, sample.split, sample.labels.get("check")) != (_GROUP, _SPLIT, _LABEL):
            yield "the owner's group, split or labels are lost"
        if _TEXT not in [caption.text for caption in sample.captions]:
            yield "the owner's captions are lost"


def _lazy(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    copy = scratch / f"leaves{item.path.suffix}"
    shutil.copyfile(item.path, copy)
    sample = next(iter(domain.samples(dataclasses.replace(item, path=copy), options)))
    # Emptied in place and not removed: a handle that is still open would go on reading a removed file.
    copy.write_bytes(b"")
    yield from _refused(sample.read, copy, "reading a file that was emptied meanwhile")


def _broken(domain: Domain, item: SourceItem, options: BaseModel, scratch: Path) -> Iterator[str]:
    whole = item.path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8).tobytes()
    for what, content in (("an empty file", b""), ("noise", noise), ("the first 40 bytes", whole[:40])):
        path = scratch / f"patient-4711{item.path.suffix}"
        path.write_bytes(content)
        broken = dataclasses.replace(item, path=path)
        yield from _refused(partial(domain.inspect, path), path, f"inspecting {what}")
        yield from _refused(partial(_read_all, domain, broken, options), path, f"cutting {what}")


def _read_all(domain: Domain, item: SourceItem, options: BaseModel) -> None:
    for sample in domain.samples(item, options):
        sample.read()


def _refused(act: Callable[[], Any], path: Path, what: str) -> Iterator[str]:
    try:
        act()
    except UnreadableFileError as error:
        if path.name in str(error) or str(path.parent) in str(error):
            yield f"{what}: the message names the file"
        if not (error.asked and error.found and error.remedy):
            yield f"{what}: the message lacks one of its three parts"
    except DomainClipError as error:
        yield f"{what} raised {type(error).__name__}, not UnreadableFileError"
    else:
        yield f"{what} succeeded"
