"""Positions spread evenly over a sequence. Layer 0."""

from __future__ import annotations


def evenly_spread(count: int, wanted: int) -> list[int]:
    """Returns ``wanted`` of ``count`` positions, rising, each in the middle of an equal share; all where there are no more.

    Args:
        count: Length of the sequence.
        wanted: Positions to take.
    """
    taken = min(count, wanted)
    return [round((i + 0.5) * count / taken - 0.5) for i in range(taken)]
