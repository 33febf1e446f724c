"""What an audit can be asked about: a prepared set, and the folders that features, indexes and predictions are written to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainclip.data.owner_map import read_owner_map
from domainclip.data.prepared_set import PreparedSet
from domainclip.errors import UsageError

_MARKS = {"embed.json": "features", "index.json": "an index", "predictions.json": "predictions"}


@dataclass(frozen=True, slots=True)
class Audited:
    """A folder that may be handed on.

    Attributes:
        folder: Where it lies.
        kind: What it is, in words: "a prepared set", "features", "an index", "predictions".
        domain: Name of the domain of its images.
        set_ids: Names of the owner's maps from its keys to paths.
        classes: Names of classes that its owner gave, which identify nobody.
    """

    folder: Path
    kind: str
    domain: str
    set_ids: tuple[str, ...]
    classes: tuple[str, ...] = ()

    def mapped(self) -> Iterator[dict[str, Any]]:
        """Yields the lines of the owner's maps; none where they are not on this machine."""
        for set_id in self.set_ids:
            yield from read_owner_map(set_id)


def audited(what: PreparedSet | Path | str) -> Audited:
    """Finds out what a folder is.

    Raises:
        UsageError: It is neither a prepared set nor features, an index or predictions of ours.
    """
    folder = what.folder if isinstance(what, PreparedSet) else Path(what)
    mark = next((name for name in _MARKS if (folder / name).is_file()), None)
    if isinstance(what, PreparedSet) or mark is None or (folder / "dataset.json").is_file():
        prepared = what if isinstance(what, PreparedSet) else PreparedSet(folder)
        return Audited(folder, "a prepared set", prepared.domain, (str(prepared.card.get("set_id", "")),))
    asked = f"{folder} was to be audited."
    try:
        told = json.loads((folder / mark).read_text(encoding="utf-8"))
        ids = told["set_ids"] if mark == "predictions.json" else [told["set_id"]]
        classes = told["classes"] if mark == "predictions.json" else {}
        domain, words = str(told["model"]["domain"]), (*classes, *(word for some in classes.values() for word in some))
        return Audited(folder, _MARKS[mark], domain, tuple(str(one) for one in ids if one), tuple(map(str, words)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(asked, f"Its {mark} cannot be read.", "Check the path, or make the folder anew.") from error
