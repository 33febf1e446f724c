"""A JSON file of Karpathy's kind: ``{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`` (RSICD, UCM-captions)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from domainclip.config import Section
from domainclip.data.layouts.table_file import TableFile
from domainclip.errors import UsageError

_FORM = 'It must hold {"images": [{"filename", "sentences": [{"raw"}]}]}.'


class KarpathyOptions(Section):
    """Where the parts lie, relative to the root."""

    table: str = "dataset.json"
    images: str = "imgs"


class Karpathy(Section):
    """Rows: one for each sentence, with ``path``, ``caption`` and every plain field of the image (filename, split, imgid)."""

    name: Literal["karpathy"]
    options: KarpathyOptions = KarpathyOptions()

    def rows(self, root: Path, what: str) -> Iterator[dict[str, Any]]:
        """Reads the JSON file, image by image.

        Raises:
            UsageError: It is not there, or not of this layout.
        """
        asked, count = f"{what} was to be read from {root / self.options.table}.", 0
        for image in TableFile(file=self.options.table, format="json", at="images.item").rows(root, what):
            count += 1
            try:
                plain = {name: value for name, value in image.items() if isinstance(value, str)}
                plain["path"] = f"{self.options.images}/{image['filename']}"
                for text in [sentence["raw"].strip() for sentence in image["sentences"]] or [None]:
                    yield plain if text is None else plain | {"caption": text}
            except (KeyError, TypeError, AttributeError) as error:
                found = f"It lacks a part of this layout: {error}."
                raise UsageError(asked, found, _FORM) from error
        if not count:
            raise UsageError(asked, "It lacks a part of this layout: 'images', or this list is empty.", _FORM)

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the files in the folder of images."""
        return (path for path in sorted((root / self.options.images).rglob("*")) if path.is_file())
