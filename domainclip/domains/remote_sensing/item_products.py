"""The products of an item: of a file and its members, or of a STAC item; and which files of a folder belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domainclip.domains.base import Gathering
from domainclip.domains.remote_sensing.products import NamedFile, Product, anchor, is_raster, products_among
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.stac import is_stac_item, local_assets, stac_product
from domainclip.domains.remote_sensing.vrt import vrt_sources
from domainclip.errors import UnreadableFileError
from domainclip.sample import SourceItem


def products_of(item: SourceItem, reading: RemoteSensingReading) -> list[Product]:
    """Returns the products of an item, in the order of their paths.

    Raises:
        UnreadableFileError: A STAC item cannot be read, or names what may not be read.
    """
    if item.url is not None:
        return [Product(None, Path(item.name).stem, (NamedFile(item.path, None, url=item.url),))]
    paths = (item.path, *item.members)
    items = [path for path in paths if is_stac_item(path)]
    if not items:
        taken = _sources_of_vrts(paths, reading)
        return products_among(path for path in paths if path not in taken)
    return [stac_product(path, outside=reading.outside, remote=reading.remote) for path in items]


def gather_scenes(paths: Sequence[Path], reading: RemoteSensingReading) -> Gathering:
    """Says which files make one scene, one mosaic or one series; see ``domains.base.GathersFiles``."""
    items = sorted(path for path in paths if is_stac_item(path))
    taken: dict[Path, Path] = {}
    broken: list[tuple[Path, str]] = []
    for path in items:
        try:
            for asset in local_assets(path, outside=reading.outside):
                taken.setdefault(asset, path)
        except UnreadableFileError as error:
            broken.append((path, error.reason))
    bad = {path for path, _ in broken}
    assets: dict[Path, list[Path]] = {path: [] for path in items if path not in bad}
    given = set(paths)
    for asset, owner in taken.items():
        if asset in given and owner in assets:
            assets[owner].append(asset)
    recipes = _sources_of_vrts([path for path in paths if path not in taken], reading)
    aside = {*taken, *items, *recipes}
    products = products_among(path for path in paths if path not in aside and is_raster(path))
    shown: dict[Path, list[Path]] = {}
    for source, vrt in sorted(recipes.items()):
        shown.setdefault(vrt, []).append(source)
    bundles = [(path.parent, "stac", (path, *sorted(own))) for path, own in assets.items()]
    for product in products:
        own = [source for path in product.paths for source in shown.get(path, ())]
        bundles.append((_home(product), f"{product.family or ''} {product.site}", (*product.paths, *own)))
    members: dict[Path, tuple[Path, ...]] = {}
    if reading.axes == "TCYX" or reading.mosaic:
        together: dict[tuple[Path, str], list[Path]] = {}
        for folder, kind, some in bundles:
            together.setdefault((folder, kind if reading.axes == "TCYX" or kind == "stac" else ""), []).extend(some)
        bundles = [(folder, kind, tuple(some)) for (folder, kind), some in together.items()]
    for _, _, some in bundles:
        members[some[0]] = tuple(some[1:])
    return Gathering(members, tuple(broken))


def _sources_of_vrts(paths: Sequence[Path], reading: RemoteSensingReading) -> dict[Path, Path]:
    """The files that VRTs among the paths take their pixels from, each with the first such VRT: they are shown by it already."""
    listed = {path.resolve(): path for path in paths}
    found: dict[Path, Path] = {}
    for path in sorted(paths):
        if path.suffix.lower() != ".vrt" or path in found:
            continue
        try:
            sources = vrt_sources(path, reading.outside)
        except (UnreadableFileError, OSError):
            continue  # whoever reads it is told
        for source in sources:
            if source in listed and listed[source] != path:
                found.setdefault(listed[source], path)
    return found


def _home(product: Product) -> Path:
    """The folder that holds a product as one thing: that around a SAFE, or around a folder of bands."""
    first = product.files[0].path
    home = anchor(first)
    if home.name.lower().endswith(".safe"):
        return home.parent
    # Bands named B02.tif alone are told apart by their folders.
    return home.parent if len(product.files) > 1 and home.name == product.scene else home
