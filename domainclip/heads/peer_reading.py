"""Foreign feature files read in a process of its own: libhdf5 can hang on a broken one (seen in fuzzing), and the job goes on.

Run as ``python -m domainclip.heads.peer_reading`` it is that process: told on standard input, it answers a line a file and leaves
the arrays as ``.npy`` files in a scratch folder; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from domainclip.domains.pathology.coordinates import TileCoordinates
from domainclip.domains.pathology.tile_features import TileFeatures, read_features
from domainclip.errors import DomainClipError, UnreadableFileError

SECONDS = 120.0
"""Longest time for one file; 100,000 tiles take under a second."""
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
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part), "OMP_NUM_THREADS": "1"}
    errors = None if os.environ.get("DOMAINCLIP_DEBUG") else subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "domainclip.heads.peer_reading"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
    )
    assert process.stdin is not None and process.stdout is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(process.stdout, lines), daemon=True)
    listener.start()
    try:
        for path, places in jobs:
            job = {"path": str(path), "places": str(places) if places else None, "name": name, "scratch": str(scratch)}
            lost = f"reading took longer than {seconds:g} s"
            try:
                process.stdin.write(json.dumps(job).encode() + b"\n")
                process.stdin.flush()
                line = lines.get(timeout=seconds)
            except (OSError, queue.Empty):
                line = b""
            else:
                lost = "the process that read it died: the file is broken"
            if not line.endswith(b"\n"):
                yield lost
                return
            answer = json.loads(line)
            yield str(answer["rejected"]) if "rejected" in answer else answer
    finally:
        process.kill()
        process.wait()
        listener.join(timeout=10)
        process.stdout.close()
        with contextlib.suppress(OSError):  # what a dead process had not read yet
            process.stdin.close()


def _listen(output: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Hands on answers; the end comes as an empty line."""
    while line := output.readline():
        lines.put(line)
    lines.put(b"")


def _loaded(answer: dict[str, Any], scratch: Path) -> TileFeatures:
    values = np.load(scratch / "values.npy", allow_pickle=False)
    facts = answer["coordinates"]
    tiles = None if facts is None else TileCoordinates(np.load(scratch / "boxes.npy", allow_pickle=False), **facts)
    return TileFeatures(values, tiles, answer["encoder"])


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        found = read_features(Path(job["path"]), Path(job["places"]) if job["places"] else None, name=job["name"])
    except UnreadableFileError as error:
        return {"rejected": error.found}
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
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")


if __name__ == "__main__":
    main()
