"""Which caption an image is shown with in which epoch, its tokens, and the number of its words."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainclip.batch import TextTokenizer

if TYPE_CHECKING:
    import pandas as pd
    import torch

_TOKENISE_AT_ONCE = 200_000
_LOGGER = logging.getLogger(__name__)
_MASK = np.uint64(0xFFFFFFFFFFFFFFFF)


def caption_group(text: str) -> int:
    """Returns a number that captions with the same words share: 63 bits of BLAKE2b of the normalised text.

    Normalised: NFC, case folded, white space closed up, full stops at the end cut off. Stable over machines and versions.
    """
    words = " ".join(unicodedata.normalize("NFC", text).casefold().split()).rstrip(". ")
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") >> 1


def mixed(*parts: int | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hashes numbers (arrays of one shape, or single numbers) to uint64: SplitMix64 over the parts in turn.

    Constants: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. NumPy's own generators may
    draw differently in another version; this does not.
    """
    state: npt.NDArray[np.uint64] = np.asarray(0, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            number = np.asarray(part if isinstance(part, np.ndarray) else part & int(_MASK), dtype=np.uint64)
            state = (state ^ number) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


class CaptionDraw:
    """The captions of a split's images.

    Attributes:
        truncated: Distinct captions that are longer than the context and are cut.
        distinct: Distinct captions.
        counts: (rows,) captions of each image.
        most: K, the largest of ``counts``.

    Args:
        keys: Keys of the images in order.
        captions: Rows of ``CAPTION_COLUMNS``.
        tokenizer: The model's.
        seed: Of the draws.
    """

    def __init__(self, keys: list[str], captions: pd.DataFrame, tokenizer: TextTokenizer, seed: int) -> None:
        place = {key: position for position, key in enumerate(keys)}
        rows = captions[captions["key"].isin(place)]
        numbers: dict[tuple[str, str], int] = {}
        owners = np.array([place[key] for key in rows["key"]], dtype=np.int64)
        pairs = zip(rows["text"], rows["language"], strict=True)
        texts = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.int64)
        order = np.argsort(owners, kind="stable")
        self._texts = texts[order]
        self.counts = np.bincount(owners, minlength=len(keys))
        self.most = int(self.counts.max(initial=0))
        self._first = np.concatenate(([0], np.cumsum(self.counts)[:-1]))
        self._seed, self._tokenizer = seed, tokenizer
        self._all = [text for text, _ in numbers]
        self.languages = [language for _, language in numbers]
        self.groups = np.array([caption_group(text) for text in self._all], dtype=np.int64)
        self.distinct = len(set(self._all))
        self.truncated = tokenizer.count_truncated(sorted(set(self._all))) if numbers else 0
        if self.truncated:
            message = "%d of %d distinct captions are longer than %d tokens and are cut"
            _LOGGER.warning(message, self.truncated, self.distinct, tokenizer.context_length)
        self._tokens = tokenizer(self._all) if 0 < len(self._all) <= _TOKENISE_AT_ONCE else None

    def draw(self, rows: npt.NDArray[np.int64], epochs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the number of a caption for each image: the same for the same (seed, epoch, row)."""
        hashes = mixed(self._seed, 0xCA97, epochs.astype(np.uint64), rows.astype(np.uint64))
        chosen = (hashes % self.counts[rows].astype(np.uint64)).astype(np.int64)
        return self._texts[self._first[rows] + chosen]

    def groups_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns (B, ``most``) caption groups of all captions of each image, filled up with -1."""
        column = np.arange(self.most)
        known = column < self.counts[rows, None]
        places = np.where(known, self._first[rows, None] + column, 0)
        return np.where(known, self.groups[self._texts[places]], -1)

    def tokens(self, numbers: npt.NDArray[np.int64]) -> torch.Tensor:
        """Returns (B, L) int64 tokens of captions."""
        import torch

        if self._tokens is None:
            return self._tokenizer([self._all[number] for number in numbers])
        return self._tokens[torch.from_numpy(numbers)].long()
