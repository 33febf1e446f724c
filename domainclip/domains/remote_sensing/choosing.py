"""Which windows ``reading.max_windows`` keeps, the same in every run: spread evenly over the scene, or drawn at random."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domainclip.sample import Window


def draw_order(windows: Sequence[Window], how: str, seed: int, scene: str) -> npt.NDArray[np.int64]:
    """Returns an order of windows any beginning of which is a fair choice.

    Args:
        windows: Of one scene.
        how: ``"even"``: along a Morton curve (Morton, 1966), taken in bit-reversed order as van der Corput's sequence is, so that
            each beginning is spread over the scene; ``"random"``.
        seed: Of ``"random"``.
        scene: Its name, so that every scene has a draw of its own.

    Returns:
        (N,) positions.
    """
    if how == "random":
        digest = hashlib.sha256(f"{seed}\x1f{scene}".encode("utf-8", "surrogatepass")).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big"))).permutation(len(windows))
    xs = _ranks([window.x for window in windows])
    ys = _ranks([window.y for window in windows])
    curve = np.argsort(_morton(xs, ys), kind="stable")
    bits = max(1, int(len(windows) - 1).bit_length())
    steps = np.arange(1 << bits, dtype=np.int64)
    reversed_bits = np.zeros_like(steps)
    for bit in range(bits):
        reversed_bits |= ((steps >> bit) & 1) << (bits - 1 - bit)
    return curve[reversed_bits[reversed_bits < len(windows)]]


def _ranks(values: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.unique(np.asarray(values, dtype=np.int64), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _morton(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    code = np.zeros_like(x)
    for bit in range(24):
        code |= ((x >> bit) & 1) << (2 * bit) | ((y >> bit) & 1) << (2 * bit + 1)
    return code
