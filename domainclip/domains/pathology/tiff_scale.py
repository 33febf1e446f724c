"""What a TIFF says of its scale and channels: OME-XML, PerkinElmer's XML, resolution tags."""

from __future__ import annotations

import re
from typing import Any

from domainclip.domains.pathology.scale import Scale, file_scale

_UM = {"m": 1e6, "mm": 1e3, "\u00b5m": 1.0, "\u03bcm": 1.0, "um": 1.0, "nm": 1e-3}
"""Units of OME's PhysicalSizeXUnit (default um); micro sign and Greek mu both occur."""
_MOST_XML_BYTES = 32 * 2**20


def tiff_scale(file: Any, page: Any, image: int) -> Scale:
    """Walks the chain: OME's PhysicalSizeX/Y, TIFF resolution tags, objective power of PerkinElmer's XML.

    Args:
        file: tifffile's TiffFile.
        page: The finest page.
        image: Number of OME's Image element.
    """
    x, y = (_ratio(page, name) for name in ("XResolution", "YResolution"))
    unit = page.tags["ResolutionUnit"].value if "ResolutionUnit" in page.tags else 2
    tag = None if x is None or y is None or not isinstance(unit, int) else (x, y, int(unit))
    vendor = None
    properties: dict[str, str] = {}
    if file.is_ome:
        vendor = _ome_size(file.ome_metadata, image)
    elif file.is_qpi and (
        power := re.search(r"<Objective>(\d+(?:\.\d+)?)[xX]?</Objective>", str(page.description)[:_MOST_XML_BYTES])
    ):
        properties["openslide.objective-power"] = power[1]
    return file_scale(properties, tag, generic=True, vendor=vendor)


def _ratio(page: Any, name: str) -> float | None:
    """A resolution tag's value; None where it is not there or is no fraction (a damaged type or count)."""
    value = page.tags[name].value if name in page.tags else None
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(part, int) for part in value):
        return None
    return float(value[0] / value[1]) if value[1] else 0.0


def channel_names(file: Any, image: int, samples: int) -> tuple[str, ...]:
    """Returns the names that the file gives to its channels, one each and all different; else ()."""
    names: list[str] = []
    if file.is_ome:
        element = _ome_image(file.ome_metadata, image)
        pixels = None if element is None else element.find("{*}Pixels")
        names = [] if pixels is None else [str(channel.get("Name") or "") for channel in pixels.findall("{*}Channel")]
    elif file.is_qpi:
        texts = [str(page.description)[:_MOST_XML_BYTES] for page in file.series[image].levels[0].pages]
        found = [re.search(r"<Biomarker>([^<]+)</Biomarker>", text) or re.search(r"<Name>([^<]+)</Name>", text) for text in texts]
        names = [match[1].strip() if match else "" for match in found]
    return tuple(names) if len(names) == samples and all(names) and len(set(names)) == samples else ()


def _ome_size(xml: str | None, image: int) -> tuple[float, float, str] | None:
    element = _ome_image(xml, image)
    pixels = None if element is None else element.find("{*}Pixels")
    if pixels is None or pixels.get("PhysicalSizeX") is None:
        return None
    try:
        x = float(pixels.get("PhysicalSizeX")) * _UM[pixels.get("PhysicalSizeXUnit", "um")]
        y = float(pixels.get("PhysicalSizeY", pixels.get("PhysicalSizeX"))) * _UM[pixels.get("PhysicalSizeYUnit", "um")]
    except (KeyError, ValueError):  # "pixel" and "reference frame" are no lengths
        return None
    return x, y, "ome.PhysicalSizeX"


def _ome_image(xml: str | None, image: int) -> Any:
    from defusedxml.ElementTree import ParseError, fromstring

    if not xml or len(xml) > _MOST_XML_BYTES:
        return None
    try:
        images = fromstring(xml.encode("utf-8")).findall("{*}Image")
    except (ParseError, ValueError):
        return None
    return images[image] if image < len(images) else None
