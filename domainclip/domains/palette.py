"""Colours of classes in pictures, maps and annotations."""

from __future__ import annotations

Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""
PALETTE: tuple[Color, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167), (120, 120, 120),
)  # fmt: skip
"""Seven colours that remain apart for the colour-blind (Okabe and Ito 2008, https://jfly.uni-koeln.de/color/), and grey; given to
classes in the order in which they first come, and around again."""
