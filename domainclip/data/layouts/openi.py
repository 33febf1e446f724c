"""Open-i: a folder of reports in XML, each of which names its images, and a folder of these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from domainclip.captions.openi import parse_openi_xml
from domainclip.config import Section
from domainclip.errors import UnreadableFileError, UsageError


class OpenIOptions(Section):
    """Where the parts lie, relative to the root."""

    reports: str = "ecgen-radiology"
    images: str = "images"
    suffix: str = ".png"


class OpenI(Section):
    """Rows: one for each image that a report names, with ``path``, ``report``, ``study`` and ``mesh`` (major terms, ``|`` between).

    Reports that name no image and images that no report names have no row; a source rejects both, so that both are counted.
    """

    name: Literal["openi"]
    options: OpenIOptions = OpenIOptions()

    def rows(self, root: Path, what: str) -> Iterator[dict[str, Any]]:
        """Reads the reports.

        Raises:
            UsageError: The folder is not there or holds no report.
        """
        count = 0
        paths = sorted((root / self.options.reports).rglob("*.xml"))
        for path in paths:
            report = path.relative_to(root).as_posix()
            try:
                seen = parse_openi_xml(path)
            except UnreadableFileError:
                yield {
                    "path": report,
                    "report": report,
                    "study": "",
                    "mesh": "",
                }  # its images it does not say; it is rejected as it is read
                count += 1
                continue
            mesh = "|".join(seen["mesh"])
            for name in filter(None, seen["images"]):
                count += 1
                yield {"path": self._image(name), "report": report, "study": seen["id"], "mesh": mesh}
        if not count:
            found = f"It holds {len(paths)} reports in {self.options.reports}/, none of which names an image."
            raise UsageError(
                f"{what} was to be read from {root}.", found, "Check that --root is the folder that the card describes."
            )

    def files(self, root: Path) -> Iterator[Path]:
        """Yields the images, and the reports that name none."""
        yield from (path for path in sorted((root / self.options.images).rglob("*")) if path.is_file())
        for path in sorted((root / self.options.reports).rglob("*.xml")):
            try:
                if not parse_openi_xml(path)["images"]:
                    yield path
            except UnreadableFileError:
                continue  # it has a row, by which it is rejected

    def _image(self, name: str) -> str:
        return f"{self.options.images}/{name}{self.options.suffix}"
