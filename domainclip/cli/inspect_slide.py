"""Pictures that ``domainclip inspect`` writes of slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domainclip.errors import UnreadableFileError, UsageError


def write_overview(file: Path, domain: str, picture: Path, settings: Sequence[str]) -> str:
    """Draws what ``prepare`` would take of a file.

    Args:
        file: The slide.
        domain: Its domain; only those that draw overviews.
        picture: A .png or .jpg to write.
        settings: ``reading.field=value`` as for ``prepare``.

    Returns:
        How many tiles there are, or why none.

    Raises:
        UsageError: The domain draws none, or the picture has another suffix.
        UnreadableFileError: Nothing can be taken of the file.
    """
    from domainclip.domains.base import domains
    from domainclip.sample import SourceItem

    _check_suffix(picture, (".png", ".jpg"))
    spoken = domains.get(domain)
    draw = getattr(spoken, "overview", None)
    if draw is None:
        raise UsageError(f"An overview of {file} was asked for.", f"The domain {domain} draws none.", "Leave --overview out.")
    item, reading, said = SourceItem(file, file.name), _reading(domain, settings), ""
    try:
        said = f"Tiles: {sum(1 for _ in spoken.samples(item, reading))}"
    except UnreadableFileError as error:
        said = f"No tile: {error.found} {error.remedy}"
    try:
        drawn = draw(item, reading)
    except UnreadableFileError as error:
        raise UnreadableFileError(f"An overview of {file} was to be drawn.", error.found, error.remedy) from error
    if drawn is None:
        found = "It is a small picture that is taken whole."
        raise UsageError(f"An overview of {file} was asked for.", found, "Cut it: --set reading.mode=tiles.")
    _save(drawn, picture)
    return said


def write_region(
    file: Path, domain: str, region: str, um_per_px: float | None, output: Path | None, settings: Sequence[str]
) -> None:
    """Writes a part of a slide at a scale.

    Args:
        file: The slide.
        domain: Must be pathology.
        region: ``"X,Y,W,H"``: left and top in level-0 pixels, size of the result in pixels.
        um_per_px: Scale of the result.
        output: .png or .jpg for colour, .npy for all channels as stored (C, H, W).
        settings: ``reading.spacing_um``, ``reading.scene``, ``reading.white_level``, ``reading.upsample``.

    Raises:
        UsageError: An option is missing or does not fit.
        UnreadableFileError: The region cannot be read.
    """
    import numpy as np

    asked = f"The region {region} of {file} was asked for."
    if domain != "pathology":
        raise UsageError(asked, f"The file is read as {domain}; regions in um are of slides.", "Leave --region out.")
    try:
        left, top, *size = region.split(",")
        x, y, (width, height) = float(left), float(top), (int(side) for side in size)
    except ValueError:
        remedy = "Give left and top, then whole numbers of pixels, e.g. --region 12000,8000,512,512."
        raise UsageError(asked, "It is not X,Y,W,H.", remedy) from None
    if um_per_px is None or output is None:
        raise UsageError(asked, "Its scale or its place on disk is missing.", "Add --um-per-px 0.5 --output part.png.")
    _check_suffix(output, (".png", ".jpg", ".npy"))
    from domainclip.domains.pathology.region import read_region
    from domainclip.domains.pathology.slides import COLOURS, open_slide

    reading = _reading(domain, settings)
    options = {name: getattr(reading, name) for name in ("spacing_um", "scene", "white_level", "upsample")}
    array, _ = read_region(file, x, y, (width, height), um_per_px, **options)
    if output.suffix == ".npy":
        np.save(output, array.transpose(2, 0, 1), allow_pickle=False)
    elif open_slide(file, reading.scene).facts.channels != COLOURS:
        raise UsageError(asked, "Its channels are no red, green and blue.", "Write all channels as stored: --output part.npy.")
    else:
        _save(array, output)


def _reading(domain: str, settings: Sequence[str]) -> Any:
    from domainclip.config import validated
    from domainclip.domains.base import domains
    from domainclip.heads.reading import reading_settings

    return validated(domains.get(domain).reading_model, reading_settings(settings), f"The section reading of {domain}")


def _check_suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        found = f"Its suffix is {path.suffix or 'missing'}."
        raise UsageError(f"A picture was to be written to {path}.", found, f"Name it {' or '.join(known)}.")


def _save(array: Any, path: Path) -> None:
    from PIL import Image

    Image.fromarray(array).save(path)
