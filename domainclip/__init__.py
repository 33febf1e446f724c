"""domainclip: CLIP for images with a physical scale, named channels, and a patient, slide or scene behind them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Names load at first use, so that ``import domainclip`` needs neither torch nor a reader library.
_PUBLIC = {
    "Caption": "domainclip.sample",
    "RunConfig": "domainclip.config",
    "Sample": "domainclip.sample",
    "DomainClipError": "domainclip.errors",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'domainclip' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from domainclip.config import RunConfig as RunConfig
    from domainclip.errors import DomainClipError as DomainClipError
    from domainclip.sample import Caption as Caption
    from domainclip.sample import Sample as Sample
