"""The peers of ``slides_against_peers.py``: each turns slides into tar files of JPEG tiles. Runs in the peers' own Python.

    python peer_systems.py JOB     JOB is JSON: system, variant, slides, output, processes, um, px, quality, min_tissue, boxes

Knows nothing of domainclip. All use the same encoder (OpenCV's libjpeg-turbo, 4:2:0) and the same writer of shards (tarfile).
Systems and variants, the latter all documented ways of the peer to do the job; the driver takes the fastest:

- ``raw``: OpenSlide; thumbnail, Otsu's threshold on saturation, grid, ``read_region``. ``cv2`` or ``pillow`` converts and encodes.
- ``lazyslide``: ``find_tissues``, ``tile_tissues(px, mpp=)``, and tiles from ``wsi.iter.tile_images`` (``iter``), from the data
  set that its models read (``dataset``), or from that through torch's DataLoader with a worker per process, which also encode
  (``loader``); files through OpenSlide. ``lazyslide-fastslide``: the same with its optional reader fastslide.
- ``tiatoolbox``: ``SlidingWindowPatchExtractor`` with its ``otsu`` or ``morphological`` mask, by OpenSlide or TIFFWSIReader.

With several processes one slide is one job of a pool, except for ``loader``.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Tiles = Iterator[tuple[str, bytes]]
"""Name and JPEG of each tile."""


def jpeg(rgb: np.ndarray, quality: int) -> bytes:
    """Encodes (H, W, 3) uint8 RGB."""
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_shard(path: Path, tiles: Tiles) -> int:
    """Writes a slide's tiles into a tar file; returns how many."""
    count = 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for name, data in tiles:
            header = tarfile.TarInfo(f"{name}.jpg")
            header.size = len(data)
            shard.addfile(header, io.BytesIO(data))
            count += 1
    return count


class Raw:
    """A plain loop over OpenSlide."""

    variants = ("cv2", "pillow")

    def load(self) -> None:
        import openslide

        self.open = openslide.OpenSlide

    def grid(self, slide: Any, job: dict[str, Any]) -> tuple[list[tuple[int, int]], int]:
        side = round(job["px"] * job["um"] / float(slide.properties["openslide.mpp-x"]))
        width, height = slide.dimensions
        return [(x, y) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)], side

    def tiles(self, path: str, job: dict[str, Any]) -> Tiles:
        slide = self.open(path)
        boxes, side = self.grid(slide, job)
        step = 32
        thumbnail = np.asarray(slide.get_thumbnail((slide.dimensions[0] // step, slide.dimensions[1] // step)).convert("RGB"))
        saturation = cv2.medianBlur(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2HSV)[..., 1], 5)
        mask = cv2.threshold(saturation, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
        for x, y in boxes:
            cut = mask[y // step : (y + side) // step, x // step : (x + side) // step]
            if cut.mean() >= job["min_tissue"]:
                yield f"{x}_{y}", self.encoded(self.read(slide, x, y, side), job)

    def read(self, slide: Any, x: int, y: int, side: int) -> Any:
        return slide.read_region((x, y), 0, (side, side))

    def encoded(self, image: Any, job: dict[str, Any]) -> bytes:
        if job["variant"] == "cv2":
            bgr = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGBA2BGR)
            if bgr.shape[0] != job["px"]:
                bgr = cv2.resize(bgr, (job["px"], job["px"]), interpolation=cv2.INTER_AREA)
            return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, job["quality"]])[1].tobytes()
        rgb, buffer = image.convert("RGB"), io.BytesIO()
        rgb = rgb if rgb.size[0] == job["px"] else rgb.reduce(rgb.size[0] // job["px"])
        rgb.save(buffer, "JPEG", quality=job["quality"])
        return buffer.getvalue()

    def look(self, path: str, job: dict[str, Any]) -> tuple[list[list[int]], Iterator[np.ndarray]]:
        slide = self.open(path)
        boxes, side = self.grid(slide, job)

        def pixels() -> Iterator[np.ndarray]:
            for x, y in job["boxes"]:
                rgb = np.asarray(self.read(slide, x, y, side).convert("RGB"))
                yield rgb if side == job["px"] else cv2.resize(rgb, (job["px"], job["px"]), interpolation=cv2.INTER_AREA)

        return [list(box) for box in boxes], pixels()


class LazySlide:
    """LazySlide on wsidata."""

    variants: tuple[str, ...] = ("openslide iter", "openslide dataset", "openslide loader")

    def load(self) -> None:
        import lazyslide
        import torch.utils.data
        import wsidata

        self.zs, self.wsidata, self.torch = lazyslide, wsidata, torch

    def cut(self, path: str, job: dict[str, Any], whole: bool = False) -> Any:
        wsi = self.wsidata.open_wsi(path, store=None, reader=job["variant"].split()[0])
        if not whole:
            self.zs.pp.find_tissues(wsi)
        least = 1 - job["min_tissue"]
        key = None if whole else "tissues"
        self.zs.pp.tile_tissues(wsi, job["px"], mpp=job["um"], background_fraction=least, tissue_key=key)
        return wsi

    def tiles(self, path: str, job: dict[str, Any]) -> Tiles:
        wsi = self.cut(path, job)
        way = job["variant"].split()[1]
        if way == "iter":
            for tile in wsi.iter.tile_images("tiles"):
                yield f"{tile.x}_{tile.y}", jpeg(tile.image, job["quality"])
        elif way == "dataset":
            tiles = wsi.ds.tile_images("tiles")
            for number in range(len(tiles)):
                tile = tiles[number]
                yield f"{tile['x']}_{tile['y']}", jpeg(tile["image"], job["quality"])
        else:
            tiles = wsi.ds.tile_images("tiles", transform=Encoder(job["quality"]))
            for batch in self.torch.utils.data.DataLoader(tiles, batch_size=32, num_workers=job["processes"], collate_fn=list):
                for tile in batch:
                    yield f"{tile['x']}_{tile['y']}", tile["image"]

    def look(self, path: str, job: dict[str, Any]) -> tuple[list[list[int]], Iterator[np.ndarray]]:
        wsi = self.cut(path, job, whole=True)
        boxes = [[int(x), int(y)] for x, y in wsi.shapes["tiles"].bounds[["minx", "miny"]].to_numpy()]
        tiles, place = wsi.ds.tile_images("tiles"), {tuple(box): number for number, box in enumerate(boxes)}
        return boxes, (tiles[place[tuple(box)]]["image"] for box in job["boxes"])


class LazySlideFast(LazySlide):
    """LazySlide with its optional reader, whose pixels differ from OpenSlide's (chroma is enlarged otherwise)."""

    # A DataLoader over fastslide 0.8.1 hangs (the parent's threads are gone after a fork), so that way is left out.
    variants = ("fastslide iter", "fastslide dataset")


class Encoder:
    """Encodes in the workers of a DataLoader, so that JPEGs travel between processes and not pixels."""

    def __init__(self, quality: int) -> None:
        self.quality = quality

    def __call__(self, rgb: np.ndarray) -> bytes:
        return jpeg(rgb, self.quality)


class TIAToolbox:
    """TIAToolbox's patch extractor."""

    variants = tuple(f"{reader} {mask}" for reader in ("openslide", "tiff") for mask in ("otsu", "morphological"))

    def load(self) -> None:
        from tiatoolbox.tools.patchextraction import SlidingWindowPatchExtractor
        from tiatoolbox.wsicore import wsireader

        self.extractor, self.readers = SlidingWindowPatchExtractor, wsireader

    def cut(self, path: str, job: dict[str, Any], whole: bool = False) -> Any:
        reader, mask = job["variant"].split()
        return self.extractor(
            input_img=path if reader == "openslide" else self.readers.TIFFWSIReader(path),
            patch_size=(job["px"], job["px"]),
            stride=(job["px"], job["px"]),
            resolution=job["um"],
            units="mpp",
            input_mask=None if whole else mask,
            min_mask_ratio=job["min_tissue"],
            within_bound=True,
        )

    def places(self, cut: Any, job: dict[str, Any]) -> list[list[int]]:
        scale = job["um"] / float(cut.wsi.info.mpp[0])
        return [[round(x * scale), round(y * scale)] for x, y in cut.locations_df[["x", "y"]].to_numpy()]

    def tiles(self, path: str, job: dict[str, Any]) -> Tiles:
        cut = self.cut(path, job)
        for number, (x, y) in enumerate(self.places(cut, job)):
            yield f"{x}_{y}", jpeg(cut[number], job["quality"])

    def look(self, path: str, job: dict[str, Any]) -> tuple[list[list[int]], Iterator[np.ndarray]]:
        cut = self.cut(path, job, whole=True)
        boxes = self.places(cut, job)
        place = {tuple(box): number for number, box in enumerate(boxes)}
        return boxes, (cut[place[tuple(box)]] for box in job["boxes"])


SYSTEMS: dict[str, Any] = {"raw": Raw, "lazyslide": LazySlide, "lazyslide-fastslide": LazySlideFast, "tiatoolbox": TIAToolbox}
_here: Any = None


def _one_slide(work: tuple[str, dict[str, Any]]) -> int:
    path, job = work
    cv2.setNumThreads(1)
    return write_shard(Path(job["output"]) / f"{Path(path).stem}.tar", _here.tiles(path, job))


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Does the whole job: slides to shards."""
    Path(job["output"]).mkdir(parents=True)
    begun, processor = time.perf_counter(), processor_seconds()
    work = [(path, job) for path in job["slides"]]
    if job["processes"] == 1 or "loader" in job["variant"]:
        counts = [_one_slide(each) for each in work]
    else:
        with multiprocessing.get_context("fork").Pool(job["processes"]) as pool:
            counts = pool.map(_one_slide, work, chunksize=1)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "processor_seconds": processor_seconds() - processor, "tiles": sum(counts)}


def processor_seconds() -> float:
    """User and system time of this process and of the children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def look(job: dict[str, Any]) -> dict[str, Any]:
    """Says where the whole grid lies and writes the pixels of the boxes asked for to ``output``."""
    grid, pixels = _here.look(job["slides"][0], job)
    begun = time.perf_counter()
    read = list(pixels)
    seconds = time.perf_counter() - begun
    np.save(job["output"], np.stack(read))
    return {"grid": grid, "read_us": seconds / len(read) * 1e6}


def main() -> None:
    """One job in this process; the result is the last line."""
    global _here
    job = json.loads(sys.argv[1])
    begun = time.perf_counter()
    _here = SYSTEMS[job["system"]]()
    _here.load()
    loaded = time.perf_counter() - begun
    result = look(job) if "boxes" in job else run(job)
    print(json.dumps({"import_seconds": loaded, **result}))


if __name__ == "__main__":
    main()
