"""``domainclip inspect REPORTS``: a folder of reports, one report, or a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domainclip.cli.output import Reporter

if TYPE_CHECKING:
    from domainclip.domains.folder import FolderListing


def holds_reports_alone(source: Path, listing: FolderListing | None) -> bool:
    """Says whether a folder has text or XML files and nothing that the domain reads, or a file is of a kind of reports.

    Args:
        source: Folder or file.
        listing: Of a folder, by the domain; None for a file.
    """
    from domainclip.captions.report_account import REPORT_SOURCES, reports_among

    if listing is not None:
        return not listing.files and bool(reports_among(listing.beside))
    return source.suffix.lower() in REPORT_SOURCES and source.is_file()


def report_reports(reporter: Reporter, source: Path, domain: str, settings: Sequence[str]) -> None:
    """Prints the account of reports: every one in exactly one row.

    Args:
        reporter: Where to.
        source: Folder, report or table.
        domain: Name of the domain, for the next command.
        settings: ``data.report_language``, ``data.report_encoding``, ``data.report_sections``.
    """
    from domainclip.captions.report_account import account_of
    from domainclip.config import load_config
    from domainclip.data.sources import report_options

    config = load_config(overrides=settings, base={"domain": domain})
    account = account_of(source, report_options(config.data))
    lines = [f"{source}: {account.total} reports", *account.lines()]
    lines.append("Next: name images and reports in a manifest (a CSV with the columns path and report), then domainclip prepare.")
    document = {
        "reports": str(source),
        "domain": domain,
        "total": account.total,
        "rows": account.rows,
        "counts": dict(sorted(account.counts.items())),
        "refused": [{"report": name, "reason": reason} for name, reason in account.refused],
    }
    reporter.document(document, lines)
