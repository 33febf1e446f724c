"""``domainclip inspect FOLDER``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainclip.cli.output import Reporter

if TYPE_CHECKING:
    from pydantic import BaseModel

    from domainclip.domains.folder import FolderListing

_MOST_LISTED = 60


def stack_line(stack: tuple[str, Mapping[str, Any]]) -> str:
    """Says what a stack of a series is: its number, how many slices, which plane."""
    number, told = stack
    return f"stack {number}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())


def report_folder(
    reporter: Reporter, folder: Path, domain: str, table: Path | None, listing: FolderListing, reading: BaseModel | None = None
) -> None:
    """Looks over a folder: a line a file, how many have their scale from where, and a manifest where asked for.

    Args:
        reporter: Where to.
        folder: The folder.
        domain: Name of the domain.
        table: Manifest to write, or None.
        listing: Of the folder.
        reading: The domain's options, where they make images of several files; None looks at each file.
    """
    from domainclip.cli.progress import progress_printer
    from domainclip.data.survey import Look, check_new, scale_counts, survey, write_manifest

    def line(look: Look) -> str:
        name = look.path.relative_to(folder).as_posix()
        if look.seen is None:
            more = alike[look.problem] - 1
            return f"  {name}{f' and {more} more' if more else ''}: {look.problem}"
        spacing = look.seen.spacing
        scale = f"{spacing['x']:g} {spacing['unit']}/px ({look.scale})" if spacing else "scale unknown"
        said = "".join(
            f"\n    {lack}" for lack in (*map(stack_line, look.seen.details.get("stacks", {}).items()), *look.seen.missing)
        )
        return f"  {name}: {look.seen.width} x {look.seen.height}, {scale}, {look.seen.format}{said}"

    if table is not None:
        check_new(table)
    looks = survey(folder, domain, progress_printer(), listing=listing, reading=reading)
    counts = scale_counts(looks)
    alike = Counter(look.problem for look in looks)
    firsts = {look.problem: look for look in reversed(looks)}
    shown = [look for look in looks if look.seen is not None or firsts[look.problem] is look]
    parts = sum(map(len, listing.members.values()))
    whole = f"{len(looks)} images of {len(looks) + parts} files" if parts else f"{len(looks)} files"
    lines = [f"{folder}: {whole}", *(line(look) for look in shown[:_MOST_LISTED])]
    if len(shown) > _MOST_LISTED:
        lines.append(f"  and {len(shown) - _MOST_LISTED} more (--json lists all)")
    if listing.companions - parts or listing.noise:
        lines.append(
            f"Left aside: {listing.companions - parts} files beside images, {listing.noise} hidden ones or the system's own"
        )
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
    aside = {"companions": listing.companions, "system_files": listing.noise}
    reporter.document({"folder": str(folder), "domain": domain, "scale": counts, "files": files} | aside, lines)
