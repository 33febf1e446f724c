"""What a domain is: a reader of native files into Samples, and the facts that go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml
from pydantic import BaseModel, Field

from domainclip.config import Section, validated
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing
from domainclip.registry import Registry
from domainclip.sample import Sample, SourceItem


class ClassFacts(Section):
    """One class of a label: its names per language, and what fills the caption templates."""

    names: dict[str, tuple[str, ...]] = Field(description="Language to synonyms, the preferred first.")


class DomainFacts(Section):
    """``facts.yaml`` beside the domain's code."""

    domain: str
    class_label: str = Field(description="The label whose values are the zero-shot classes of the starter set.")
    labels: dict[str, dict[str, ClassFacts]] = Field(description="Label name to value to names (classes and attributes).")
    open_labels: tuple[str, ...] = Field(
        (), description="Labels whose values stand for themselves unless 'labels' names them: places, dates, counts."
    )
    prompt_templates: dict[str, tuple[str, ...]] = Field(description="Language to zero-shot templates with {}.")
    caption_templates: dict[str, tuple[str, ...]] = Field(description="Language to templates over label names, e.g. {tissue}.")
    preprocessing: Preprocessing
    augmentations: dict[str, list[dict[str, Any]]] = Field(description="Name to albumentations steps: {name: ..., arguments}.")
    reviewed: bool = Field(False, description="True once a native expert has read names and templates.")
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the reader sees in one file; ``inspect`` prints it.

    Attributes:
        format: E.g. ``"Aperio SVS (OpenSlide)"``.
        width: Columns of level 0.
        height: Rows of level 0.
        levels: (width, height, downsample) of each pyramid level.
        channels: Channel names; empty when the file does not name them.
        spacing: E.g. ``{"x": 0.499, "y": 0.499, "unit": "um", "source": "openslide.mpp-x"}`` or None.
        dtype: Stored type, e.g. ``"uint16"``.
        values: What the numbers mean.
        range: Smallest and largest stored number seen, with how many pixels were looked at.
        group: The level that may not cross a split, as the reader would set it (hashed where it identifies a person).
        missing: What a user would miss, each with the remedy.
        details: Further domain facts.
    """

    format: str
    width: int
    height: int
    levels: tuple[tuple[int, int, float], ...]
    channels: tuple[str, ...]
    spacing: Mapping[str, Any] | None
    dtype: str
    values: str
    range: Mapping[str, float] | None
    group: str
    missing: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


COMPOSITION = "composition"
"""Label of any domain by which a set marks images whose combination of labels training shows (``seen``) or not (``unseen``)."""


class Domain(Protocol):
    """What a package in ``domains/`` or an entry point ``domainclip.domains`` provides; ``check_domain`` tests it.

    A domain may also have ``known`` (what to names that its options take: sensors, say), ``thread_safe`` (True: samples of one file
    may be read by several threads), and ``overview(item, reading, note)`` (called after ``samples`` of the same file; returns an
    (H, W, 3) uint8 picture of what was taken of the file with the note below, or None).
    """

    name: str
    facts: DomainFacts
    reading_model: type[BaseModel]
    """Pydantic model of the ``reading:`` section."""

    def recognises(self, path: Path) -> bool:
        """Says by name and first bytes whether this domain reads the file. Never decodes, never raises."""
        ...

    def inspect(self, path: Path) -> Inspection:
        """Looks at one file.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        ...

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Turns a native file into samples (tiles, images, windows), the owner's facts winning over the file's.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Gathering:
    """Which files of a folder make one image together; files that are not named here stand for themselves.

    Attributes:
        members: The file to open, of each image of several files, to the others that belong to it (which are not opened again).
        rejected: Files that cannot be used, each with a reason that names neither path nor identifier.
    """

    members: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict)
    rejected: tuple[tuple[Path, str], ...] = ()


@runtime_checkable
class GathersFiles(Protocol):
    """What a domain provides beside ``Domain`` when its images may be several files (DICOM series, slides with companions)."""

    def gathered(self, paths: Sequence[Path], reading: BaseModel | None = None) -> Gathering:
        """Says which files belong together.

        Deterministic, whatever the order. Reads headers at most, never raises for a broken file: that one stands for itself.

        Args:
            paths: All files of a source, also those that the domain does not recognise.
            reading: The reader's options; None for its defaults. They may say whether slices are images or parts of one.
        """
        ...


def gathered_files(domain: Domain, paths: Sequence[Path], reading: BaseModel | None = None) -> Gathering:
    """Asks a domain which files belong together; a domain without ``gathered`` has an image in every file."""
    return domain.gathered(paths, reading) if isinstance(domain, GathersFiles) else Gathering()


def checked_reading(
    domain: Domain, reading: BaseModel | Mapping[str, Any] | None, needed: Mapping[str, Any] | None = None
) -> BaseModel:
    """Returns a domain's reading options, those that are not given at their defaults.

    Args:
        domain: The reader.
        reading: What was asked for.
        needed: What a data set needs where nothing else is asked for.

    Raises:
        UsageError: An option is unknown, or its value does not fit.
    """
    if isinstance(reading, domain.reading_model) and not needed:
        return reading
    asked = reading.model_dump(exclude_unset=True) if isinstance(reading, BaseModel) else dict(reading or {})
    values = {**(needed or {}), **asked}
    options: BaseModel = validated(domain.reading_model, values, f"The section reading of {domain.name}")
    return options


@runtime_checkable
class KnowsWavelengths(Protocol):
    """What a domain provides beside ``Domain`` when its channels are bands of light."""

    def wavelengths(self, channels: Sequence[str], family: str | None = None) -> Mapping[str, float]:
        """Returns the centre wavelengths in micrometres of the channels that are known; radar has none.

        Args:
            channels: Names as the reader gives them.
            family: What ``Sample.sensor`` says.
        """
        ...


def known_wavelengths(domain: Domain, channels: Sequence[str], family: str | None) -> Mapping[str, float]:
    """Asks a domain for wavelengths; most know none."""
    return domain.wavelengths(channels, family) if isinstance(domain, KnowsWavelengths) else {}


@runtime_checkable
class KnowsStatistics(Protocol):
    """What a domain provides beside ``Domain`` when means and spreads of published sets are known."""

    def statistics(self, name: str, channels: Sequence[str], values_kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and standard deviation of channels in the quantity that a set holds.

        Raises:
            UsageError: There is no such set, or it does not fit.
        """
        ...


def published_statistics(
    domain: Domain, name: str, channels: Sequence[str], values_kind: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Asks a domain for the mean and standard deviation that a published set has.

    Raises:
        UsageError: The domain knows none, there is no such set, or it does not fit.
    """
    if not isinstance(domain, KnowsStatistics):
        found = f"The domain {domain.name} knows none."
        raise UsageError(f"The statistics {name} were to be used.", found, "Leave data.statistics out: the set's own are measured.")
    return domain.statistics(name, channels, values_kind)


@runtime_checkable
class InspectsItems(Protocol):
    """What a domain provides beside ``Domain`` when an image of several files is more than its files one by one."""

    def inspect_item(self, item: SourceItem, reading: BaseModel) -> Inspection:
        """Looks at an image as ``reading`` makes it of its files.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        ...


def inspected(domain: Domain, item: SourceItem, reading: BaseModel | None) -> Inspection:
    """Looks at an item: as the options make an image of it where the domain can tell, else at its file.

    Raises:
        UnreadableFileError: It cannot be read.
    """
    if isinstance(domain, InspectsItems) and (reading is not None or item.members or item.url is not None):
        return domain.inspect_item(item, checked_reading(domain, reading))
    return domain.inspect(item.path)


@runtime_checkable
class CutsPatches(Protocol):
    """What a domain provides beside ``Domain`` when a table may name the parts of a large file that are wanted."""

    def patches(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Yields a sample for each of ``item.pieces``, as many pixels as its window has, of a file that is opened once.

        Raises:
            UnreadableFileError: The file cannot be read; a window beyond it is a sample that says so when it is read.
        """
        ...


@runtime_checkable
class AccountsItems(Protocol):
    """What a domain provides beside ``Domain`` when it leaves out parts of files that its options do not keep."""

    def account(self, item: SourceItem) -> Mapping[str, int]:
        """Says what became of the parts of the item whose samples were read last: ``windows``, ``kept``, and a count a reason."""
        ...


def item_account(domain: Domain, item: SourceItem) -> Mapping[str, int]:
    """Asks a domain for the account of an item; empty where it keeps none."""
    return domain.account(item) if isinstance(domain, AccountsItems) else {}


def load_facts(path: Path) -> DomainFacts:
    """Reads a ``facts.yaml``."""
    facts = validated(DomainFacts, yaml.safe_load(path.read_text(encoding="utf-8")), f"The facts {path.name}")
    assert isinstance(facts, DomainFacts)
    return facts


domains: Registry[Domain] = Registry(
    "domain",
    {
        "pathology": "domainclip.domains.pathology:DOMAIN",
        "radiology": "domainclip.domains.radiology:DOMAIN",
        "remote-sensing": "domainclip.domains.remote_sensing:DOMAIN",
    },
)
for _point in entry_points(group="domainclip.domains"):
    if _point.name not in domains:
        domains.register(_point.name, _point.value)

_LIBRARIES = {
    "pathology": ("openslide-python", "openslide-bin", "tifffile", "imagecodecs", "simplejpeg", "pydicom"),
    "radiology": ("pydicom", "pylibjpeg", "pylibjpeg-openjpeg"),
    "remote-sensing": ("rasterio",),
}


def describe_domains() -> list[dict[str, Any]]:
    """Lists every domain with its classes, what else it knows by name, and the reader libraries that are not installed."""
    rows = []
    for name in domains:
        facts = domains.get(name).facts
        missing = [library for library in _LIBRARIES.get(name, ()) if not _installed(library)]
        classes = list(facts.labels[facts.class_label])
        known: Mapping[str, Sequence[str]] = getattr(domains.get(name), "known", {})
        told = {what: list(names) for what, names in known.items()}
        rows.append({"name": name, "classes": classes, "reviewed": facts.reviewed, "missing": missing, **told})
    return rows


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
