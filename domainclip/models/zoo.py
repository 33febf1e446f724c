"""Models by name: folders of runs, models and open_clip, and the starter weights that ship with the package. No torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from domainclip.errors import UsageError, unknown_name
from domainclip.resources import resource_folder, starter_weights_folder

_MARKS = ("domainclip.json", "open_clip_config.json")


def find_model(name: str | Path) -> Path:
    """Finds the folder of a model.

    Args:
        name: A run folder (its ``model/`` is taken), a model folder, an open_clip folder, or a shipped name (``starter-...``).
            A folder that holds a model goes before a shipped name.

    Returns:
        A folder with ``domainclip.json`` or ``open_clip_config.json``.

    Raises:
        UsageError: There is no such model; the message says what is there instead.
    """
    path = Path(name).expanduser()
    for folder in (path, path / "model"):
        if _holds_model(folder):
            return folder
    shipped = starter_weights_folder() / str(name)
    if is_model_name(str(name)):
        return shipped
    asked = f"The model {str(name)!r} was asked for."
    if path.is_dir():
        unfinished = (path / "config.yaml").is_file()
        found = "It is a run without a saved model." if unfinished else f"It is a folder without a model ({' or '.join(_MARKS)})."
        remedy = "Finish it with --resume." if unfinished else "Give a run folder, or its model folder."
        raise UsageError(asked, found, remedy)
    if path.exists():
        raise UsageError(asked, "It is a file.", "Give the folder that holds the model.")
    text = str(name)
    if text.startswith(("hf-hub:", "local-dir:")):
        raise UsageError(asked, "Prefixes of open_clip are not taken here.", "Give the folder itself, without a prefix.")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text) and not text.startswith("."):
        found = "There is no such folder. It may be an id of the Hugging Face hub, from which nothing is downloaded here."
        raise UsageError(asked, found, f"Fetch it with 'hf download {text} --local-dir FOLDER' and give that folder.")
    if "/" in text or "\\" in text:
        raise UsageError(asked, "There is no such folder.", "Check the path.")
    raise unknown_name("model", text, _shipped())


def is_model_name(name: str) -> bool:
    """Says whether a model of this name ships with the package."""
    return name in _shipped()


def list_models() -> list[dict[str, Any]]:
    """Describes the models that have a card (``model_cards/``) or ship with the package, sorted by name.

    Returns:
        One mapping a model, with ``name``, ``domain``, ``summary`` (one line), what else the card's front matter says, and
        ``available``: ``find_model`` finds it on this machine.
        Values of the shipped record win over the card's.

    Raises:
        UsageError: A card's front matter or a shipped record is broken.
    """
    from domainclip.models.model_card import read_front_matter, zoo_entry

    models: dict[str, dict[str, Any]] = {}
    for card in sorted(resource_folder("model_cards").glob("*.md")):
        facts = read_front_matter(card)
        models[str(facts.get("name", card.stem))] = {"name": card.stem, "domain": "", "summary": "", **facts, "available": False}
    for name in _shipped():
        models[name] = {**models.get(name, {}), **zoo_entry(name, _record(name)), "available": True}
    return [models[name] for name in sorted(models)]


def _record(name: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((starter_weights_folder() / name / "domainclip.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = f"The record of the shipped model cannot be read ({type(error).__name__})."
        raise UsageError(f"The model {name!r} was to be listed.", found, "Install the package again.") from error
    return record


def _shipped() -> list[str]:
    folder = starter_weights_folder()
    return sorted(entry.name for entry in folder.iterdir() if (entry / _MARKS[0]).is_file()) if folder.is_dir() else []


def _holds_model(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _MARKS)
