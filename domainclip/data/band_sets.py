"""The order of a set whose images have different bands, each global batch of one band set: a tower sees one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domainclip.data.caption_draw import mixed

Rows = npt.NDArray[np.int64]
_OF_ROWS, _OF_BATCHES = 0xBA5E, 0xBA7C


class BandSetOrder:
    """Global batches of one band set each, a pure function of (seed, step).

    In an epoch each set's rows are permuted by (seed, epoch) and cut into global batches; what does not fill a last one is left
    out of that epoch. A set that is smaller than a batch has one, in which its images repeat. The batches of all sets are then
    permuted together.

    Attributes:
        steps_per_epoch: Global batches of an epoch, at least one of each set.
        repeating: Sizes of the sets that are smaller than a global batch.

    Args:
        sets: The band set of each row.
        global_size: Images of a global batch, all processes together.
        seed: Of the order.
    """

    def __init__(self, sets: Sequence[tuple[str, ...]], global_size: int, seed: int) -> None:
        self._size, self._seed = global_size, seed
        members: dict[tuple[str, ...], list[int]] = {}
        for row, bands in enumerate(sets):
            members.setdefault(bands, []).append(row)
        # Sorted by name, so that the order of rows in the set does not decide.
        self._members = [np.array(members[bands], dtype=np.int64) for bands in sorted(members)]
        counts = [max(1, len(rows) // global_size) for rows in self._members]
        self._set_of_batch = np.repeat(np.arange(len(counts)), counts)
        self._number_in_set = np.concatenate([np.arange(count) for count in counts])
        self.steps_per_epoch = int(sum(counts))
        self.repeating = [len(rows) for rows in self._members if len(rows) < global_size]

    def global_batch(self, step: int) -> tuple[Rows, int]:
        """Returns the rows of a step's global batch, all of one band set, and its epoch."""
        epoch, within = divmod(step, self.steps_per_epoch)
        batches = np.argsort(mixed(self._seed, _OF_BATCHES, epoch, np.arange(self.steps_per_epoch, dtype=np.uint64)), kind="stable")
        batch = int(batches[within])
        rows = self._members[int(self._set_of_batch[batch])]
        order = np.argsort(mixed(self._seed, _OF_ROWS, epoch, rows.astype(np.uint64)), kind="stable")
        start = int(self._number_in_set[batch]) * self._size
        return np.resize(rows[order][start : start + self._size], self._size), epoch
