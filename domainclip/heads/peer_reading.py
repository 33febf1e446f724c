"""Foreign feature files read in a process of its own: libhdf5 can hang on a broken one (seen in fuzzing), and the job goes on.

Run as ``python -m domainclip.heads.peer_reading`` it is that process: told on standard input, it answers a line a file and leaves
the arrays as ``.npy`` files in a scratch folder; nothing is pickled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domainclip.domains.pathology.coordinates import TileCoordinates
from domainclip.domains.pathology.hdf5 import MAX_BYTES
from domainclip.domains.pathology.tile_features import TileFeatures, read_features
from domainclip.errors import DomainClipError
from domainclip.piped_process import limit_memory, messages, private_output, say, started_process

SECONDS = 120.0
"""Longest time for one file; 100,000 tiles take under a second."""
START_SECONDS = 120.0
MEMORY_BYTES = 3 * MAX_BYTES
"""The largest table that is read, and what converting it takes."""
_FACTS = ("slide", "origin", "tile_px", "spacing_um", "overlap_px")
Job = tuple[Path, Path | None]
"""(file of features, file of coordinates or None)"""


def read_supervised(jobs: Sequence[Job], name: str | None, seconds: float = SECONDS) -> Iterator[TileFeatures | str]:
    """Yields, for each job in order, its features, or why it is rejected.

    Args:
        jobs: Files.
        name: Which of several features of a file.
        seconds: Longest time for one file.
    """
    done = 0
    with tempfile.TemporaryDirectory(prefix="domainclip-features-") as scratch:
        while done < len(jobs):
            # A process that is lost costs one file; the next one goes on behind it.
            for answer in _one_process(jobs[done:], name, Path(scratch), seconds):
                yield answer if isinstance(answer, str) else _loaded(answer, Path(scratch))
                done += 1


def _one_process(jobs: Sequence[Job], name: str | None, scratch: Path, seconds: float) -> Iterator[dict[str, Any] | str]:
    process = started_process("domainclip.heads.peer_reading", {"memory_bytes": MEMORY_BYTES}, START_SECONDS)
    try:
        for path, places in jobs:
            job = {"path": str(path), "places": str(places) if places else None, "name": name, "scratch": str(scratch)}
            answer = process.ask(job, seconds)
            if "lost" in answer:
                yield f"{answer['lost']}: the file is broken, or its disk does not answer"
                return
            yield str(answer["rejected"]) if "rejected" in answer else answer
    finally:
        process.close()


def _loaded(answer: dict[str, Any], scratch: Path) -> TileFeatures:
    values = np.load(scratch / "values.npy", allow_pickle=False)
    facts = answer["coordinates"]
    tiles = None if facts is None else TileCoordinates(np.load(scratch / "boxes.npy", allow_pickle=False), **facts)
    return TileFeatures(values, tiles, answer["encoder"])


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        found = read_features(Path(job["path"]), Path(job["places"]) if job["places"] else None, name=job["name"])
    except DomainClipError as error:
        return {"rejected": f"{error.found} {error.remedy}"}
    except MemoryError:
        return {"rejected": "reading needs more memory than there is"}
    np.save(Path(job["scratch"]) / "values.npy", found.values, allow_pickle=False)
    facts = None
    if found.coordinates is not None:
        np.save(Path(job["scratch"]) / "boxes.npy", found.coordinates.boxes, allow_pickle=False)
        facts = {key: getattr(found.coordinates, key) for key in _FACTS}
    return {"coordinates": facts, "encoder": found.encoder}


def main() -> None:
    """Answers a line of JSON with a line of JSON."""
    answers, told = private_output(), messages()
    limit_memory(next(told)["memory_bytes"])
    say(answers, {"ready": True})
    for job in told:
        say(answers, _answer(job))


if __name__ == "__main__":
    main()
