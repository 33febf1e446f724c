"""The process that looks at foreign files for ``survey``, within a limit of memory."""

from __future__ import annotations

from typing import Any

from domainclip.data.records import inspection_to_json, item_from_json
from domainclip.data.supervised import referred_domain
from domainclip.domains.base import Domain, inspected
from domainclip.errors import DomainClipError, UnreadableFileError
from domainclip.piped_process import limit_memory, messages, private_output, say
from domainclip.sample import SourceItem


def main() -> None:
    """Reads a line with the domain, then a line a file; answers each with a line of JSON."""
    answers, told = private_output(), messages()
    setup = next(told)
    domain = referred_domain(setup["domain"])
    limit_memory(setup["memory_bytes"])
    say(answers, {"ready": True})
    for job in told:
        say(answers, _look(domain, item_from_json(job["item"]), job["reading"]))


def _look(domain: Domain, item: SourceItem, reading: dict[str, Any] | None) -> dict[str, Any]:
    try:
        options = None if reading is None else domain.reading_model.model_validate(reading)
        return {"seen": inspection_to_json(inspected(domain, item, options))}
    except UnreadableFileError as error:
        return {"problem": error.reason}
    except DomainClipError as error:  # an option is wrong, and the same for every file
        return {"stop": [error.asked, error.found, error.remedy]}
    except MemoryError:
        return {"problem": "reading needs more memory than the limit", "spent": True}
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises on a hostile file, the job goes on; the kind is reported.
        return {"problem": f"the reader failed ({type(error).__name__})"}


if __name__ == "__main__":
    main()
