"""The process that decodes foreign files: told on its standard input, answering by short messages, within limits of memory.

Run as ``python -m domainclip.data.worker`` by ``supervised``. It imports torch only when the reading options name a model, and
nothing that it sends is pickled.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from domainclip.data.records import item_from_json
from domainclip.data.spool import FULL_DISK, SpoolPlan, write_spool
from domainclip.data.supervised import referred_domain
from domainclip.domains.base import Domain
from domainclip.errors import DomainClipError
from domainclip.heartbeat import listen
from domainclip.piped_process import limit_memory, messages, private_output, say

_TICK_SECONDS = 0.5


def main() -> None:
    """Reads a line with the plan, then a line a file; answers each with a line of JSON."""
    answers, told = private_output(), messages()
    setup = next(told)
    domain = referred_domain(setup["domain"])
    reading = domain.reading_model.model_validate(setup["reading"])
    plan = SpoolPlan(Path(setup["folder"]), bytes.fromhex(setup["key"]), setup["seed"], **setup.get("plan", {}))
    limit_memory(setup["memory_bytes"])
    say(answers, {"ready": True})
    for job in told:
        say(answers, _one(job, domain, reading, plan, answers))


def _one(job: dict[str, Any], domain: Domain, reading: Any, plan: SpoolPlan, answers: io.RawIOBase) -> dict[str, Any]:
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        if time.monotonic() - last > _TICK_SECONDS:
            last = time.monotonic()
            say(answers, {"tick": True})

    listen(tick)
    try:
        return {"done": write_spool(item_from_json(job["item"]), job["number"], domain, reading, plan, tick)}
    except MemoryError:
        return {"rejected": "decoding needs more memory than the limit"}
    except OSError as error:
        if error.errno in FULL_DISK:
            return {"full": True}
        return {"rejected": f"reading failed ({error.strerror or type(error).__name__})"}
    except DomainClipError as error:
        return {"stop": [error.asked, error.found, error.remedy]}
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises on a hostile file, the job goes on; the kind is reported.
        return {"rejected": f"the reader failed ({type(error).__name__})"}


if __name__ == "__main__":
    main()
