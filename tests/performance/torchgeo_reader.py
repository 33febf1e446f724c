"""What reads scenes in the peer's environment: torchgeo's RasterDataset by GridGeoSampler. Also the clock of all sides.

    python torchgeo_reader.py '{"way": "cache", "paths": [...], "window_px": 256, "processes": 1, "grids": null, "first": ...}'

Imports nothing of domainclip. One line of JSON on standard output.
"""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

Seen = tuple[float, float, Any]
"""Left and top edge on the ground, and the numbers (C, Y, X)."""
Reader = Callable[[list[str], dict[str, Any]], Iterator[Seen]]

ONE = ("cache", "no cache")
"""Ways in one process: torchgeo's ``cache`` (of file handles), on and off; the loader is that of torch, without workers."""
SEVERAL = ("loader", "loader, batches of 16", "a process a scene")
"""Ways in several: workers of torch's loader, or processes that each have a dataset of their own; all with ``cache``."""


def timed(read: Reader, job: dict[str, Any]) -> dict[str, Any]:
    """Reads all windows, on a clock that starts before files are opened and after imports and a first small scene.

    Args:
        read: Paths and job to windows.
        job: ``paths``, ``first`` (path of the small scene), ``processes`` (1: here; else a process reads scene after scene);
            ``digests`` names a file to which a digest of each window is written instead; nothing is timed then.
    """
    if job.get("digests"):
        found = {f"{left:.3f} {top:.3f}": _digest(array) for left, top, array in read(job["paths"], job)}
        with open(job["digests"], "w", encoding="utf-8") as file:
            json.dump(found, file)
        return {"windows": len(found)}
    first = job["first"]
    begun = time.perf_counter()
    if job["processes"] == 1 or job["way"].startswith("loader"):
        _consumed(read(first["paths"], job | first | {"processes": 1}))
        answer = {"first_seconds": time.perf_counter() - begun}
        gc.collect()
        processor, begun = _processor_seconds(), time.perf_counter()
        windows = _consumed(read(job["paths"], job))
        seconds = time.perf_counter() - begun
        gc.collect()  # the loader's workers end, so that their time is counted
        return answer | {"windows": windows, "seconds": seconds, "processor_seconds": _processor_seconds() - processor}
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(job["processes"] + 1)
    with ProcessPoolExecutor(job["processes"], context, initializer=_ready, initargs=(read, job, ready)) as pool:
        for _ in range(job["processes"]):  # processes start when there is work
            pool.submit(int)
        ready.wait(120)
        answer = {"first_seconds": time.perf_counter() - begun}
        begun = time.perf_counter()
        rows = list(pool.map(_one_scene, job["paths"]))
        seconds = time.perf_counter() - begun
    return answer | {"windows": sum(row[0] for row in rows), "seconds": seconds, "processor_seconds": sum(row[1] for row in rows)}


_mine: tuple[Reader, dict[str, Any]]


def _ready(read: Reader, job: dict[str, Any], ready: Any) -> None:
    global _mine
    _mine = (read, job | {"processes": 1})
    _consumed(read(job["first"]["paths"], job | job["first"] | {"processes": 1}))
    ready.wait(120)


def _one_scene(path: str) -> tuple[int, float]:
    read, job = _mine
    processor = _processor_seconds()
    return _consumed(read([path], job)), _processor_seconds() - processor


def _consumed(windows: Iterable[Seen]) -> int:
    """Takes windows as they come and lets them go, with a look at one number of each."""
    count = 0
    for _, _, array in windows:
        float(array[0, 0, 0])
        count += 1
    return count


def _digest(array: Any) -> str:
    numbers = np.asarray(array)
    stored = numbers.astype(np.int16)
    assert stored.ndim == 3, stored.shape
    assert np.array_equal(stored, numbers), "numbers that are no int16"
    return hashlib.sha256(repr(stored.shape).encode() + np.ascontiguousarray(stored).tobytes()).hexdigest()


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def torchgeo_windows(paths: list[str], job: dict[str, Any]) -> Iterator[Seen]:
    """The scenes by torchgeo.

    Where they are reprojected, the dataset is given the grid of ours (``grids``): left to itself it takes GDAL's suggestion for
    each scene, by nearest neighbours, and resamples that again (bilinear) to a common pixel size, so no two of its pixels would be
    ours. Its own resampling between CRSs is nearest neighbours, there is no option.
    """
    from pyproj import CRS
    from rasterio.transform import Affine
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    grids = job["grids"]

    class Scenes(RasterDataset):
        def _load_warp_file(self, filepath: Any, crs: Any = None) -> Any:
            self.asked = grids and grids[str(filepath)]
            return super()._load_warp_file(filepath, crs)

        def _compute_affine_warp_grid(self, *grid: Any) -> Any:
            if not self.asked:
                return super()._compute_affine_warp_grid(*grid)
            return Affine(*self.asked["transform"]), self.asked["width"], self.asked["height"], True

    some = grids and grids[paths[0]]
    options = {"crs": CRS.from_user_input(some["crs"]), "res": some["transform"][0]} if some else {}
    dataset = Scenes(paths, cache=job["way"] != "no cache", **options)
    sampler = GridGeoSampler(dataset, size=job["window_px"])
    workers = job["processes"] if job["processes"] > 1 else 0
    if job["way"] == "loader, batches of 16":
        loader = DataLoader(dataset, batch_size=16, sampler=sampler, num_workers=workers, collate_fn=stack_samples)
    else:
        loader = DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=workers)
    for sample in loader:
        images, bounds = sample["image"], sample["bounds"]
        if images.ndim == 3:
            images, bounds = images[None], bounds[None]
        for image, box in zip(images, bounds, strict=True):
            yield float(box[0]), float(box[4]), image


def main(job: dict[str, Any]) -> None:
    """Does one job and prints what it took."""
    begun = time.perf_counter()
    import torch
    from torchgeo import datasets, samplers  # noqa: F401 - it is the import that is timed

    torch.set_num_threads(1)
    imported = time.perf_counter() - begun
    print(json.dumps({"import_seconds": imported} | timed(torchgeo_windows, job)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
