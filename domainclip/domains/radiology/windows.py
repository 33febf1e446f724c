"""Published windows of CT, by name, in Hounsfield units."""

from __future__ import annotations

from typing import Final

WINDOWS: Final[dict[str, tuple[float, float]]] = {
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "soft-tissue": (50.0, 400.0),
    "liver": (30.0, 150.0),
    "bone": (400.0, 1800.0),
    "spine": (50.0, 250.0),
    "brain": (40.0, 80.0),
    "stroke": (40.0, 40.0),
    "temporal-bone": (600.0, 2800.0),
}
"""Name to centre and width, as Radiopaedia's article "Windowing (CT)" lists them (radiopaedia.org/articles/windowing-ct).

``soft-tissue`` is the article's abdomen, ``bone`` and ``spine`` its spine (bone and soft tissues); of two pairs for one name
(stroke, temporal bone) the wider stroke and the narrower bone are taken.
"""

FILE: Final = "file:"
"""Before a word in ``reading.window``: the file's own window that has this explanation (0028,1055)."""


def window_name(words: str) -> str:
    """Brings a name of ``reading.window`` into the form of the table: ``"Soft tissue"`` becomes ``"soft-tissue"``.

    Raises:
        ValueError: There is no window of that name; the message lists those that there are.
    """
    if words.startswith(FILE) and words[len(FILE) :].strip():
        return words
    name = "-".join(words.strip().lower().replace("_", " ").replace("-", " ").split())
    if name not in WINDOWS:
        raise ValueError(f"there is no such window; there are {', '.join(WINDOWS)}, {FILE}WORDS (the file's own), [centre, width]")
    return name
