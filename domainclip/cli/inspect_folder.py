"""``domainclip inspect FOLDER``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from domainclip.cli.output import Reporter

if TYPE_CHECKING:
    from domainclip.domains.folder import FolderListing

_MOST_LISTED = 60


def report_folder(reporter: Reporter, folder: Path, domain: str, table: Path | None, listing: FolderListing) -> None:
    """Looks over a folder: a line a file, how many have their scale from where, and a manifest where asked for.

    Args:
        reporter: Where to.
        folder: The folder.
        domain: Name of the domain.
        table: Manifest to write, or None.
        listing: Of the folder.
    """
    from domainclip.cli.progress import progress_printer
    from domainclip.data.survey import Look, check_new, scale_counts, survey, write_manifest

    def line(look: Look) -> str:
        name = look.path.relative_to(folder).as_posix()
        if look.seen is None:
            return f"  {name}: {look.problem}"
        spacing = look.seen.spacing
        scale = f"{spacing['x']:g} {spacing['unit']}/px ({look.scale})" if spacing else "scale unknown"
        said = "".join(f"\n    {lack}" for lack in look.seen.missing)
        return f"  {name}: {look.seen.width} x {look.seen.height}, {scale}, {look.seen.format}{said}"

    if table is not None:
        check_new(table)
    looks = survey(folder, domain, progress_printer(), listing=listing)
    counts = scale_counts(looks)
    lines = [f"{folder}: {len(looks)} files", *(line(look) for look in looks[:_MOST_LISTED])]
    if len(looks) > _MOST_LISTED:
        lines.append(f"  and {len(looks) - _MOST_LISTED} more (--json lists all)")
    lines.append("Scale from: " + ", ".join(f"{step} {count}" for step, count in counts.items()))
    if table is not None:
        rows = write_manifest(looks, table)
        lines += [
            f"Manifest of {rows} files, those without scale first: {table}",
            "Next: fill in its column spacing where the scale is unknown, then:",
            f"  domainclip prepare {table} --domain {domain} --output SET",
        ]
    files = [
        {"file": str(look.path), "problem": look.problem or None, **(asdict(look.seen) if look.seen is not None else {})}
        for look in looks
    ]
    reporter.document({"folder": str(folder), "domain": domain, "scale": counts, "files": files}, lines)
