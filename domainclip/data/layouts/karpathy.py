"""A JSON file of Karpathy's kind: ``{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`` (RSICD, UCM-captions)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from domainclip.config import Section
from domainclip.errors import UsageError


class KarpathyOptions(Section):
    """Where the parts lie, relative to the root."""

    table: str = "dataset.json"
    images: str = "imgs"


class Karpathy(Section):
    """Rows: one for each sentence, with ``path``, ``caption`` and every plain field of the image (filename, split, imgid)."""

    name: Literal["karpathy"]
    options: KarpathyOptions = KarpathyOptions()

    def rows(self, root: Path, what: str) -> list[dict[str, Any]]:
        """Reads the JSON file.

        Raises:
            UsageError: It is not there, or not of this layout.
        """
        path = root / self.options.table
        asked = f"{what} was to be read from {path}."
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(asked, "There is no such file.", "Check that --root is the folder that holds it.") from error
        except (OSError, ValueError) as error:
            raise UsageError(asked, f"It is no JSON in UTF-8: {error}", "Get the file anew.") from error
        rows: list[dict[str, Any]] = []
        try:
            for image in document["images"]:
                plain = {name: str(value) for name, value in image.items() if isinstance(value, str | int)}
                plain["path"] = f"{self.options.images}/{image['filename']}"
                rows += [plain | {"caption": sentence["raw"].strip()} for sentence in image["sentences"]] or [plain]
        except (KeyError, TypeError, AttributeError) as error:
            found = f"It lacks a part of this layout: {error}."
            raise UsageError(asked, found, 'It must hold {"images": [{"filename", "sentences": [{"raw"}]}]}.') from error
        return rows

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the files in the folder of images."""
        return (path for path in sorted((root / self.options.images).rglob("*")) if path.is_file())
