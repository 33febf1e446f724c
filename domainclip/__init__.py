"""domainclip: CLIP for images with a physical scale, named channels, and a patient, slide or scene behind them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Names load at first use, so that ``import domainclip`` needs neither torch nor a reader library.
_PUBLIC = {
    "Caption": "domainclip.sample",
    "DomainClipError": "domainclip.errors",
    "DomainModel": "domainclip.heads.domain_model",
    "PreparedSet": "domainclip.data.prepared_set",
    "Retriever": "domainclip.heads.retrieval",
    "RunConfig": "domainclip.config",
    "Sample": "domainclip.sample",
    "ZeroShotClassifier": "domainclip.heads.zero_shot",
    "audit": "domainclip.data.audit",
    "build_captions": "domainclip.captions.build",
    "embed": "domainclip.heads.embed",
    "inspect_file": "domainclip.domains.detect",
    "load_config": "domainclip.config",
    "load_model": "domainclip.heads.domain_model",
    "make_starter_set": "domainclip.starter",
    "mix": "domainclip.data.mixture",
    "open_dataset": "domainclip.data.sources",
    "prepare": "domainclip.data.prepare",
    "pretrain": "domainclip.training.pretrain",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'domainclip' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from domainclip.captions.build import build_captions as build_captions
    from domainclip.config import RunConfig as RunConfig
    from domainclip.config import load_config as load_config
    from domainclip.data.audit import audit as audit
    from domainclip.data.mixture import mix as mix
    from domainclip.data.prepare import prepare as prepare
    from domainclip.data.prepared_set import PreparedSet as PreparedSet
    from domainclip.data.sources import open_dataset as open_dataset
    from domainclip.domains.detect import inspect_file as inspect_file
    from domainclip.errors import DomainClipError as DomainClipError
    from domainclip.heads.domain_model import DomainModel as DomainModel
    from domainclip.heads.domain_model import load_model as load_model
    from domainclip.heads.embed import embed as embed
    from domainclip.heads.retrieval import Retriever as Retriever
    from domainclip.heads.zero_shot import ZeroShotClassifier as ZeroShotClassifier
    from domainclip.sample import Caption as Caption
    from domainclip.sample import Sample as Sample
    from domainclip.starter import make_starter_set as make_starter_set
    from domainclip.training.pretrain import pretrain as pretrain
