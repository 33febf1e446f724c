"""Remote sensing: GeoTIFF scenes with named bands, and aerial pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from domainclip.domains.base import Domain, Inspection, load_facts
from domainclip.domains.remote_sensing.magic import SUFFIXES, raster_driver
from domainclip.domains.remote_sensing.reading import RemoteSensingReading

if TYPE_CHECKING:
    from pydantic import BaseModel

    from domainclip.sample import Sample, SourceItem


class RemoteSensing:
    """The domain of scenes and aerial pictures. Rasters are read through rasterio, window by window."""

    name = "remote-sensing"

    def __init__(self) -> None:
        self.facts = load_facts(Path(__file__).resolve().parent / "facts.yaml")
        self.reading_model: type[BaseModel] = RemoteSensingReading

    def recognises(self, path: Path) -> bool:
        """Says by suffix whether this is a raster that is read; files of other names are looked into. Never decodes, never raises.

        The suffix is enough, so that a broken scene is refused with a reason and not passed over; hidden files are not ours.
        """
        try:
            if path.name.startswith(".") or not path.is_file():
                return False
            return path.suffix.lower() in SUFFIXES or raster_driver(path) is not None
        except OSError:
            return False

    def inspect(self, path: Path) -> Inspection:
        """Looks at one raster.

        Raises:
            UnreadableFileError: It cannot be read.
        """
        from domainclip.domains.remote_sensing.inspection import inspect_raster

        return inspect_raster(path)

    def samples(self, item: SourceItem, reading: BaseModel) -> Iterator[Sample]:
        """Yields windows of a scene, or a whole picture; ``meta["windows"]`` counts what was kept and skipped.

        Args:
            item: The file and its owner's facts; region polygons in the file's CRS, or in pixels where it has none.
            reading: A ``RemoteSensingReading``.

        Raises:
            UnreadableFileError: It cannot be read, does not tell which band is which, or no window is left.
            UsageError: The sensor is unknown.
        """
        from domainclip.domains.remote_sensing.scene import scene_samples

        assert isinstance(reading, RemoteSensingReading)
        return scene_samples(item, reading)


DOMAIN: Domain = RemoteSensing()
