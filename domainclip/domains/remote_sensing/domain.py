"""The domain of scenes and aerial pictures; see ``domainclip.domains.base.Domain``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domainclip.domains.base import Gathering, Inspection, load_facts
from domainclip.domains.remote_sensing.magic import SUFFIXES, raster_driver
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.stac import is_stac_item

if TYPE_CHECKING:
    from pydantic import BaseModel

    from domainclip.domains.remote_sensing.samples import Account
    from domainclip.sample import Sample, SourceItem


class RemoteSensing:
    """Rasters are read through rasterio, window by window; files that are one scene by their names are read as one."""

    name = "remote-sensing"
    reads_urls = True

    def __init__(self) -> None:
        self.facts = load_facts(Path(__file__).resolve().parent / "facts.yaml")
        self.reading_model: type[BaseModel] = RemoteSensingReading
        self._account: tuple[str, Account] | None = None

    def recognises(self, path: Path) -> bool:
        """Says by suffix whether this is a raster, by content whether it is a STAC item; files of other names are looked into.

        The suffix is enough, so that a broken scene is refused with a reason and not passed over; hidden files are not ours. Never
        decodes, never raises.
        """
        try:
            if path.name.startswith(".") or not path.is_file():
                return False
            return path.suffix.lower() in SUFFIXES or raster_driver(path) is not None or is_stac_item(path)
        except OSError:
            return False

    def gathered(self, paths: Sequence[Path], reading: BaseModel | None = None) -> Gathering:
        """Groups files of one product by their names, dates into series and neighbours into mosaics where ``reading`` asks."""
        from domainclip.domains.remote_sensing.item_products import gather_scenes

        return gather_scenes(paths, _checked(reading))

    def inspect(self, path: Path) -> Inspection:
        """Looks at one file.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        from domainclip.sample import SourceItem

        return self.inspect_item(SourceItem(path, path.name), RemoteSensingReading())

    def inspect_item(self, item: SourceItem, reading: BaseModel) -> Inspection:
        """Looks at a scene as ``reading`` makes it of its files.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        from domainclip.domains.remote_sensing.inspection import inspect_scene

        return inspect_scene(item, _checked(reading))

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Yields windows of a scene, or a whole picture; ``account`` counts what was kept and left out.

        Args:
            item: The file and its owner's facts; region polygons in the file's CRS, or in pixels where it has none.
            reading: A ``RemoteSensingReading``.

        Raises:
            UnreadableFileError: It cannot be read, does not tell which band is which, or no window is left.
            UsageError: The sensor is unknown.
        """
        from domainclip.domains.remote_sensing.samples import Account, scene_samples

        account = Account()
        self._account = (item.name, account)
        return scene_samples(item, _checked(reading), account)

    def wavelengths(self, channels: Sequence[str], family: str | None = None) -> Mapping[str, float]:
        """Returns the centre wavelengths of optical bands in micrometres, as far as they are known."""
        from domainclip.domains.remote_sensing.sensors import known_wavelengths

        return known_wavelengths(channels, family)

    @property
    def known(self) -> Mapping[str, Sequence[str]]:
        """Names that options take: orders of bands, tables of statistics."""
        from domainclip.domains.remote_sensing.sensors import sensors
        from domainclip.domains.remote_sensing.statistics import published_statistics

        return {"sensors": list(sensors()), "statistics": list(published_statistics())}

    def statistics(self, name: str, channels: Sequence[str], values_kind: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and spread of bands in a published set; see ``statistics.yaml`` for their sources.

        Raises:
            UsageError: There is no such set, or it does not fit.
        """
        from domainclip.domains.remote_sensing.statistics import statistics_of

        return statistics_of(name, channels, values_kind)

    def account(self, item: SourceItem) -> Mapping[str, int]:
        """Returns what became of the windows of the item whose samples were asked for last; empty for any other."""
        held = self._account
        return dict(held[1].counts) if held is not None and held[0] == item.name else {}


def _checked(reading: BaseModel | None) -> RemoteSensingReading:
    if reading is None:
        return RemoteSensingReading()
    assert isinstance(reading, RemoteSensingReading)
    return reading
