"""VRT files: what may stand in one, and what GDAL is given in its place.

A VRT is a recipe that GDAL follows wherever it leads: other folders, URLs, databases, Python code. GDAL never reads the file itself
here. It is parsed, each element is held against a list, each source is looked at, and a new text is written of what passed, so
that no difference between two XML parsers matters. GDAL's list of elements: https://gdal.org/drivers/raster/vrt.html.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from domainclip.domains.folder import astray
from domainclip.domains.remote_sensing.magic import HEAD_BYTES, READ, raster_driver
from domainclip.domains.remote_sensing.refusals import unreadable
from domainclip.domains.remote_sensing.vrt_pieces import Box, Piece
from domainclip.errors import UnreadableFileError

MOST_BYTES = 16 * 2**20
MOST_SOURCES = 20_000
MOST_DEPTH = 3
_OUTSIDE = "Copy what it names into its folder, or allow other folders: reading.outside=true."
_REMOTE = "Download what it names, or allow addresses: reading.remote=true."
_REWRITE = "Write what it describes into a file: gdal_translate."
_SOURCES = frozenset({"SimpleSource", "ComplexSource", "AveragedSource", "NoDataFromMaskSource"})
_PLAIN = frozenset({
    "SRS", "GeoTransform", "MDI", "BlockXSize", "BlockYSize", "OverviewList", "Description", "UnitType", "Offset", "Scale",
    "CategoryNames", "Category", "ColorInterp", "ColorTable", "Entry", "NoDataValue", "HideNoDataValue", "SourceBand",
    "SourceProperties", "SrcRect", "DstRect", "NODATA", "UseMaskBand", "ScaleOffset", "ScaleRatio", "ColorTableComponent", "LUT",
    "Exponent", "SrcMin", "SrcMax", "DstMin", "DstMax", "Clamp", "MaskValueThreshold", "RemappedValue",
})  # fmt: skip
_IDLE = frozenset({"Histograms", "GDALRasterAttributeTable"})
"""What nobody here reads: left out of the text that GDAL is given."""
_NAMED = {
    "GDALWarpOptions": "it is a warped VRT",
    "PansharpeningOptions": "it sharpens one raster by another",
    "ProcessingSteps": "it computes its pixels",
    "PixelFunctionType": "it computes its pixels by a function",
    "PixelFunctionCode": "it holds code",
    "PixelFunctionLanguage": "it holds code",
    "KernelFilteredSource": "it filters its pixels",
    "OpenOptions": "it gives options to GDAL's drivers",
    "GCPList": "it has ground control points in place of a transform",
    "Overview": "it names other files for its overviews",
    "Group": "it is multidimensional",
}
_ADDRESS = re.compile(r"^(?:/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)


@dataclass(slots=True)
class CheckedVrt:
    """A VRT that passed.

    Attributes:
        text: What GDAL is to open, with resolved names.
        size: (width, height) in pixels.
        sources: The files that it takes pixels from, each once, those of VRTs inside it too.
        addresses: The URLs among its sources.
        pieces: For each band, from 1, its sources from the lowest to the topmost.
        fill: What it gives where no source lies.
    """

    text: str
    size: tuple[int, int]
    sources: tuple[Path, ...]
    addresses: tuple[str, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    fill: float


def vrt_sources(path: Path, outside: bool = False) -> tuple[Path, ...]:
    """Returns the files that a VRT takes pixels from.

    Args:
        path: The VRT.
        outside: They may lie outside its folder.

    Raises:
        UnreadableFileError: It may not be read.
    """
    return checked_vrt(path, outside=outside).sources


def checked_vrt(path: Path, *, outside: bool = False, remote: bool = False) -> CheckedVrt:
    """Looks at a VRT and all that it names.

    Args:
        path: The VRT.
        outside: Its sources may lie outside its folder.
        remote: Its sources may be addresses of http and https; what they lead to is not looked at.

    Raises:
        UnreadableFileError: It is no VRT, has what is not on the list, or a source that is absent, elsewhere or of another kind.
    """
    home = None if outside else path.resolve().parent
    return _Reading(home, remote).read(path, ())


def _refused(found: str, remedy: str = _REWRITE) -> UnreadableFileError:
    return unreadable(f"It is a VRT, and {found}.", remedy)


@dataclass(slots=True)
class _Reading:
    """One walk through a VRT and those inside it.

    Attributes:
        home: The folder that holds all sources; None: they may lie anywhere.
        remote: Addresses are allowed.
        known: Sources that were looked at: driver, (width, height) and what GDAL gives for blocks that the file lacks.
        inner: VRTs inside it, by path.
        addresses: URLs that were allowed.
        count: Sources so far, each as often as it is named.
        length: Characters of all texts so far.
    """

    home: Path | None
    remote: bool
    known: dict[Path, tuple[str, tuple[int, int], float]] = field(default_factory=dict)
    inner: dict[Path, CheckedVrt] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)
    count: int = 0
    length: int = 0

    def read(self, path: Path, above: tuple[Path, ...]) -> CheckedVrt:
        """Reads one VRT; ``above`` are those that it stands in."""
        real = path.resolve()
        if len(above) >= MOST_DEPTH:
            raise _refused(f"more than {MOST_DEPTH} VRTs stand in each other")
        root = _parsed(real)
        if root.tag != "VRTDataset" or root.get("subClass"):
            raise _refused(f"it is of another kind than a mosaic ({_short(root.get('subClass') or root.tag)})")
        size = (_whole(root, "rasterXSize"), _whole(root, "rasterYSize"))
        new = Element("VRTDataset", {"rasterXSize": str(size[0]), "rasterYSize": str(size[1])})
        pieces = []
        for child in root:
            if child.tag == "VRTRasterBand":
                pieces.append(self._band(child, SubElement(new, child.tag), real, above, size))
            elif child.tag == "MaskBand":
                mask = SubElement(new, child.tag)
                for band in child:
                    self._band(band, SubElement(mask, "VRTRasterBand"), real, above, size)
            else:
                _copy(child, new)
        if not pieces:
            raise _refused("it has no band")
        text = tostring(new, encoding="unicode")
        self.length += len(text)
        if self.length > MOST_BYTES:
            raise _refused(f"it takes more than {MOST_BYTES} characters with those inside it")
        return CheckedVrt(
            text,
            size,
            tuple(self.known),
            tuple(self.addresses),
            tuple(pieces),
            _number(root.findtext("VRTRasterBand/NoDataValue")) or 0.0,
        )

    def _band(self, band: Element, new: Element, real: Path, above: tuple[Path, ...], size: tuple[int, int]) -> tuple[Piece, ...]:
        if band.tag != "VRTRasterBand" or band.get("subClass"):
            raise _refused(f"a band of it computes or reads raw pixels ({_short(band.get('subClass') or band.tag)})")
        new.attrib.update(band.attrib)
        pieces = []
        for child in band:
            if child.tag in _SOURCES:
                pieces.append(self._source(child, SubElement(new, child.tag, child.attrib), real, above, size))
            elif child.tag == "MaskBand":
                raise _refused("a band of it has a mask of its own")
            else:
                _copy(child, new)
        return tuple(pieces)

    def _source(self, source: Element, new: Element, real: Path, above: tuple[Path, ...], size: tuple[int, int]) -> Piece:
        self.count += 1
        if self.count > MOST_SOURCES:
            raise _refused(f"it has more than {MOST_SOURCES} sources")
        named = source.findall("SourceFilename")
        if len(named) != 1:
            raise _refused("a source of it does not say which file it is")
        name = (named[0].text or "").strip()
        relative = (named[0].get("relativeToVRT") or named[0].get("relativetoVRT") or "0") != "0"
        filename = SubElement(new, "SourceFilename", {"relativeToVRT": "0", "shared": "0"})
        for child in source:
            if child.tag != "SourceFilename":
                _copy(child, new)
        band, box, place = source.findtext("SourceBand", "1"), source.find("SrcRect"), source.find("DstRect")
        number = int(band) if band.strip().isdecimal() else 0  # "mask,1": the mask of a band
        into = _whole_of(size) if place is None else _rect(place)
        if _ADDRESS.match(name):
            filename.text = self._address(name)
            return Piece(None, None, None, number, into, into, False)
        path = self._file(name, real.parent if relative else Path.cwd())
        driver, source_size, fill = self._looked_at(path, (*above, real))
        inner = self.inner.get(path)
        filename.text = inner.text if inner else str(path)
        taken = _whole_of(source_size) if box is None else _rect(box)
        through = source.findtext("NODATA")
        tiff = path if driver == "GTiff" else None
        return Piece(source_size, tiff, inner, number, taken, into, _number(through) == fill)

    def _address(self, name: str) -> str:
        plain = name.removeprefix("/vsicurl/")
        if not re.match(r"^https?://[^\s<>\"']+$", plain):
            raise _refused("a source of it is a kind of address that is not read", "Download what it names.")
        if not self.remote:
            raise _refused("a source of it is an address on a network, which is not followed", _REMOTE)
        self.addresses[plain] = None
        return f"/vsicurl/{plain}"

    def _file(self, name: str, folder: Path) -> Path:
        # A colon or a leading /vsi is how GDAL tells databases, subdatasets and its own file systems from files.
        if not name or re.match(r"/?vsi|.*[:<>?\"\n\0]|.*\.zip/", name, re.IGNORECASE):
            raise _refused("a source of it is no plain file (a database, an archive, a subdataset or an option string)")
        path = folder / name
        if self.home is not None and not path.resolve().is_relative_to(self.home):
            link = path.is_symlink() and astray(path, self.home)
            raise _refused(f"a source of it is {link or 'a file outside its folder, which is not followed'}", _OUTSIDE)
        if not path.is_file():
            raise _refused("a source of it is not there", "Copy its sources with it, in the same folders.")
        return path.resolve()

    def _looked_at(self, path: Path, above: tuple[Path, ...]) -> tuple[str, tuple[int, int], float]:
        if path in above:
            raise _refused("it leads back to itself")
        if path not in self.known:
            driver = raster_driver(path)
            if driver is None:
                raise _refused(f"a source of it is no {READ} by its first bytes")
            if driver == "VRT":
                inner = self.inner[path] = self.read(path, above)
                self.known[path] = (driver, inner.size, inner.fill)
            else:
                self.known[path] = _opened_once(path, driver)
        return self.known[path]


def _opened_once(path: Path, driver: str) -> tuple[str, tuple[int, int], float]:
    """Looks at a source as if it were opened by itself; GDAL finds its driver anew, so it must not pass for a VRT."""
    import rasterio
    from rasterio.errors import RasterioError

    from domainclip.domains.remote_sensing.openable import check_openable, check_opened

    with path.open("rb") as file:
        if b"<vrtdataset" in file.read(2 * HEAD_BYTES).lower():
            raise _refused("a source of it is of two kinds at once")
    check_openable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver=driver, sharing=False) as dataset:
                check_opened(dataset)
                return driver, (dataset.width, dataset.height), 0.0 if dataset.nodata is None else float(dataset.nodata)
    except RasterioError as error:
        raise _refused("a source of it cannot be opened", "Check its sources with 'domainclip inspect'.") from error


def _parsed(path: Path) -> Element:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if path.stat().st_size > MOST_BYTES:
        raise _refused(f"it is larger than {MOST_BYTES} bytes")
    try:
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise _refused("it declares a document type or entities") from error
    except (ParseError, ValueError, LookupError) as error:  # ValueError, LookupError: an encoding that Python lacks
        raise _refused("it is no XML that can be read", "Fetch it again.") from error
    return root


def _copy(old: Element, new: Element) -> None:
    """Copies what is on the list, with all that it holds."""
    if old.tag == "Metadata":
        domain = (old.get("domain") or "").upper()
        if domain == "OVERVIEWS":
            raise _refused("it names other files for its overviews")
        if domain:
            return  # no domain but the first is read here, and GDAL follows some of them
    elif old.tag in _IDLE:
        return
    elif old.tag not in _PLAIN:
        raise _refused(_NAMED.get(old.tag, f"it holds what is not read here (element {_short(old.tag)})"))
    if old.text and re.match(r"\s*<", old.text):
        raise _refused("it holds one document within another")
    made = SubElement(new, old.tag, old.attrib)
    made.text = old.text
    for child in old:
        _copy(child, made)


def _short(text: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "?", str(text))[:40]


def _whole(element: Element, name: str) -> int:
    text = element.get(name, "")
    if not text.isdecimal() or not 0 < int(text[:12]) < 2**31:
        raise _refused("its size is no whole number of pixels", "Write it anew: gdalbuildvrt.")
    return int(text)


def _whole_of(size: tuple[int, int]) -> Box:
    return 0.0, 0.0, float(size[0]), float(size[1])


def _rect(element: Element) -> Box:
    try:
        x, y, width, height = (float(element.get(name, "")) for name in ("xOff", "yOff", "xSize", "ySize"))
    except ValueError as error:
        raise _refused("the place of a source is no number", "Write it anew: gdalbuildvrt.") from error
    if not (abs(x) < 2**31 and abs(y) < 2**31 and 0 < width < 2**31 and 0 < height < 2**31):
        raise _refused("the place of a source is none in a raster", "Write it anew: gdalbuildvrt.")
    return x, y, width, height


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
