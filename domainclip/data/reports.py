"""The cells of a manifest that hold or name reports, into captions; each report is read and counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from domainclip.captions.report_files import ReportOptions, captions_of, read_report_file, report_from_cells
from domainclip.captions.sections import Report
from domainclip.errors import UnreadableFileError
from domainclip.sample import Caption

_Key = tuple[tuple[str, str], ...]
_REPORT_COLUMNS = ("report", "report_text")


@dataclass
class ReportReader:
    """Reads the reports of a manifest; images of one study share one.

    Attributes:
        folder: Where relative paths start.
        options: How reports are read.
        counts: What became of them, as ``captions_of`` counts; ``images_with_a_report`` counts images.
    """

    folder: Path
    options: ReportOptions
    counts: Counter[str] = field(default_factory=Counter)
    _read: dict[_Key, list[Caption] | UnreadableFileError] = field(default_factory=dict, repr=False)

    def captions(self, cells: Mapping[str, str]) -> list[Caption]:
        """Returns the captions of an image's report; none where its cells name none.

        Raises:
            UnreadableFileError: The report cannot be used; its image is then left out and counted, never kept without its report.
        """
        key = tuple(sorted((name, text) for name, text in cells.items() if name in _REPORT_COLUMNS or name.startswith("section:")))
        if not key:
            return []
        key += (("language", cells.get("language", "")),)
        if key not in self._read:
            self._read[key] = self._captions(cells)
        made = self._read[key]
        if isinstance(made, UnreadableFileError):
            raise made
        self.counts["images_with_a_report"] += 1
        return made

    def _captions(self, cells: Mapping[str, str]) -> list[Caption] | UnreadableFileError:
        try:
            return captions_of(self._report(cells), self.options, self.counts, cells.get("language"))
        except UnreadableFileError as error:
            return error

    def _report(self, cells: Mapping[str, str]) -> Report:
        parts = {name.removeprefix("section:"): text for name, text in cells.items() if name.startswith("section:")}
        if "report_text" in cells:
            parts["report"] = cells["report_text"]
        if "report" not in cells:
            return report_from_cells(parts)
        if parts:
            raise UnreadableFileError(
                "A report was to be read.",
                "its row has a file and a text of a report",
                "Keep one of these.",
            )
        return read_report_file(self.folder / cells["report"], self.options.encoding)
