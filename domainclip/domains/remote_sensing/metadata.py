"""What lies beside a product's rasters: the XML of Sentinel-2, the MTL of Landsat. Scale, offset, baseline and time."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from domainclip.domains.remote_sensing.place import plain_time
from domainclip.domains.remote_sensing.products import Product, Told
from domainclip.domains.remote_sensing.raster import unreadable
from domainclip.domains.remote_sensing.sensors import families

_MAX_BYTES = 32 * 2**20
_PRODUCT_NAME = re.compile(r"S2[ABCD]_MSIL[12][AC]_\d{8}T\d{6}_N(\d\d)(\d\d)_", re.IGNORECASE)
OFFSET_SINCE = (4, 0)
"""Since processing baseline 04.00 (25 January 2022) Sentinel-2's numbers are 1000 higher (ESA, products specification)."""
_QUANTIFICATION = 1e-4
_UP = 5  # IMG_DATA/R10m lies four folders below the SAFE's own


def told_beside(product: Product) -> Told:
    """Reads what is known of a product beside its pixels: its metadata, else its name, else nothing.

    Raises:
        UnreadableFileError: Metadata is there and cannot be read.
    """
    if product.told is not None:
        return product.told
    first = product.files[0].path
    if product.family == "sentinel-2":
        metadata = _above(first, ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml"))
        return _of_safe(metadata) if metadata else _of_name(first)
    if product.family is None:
        return Told()
    table = families()[product.family]
    metadata = _mtl(first.parent, product.scene) if product.family.startswith("landsat") else None
    scale, time = _of_mtl(metadata) if metadata else ({}, None)
    if scale:
        return Told(scale, "the product's metadata (MTL)", time, table.nodata)
    for prefix, pair in table.scale.items():
        scale |= {file.band.upper(): pair for file in product.files if file.band and file.band.upper().startswith(prefix.upper())}
    return Told(scale, f"the product's name ({table.words})" if scale else None, time, table.nodata)


def baseline_scale(baseline: str) -> tuple[float, float]:
    """Returns factor and offset of Sentinel-2 at a processing baseline, e.g. ``"04.00"``."""
    major, _, minor = baseline.partition(".")
    return _QUANTIFICATION, -0.1 if (int(major), int(minor)) >= OFFSET_SINCE else 0.0


def _of_name(path: Path) -> Told:
    for part in reversed(path.parts[-_UP - 2 :]):
        match = _PRODUCT_NAME.match(part)
        if match and match[1] == "99":
            return Told()  # N9999: Sen2Cor run by the owner (BigEarthNet v2), which tells no baseline
        if match:
            baseline = f"{match[1]}.{match[2]}"
            return Told({"*": baseline_scale(baseline)}, f"the product's name (processing baseline {baseline})", None, 0.0)
    return Told()


def _above(path: Path, names: tuple[str, ...]) -> Path | None:
    for folder in list(path.parents)[:_UP]:
        for name in names:
            if (folder / name).is_file():
                return folder / name
        if folder.name.lower().endswith(".safe"):
            break
    return None


def _of_safe(path: Path) -> Told:
    """Quantification and offsets of the product's XML (L1C RADIO_ADD_OFFSET, L2A BOA_ADD_OFFSET; none before baseline 04.00)."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException, ElementTree

    try:
        root = ElementTree.fromstring(_bounded(path))
        texts, offsets, ids = _safe_facts(root)
        quantity = float(texts.get("BOA_QUANTIFICATION_VALUE") or texts["QUANTIFICATION_VALUE"])
        shifts = set(offsets.values()) or {0.0}
        if len(shifts) == 1:
            scale = {"*": _pair(1 / quantity, shifts.pop() / quantity)}
        else:
            # B1 in the XML is B01 in names of files.
            scale = {
                re.sub(r"^B(\d)$", r"B0\1", ids[number]): _pair(1 / quantity, shift / quantity) for number, shift in offsets.items()
            }
    except (ParseError, DefusedXmlException, ValueError, KeyError, ZeroDivisionError) as error:
        raise unreadable("The metadata of its product (MTD_MSI*.xml) cannot be read.", "Fetch the product again.") from error
    return Told(scale, "the product's metadata", plain_time(texts.get("PRODUCT_START_TIME")), 0.0)


def _pair(factor: float, shift: float) -> tuple[float, float]:
    """Factor and offset as they are told.

    Raises:
        ValueError: They are none, e.g. 0, or not a number.
    """
    if not (math.isfinite(factor) and factor > 0 and math.isfinite(shift)):
        raise ValueError("no factor and offset")
    return factor, shift


def _safe_facts(root: Any) -> tuple[dict[str, str], dict[str, float], dict[str, str]]:
    """First text of each element, offsets by band number, names of bands by number."""
    texts: dict[str, str] = {}
    offsets: dict[str, float] = {}
    ids: dict[str, str] = {}
    for element in root.iter():
        tag, text = str(element.tag).rpartition("}")[2], (element.text or "").strip()
        if tag in {"BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"}:
            offsets[str(element.get("band_id"))] = float(text)
        elif tag == "Spectral_Information":
            ids[str(element.get("bandId"))] = str(element.get("physicalBand"))
        elif text:
            texts.setdefault(tag, text)
    return texts, offsets, ids


def _mtl(folder: Path, scene: str) -> Path | None:
    return next((path for suffix in ("json", "txt") if (path := folder / f"{scene}_MTL.{suffix}").is_file()), None)


def _of_mtl(path: Path) -> tuple[dict[str, tuple[float, float]], str | None]:
    """Factors of surface reflectance by band, and the date, from a Landsat MTL, in its JSON or its ODL text.

    The groups count: an MTL of level 2 holds the factors of level 1 under the same names, further down.
    """
    try:
        text = _bounded(path).decode("utf-8")
        groups = _groups_of_json(json.loads(text)) if path.suffix == ".json" else _groups_of_odl(text)
        factors = groups.get("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", {})
        scale = {}
        for name, value in factors.items():
            if match := re.fullmatch(r"REFLECTANCE_MULT_BAND_(\d+)", name):
                scale[f"SR_B{match[1]}"] = _pair(float(value), float(factors[f"REFLECTANCE_ADD_BAND_{match[1]}"]))
    except (ValueError, KeyError, RecursionError) as error:
        raise unreadable("The metadata of its product (MTL) cannot be read.", "Fetch the product again.") from error
    return scale, plain_time(groups.get("IMAGE_ATTRIBUTES", {}).get("DATE_ACQUIRED"))


def _groups_of_json(tree: Any) -> dict[str, dict[str, str]]:
    whole = tree.get("LANDSAT_METADATA_FILE") if isinstance(tree, dict) else None
    if not isinstance(whole, dict):
        raise ValueError("no MTL")
    return {name: {key: str(value) for key, value in group.items()} for name, group in whole.items() if isinstance(group, dict)}


def _groups_of_odl(text: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    group = ""
    for line in text.splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if name == "GROUP":
            group = value
        elif equals:
            groups.setdefault(group, {}).setdefault(name, value.strip('"'))
    if "LANDSAT_METADATA_FILE" not in text:
        raise ValueError("no MTL")
    return groups


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise unreadable("The metadata of its product has more than 32 MiB.", "Fetch the product again.")
    return data
