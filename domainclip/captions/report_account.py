"""The account of a set of reports: each in exactly one row of a table, by what of it becomes a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from domainclip.captions.report_files import ReportOptions, captions_of, read_report_file, read_report_table
from domainclip.captions.sections import Report
from domainclip.errors import UnreadableFileError

REPORT_SUFFIXES = frozenset({".txt", ".xml"})
"""Of files of one report each."""
TABLE_SUFFIX = ".csv"
"""Of tables with a report a row."""
REPORT_SOURCES = REPORT_SUFFIXES | {TABLE_SUFFIX}
_ROWS = {
    "findings and impression": ("used_impression_and_findings", "used_findings_and_impression"),
    "impression only": ("used_impression",),
    "findings only": ("used_findings",),
    "fallback: the other of the two": ("fallback_impression", "fallback_findings"),
    "fallback: combined section": ("fallback_combined",),
    "fallback: last paragraph": ("fallback_last_paragraph",),
    "emptied: only marks, names or numbers": ("emptied",),
    "empty: nothing describes the picture": ("empty",),
}
UNREADABLE = "refused"


@dataclass
class ReportAccount:
    """What reports hold.

    Attributes:
        rows: Row of the table to number of reports; they add up to ``total``.
        counts: What was dropped and restored in them, as ``report_captions`` counts.
        refused: (name, reason) of those that cannot be read.
        total: All reports.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*_ROWS, UNREADABLE), 0))
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)
    total: int = 0

    def add(self, name: str, report: Report | UnreadableFileError, options: ReportOptions) -> None:
        """Accounts for one report."""
        self.total += 1
        try:
            if isinstance(report, UnreadableFileError):
                raise report
            mine: Counter[str] = Counter()
            captions_of(report, options, mine)
        except UnreadableFileError as error:
            self.rows[UNREADABLE] += 1
            self.refused.append((name, error.found))
            return
        (row,) = [row for row, steps in _ROWS.items() if any(mine[step] for step in steps)]
        self.rows[row] += 1
        steps_of_rows = {step for steps in _ROWS.values() for step in steps}
        self.counts.update({step: count for step, count in mine.items() if step not in steps_of_rows and count})

    def lines(self) -> list[str]:
        """Returns the table for a person, then what was dropped."""
        rows = [f"  {row:<40} {count:>7}" for row, count in self.rows.items() if count or row != UNREADABLE]
        dropped = {name: count for name, count in sorted(self.counts.items()) if name not in {"reports", "reports_without_caption"}}
        lines = [*rows, f"  {'reports':<40} {self.total:>7}"]
        lines += [f"  {name.replace('_', ' ')}: {count}" for name, count in dropped.items()]
        return lines + [f"  refused: {name}: {reason}" for name, reason in self.refused[:20]]


def report_files(folder: Path) -> list[Path]:
    """Lists the text and XML files of a folder and its subfolders; hidden ones and links are not looked at."""
    unhidden = (
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file()
    )
    return reports_among(unhidden)


def reports_among(paths: Iterable[Path]) -> list[Path]:
    """Returns the text and XML files among files that have been listed; links are left out."""
    return [path for path in paths if path.suffix.lower() in REPORT_SUFFIXES and not path.is_symlink()]


def account_of(source: Path, options: ReportOptions) -> ReportAccount:
    """Accounts for the reports of a folder (text and XML files), of one such file, or of a table (CSV).

    Raises:
        UsageError: A table is none of reports.
    """
    account = ReportAccount()
    for name, report in _reports(source, options):
        account.add(name, report, options)
    return account


def _reports(source: Path, options: ReportOptions) -> Iterator[tuple[str, Report | UnreadableFileError]]:
    if source.suffix.lower() == TABLE_SUFFIX and source.is_file():
        yield from ((f"row {row}", report) for row, report in enumerate(read_report_table(source, options.encoding), start=1))
        return
    files: Iterable[Path] = report_files(source) if source.is_dir() else [source]
    for path in files:
        name = path.relative_to(source).as_posix() if source.is_dir() else path.name
        try:
            yield name, read_report_file(path, options.encoding)
        except UnreadableFileError as error:
            yield name, error
