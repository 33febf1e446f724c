"""STAC items as scenes: assets, names of bands, scale and time; what an item names outside its folder is refused unless allowed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from domainclip.domains.remote_sensing.metadata import baseline_scale
from domainclip.domains.remote_sensing.place import plain_time
from domainclip.domains.remote_sensing.products import NamedFile, Product, Told, is_raster
from domainclip.domains.remote_sensing.raster import unreadable
from domainclip.domains.remote_sensing.sensors import canonical, families, quality_rule
from domainclip.errors import UnreadableFileError

_HEAD_BYTES = 65_536
_MAX_BYTES = 16 * 2**20
_RASTER_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "image/jpeg2000")
# Renderings and pictures of the scene are no data of it.
_NO_DATA_ROLES = {"thumbnail", "overview", "visual", "metadata"}
_NO_DATA_KEYS = {"visual", "preview", "rendered_preview", "thumbnail", "overview"}
# Harmonized Landsat Sentinel-2 at NASA (HLSS30_2.0) and at Planetary Computer (hls2-s30): its platforms are those of its sources.
_COLLECTIONS = {"hlss30": "hls-s30", "hlsl30": "hls-l30", "hls2-s30": "hls-s30", "hls2-l30": "hls-l30"}
_PLATFORMS = {
    "sentinel-2": "sentinel-2",
    "sentinel-1": "sentinel-1",
    "landsat-4": "landsat-5",
    "landsat-5": "landsat-5",
    "landsat-7": "landsat-7",
    "landsat-8": "landsat-8-9",
    "landsat-9": "landsat-8-9",
}


def is_stac_item(path: Path) -> bool:
    """Says by its first bytes whether a file is a STAC item; never raises."""
    if path.suffix.lower() not in {".json", ".geojson"}:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return b'"stac_version"' in head and re.search(rb'"type"\s*:\s*"Feature"', head) is not None


def read_item(path: Path) -> dict[str, Any]:
    """Reads an item.

    Raises:
        UnreadableFileError: It is too large, no JSON, or no item with assets.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise unreadable("The STAC item has more than 16 MiB.", "Fetch it again.")
    try:
        item = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise unreadable("The STAC item is no JSON.", "Fetch it again.") from error
    if not isinstance(item, dict) or not isinstance(item.get("assets"), dict) or not isinstance(item.get("properties"), dict):
        raise unreadable("The STAC item has no assets or no properties.", "Fetch it again.")
    return item


def local_assets(path: Path, *, outside: bool) -> list[Path]:
    """Lists the files beside an item that its assets name, those that are no data of it too.

    Raises:
        UnreadableFileError: The item cannot be read.
    """
    found = []
    for asset in _assets(read_item(path)).values():
        target = _target(asset, path)
        if target is not None and _is_file(target) and (outside or _within(target, path.parent)):
            found.append(_as_listed(target, path.parent))
    return found


def _assets(item: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {key: asset for key, asset in item["assets"].items() if isinstance(asset, dict)}


def _target(asset: Mapping[str, Any], item: Path) -> Path | None:
    """The path that an asset names; None where it names an address, or nothing."""
    href = asset.get("href")
    if not isinstance(href, str) or "\0" in href:
        return None
    scheme = _scheme(href)
    if scheme and scheme != "file":
        return None
    place = Path(unquote(urlsplit(href).path if scheme else href))
    target = place if place.is_absolute() else (item.parent / place).absolute()
    return target.resolve() if ".." in target.parts else target


def _scheme(href: str) -> str:
    """Of an address; nothing for a path. What cannot be taken apart is an address that nobody can fetch."""
    try:
        return urlsplit(href).scheme.lower()
    except ValueError:
        return "unknown"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # names that no file can have
        return False


def _as_listed(target: Path, folder: Path) -> Path:
    """The file's path as a walk through the folder gives it."""
    try:
        return folder / target.relative_to(folder.absolute())
    except ValueError:
        return target


def stac_product(path: Path, *, outside: bool = False, remote: bool = False) -> Product:
    """Turns an item into a product.

    Bands are named by the assets' ``eo:bands`` (STAC 1.0) or ``bands`` (1.1), else by the asset's key where the platform's table
    knows it. Scale and offset come from the raster extension. Where Earth Search says ``earthsearch:boa_offset_applied``, the
    numbers have no offset any more, whatever the raster extension says.

    Args:
        path: Of the item.
        outside: Allow files outside its folder.
        remote: Allow addresses.

    Raises:
        UnreadableFileError: It cannot be read, names what is not allowed, has no raster, or its bands have no names.
    """
    item = read_item(path)
    properties: Mapping[str, Any] = item["properties"]
    family = _family(item)
    copies: dict[tuple[str, ...], list[tuple[str, Mapping[str, Any], tuple[str, ...]]]] = {}
    for key, asset in _assets(item).items():
        if _is_data(key, asset, family) and (names := _names(key, asset, family)):
            copies.setdefault(canonical(names, family), []).append((key, asset, names))
    files: list[NamedFile] = []
    absent: list[str] = []
    scale: dict[str, tuple[float, float]] = {}
    nodata: set[float] = set()
    for some in copies.values():
        chosen = _first_there(some, path, outside=outside, remote=remote)
        if chosen is None:
            absent.append(some[0][0])
            continue
        file, asset, names = chosen
        files.append(file)
        for name, pair, hole in zip(names, *_numbers(asset, properties, len(names)), strict=True):
            pair = pair or _by_baseline(properties, family)
            if pair is not None and quality_rule(name, family) is None:
                scale[name.upper()] = pair
            if hole is not None and not quality_rule(name, family):
                nodata.add(hole)
    if not files:
        raise unreadable(
            f"No asset of the STAC item is a raster that is there and whose bands have names; not there: {len(absent)}.",
            "Fetch the assets, and name bands in the item (eo:bands, or bands of STAC 1.1).",
        )
    time = properties.get("datetime") or properties.get("start_datetime")
    # Items of some catalogues leave out what the products' own metadata say.
    hole = nodata.pop() if len(nodata) == 1 else families()[family].nodata if family and not nodata else None
    told = Told(scale, "STAC item" if scale else None, plain_time(time), hole)
    return Product(family, path.stem, tuple(files), (), told.time, told, tuple(absent))


def _first_there(
    copies: list[tuple[str, Mapping[str, Any], tuple[str, ...]]], item: Path, *, outside: bool, remote: bool
) -> tuple[NamedFile, Mapping[str, Any], tuple[str, ...]] | None:
    """Of the assets that hold the same bands (as COG, as JPEG 2000) the first that can be read; what may not be is refused last."""
    refused: UnreadableFileError | None = None
    for _, asset, names in copies:
        try:
            file = _file(asset, item, names, outside=outside, remote=remote)
        except UnreadableFileError as error:
            refused = refused or error
            continue
        if file is not None:
            return file, asset, names
    if refused is not None:
        raise refused
    return None


def _family(item: Mapping[str, Any]) -> str | None:
    collection = str(item.get("collection") or "").lower()
    for start, family in _COLLECTIONS.items():
        if collection.startswith(start):
            return family
    properties = item["properties"]
    for name in ("constellation", "platform"):
        told = str(properties.get(name) or "").lower().replace("_", "-")
        for start, family in _PLATFORMS.items():
            if told.startswith(start):
                level_1 = family == "landsat-8-9" and str(properties.get("landsat:correction") or "").upper().startswith("L1")
                return "landsat-8-9-l1" if level_1 else family
    return None


def _is_data(key: str, asset: Mapping[str, Any], family: str | None) -> bool:
    roles = {str(role).lower() for role in _listed(asset, "roles")}
    kind = str(asset.get("type") or "").split(";")[0].strip().lower()
    if roles & _NO_DATA_ROLES or key.lower() in _NO_DATA_KEYS or (kind and kind not in _RASTER_TYPES):
        return False
    if quality_rule(key, family) is not None:
        return True
    return bool(_listed(asset, "eo:bands", "bands") or (family and key.lower() in families()[family].aliases))


def _names(key: str, asset: Mapping[str, Any], family: str | None) -> tuple[str, ...]:
    """Names of an asset's bands, from the item alone; () where it does not tell."""
    if quality_rule(key, family) is not None:
        return (key,)
    names = []
    for band in _listed(asset, "eo:bands", "bands"):
        told = band if isinstance(band, dict) else {}
        choices = [told.get("name"), told.get("common_name"), told.get("eo:common_name")]
        known = [str(name) for name in choices if name and _known(str(name), family)]
        names.append(known[0] if known else str(next((name for name in choices if name), "")))
    if len(names) == 1 and _known(key, family):
        # Items of old name bands by their place, "B01", and assets by the band: the asset counts where both are known.
        return (names[0],) if _known(names[0], family) else (key,)
    if not names and _known(key, family):
        return (key,)
    return tuple(names) if all(names) else ()


def _known(name: str, family: str | None) -> bool:
    return family is not None and canonical([name], family)[0] in families()[family].bands


def _numbers(
    asset: Mapping[str, Any], properties: Mapping[str, Any], count: int
) -> tuple[list[tuple[float, float] | None], list[float | None]]:
    """Scale and offset, and nodata, of each band of an asset."""
    told = _listed(asset, "raster:bands", "bands")
    scales: list[tuple[float, float] | None] = []
    holes: list[float | None] = []
    for number in range(count):
        band = told[number] if number < len(told) and isinstance(told[number], dict) else {}
        merged = {**asset, **band}
        factor = _number(merged.get("scale", merged.get("raster:scale")))
        shift = _number(merged.get("offset", merged.get("raster:offset"))) or 0.0
        if properties.get("earthsearch:boa_offset_applied") is True:
            shift = 0.0
        if factor is not None and factor <= 0:
            raise unreadable("The STAC item tells a scale that is not above 0.", "Tell reading.values and reading.scale.")
        scales.append(None if factor is None else (factor, shift))
        holes.append(_number(merged.get("nodata")))
    return scales, holes


def _by_baseline(properties: Mapping[str, Any], family: str | None) -> tuple[float, float] | None:
    """Scale and offset of Sentinel-2 where the item tells the processing baseline alone, as Planetary Computer's do."""
    baseline = properties.get("s2:processing_baseline")
    if family != "sentinel-2" or not isinstance(baseline, str) or not re.fullmatch(r"\d\d\.\d\d", baseline):
        return None
    factor, shift = baseline_scale(baseline)
    return factor, 0.0 if properties.get("earthsearch:boa_offset_applied") is True else shift


def _listed(asset: Mapping[str, Any], *names: str) -> list[Any]:
    """The first of some fields that holds a list with something in it."""
    return next((value for name in names if isinstance(value := asset.get(name), list) and value), [])


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _file(asset: Mapping[str, Any], item: Path, names: tuple[str, ...], *, outside: bool, remote: bool) -> NamedFile | None:
    href = asset.get("href")
    if not isinstance(href, str):
        return None
    band, bands = (names[0], ()) if len(names) == 1 else (None, names)
    if _scheme(href) not in {"", "file"}:
        if not remote:
            raise unreadable(
                "The STAC item names files at addresses, which are not fetched unless it is allowed.",
                "Set reading.remote=true, or fetch the files and name them beside the item.",
            )
        return NamedFile(item, band, None, bands, href)
    target = _target(asset, item)
    if target is None:
        return None
    if not outside and not _within(target, item.parent):
        raise unreadable(
            "The STAC item names a file outside its folder, which is not opened unless it is allowed.",
            "Set reading.outside=true, or put the file beside the item.",
        )
    if not _is_file(target):
        return None
    if not is_raster(target):
        raise unreadable(f"The file of its band {names[0][:20]} is no raster by its first bytes.", "Fetch it again.")
    return NamedFile(_as_listed(target, item.parent), band, None, bands)


def _within(target: Path, folder: Path) -> bool:
    try:
        return target.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file can have
        return False
