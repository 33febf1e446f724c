"""``domainclip audit``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainclip.cli.options import Debug, Json
from domainclip.cli.output import DONE, Reporter, run_verb
from domainclip.errors import UsageError

if TYPE_CHECKING:
    from domainclip.data.audit_report import AuditReport

FOUND = 1
_LISTED = 20

_HELP = """Search a set, features, an index or predictions for identifiers of the source; or a set for duplicates across its splits.
Exit status 1 where one is found.

Example: [bold]domainclip audit sets/mine[/bold]  by the owner's map of paths

Example: [bold]domainclip audit sets/mine --source scans/[/bold]  where the files lie now

Example: [bold]domainclip audit sets/mine --duplicates --sheet twins.jpg[/bold]  copies that a split tears apart
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("audit", help=_HELP)(audit)


def audit(
    prepared: Annotated[Path, typer.Argument(help="Prepared set, or folder of features, index or predictions.", metavar="SET")],
    source: Annotated[
        Path | None, typer.Option("--source", help="Folder of the source files; default: the paths in the owner's map.")
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Look for images of other splits that train holds too, instead of identifiers.")
    ] = False,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="With --duplicates: draw their groups here (.jpg or .png).")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls ``domainclip.audit``, or ``domainclip.data.duplicates.leaks``."""
    clean = True

    def work(reporter: Reporter) -> None:
        nonlocal clean
        from domainclip.cli.progress import progress_printer
        from domainclip.data.audit import audit as run_audit

        if duplicates:
            clean = _duplicates(prepared, sheet, reporter)
            return
        if sheet is not None:
            raise UsageError(
                "A sheet of duplicates was asked for (--sheet).", "They were not to be looked for.", "Add --duplicates."
            )

        report = run_audit(prepared, source, progress=progress_printer())
        clean = report.clean
        reporter.document(_document(prepared, report), _lines(prepared, report))

    code = run_verb(work, as_json=as_json, debug=debug)
    return FOUND if code == DONE and not clean else code


def _duplicates(prepared: Path, sheet: Path | None, reporter: Reporter) -> bool:
    """Looks for duplicates, draws them, and says what the splits leak; returns whether they leak nothing."""
    from domainclip.cores import usable_cores
    from domainclip.data.duplicates.find import SEVERAL_PROCESSES
    from domainclip.data.duplicates.leaks import document, leaks
    from domainclip.data.duplicates.sheet import draw_sheet
    from domainclip.data.prepared_set import PreparedSet

    opened = PreparedSet(prepared)
    report = leaks(opened, workers=usable_cores() if len(opened) >= SEVERAL_PROCESSES else 1)
    told = {"set": str(prepared), **document(report), "synthetic": opened.synthetic}
    if sheet is not None:
        draw_sheet(sheet, opened, report.found.groups)
        told["sheet"] = str(sheet)
    reporter.document(told, _duplicate_lines(told))
    return report.clean


def _duplicate_lines(told: dict[str, Any]) -> list[str]:
    lines = [
        f"Duplicates of {told['set']}{' (synthetic)' if told['synthetic'] else ''}",
        f"  images    {told['images']} compared"
        + (f"; {told['not_compared']} with depth or time are not" if told["not_compared"] else "")
        + (f"; {told['too_plain_to_compare']} show too little to compare" if told["too_plain_to_compare"] else ""),
        f"  groups    {told['duplicate_groups']} of images that show the same, with {told['images_in_duplicate_groups']} images",
        f"            {told['across_groups']} of them join what the set counts as different groups (patients, slides, scenes)",
        f"            {told['torn_groups']} of them lie in several splits",
    ]
    lines += [
        f"  {leak['split']:<9} {leak['also_in_train']} of {leak['images']} images also in train"
        + (f"  ({leak['class']})" if leak["class"] else "")
        for leak in told["leaks"]
    ]
    if "sheet" in told:
        lines.append(f"Drawn: {told['sheet']}")
    if told["clean"]:
        return [*lines, "No split shows what train shows. That is no guarantee: docs/duplicates.md says what is not found."]
    return [*lines, "Figures on these splits are too good. Prepare the set anew with its duplicates in one group each."]


def _document(prepared: Path, report: AuditReport) -> dict[str, Any]:
    counts = [{"attribute": name, "place": place, "times": times} for (name, place), times in sorted(report.found_counts.items())]
    return {
        "set": str(prepared),
        "kind": report.kind,
        "clean": report.clean,
        "source": report.source,
        "values": report.values,
        "not_searched": report.not_searched,
        "places": dict(sorted(report.places.items())),
        "found_counts": counts,
        "found": [asdict(one) for one in report.found],
        "warnings": dict(sorted(report.warnings.items())),
        "warned": [{"kind": kind, "where": where} for kind, where in report.warned],
    }


def _lines(prepared: Path, report: AuditReport) -> list[str]:
    source = report.source
    beside = f"{source['reports']} texts; {source['unreadable']} unreadable"
    lines = [
        f"Audit of {prepared} ({report.kind})",
        f"  source    {source['files']} files by the {source['from']} ({beside})",
        f"  values    {report.values['different']} different ones in {report.values['spellings']} spellings",
        "Not looked for (attributes and how many values: --json):",
        *(f"  {sum(which.values()):>8}  {reason}" for reason, which in report.not_searched.items()),
        "Searched (texts; of files, bytes):",
        *(f"  {count:>12}  {place}" for place, count in sorted(report.places.items())),
    ]
    if report.warnings:
        lines += ["Warnings, for a person to look at:", *(f"  {n:>8}  {kind}" for kind, n in sorted(report.warnings.items()))]
        lines += [f"            {kind}: {where}" for kind, where in report.warned[:_LISTED]]
    if report.clean:
        return [*lines, "Found: nothing. That is no guarantee: docs/deidentification.md says what is not looked at."]
    lines.append("FOUND (the value is named by your keyed hash alone):")
    lines += [f"  {n:>8}  {attribute}  in {place}" for (attribute, place), n in sorted(report.found_counts.items())]
    lines += [f"            {one.attribute} {one.hash}: {one.where}" for one in report.found[:_LISTED]]
    if len(report.found) > _LISTED:
        lines.append(f"            and more (--json lists the first {len(report.found)})")
    return [*lines, "Do not hand this on. Mend the source or the reading options and make it anew."]
