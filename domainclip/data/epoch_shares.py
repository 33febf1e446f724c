"""Which images of a mixture an epoch shows: those of a source of weight 1 all, of weight 0.5 half, another each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainclip.data.caption_draw import mixed
from domainclip.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

_OF_START = 0x3A1E


class EpochShares:
    """Weights of images as shares of an epoch, a pure function of (seed, epoch).

    The largest weight counts as 1, so that no image comes twice in an epoch: twice in a batch it would be its own negative. Images
    are drawn systematically (W. G. Cochran, Sampling Techniques, 1977, section 8.1): each with exactly its share, the number of
    images of an epoch always the same.

    Attributes:
        count: Images of an epoch.

    Args:
        rows: Of the split; the column ``weight``, where a mixture has written one.
        trained: Positions in ``rows`` of the images that have captions.
        seed: Of the draw.
    """

    def __init__(self, rows: pd.DataFrame, trained: npt.NDArray[np.int64], seed: int) -> None:
        self._seed = seed
        self._shares: npt.NDArray[np.float64] | None = None
        self.count = len(trained)
        if "weight" in rows.columns and len(trained):
            weights = rows["weight"].to_numpy(dtype=float)[trained]
            if weights.min() < weights.max():
                self._shares = weights / weights.max()
                self.count = max(1, int(self._shares.sum()))

    def chosen(self, order: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[np.int64]:
        """Returns those of an epoch's order that it shows, in that order."""
        if self._shares is None:
            return order
        start = float(mixed(self._seed, _OF_START, epoch)) / 2.0**64
        ends = np.cumsum(self._shares[order])
        ends *= self.count / ends[-1]
        return order[np.diff(np.floor(ends - start), prepend=np.floor(-start)) > 0]

    def refuse(self, what: str) -> None:
        """Says that weights cannot be had beside something else.

        Raises:
            UsageError: There are weights.
        """
        if self._shares is not None:
            found = "The set is a mixture with weights, which these batches do not follow."
            raise UsageError(f"The training was to have {what}.", found, "Mix the sets without weights, or leave that out.")
