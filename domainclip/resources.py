"""Finds the cards, configurations and starter weights, in a checkout and in an installed wheel alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

Folder = Literal["datasets", "configs", "model_cards"]
_PACKAGE = Path(__file__).resolve().parent


def resource_folder(name: Folder) -> Path:
    """Returns the folder of cards: the checkout's in an editable install, else the copy that travels in the wheel."""
    packed = _PACKAGE / "_resources" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


def starter_weights_folder() -> Path:
    """Returns the folder that holds ``starter-<domain>/`` model folders."""
    return _PACKAGE / "starter" / "weights"


def owner_folder() -> Path:
    """Returns the owner's private folder (keys of hashes, maps from keys back to paths), mode 0700.

    ``DOMAINCLIP_HOME`` names it; the default is ``~/.domainclip``. It is made when missing.
    """
    folder = Path(os.environ.get("DOMAINCLIP_HOME") or Path.home() / ".domainclip")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
