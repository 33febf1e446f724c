"""Features on the ground in a file of the owner's: points, areas, mapped objects; each format read as what its name says it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from domainclip.errors import UsageError, missing_dependency

SUFFIXES = (".geojson", ".json", ".gpkg", ".fgb", ".parquet", ".geoparquet", ".shp")
_STARTS = {
    ".gpkg": b"SQLite format 3\0",
    ".fgb": b"fgb",
    ".parquet": b"PAR1",
    ".geoparquet": b"PAR1",
    ".shp": b"\0\0\x27\x0a",  # ESRI's technical description of 1998: file code 9994, big-endian
}
_MAX_GEOJSON_BYTES = 512 * 2**20


def file_stamp(path: Path, asked: str) -> tuple[int, int]:
    """Returns what changes when the file changes: time of change in ns, and bytes.

    Raises:
        UsageError: There is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(asked, f"The file cannot be opened ({type(error).__name__}).", "Check the path.") from error
    return status.st_mtime_ns, status.st_size


def read_lonlat(path: Path, asked: str, also: str = "") -> Any:
    """Reads features as ``read_features``, in longitude and latitude (WGS 84).

    Args:
        path: See there.
        asked: See there.
        also: Another ending that whoever asks reads by himself, for the error.

    Raises:
        UsageError: See there; or the file's CRS is none of places on the earth.
    """
    frame = read_features(path, asked, also)
    try:
        return frame.to_crs("EPSG:4326")
    except Exception as error:  # pyproj's own classes, by way of geopandas
        found = f"Its CRS does not lead to longitude and latitude ({type(error).__name__})."
        raise UsageError(asked, found, "Write it in a geographic or projected CRS.") from error


def read_features(path: Path, asked: str, also: str = "") -> Any:
    """Reads all features of a file.

    Args:
        path: GeoJSON, GeoPackage, FlatGeobuf, GeoParquet or Shapefile, in any CRS.
        asked: What was to be done, for errors.
        also: Another ending that whoever asks reads by himself, for the error.

    Returns:
        geopandas' GeoDataFrame in the file's CRS.

    Raises:
        UsageError: The file is absent or of another format, or has no CRS.
        MissingDependencyError: geopandas is absent.
    """
    try:
        import geopandas
    except ImportError as error:
        raise missing_dependency("geopandas", "Reading features on the ground", "geopandas") from error
    file_stamp(path, asked)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.is_file():
        found = f"It is no file that ends in {', '.join((*SUFFIXES, also) if also else SUFFIXES)}."
        remedy = "Unpack it, and name what is in it." if suffix == ".zip" else "Export the features as GeoJSON or GeoParquet."
        raise UsageError(asked, found, remedy)
    # Readers raise what their libraries do (pyogrio, pyarrow, shapely, json): all of it means that the file is not what it says.
    try:
        frame = _geojson(path, asked, geopandas) if suffix in {".geojson", ".json"} else _table(path, suffix, asked, geopandas)
    except UsageError:
        raise
    except Exception as error:
        found = f"It cannot be read as a table of features ({type(error).__name__})."
        raise UsageError(asked, found, "Check it with ogrinfo, or export it again.") from error
    if frame.crs is None:
        raise UsageError(asked, "It names no CRS.", "Write it with one, e.g. geopandas' set_crs.")
    return frame


def _table(path: Path, suffix: str, asked: str, geopandas: Any) -> Any:
    with path.open("rb") as file:
        start = file.read(max(map(len, _STARTS.values())))
    # GDAL goes by content: a list of other places (VRT) under this name would be followed.
    if not start.startswith(_STARTS[suffix]):
        raise ValueError("other content")
    if suffix in {".parquet", ".geoparquet"}:
        return geopandas.read_parquet(path)
    if len(layers := geopandas.list_layers(path)) > 1:
        found = f"It has {len(layers)} layers: {', '.join(str(name)[:20] for name in layers['name'][:5])}."
        raise UsageError(asked, found, "Write the one that you mean into a file of its own.")
    frame = geopandas.read_file(path, engine="pyogrio")
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise ValueError("no geometries")
    return frame


def _geojson(path: Path, asked: str, geopandas: Any) -> Any:
    """Reads GeoJSON without GDAL, which would fetch a CRS from a URL that the file names.

    Coordinates are WGS 84 (RFC 7946), or in the CRS that a member ``crs`` of the older edition names.
    """
    if path.stat().st_size > _MAX_GEOJSON_BYTES:
        found = f"It is GeoJSON of more than {_MAX_GEOJSON_BYTES // 2**20} MiB, which is parsed whole."
        raise UsageError(asked, found, "Convert it to GeoParquet.")
    document = _parsed(path.read_text(encoding="utf-8-sig"))
    crs = "EPSG:4326"
    if told := document.get("crs"):
        if told.get("type") != "name":
            raise UsageError(asked, "Its CRS is a link, which is not followed.", "Name it, or write WGS 84 as RFC 7946 asks.")
        crs = told["properties"]["name"]
    kind = document["type"] if "features" not in document else "FeatureCollection"
    listed = document["features"] if kind == "FeatureCollection" else [document if kind == "Feature" else {"geometry": document}]
    if not listed:
        raise UsageError(asked, "It holds no features.", "Export the features of the area of the scenes.")
    # A feature's own id counts as a column where it has no such property.
    own = [{"id": str(feature["id"])} if feature.get("id") is not None else {} for feature in listed]
    features = [
        {"type": "Feature", "geometry": feature["geometry"], "properties": {**beside, **(feature.get("properties") or {})}}
        for feature, beside in zip(listed, own, strict=True)
    ]
    return geopandas.GeoDataFrame.from_features(features, crs=crs)


def _parsed(text: str) -> dict[str, Any]:
    """A document, or features one a line (RFC 8142 and what is written without its separator)."""
    try:
        document: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        lines = [json.loads(line) for line in text.replace("\x1e", "").splitlines() if line.strip()]
        if not all(line["type"] == "Feature" for line in lines):
            raise
        document = {"features": lines}
    return document
