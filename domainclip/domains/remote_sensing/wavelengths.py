"""Centre wavelengths of optical bands, for towers that are told them."""

from __future__ import annotations

from collections.abc import Sequence

# Micrometres. Sentinel-2: ESA's MSI user guide, nominal centres. Pictures of no named sensor: DOFA-CLIP's README on RGB.
_SENTINEL_2 = {
    "B01": 0.443,
    "B02": 0.490,
    "B03": 0.560,
    "B04": 0.665,
    "B05": 0.705,
    "B06": 0.740,
    "B07": 0.783,
    "B08": 0.842,
    "B8A": 0.865,
    "B09": 0.945,
    "B10": 1.375,
    "B11": 1.610,
    "B12": 2.190,
}
_COLOURS = {"red": 0.665, "green": 0.560, "blue": 0.490}
_TABLES = {"sentinel-2": _SENTINEL_2, None: _COLOURS}


def wavelengths(channels: Sequence[str], family: str | None = None) -> dict[str, float]:
    """Returns the centre wavelengths that are known; radar has none.

    Args:
        channels: Names as the reader gives them.
        family: Sensor family, or None for pictures.

    Returns:
        Channel to micrometres, without the channels that are not known.
    """
    table = _TABLES.get(family, {})
    return {name: table[name] for name in channels if name in table}
