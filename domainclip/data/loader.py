"""Batches of a prepared set: each a pure function of (seed, step, rank, world size), so that resuming is exact."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from domainclip.batch import Batch, TextTokenizer
from domainclip.config import MissingChannels
from domainclip.data.augment import Augmentation
from domainclip.data.band_sets import BandSetOrder
from domainclip.data.caption_draw import CaptionDraw, mixed
from domainclip.data.epoch_shares import EpochShares
from domainclip.data.missing_channels import ChannelFit, fits_of
from domainclip.data.planes import drawn_planes, plane_count, plane_of, stacked_axis
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.records import values_from_json
from domainclip.data.transforms import ResizedImage, normalise, resized
from domainclip.errors import UsageError
from domainclip.model_record import Preprocessing
from domainclip.sample import Values

_GIB = 2**30
_FLOAT_BYTES = 4


class BatchLoader:
    """Batches of one split for training.

    An epoch is a permutation of the split's images by (seed, epoch). An epoch's images that do not fill a last global batch
    are left out of that epoch; the next epoch's permutation leaves out others. Where the split is smaller than one global batch,
    epochs follow each other without a gap, and images repeat within a batch. The global batch of a step is the same for every
    world size; rank r takes its r-th slice. Caption and augmentation of an image are drawn from (seed, epoch, its row).

    Attributes:
        rows: The split's index rows, in the order of the set (``prepared.subset(split)``).
        rows_without_caption: How many of them have no caption: they are not trained on.
        truncated_captions: Distinct captions that are longer than the context.
        steps_per_epoch: Global batches of an epoch.
        fits: Of each row, how its channels go into the model.

    Args:
        prepared: The set.
        split: Its split.
        preprocessing: The model's.
        tokenizer: The model's.
        batch_size: Images a process.
        seed: Of order, captions and augmentation.
        augmentation: Random changes in training, or None.
        rank: This process.
        world_size: Processes.
        workers: Threads that make batches ahead; 0 makes each batch when it is asked for.
        cache_gib: Memory for decoded and resized images; those that do not fit are decoded each time. 0 for none.
        planes: Slices or frames that a step shows of each volume or time series, the same change made to all of them.
        missing_channels: What becomes of the model's channels that an image lacks. With ``drop`` a global batch holds images of the
            same channels (``data.band_sets``), which ``Batch.channels`` names.
        shorten: Takes the (B, L) tokens of a batch and returns (B, L'), for models that need no padding; None keeps all columns.

    Raises:
        UsageError: The split is empty, the augmentation does not fit the images, pictures and volumes are mixed, or images lack
            channels that may not be missing.
    """

    def __init__(
        self,
        prepared: PreparedSet,
        split: str,
        preprocessing: Preprocessing,
        tokenizer: TextTokenizer,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | Sequence[Mapping[str, Any]] | None = None,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
        cache_gib: float = 2.0,
        planes: int = 8,
        shorten: Callable[[torch.Tensor], torch.Tensor] | None = None,
        missing_channels: MissingChannels = "refuse",
    ) -> None:
        self.rows = prepared.subset(split)
        self._seed, self._rank, self._batch_size, self._workers = seed, rank, batch_size, workers
        self._shorten = shorten
        self._global_size = batch_size * world_size
        self._kept: tuple[int, npt.NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self._captions = CaptionDraw(list(self.rows["key"]), prepared.captions, tokenizer, seed)
        self.truncated_captions = self._captions.truncated
        self._trained = np.flatnonzero(self._captions.counts)
        self.rows_without_caption = len(self.rows) - len(self._trained)
        self._augmentation = augmentation if isinstance(augmentation, Augmentation | None) else Augmentation(augmentation, seed)
        if self._augmentation is not None:
            kinds = {values["kind"] for values in self.rows["values"]}
            for kind in kinds:
                self._augmentation.check(len(preprocessing.channels), kind)
        self.fits = fits = fits_of(self.rows["channels"], preprocessing, missing_channels)
        self._images = _Images(prepared, self.rows, preprocessing, self._augmentation, cache_gib, PlaneDraw(planes, seed), fits)
        self._shares = EpochShares(self.rows, self._trained, seed)
        self.steps_per_epoch = max(1, self._shares.count // self._global_size)
        self._by_bands: BandSetOrder | None = None
        if missing_channels == "drop" and len({fit.present for fit in fits}) > 1 and len(self._trained):
            self._shares.refuse("batches of one set of channels (data.missing_channels=drop)")
            self._by_bands = BandSetOrder([fits[row].present for row in self._trained], self._global_size, seed)
            self.steps_per_epoch = self._by_bands.steps_per_epoch
            if self._by_bands.repeating:
                smallest = min(self._by_bands.repeating)
                found = f"Of one set of channels there are {smallest} captioned images, a global batch has {self._global_size}"
                warnings.warn(f"{found}: images repeat within its batches.", stacklevel=2)
        elif 0 < self._shares.count < self._global_size:
            found = f"The split {split!r} has {self._shares.count} captioned images, a global batch {self._global_size}"
            warnings.warn(f"{found}: images repeat within a batch.", stacklevel=2)

    def batch(self, step: int) -> Batch:
        """Returns this process's part of the global batch of a step (0, 1, ...).

        Raises:
            UsageError: No image of the split has a caption.
            UnreadableFileError: A shard is damaged.
        """
        positions, epochs = self._slice(step)
        captions = self._captions.draw(positions, epochs)
        images, masks = self._images.batch(positions, epochs)
        tokens = self._captions.tokens(captions)
        return Batch(
            images=images,
            tokens=tokens if self._shorten is None else self._shorten(tokens),
            caption_groups=torch.from_numpy(self._captions.groups[captions]),
            keys=tuple(self._images.keys[position] for position in positions),
            languages=tuple(self._captions.languages[caption] for caption in captions),
            masks=masks,
            image_groups=torch.from_numpy(self._captions.groups_of(positions)),
            channels=self._images.fits[int(positions[0])].channels,
        )

    def iterate(self, start_step: int = 0) -> Iterator[Batch]:
        """Yields the batches from a step on, without end; with ``workers``, made ahead by threads, in the same order."""
        if self._workers == 0:
            step = start_step
            while True:
                yield self.batch(step)
                step += 1
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="domainclip-loader")
        ahead: deque[Future[Batch]] = deque()
        try:
            step = start_step
            while True:
                while len(ahead) < 2 * self._workers:
                    ahead.append(pool.submit(self.batch, step))
                    step += 1
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _slice(self, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns rows and epochs of this process's images."""
        count = self._shares.count
        if not len(self._trained):
            found = f"None of its {len(self.rows)} images has a caption."
            remedy = "Add captions or labels to the source, and prepare it anew."
            raise UsageError("Batches for training were asked for.", found, remedy)
        mine = np.arange(self._batch_size) + self._rank * self._batch_size
        if self._by_bands is not None:
            rows, epoch = self._by_bands.global_batch(step)
            return self._trained[rows[mine]], np.full(self._batch_size, epoch)
        if count >= self._global_size:
            epoch, within = divmod(step, self.steps_per_epoch)
            epochs = np.full(self._batch_size, epoch)
            places = within * self._global_size + mine
        else:
            epochs, places = np.divmod(step * self._global_size + mine, count)
        positions = np.empty(self._batch_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            positions[chosen] = self._trained[self._permutation(int(epoch))[places[chosen]]]
        return positions, epochs

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        kept_epoch, order = self._kept  # One tuple: two threads may be in two epochs.
        if kept_epoch == epoch:
            return order
        hashes = mixed(self._seed, 0x0DE2, epoch, np.arange(len(self._trained), dtype=np.uint64))
        order = self._shares.chosen(np.argsort(hashes, kind="stable"), epoch)
        self._kept = (epoch, order)
        return order


@dataclass(frozen=True, slots=True)
class PlaneDraw:
    """How many planes of a volume or time series a step shows, and the seed of their draw."""

    wanted: int
    seed: int


class _Images:
    """The images of a split, decoded and resized once where memory allows."""

    def __init__(
        self,
        prepared: PreparedSet,
        rows: Any,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        cache_gib: float,
        draw: PlaneDraw,
        fits: list[ChannelFit],
    ) -> None:
        self.fits = fits
        self.keys: list[str] = list(rows["key"])
        self._prepared, self._preprocessing, self._augmentation, self._draw = prepared, preprocessing, augmentation, draw
        self._records: list[dict[str, Any]] = rows[
            ["shard", "offset", "size", "storage", "shape", "dtype", "masks", "channels", "axes"]
        ].to_dict("records")
        self._stacked = _one_kind({record["axes"] for record in self._records})
        known: dict[str, Values] = {}
        self._values = [known.setdefault(str(sorted(v.items())), values_from_json(v)) for v in rows["values"]]
        self._cache: dict[tuple[int, int, int], ResizedImage] = {}
        self._left = int(cache_gib * _GIB)
        self._lock = threading.Lock()
        self._local = threading.local()

    def batch(self, positions: npt.NDArray[np.int64], epochs: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Returns (B, C, H, W) normalised images, augmented where there is an augmentation, and (B, H, W) masks or None.

        Of volumes and time series (B, K, C, H, W) and (B, K, H, W).
        """
        images = [image for row, epoch in zip(positions, epochs, strict=True) for image in self._shown(int(row), int(epoch))]
        shown = len(images) // len(positions)
        tensor, masks = self._normalised(images, [self.fits[int(row)] for row in positions for _ in range(shown)])
        if not self._stacked:
            return tensor, masks
        size = (len(positions), self._draw.wanted)
        return tensor.reshape(*size, *tensor.shape[1:]), None if masks is None else masks.reshape(*size, *masks.shape[1:])

    def _normalised(self, images: list[ResizedImage], fits: list[ChannelFit]) -> tuple[torch.Tensor, torch.Tensor | None]:
        side = self._preprocessing.image_size
        masks = None
        if any(image.valid is not None for image in images):
            every = np.ones((side, side), dtype=bool)
            masks = torch.from_numpy(np.stack([every if image.valid is None else image.valid for image in images]))
        values, kind = images[0].values, images[0].array.dtype
        first = fits[0]
        alike = all(fit is first for fit in fits)
        if alike and all(image.values == values and image.array.dtype == kind for image in images):
            stacked = torch.from_numpy(np.stack([image.array for image in images]))
            return first.spread(normalise(stacked, values, first.preprocessing, masks)), masks
        singles = []
        for n, (image, fit) in enumerate(zip(images, fits, strict=True)):
            mask = None if masks is None else masks[n : n + 1]
            singles.append(fit.spread(normalise(torch.from_numpy(image.array)[None], image.values, fit.preprocessing, mask)))
        return torch.cat(singles), masks

    def _shown(self, row: int, epoch: int) -> list[ResizedImage]:
        """Returns what a step shows of an image: it, or planes of it."""
        numbers = [0]
        record = self._records[row]
        if self._stacked:
            count = plane_count(record["shape"], record["axes"])
            numbers = [int(number) for number in drawn_planes(count, self._draw.wanted, self._draw.seed, epoch, row)]
        side = self._preprocessing.image_size
        if self._augmentation is None:
            return self._planes(row, side, numbers)
        if not hasattr(self._local, "augmentation"):
            self._local.augmentation = self._augmentation.copy()
        height, width = record["shape"][-2:]
        # Random crops want more pixels than the tower sees, as far as the image has them.
        larger = max(side, min(int(np.ceil(side / self._augmentation.smallest_crop)), height, width))
        changed = []
        for image in self._planes(row, larger, numbers):
            # Drawn from epoch and row alone, so that all planes of an image are changed alike.
            array, valid = self._local.augmentation(image.array, image.valid, side, epoch, row)
            changed.append(ResizedImage(array, valid, image.values))
        return changed

    def _planes(self, row: int, side: int, numbers: list[int]) -> list[ResizedImage]:
        found = {number: image for number in numbers if (image := self._cache.get((row, side, number))) is not None}
        if len(found) < len(set(numbers)):
            record = self._records[row]
            pixels = self._prepared.read(record)
            for number in self._worth_keeping(record, side, numbers):
                plane = plane_of(pixels, record["axes"], number)
                found[number] = resized(plane, self._values[row], record["channels"], self.fits[row].preprocessing, side)
                self._keep((row, side, number), found[number])
        return [found[number] for number in numbers]

    def _worth_keeping(self, record: dict[str, Any], side: int, numbers: list[int]) -> list[int]:
        """Returns all planes where there is memory for them, since decoding is what costs; else those asked for."""
        count = plane_count(record["shape"], record["axes"])
        size = count * side * side * record["shape"][record["axes"].index("C")] * _FLOAT_BYTES
        return list(range(count)) if size <= self._left else sorted(set(numbers))

    def _keep(self, key: tuple[int, int, int], image: ResizedImage) -> None:
        size = image.array.nbytes + (0 if image.valid is None else image.valid.nbytes) + 512
        with self._lock:
            if size <= self._left and key not in self._cache:
                self._left -= size
                self._cache[key] = image


def _one_kind(axes: set[str]) -> str:
    """Returns the axis of planes that all images have, "" for pictures."""
    if len(axes) > 1:
        raise UsageError(
            "Batches for training were asked for.",
            f"The set holds images of the axes {', '.join(sorted(axes))}.",
            "Prepare pictures, volumes and time series as sets of their own (reading.axes).",
        )
    return stacked_axis(next(iter(axes)))
