"""Cuts scenes into Samples: which windows, what each shows, and an account of those that are left out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from domainclip.domains.remote_sensing.blocks import block_of
from domainclip.domains.remote_sensing.choosing import draw_order
from domainclip.domains.remote_sensing.item_products import products_of
from domainclip.domains.remote_sensing.pixels import WindowReader, release
from domainclip.domains.remote_sensing.place import season_of_all, window_centres, window_geo
from domainclip.domains.remote_sensing.places import inside_area, read_area, read_points, windows_at
from domainclip.domains.remote_sensing.raster import unreadable
from domainclip.domains.remote_sensing.reading import RemoteSensingReading
from domainclip.domains.remote_sensing.scene import Scene, scene_of_several
from domainclip.domains.remote_sensing.scene_facts import with_facts
from domainclip.domains.remote_sensing.together import SharedRead, box_of, in_blocks, runs
from domainclip.domains.remote_sensing.warp import BLOCK as WARPED_BLOCK
from domainclip.domains.remote_sensing.windows import (
    region_of,
    regions_in_pixels,
    resolve_cut,
    spacing_of,
    window_spacing,
    windows,
)
from domainclip.errors import UnreadableFileError
from domainclip.sample import Pixels, Region, Sample, SourceItem, Window

_KEPT_BYTES = 64 * 2**20
_TOGETHER = 1024
"""Windows that are placed on the globe in one call: a call costs as much as hundreds of them."""
_CLOUD = "cloud"
_MOST_BROKEN = 16
"""Windows at the beginning of a scene none of which can be read, after which it is given up."""


@dataclass
class Account:
    """What became of a scene's windows; ``counts`` grows while they are read.

    Attributes:
        counts: ``windows`` (all of them), ``kept``, and one entry a reason to leave out.
    """

    counts: dict[str, int] = field(default_factory=lambda: {"windows": 0, "kept": 0})

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Counts windows that are not kept."""
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count

    def words(self) -> str:
        """Says what was left out, for messages."""
        left = {name: count for name, count in self.counts.items() if name not in {"windows", "kept"}}
        return ", ".join(f"{count} {name}" for name, count in left.items()) or "none left out"


class _Kept:
    """A reader that has been called once already and holds what it read, so that a window is decoded once.

    What is held is bounded: of a list of samples that nobody reads all but the newest forget their pixels, and read again.
    """

    _lock = threading.Lock()
    _held: deque[_Kept] = deque()
    _bytes = 0

    def __init__(self, reader: WindowReader, pixels: Pixels) -> None:
        self._reader, self._pixels, self._stamps = reader, pixels, reader.stamps()
        self._size = pixels.array.nbytes
        cls = type(self)
        with cls._lock:
            cls._held.append(self)
            cls._bytes += self._size
            while cls._bytes > _KEPT_BYTES:
                oldest = cls._held.popleft()
                cls._bytes -= oldest._size
                oldest._pixels = None  # type: ignore[assignment]

    def __call__(self) -> Pixels:
        pixels, self._pixels = self._pixels, None  # type: ignore[assignment]
        # A file that was changed since, or is gone, must not answer from memory.
        return pixels if pixels is not None and self._stamps == self._reader.stamps() else self._reader()

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_is, (self._reader,)


def _as_is(reader: Callable[[], Pixels]) -> Callable[[], Pixels]:
    return reader


def scene_samples(item: SourceItem, reading: RemoteSensingReading, account: Account | None = None) -> Iterator[Sample]:
    """Yields the windows of a scene, a mosaic or a series, or a whole picture.

    Args:
        item: The files and what their owner says. Region polygons are in the file's CRS, or in pixels where it has none.
        reading: Options.
        account: Counts windows as they are read.

    Yields:
        Samples with lazy pixels, (C, Y, X) or (T, C, Y, X) in the stored type.

    Raises:
        UnreadableFileError: A file is broken, its bands or numbers are not told, the owner's word does not fit it, or no window
            is left.
        UsageError: ``reading.sensor`` is unknown, or a file that an option names cannot be read.
    """
    account = account or Account()
    scene = scene_of_several(products_of(item, reading), reading)
    cutter = _Cutter(item, reading, scene, account)
    account.leave_out("assets of its item that are not there", sum(len(part.product.absent) for part in scene.parts))
    for place in cutter.places():
        sample = cutter.sample(place)
        if sample is not None:
            account.counts["kept"] += 1
            yield sample
            if reading.max_windows is not None and account.counts["kept"] == reading.max_windows:
                break
    release(scene.planes)
    seen = account.counts["windows"] - account.counts["kept"] - cutter.left_out
    account.leave_out("beyond reading.max_windows", seen)
    if not account.counts["kept"]:
        raise _nothing_left(account, reading)


_REMEDIES = {
    "outside the area": "The area (reading.area) lies elsewhere: take this scene out, or correct it.",
    "too cloudy": "Raise reading.max_cloud.",
    "with too little data": "Raise reading.max_nodata, or use a smaller reading.window_px.",
    "not enough in one region": "Lower reading.region_purity, or use a smaller reading.window_px.",
    "across two blocks": "Raise reading.block_m, or use a smaller reading.window_px.",
}


def _nothing_left(account: Account, reading: RemoteSensingReading) -> UnreadableFileError:
    """Builds the error of a scene of which no window is kept, with the remedy for what left most of them out."""
    if reading.points is not None and not account.counts["windows"]:
        count = len(read_points(reading.points).names)
        return unreadable(f"None of the {count} points lies in it.", "Take this scene out, or correct the points (reading.points).")
    most = max(_REMEDIES, key=lambda reason: account.counts.get(reason, 0))
    return unreadable(f"None of its {account.counts['windows']} windows is left: {account.words()}.", _REMEDIES[most])


@dataclass(frozen=True, slots=True)
class _Place:
    window: Window
    name: str | None = None
    centre: tuple[float, float] | None = None
    shared: SharedRead | None = None


class _Cutter:
    """The windows of one scene."""

    def __init__(self, item: SourceItem, reading: RemoteSensingReading, scene: Scene, account: Account) -> None:
        self.item, self.reading, self.scene, self.account = item, reading, scene, account
        self.spacing = spacing_of(scene.grid, item.spacing)
        self.cut = resolve_cut(scene.grid, reading, self.spacing, is_picture=scene.first.header.is_picture)
        # Regions of objects are counted in each window (scene_facts) and choose none.
        regions = () if "objects" in reading.facts else item.regions
        self.regions = regions_in_pixels(regions, scene.first.native, scene.grid)
        self.group = item.group or scene_name(item, scene)
        self.common = self._common()
        self.left_out = self.tried = self.broken = 0
        masks = {name for plane in scene.planes for band, _ in plane.quality for name in band.rule.masks}
        self.clouds = _CLOUD in masks
        if reading.max_cloud is not None and not self.clouds:
            raise unreadable(
                "It has no quality band that tells of clouds.", "Leave out reading.max_cloud, or read SCL, QA60 or the like."
            )
        if lacking := [name for name in reading.blank if name not in masks]:
            found = f"Its masks are {', '.join(sorted(masks)) or 'none'}; reading.blank names {', '.join(lacking)}."
            raise unreadable(found, "Name masks that it has, or leave reading.blank out.")

    def places(self) -> Iterator[_Place]:
        """Yields windows in the order in which they are to be tried."""
        found = self._all()
        self.account.counts["windows"] += len(found)
        if self.reading.area is not None:
            inside = inside_area([place.window for place in found], self.scene.grid, read_area(self.reading.area))
            self._leave_out("outside the area", int((~inside).sum()))
            found = [place for place, keep in zip(found, inside, strict=True) if keep]
        if self.reading.max_windows is not None and found:
            order = draw_order([p.window for p in found], self.reading.choose, self.reading.choose_seed, self.group)
            found = [found[position] for position in order]
        else:
            found = self._in_blocks(found)
        for start in range(0, len(found), _TOGETHER):
            some = found[start : start + _TOGETHER]
            centres = window_centres(self.scene.grid, [place.window for place in some])
            yield from self._shared([replace(place, centre=centre) for place, centre in zip(some, centres, strict=True)])

    def _all(self) -> list[_Place]:
        grid, cut = self.scene.grid, self.cut
        if self.reading.points is None or cut is None:
            return [_Place(window) for window in windows(grid, cut)]
        if grid.crs is None:
            raise unreadable("It has no CRS, and reading.points are places on the ground.", "Georeference it.")
        return [_Place(window, name) for window, name in windows_at(read_points(self.reading.points), grid, cut)]

    def _block(self) -> tuple[int, int]:
        """Rows and columns of what is decoded at once."""
        scene = self.scene
        return scene.first.header.block if scene.grid == scene.first.native else WARPED_BLOCK

    def _in_blocks(self, found: list[_Place]) -> list[_Place]:
        """Block by block; places of a list stay in its order."""
        if self.reading.points is not None:
            return found
        return [_Place(window) for window in in_blocks([place.window for place in found], self._block())]

    def _shared(self, found: list[_Place]) -> Iterator[_Place]:
        """Lets windows of one block share a read where all of them will be read."""
        reading = self.reading
        listed = reading.max_windows is not None or reading.points is not None
        resampled = self.cut is None or self.cut.output_px is not None
        if listed or resampled or self.regions or reading.group_by == "block" or not self._may_be_left_out():
            yield from found
            return
        series = self.scene.kind == "series"
        pixel_bytes = len(self.scene.channels) * len(self.scene.planes) * np.dtype(self.scene.first.header.dtype).itemsize
        places = iter(found)
        for run in runs([place.window for place in found], self._block(), pixel_bytes):
            shared = SharedRead(WindowReader(self.scene.planes, box_of(run), None, series)) if len(run) > 1 else None
            yield from (replace(next(places), shared=shared) for _ in run)

    def sample(self, place: _Place) -> Sample | None:
        """Returns the sample of a window, or None where it is left out."""
        window, grid = place.window, self.scene.grid
        region = region_of(window, self.regions, self.reading.region_purity) if self.regions else None
        if self.regions and region is None:
            self._leave_out("not enough in one region")
            return None
        group = self.group
        if self.reading.group_by == "block":
            block = block_of(window, grid, self.reading.block_m)
            if block is None:
                self._leave_out("across two blocks")
                return None
            group = block
        output_px = self.cut.output_px if self.cut else None
        lazy = WindowReader(self.scene.planes, window, output_px, self.scene.kind == "series")
        reader: Callable[[], Pixels] = lazy
        meta: dict[str, Any] = {}
        pixels: Pixels | None = None
        if self._may_be_left_out():
            self.tried += 1
            try:
                pixels = _looked_at(place, lazy)
            except UnreadableFileError:
                # One damaged block costs its windows: whoever reads this one is told. A file that is all damage is refused whole.
                self.broken += 1
                if self.broken == _MOST_BROKEN == self.tried:
                    raise
                return self._made(place, reader, region, group, meta)
            if _share(pixels.masks["nodata"]) > self.reading.max_nodata:
                self._leave_out("with too little data")
                return None
            if self.clouds:
                cloudy = _share(pixels.masks[_CLOUD])
                if self.reading.max_cloud is not None and cloudy > self.reading.max_cloud:
                    self._leave_out("too cloudy")
                    return None
                meta["cloud_share"] = round(cloudy, 3)
            reader = _Kept(lazy, pixels)
        return self._with_facts(self._made(place, reader, region, group, meta), pixels)

    def _may_be_left_out(self) -> bool:
        floating = self.scene.first.header.dtype.startswith("float")
        return floating or self.reading.points is not None or any(plane.may_lack_data for plane in self.scene.planes)

    def _made(self, place: _Place, reader: Callable[[], Pixels], region: Region | None, group: str, meta: dict[str, Any]) -> Sample:
        window, grid, cut = place.window, self.scene.grid, self.cut
        whole = cut is None
        labels = {**self.item.labels, **({"place": place.name} if place.name else {}), **(region.labels if region else {})}
        return Sample(
            key=self.item.name if whole else f"{self.item.name}#{window.x}_{window.y}_{window.width}_{window.height}",
            reader=reader,
            spacing=window_spacing(self.spacing, cut, window),
            geo=window_geo(grid, window, cut.output_px if cut else None),
            labels=labels,
            regions=(region,) if region else (),
            window=window,
            group=group,
            ids=dict(self.item.ids) or {"scene": self.group},
            **{**self.common, "meta": {**self.common["meta"], **_where(place.centre, self.scene.times), **meta}},
        )

    def _with_facts(self, sample: Sample, pixels: Pixels | None) -> Sample:
        window = sample.window
        assert window is not None
        shape = self.cut.output_px if self.cut and self.cut.output_px else (window.height, window.width)
        native = self.scene.first.native
        return with_facts(sample, self.reading, shape=shape, pixels=pixels, regions=self.item.regions, crs=native.crs)

    def _leave_out(self, reason: str, count: int = 1) -> None:
        self.account.leave_out(reason, count)
        self.left_out += count

    def _common(self) -> dict[str, Any]:
        """What all samples of a scene share."""
        scene, header = self.scene, self.scene.first.header
        meta: dict[str, Any] = {"synthetic": True} if header.tags.get("synthetic") == "yes" else {}
        if scene.kind == "series":
            meta["times"] = list(scene.times)
        return {
            "axes": "TCYX" if scene.kind == "series" else "CYX",
            "channels": scene.channels,
            "values": scene.values,
            "time": scene.times[0],
            "sensor": scene.first.bands.family,
            "captions": self.item.captions,
            "split": self.item.split,
            "meta": meta,
        }


def _looked_at(place: _Place, lazy: WindowReader) -> Pixels:
    """Reads a window, with its neighbours where one read serves them all."""
    if place.shared is None:
        return lazy()
    try:
        return place.shared.cut(place.window)
    except UnreadableFileError:
        return lazy()  # a neighbour may be what is damaged


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(mask)) / mask.size


def _where(centre: tuple[float, float] | None, times: Sequence[str | None]) -> dict[str, Any]:
    """Longitude, latitude and season of a window's centre; of a series the season that all its dates lie in."""
    if centre is None:
        return {}
    told: dict[str, Any] = {"longitude": round(centre[0], 4), "latitude": round(centre[1], 4)}
    if name := season_of_all(times, centre[1]):
        told["season"] = name
    return told


def scene_name(item: SourceItem, scene: Scene) -> str:
    """Returns the group of a scene: its place among the source's folders and what its files have in common."""
    name = PurePosixPath(item.name)
    if scene.kind == "scene" and len(scene.first.product.paths) == 1:
        # With its folders: the same stem in two folders is two scenes.
        return str(name.with_suffix(""))
    return str(name.parent if scene.kind != "scene" else name.parent / scene.first.product.scene)
