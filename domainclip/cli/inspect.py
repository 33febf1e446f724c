"""``domainclip inspect``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainclip.cli.options import Debug, Json, Setting
from domainclip.cli.output import Reporter, run_verb
from domainclip.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from domainclip.domains.base import Inspection

_HELP = """Show what the reader sees in a file: size, levels, channels, scale with unit, values, and what is missing.

Example: [bold]domainclip inspect slide.svs[/bold]

Example: [bold]domainclip inspect slides/ --domain pathology --table slides.csv[/bold]  which lack a scale?

Example: [bold]domainclip inspect ct/ --domain radiology --set reading.axes=CZYX[/bold]  which series are whole volumes?

Example: [bold]domainclip inspect reports/ --domain radiology[/bold]  which sections have they, and what would be dropped?

Example: [bold]domainclip inspect slide.svs --overview found.png --set reading.tile_um=128[/bold]  tissue, artefacts, tiles

Example: [bold]domainclip inspect slide.svs --region 12000,8000,512,512 --um-per-px 0.5 --output part.png[/bold]
"""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("inspect", help=_HELP)(inspect)


def inspect(
    place: Annotated[
        str, typer.Argument(help="Slide, DICOM, GeoTIFF or picture, or an address; a folder, with --domain.", metavar="FILE")
    ],
    domain: Annotated[str | None, typer.Option("--domain", help="Read it as this domain does; default: by its content.")] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Of a folder: write a manifest, spacing to be filled in.", metavar="CSV"),
    ] = None,
    overview: Annotated[
        Path | None, typer.Option("--overview", help="Write a picture of what prepare would take of a slide.", metavar="PICTURE")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", help="Write a part: left, top in level-0 pixels; size of the result.", metavar="X,Y,W,H"),
    ] = None,
    um_per_px: Annotated[float | None, typer.Option("--um-per-px", help="Scale of the region.")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Where the region goes: .png, .jpg or .npy.")] = None,
    settings: Setting = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Parses the options and calls the domain's ``inspect``."""

    def work(reporter: Reporter) -> None:
        from domainclip.addresses import is_address
        from domainclip.domains.detect import inspect_address, inspect_file
        from domainclip.heads.reading import reading_settings

        if is_address(place):
            _refuse_idle(Path(place), table, overview, region, um_per_px, output, None)
            name, seen = inspect_address(place, domain, reading_settings(settings or ()))
            _report(reporter, place, place, (name, domain), seen)
            return
        file = Path(place)
        reading = _reading(file, domain, settings or (), overview is not None or region is not None)
        _refuse_idle(file, table, overview, region, um_per_px, output, None if reading is not None else settings)
        if domain is not None and (file.is_dir() or _may_be_reports(file)):
            from domainclip.cli.inspect_folder import report_folder
            from domainclip.cli.inspect_reports import holds_reports_alone, report_reports
            from domainclip.domains.base import domains
            from domainclip.domains.folder import list_folder

            listing = list_folder(file, domains.get(domain), reading) if file.is_dir() else None
            if holds_reports_alone(file, listing):
                _refuse_idle_of_reports(file, table, settings or ())
                report_reports(reporter, file, domain, settings or ())
                return
            if settings and reading is None:
                raise _idle(file, "--set data.report_...", "These settings are for reports; here are none, or images as well.")
            if listing is not None:
                if table is not None and listing.members:
                    raise _idle(file, "--table", "Rows name files; name the folder of each series in the column path yourself.")
                report_folder(reporter, file, domain, table, listing, reading)
                return
        name, seen = inspect_file(file, domain, reading)
        _picture(reporter, file, name, overview, (region, um_per_px, output), settings or ())
        _report(reporter, str(file), file.name, (name, domain), seen)

    return run_verb(work, as_json=as_json, debug=debug)


def _report(reporter: Reporter, place: str, shown: str, names: tuple[str, str | None], seen: Inspection) -> None:
    """Prints what was seen; ``names`` are the domain that read the file and the one that was asked for."""
    facts = asdict(seen)
    reporter.document({"file": place, "domain": names[0], **facts}, _lines(shown, *names, facts))


def _picture(
    reporter: Reporter,
    file: Path,
    domain: str,
    overview: Path | None,
    part: tuple[str | None, float | None, Path | None],
    settings: list[str] | tuple[str, ...],
) -> None:
    """Writes the pictures that are asked for."""
    if overview is None and part[0] is None:
        return
    from domainclip.cli.inspect_slide import write_overview, write_region

    if overview is not None:
        said = write_overview(file, domain, overview, settings)
        reporter.line(f"Overview: {overview}")
        reporter.line(said)
    if part[0] is not None:
        write_region(file, domain, part[0], part[1], part[2], settings)
        reporter.line(f"Region: {part[2]}")


def _reading(file: Path, domain: str | None, settings: list[str] | tuple[str, ...], pictured: bool) -> BaseModel | None:
    """Returns the reading options by which the domain looks at files; None where there are none, or a picture is asked for."""
    known = domain is not None or file.is_file()
    if not known or pictured or not settings or not all(setting.startswith("reading.") for setting in settings):
        return None
    from domainclip.domains.base import InspectsItems, checked_reading, domains
    from domainclip.domains.detect import detect_domain
    from domainclip.heads.reading import reading_settings

    reader = domains.get(domain or detect_domain(file))
    return checked_reading(reader, reading_settings(settings)) if isinstance(reader, InspectsItems) else None


def _refuse_idle(
    file: Path,
    table: Path | None,
    overview: Path | None,
    region: str | None,
    um_per_px: float | None,
    output: Path | None,
    settings: list[str] | None,
) -> None:
    """Refuses options that would do nothing."""
    may_be_reports = file.is_dir() or _may_be_reports(file)
    idle = {
        "--table": table is not None and not file.is_dir(),
        "--um-per-px": um_per_px is not None and region is None,
        "--output": output is not None and region is None,
        "--set": bool(settings)
        and overview is None
        and region is None
        and not (may_be_reports and all(map(_of_reports, settings or ()))),
        "--overview": overview is not None and file.is_dir(),
        "--region": region is not None and file.is_dir(),
    }
    if names := [name for name, is_idle in idle.items() if is_idle]:
        remedy = "--table is for folders, --overview and --region for files; --set, --um-per-px and --output go with these."
        raise UsageError(f"{file} was to be inspected.", f"{' and '.join(names)} would do nothing here.", remedy)


def _may_be_reports(file: Path) -> bool:
    from domainclip.captions.report_account import REPORT_SOURCES

    return file.suffix.lower() in REPORT_SOURCES


def _of_reports(setting: str) -> bool:
    return setting.startswith("data.report_")


def _refuse_idle_of_reports(file: Path, table: Path | None, settings: list[str] | tuple[str, ...]) -> None:
    if table is not None:
        raise _idle(file, "--table", "It lists images, and here are reports alone. Write a CSV with the columns path and report.")
    if others := [setting for setting in settings if not _of_reports(setting)]:
        raise _idle(file, f"--set {others[0]}", "Of reports: data.report_language, data.report_encoding, data.report_sections.")


def _idle(file: Path, option: str, remedy: str) -> UsageError:
    return UsageError(f"{file} was to be inspected.", f"{option} would do nothing here.", remedy)


def _lines(file: str, name: str, asked_domain: str | None, seen: dict[str, Any]) -> list[str]:
    read_as = name if asked_domain else f"{name} (by its content; --domain reads it as another)"
    spacing = seen["spacing"]
    scale = f"{spacing['x']:g} x {spacing['y']:g} {spacing['unit']} per pixel (from {spacing['source']})" if spacing else "unknown"
    value_range = ", ".join(f"{key} {value:g}" for key, value in (seen["range"] or {}).items())
    lines = [
        file,
        f"  read as   {read_as}",
        f"  format    {seen['format']}",
        f"  size      {seen['width']} x {seen['height']} pixels",
        *(f"  level {i}   {w} x {h} (1/{d:g})" for i, (w, h, d) in enumerate(seen["levels"])),
        f"  channels  {', '.join(seen['channels']) or 'not named'}",
        f"  scale     {scale}",
        f"  stored    {seen['dtype']}",
        f"  values    {seen['values']}",
        f"  range     {value_range or 'not read'}",
        f"  group     {seen['group']}",
    ]
    for key, value in seen["details"].items():
        lines += _detail(key, value)
    lines += [f"  missing   {text}" for text in seen["missing"]]
    return lines


def _detail(name: str, value: Any) -> list[str]:
    """One line a fact; a table of facts (of bands, say) gets a line a row."""
    if isinstance(value, dict) and any(isinstance(row, dict) for row in value.values()):
        return [f"  {name}", *(f"    {key:<9} {_row(row)}" for key, row in value.items())]
    return [f"  {name:<9} {_row(value)}"]


def _row(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item:g}" if isinstance(item, float) else f"{key} {item}" for key, item in value.items())
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
