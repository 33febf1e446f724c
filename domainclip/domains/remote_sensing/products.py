"""Which files make one scene: products of one band a file, told by the names that their makers give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from domainclip.domains.remote_sensing.magic import raster_driver
from domainclip.domains.remote_sensing.raster import Place, gdal_name
from domainclip.domains.remote_sensing.sensors import families, family_of
from domainclip.errors import UnreadableFileError

_ISO_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
_FORMATS = {"time": ("%Y%m%dT%H%M%S", "%Y%m%d_%H%M%S", "%Y%m%d"), "doy": ("%Y%jT%H%M%S", "%Y%j")}
_SAFE = ".safe"
_RESOLUTION = re.compile(r"R[126]0m", re.IGNORECASE)
_SITE = re.compile(r"(?:^|[_.])(T\d\d[A-Z]{3}|\d{6}|h\d\dv\d\d)(?=[_.]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a product's numbers beside its pixels.

    Attributes:
        scale: (factor, offset) to reflectance by the band's name in files (upper case); ``"*"`` for all.
        source: Where it stands, for people.
        time: Of acquisition, ISO 8601, or None.
        nodata: The stored number without data, or None.
    """

    scale: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    source: str | None = None
    time: str | None = None
    nodata: float | None = None

    def of(self, band: str) -> tuple[float, float] | None:
        """Returns the scale of a band; None where nothing is told of it."""
        return self.scale.get(band.upper(), self.scale.get("*"))


@dataclass(frozen=True, slots=True)
class NamedFile:
    """One file of a product.

    Attributes:
        path: Of the file.
        band: What the name says it holds, in the maker's spelling; None where the file holds several bands.
        resolution_m: Pixel size by the name, where several of one band are beside each other.
        bands: Names of the file's bands, where something beside the file tells them (a STAC item).
        url: Where it lies, when not in a folder.
    """

    path: Path
    band: str | None
    resolution_m: int | None = None
    bands: tuple[str, ...] = ()
    url: str | None = None

    def place(self, *, outside: bool = False, remote: bool = False) -> Place:
        """Returns what is opened: the path, or GDAL's name of the address."""
        return Place(str(self.path) if self.url is None else gdal_name(self.url), outside, remote)


@dataclass(frozen=True, slots=True)
class Product:
    """Files that are one scene at one time.

    Attributes:
        family: Of sensors, where the names tell.
        scene: What the names have in common; the stem of a file that stands for itself.
        files: Those that hold bands.
        others: Files of the product that hold none, e.g. angles.
        time: Of acquisition by the names, ISO 8601, or None.
        told: Scale and more, where something other than the product's own metadata tells them.
        absent: Names of files that belong to it and are not there.
    """

    family: str | None
    scene: str
    files: tuple[NamedFile, ...]
    others: tuple[Path, ...] = ()
    time: str | None = None
    told: Told | None = None
    absent: tuple[str, ...] = ()

    @property
    def site(self) -> str:
        """The place by the names: an MGRS tile, a path and row, a MODIS tile; "" where they do not tell."""
        match = _SITE.search(self.scene)
        return match[0].strip("_.").upper() if match else ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the one that stands for the product first."""
        return tuple(file.path for file in self.files) + self.others


def products_among(paths: Iterable[Path]) -> list[Product]:
    """Sorts files into products; a file whose name is of no known product stands for itself.

    Args:
        paths: Rasters.

    Returns:
        In the order of their first files by path; the same whatever the order of ``paths``.
    """
    groups: dict[tuple[str, str, str], list[NamedFile]] = {}
    times: dict[tuple[str, str, str], str | None] = {}
    alone: list[Path] = []
    for path in sorted(paths):
        found = _matched(path)
        if found is None:
            alone.append(path)
            continue
        named, scene, file, time = found
        key = (named, scene, str(anchor(path)))
        groups.setdefault(key, []).append(file)
        times[key] = time
    beside: dict[str, list[Path]] = {}
    for path in alone:
        beside.setdefault(str(anchor(path)), []).append(path)
    products, owned = [], set[Path]()
    for key, files in groups.items():
        others = tuple(path for path in beside.get(key[2], ()) if path not in owned and _belongs(path, key))
        owned.update(others)
        finest = _finest(files)
        coarser = tuple(file.path for file in files if file not in finest)
        scene = key[1] or Path(key[2]).name
        # A bare B02.tif is not only Sentinel-2's: the other bands beside it must tell.
        family: str | None = key[0] if key[1] else family_of([str(file.band) for file in files])
        products.append(Product(family, scene, finest, others + coarser, times[key] or date_in(scene)))
    products += [Product(None, path.stem, (NamedFile(path, None),), (), date_in(path.stem)) for path in alone if path not in owned]
    return sorted(products, key=lambda product: product.files[0].path)


def _matched(path: Path) -> tuple[str, str, NamedFile, str | None] | None:
    for table in families().values():
        for pattern in table.files:
            match = pattern.fullmatch(path.name)
            if match is None:
                continue
            groups: Mapping[str, str | None] = match.groupdict()
            resolution = groups.get("resolution")
            file = NamedFile(path, groups["band"] or None, int(resolution) if resolution else None)
            return table.name, str(groups["scene"]), file, _time(groups)
    return None


def _time(groups: Mapping[str, str | None]) -> str | None:
    for name, formats in _FORMATS.items():
        text = groups.get(name)
        for form in formats if text else ():
            try:
                moment = datetime.strptime(str(text), form)
            except ValueError:
                continue
            return moment.isoformat() if "H" in form else moment.date().isoformat()
    return None


def date_in(name: str) -> str | None:
    """Returns the one date, YYYY-MM-DD, that a name holds; None where there is none, or several."""
    dates = set(_ISO_DATE.findall(name))
    if len(dates) != 1:
        return None
    try:
        return datetime.fromisoformat(dates.pop()).date().isoformat()
    except ValueError:
        return None


def anchor(path: Path) -> Path:
    """The folder that a product lies in: that of the SAFE, that around its folders of resolutions, else the file's own."""
    # Whoever stands in the SAFE gives paths that do not name it.
    parents = path.absolute().parents
    safe = next((parent for parent in parents if parent.name.lower().endswith(_SAFE)), None)
    return safe or (parents[1] if _RESOLUTION.fullmatch(parents[0].name) else parents[0])


def _belongs(path: Path, key: tuple[str, str, str]) -> bool:
    """Says whether a file that holds no band, in a product's folder, is part of it: the folder is a SAFE, or it has its name."""
    return key[2].lower().endswith(_SAFE) or bool(key[1] and path.name.lower().startswith(key[1].lower()))


def _finest(files: Sequence[NamedFile]) -> tuple[NamedFile, ...]:
    """Of several files of one band the finest (SAFE has 10, 20 and 60 m); of radiance and reflectance (``_SR``) the latter."""
    best: dict[str | None, NamedFile] = {}
    for file in files:
        held = best.get(file.band)
        if held is None or _rank(file) < _rank(held):
            best[file.band] = file
    return tuple(sorted(best.values(), key=lambda file: file.path))


def _rank(file: NamedFile) -> tuple[int, bool]:
    return file.resolution_m or 0, "_sr" not in file.path.name.lower()


def is_raster(path: Path) -> bool:
    """Says by its first bytes whether a file is one that GDAL may be given; never raises."""
    try:
        return raster_driver(path) is not None
    except OSError:
        return False


def one_product(products: Sequence[Product]) -> Product:
    """Returns the only product of an item.

    Raises:
        UnreadableFileError: There are several.
    """
    if len(products) != 1:
        raise UnreadableFileError(
            "Files were to be read as one scene.",
            f"By their names they are {len(products)} scenes.",
            "Read them as a series (reading.axes=TCYX), as one mosaic (reading.mosaic=true), or one by one.",
        )
    return products[0]
