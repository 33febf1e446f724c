"""Names in exports: of files by the owner's map or by hashes, and of models without a path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from domainclip.identifiers import keyed_hash, owner_key


def file_names(sources: Sequence[str], files: Collection[str]) -> dict[str, str]:
    """Names each source by its file's stem, and a hash of its path where two files share one; hashes stay as they are.

    Args:
        sources: Paths or hashes, each once.
        files: Those that are paths.
    """
    stems = {source: Path(source).stem.removesuffix(".ome") if source in files else source for source in sources}
    counted = Counter(stems.values())
    return {
        source: stem if counted[stem] == 1 else f"{stem}-{keyed_hash(source, owner_key())[:8]}" for source, stem in stems.items()
    }


def model_name(model: Mapping[str, Any]) -> str:
    """Returns a name that says which weights, and no path of this machine.

    Args:
        model: ``source`` and ``sha256`` as features and predictions hold them.
    """
    source, weights = str(model.get("source") or ""), str(model.get("sha256") or "")[:12]
    if source and not set(source) & set("/\\"):
        return source
    return f"domainclip-{weights}" if weights else "domainclip"
