"""Data-set cards: YAML files that are the readers of published data sets, with licence, citation and evidence."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from domainclip.config import Section, validated
from domainclip.data.layouts import Container, Layout
from domainclip.data.layouts.table import Table
from domainclip.data.layouts.zarr_images import ImageStore
from domainclip.data.operations import OPERATIONS_VERSION, Operation
from domainclip.data.pipeline import manifest_cells, piped
from domainclip.domains.base import ClassFacts
from domainclip.errors import UsageError, unknown_name
from domainclip.resources import owner_folder, resource_folder

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # as yaml.safe_load, in a tenth of the time
EVIDENCED = (
    "layout", "reading", "operations", "classes", "prompt_templates", "licence", "forbids", "access", "citation", "homepage",
    "bring", "size",
)  # fmt: skip
"""Fields that each need a line in ``evidence`` or ``unverified`` where a card has them."""
DESCRIBED = ("layout", "classes", "splits", "captions")
"""What a card says in words as long as it has no layout; each needs its line too."""

_NO_EVIDENCE = re.compile(
    r"\W*((none|nothing|nobody|no evidence|unknown|unseen|not|n/?a)( seen| found| known| checked)?\W*(;.*)?)?$|.*\bmemory\b",
    re.IGNORECASE | re.DOTALL,
)
"""What says that nobody saw a fact; "none in the README" says where it was looked for."""


class DatasetCard(Section):
    """One published data set.

    Attributes:
        name: The name on the command line, which is the file's.
        title: One line for people.
        domain: The domain whose reader reads its files.
        operations_version: The version of the list of operations that the card was written for.
        layout: How its files and tables lie; None for a card that only describes (beside a manifest).
        reading: Options of the domain's reader that the set needs (the order of its bands, say); the user's win.
        duplicates: What counts as one group where the user does not say: ``near`` for sets known to hold turned or mirrored copies.
        operations: What turns the layout's rows into those of a manifest.
        class_label: The label whose values are the zero-shot classes.
        classes: Label to value to names per language, the preferred first, as in a domain's facts.
        prompt_templates: Language to zero-shot templates with ``{}``; the domain's where none are given.
        synthetic: The content is generated.
        kind: What it is for: classification, captions, reports, ...
        licence: As stated by the publishers; "none found" where nobody states one.
        forbids: What the licence forbids; nothing where none was found does not mean that all is allowed.
        access: Open, or for whom.
        citation: How to cite.
        homepage: Where to get it.
        bring: Which files to bring, and from where.
        size: Images, patients, slides, captions, per split.
        described: Layout, classes, splits and captions in words, of a card that has no ``layout`` of its own yet.
        peer_loader: Who else reads it, and what that expects on disk.
        evidence: Field to where the fact was seen; an id without a repository is one of the search that was used while the card was
            written, and cannot be followed outside.
        unverified: Fields that nobody has checked.
        not_seen: Facts that a reader of the set would want, and that nobody here has seen.
        limits: What a user must know before using it.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    domain: str
    operations_version: int = OPERATIONS_VERSION
    layout: Layout | None = None
    reading: dict[str, Any] = Field(default_factory=dict)
    duplicates: Literal["exact", "near"] = "exact"
    operations: tuple[Operation, ...] = ()
    class_label: str | None = None
    classes: dict[str, dict[str, ClassFacts]] = Field(default_factory=dict)
    prompt_templates: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    synthetic: bool = False
    kind: str | None = None
    licence: str
    forbids: tuple[Literal["commercial", "derivatives", "redistribution"], ...] = ()
    access: str | None = None
    citation: str
    homepage: str | None = None
    bring: str | None = None
    size: str | None = None
    described: dict[Literal["layout", "classes", "splits", "captions"], str] = Field(default_factory=dict)
    peer_loader: str | None = None
    evidence: dict[str, str] = Field(default_factory=dict)
    unverified: tuple[str, ...] = ()
    not_seen: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _facts_have_evidence(self) -> DatasetCard:
        stated = [name for name in EVIDENCED if getattr(self, name)] + list(self.described)
        bare = [name for name in stated if name not in self.evidence and name not in self.unverified]
        if bare:
            raise ValueError(f"neither evidence nor 'unverified' for: {', '.join(bare)}")
        empty = [name for name, text in self.evidence.items() if _NO_EVIDENCE.match(text)]
        if empty:
            told = "evidence that is none (say where it was seen or looked for, or list the field in 'unverified')"
            raise ValueError(f"{told}: {', '.join(f'{name}: {self.evidence[name]}' for name in empty)}")
        if self.operations_version > OPERATIONS_VERSION:
            raise ValueError(
                f"operations_version {self.operations_version} is newer than {OPERATIONS_VERSION}, which this version knows"
            )
        if self.class_label and self.classes and self.class_label not in self.classes:
            raise ValueError(f"class_label {self.class_label!r} is none of the labels in classes")
        return self

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the image files that lie where the layout keeps them, whether or not a row names them."""
        return iter(()) if self.layout is None or isinstance(self.layout, Container) else self.layout.files(root)

    def archives(self, root: Path) -> list[tuple[Path, str]]:
        """Returns the archives that are there and may hold images, each with the folder that its members would lie in."""
        if not isinstance(self.layout, Table):
            return []
        return [(path, one.at) for one in self.layout.options.archives for path in sorted(root.glob(one.file))]

    def stores(self, root: Path) -> list[ImageStore]:
        """Returns the Zarr stores of images that are there."""
        layouts = self.layout.options.stores if isinstance(self.layout, Table) else ()
        found = [(one, path) for one in layouts for path in sorted(root.glob(one.file)) if path.is_file()]
        return [ImageStore(path, path.relative_to(root).as_posix(), one) for one, path in found]


def _card_files() -> dict[str, Path]:
    """Returns name to file: the package's cards, and the owner's in ``owner_folder()/datasets``.

    Raises:
        UsageError: Two cards have one name.
    """
    files: dict[str, Path] = {}
    for folder in (resource_folder("datasets"), owner_folder() / "datasets"):
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in files:
                found = f"Two cards have this name: {files[path.stem]} and {path}."
                raise UsageError(f"The data-set card {path.stem} was to be found.", found, "Rename your own, in the file too.")
            files[path.stem] = path
    return files


def card_names() -> list[str]:
    """Returns the names of all cards: the package's, and the owner's in ``owner_folder()/datasets``."""
    return sorted(_card_files())


def find_card(name: str) -> Path | None:
    """Returns the card's file, or None where there is none of this name; ``name`` may also be a card's file itself (``.yaml``)."""
    if name.endswith((".yaml", ".yml")) and Path(name).expanduser().is_file():
        return Path(name).expanduser()
    return _card_files().get(name)


def load_card(card: Path | str) -> DatasetCard:
    """Reads a card.

    Args:
        card: Its file, or the name of one in ``datasets/``.

    Raises:
        UsageError: There is no such card, it is no YAML, or has unknown fields or facts without evidence.
    """
    if isinstance(card, str):
        found = find_card(card)
        if found is None:
            raise unknown_name("data-set card", card, card_names())
        card = found
    what = f"The data-set card {card.name}"
    try:
        values = _LOADER(card.read_text(encoding="utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{what} was to be read.", f"It is no YAML in UTF-8: {error}", "Mend the line named above.") from error
    loaded: DatasetCard = validated(DatasetCard, values, what)
    if loaded.name != card.stem:
        told = f"It calls itself {loaded.name!r}, which is the name of another file."
        raise UsageError(f"{what} was to be read.", told, "Give the file and its field 'name' the same name.")
    return loaded


def rows_of_card(card: DatasetCard, root: Path, account: Counter[str] | None = None) -> Iterator[dict[str, Any]]:
    """Reads a data set's tables by its card, row by row.

    Args:
        card: The card.
        root: The set's folder.
        account: Takes the number of rows that the card's conditions left out.

    Returns:
        Rows with the columns of a manifest, ``origin``, and ``paths`` where a file may lie in several places; other columns are
        left behind.

    Raises:
        UsageError: The card has no layout, its images lie in containers, a table is not there or broken, or holds values that the
            card does not know.
    """
    what = f"The data set {card.name}"
    asked = f"{what} was to be read."
    if card.layout is None:
        raise UsageError(asked, "Its card only describes it and has no layout.", "Give its manifest as the source.")
    if isinstance(card.layout, Container):
        raise UsageError(asked, "Its rows lie in containers with the images.", "Open it as a source: open_dataset.")
    rows = (
        manifest_cells(row, what, number)
        for number, row in enumerate(
            piped(card.operations, card.layout.rows(root, what), what, Counter() if account is None else account), start=1
        )
    )
    first = next(rows, None)
    if first is None:
        raise UsageError(asked, "It has no rows.", "Check that --root is the folder that the card describes.")
    return itertools.chain([first], rows)


def about(card: DatasetCard) -> dict[str, Any]:
    """Returns what a prepared set keeps of its card: everything but how it was read."""
    read = {"layout", "operations", "operations_version", "reading", "duplicates"}
    return card.model_dump(mode="json", exclude=read, exclude_none=True)
