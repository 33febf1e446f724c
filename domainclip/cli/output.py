"""What every verb shares: one JSON document or plain lines, errors in three parts, exit codes."""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domainclip.errors import DomainClipError, RunInterruptedError

DONE, WRONG_USE, INTERNAL, STOPPED = 0, 2, 1, 130
_MOST_REASONS = 5


class Reporter:
    """Where a verb writes: plain lines to standard output, or one JSON document and nothing else there.

    Args:
        as_json: Print one JSON document at the end instead of lines.
        debug: Let tracebacks through.
    """

    def __init__(self, as_json: bool, debug: bool) -> None:
        self.as_json, self.debug = as_json, debug

    def line(self, text: str = "") -> None:
        """Prints a line for a person; with ``--json`` it goes to standard error."""
        print(_printable(text), file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def document(self, value: Any, lines: Sequence[str]) -> None:
        """Prints the result: the document with ``--json``, else the lines."""
        self.result = value
        if not self.as_json:
            for text in lines:
                self.line(text)


@contextmanager
def _stdout_kept_clean(active: bool) -> Iterator[Callable[[str], None]]:
    """Sends all that libraries print to standard error, down to the file descriptor, and yields the way to the real one."""
    if not active:
        yield lambda text: print(text, flush=True)  # noqa: T201
        return
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda text: _write_all(real, (_printable(text) + "\n").encode())
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def _printable(text: str) -> str:
    """File names need not be UTF-8: bytes that are not become escapes, which JSON reads back as the same name."""
    return text.encode("utf-8", "backslashreplace").decode()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows warnings as sentences, without the line of code that they come from."""
    before = warnings.showwarning
    warnings.showwarning = lambda message, *_: print(f"Warning: {message}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        yield
    finally:
        warnings.showwarning = before


def run_verb(work: Callable[[Reporter], None], *, as_json: bool, debug: bool) -> int:
    """Runs a verb's work and turns what happens into output and an exit code.

    Args:
        work: The verb; gives its result to ``Reporter.document``.
        as_json: One JSON document on standard output.
        debug: Tracebacks instead of messages.

    Returns:
        0 done, 2 wrong use or bad input, 130 stopped by the user, 1 a defect of ours.
    """
    reporter = Reporter(as_json, debug)
    with _stdout_kept_clean(as_json) as write:
        try:
            with _plain_warnings():
                work(reporter)
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return DONE
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                raise
            code, parts = explain(error)
            _say(parts, write if as_json else None)
            return code
        if as_json and hasattr(reporter, "result"):  # under torchrun only the first process has one
            write(json.dumps(reporter.result, indent=1, default=str, ensure_ascii=False))
    return DONE


def rejection_lines(folder: Path, rejected: int, set_id: str | None) -> list[str]:
    """Says why files were rejected, the most frequent reasons first, where that stands, and which they are, for their owner."""
    if not rejected:
        return []
    from domainclip.data.owner_map import owner_map_path

    reasons: Counter[str] = Counter()
    with (folder / "rejected.jsonl").open(encoding="utf-8") as file:
        reasons.update(json.loads(line)["reason"] for line in file)
    lines = [f"  {count} rejected: {reason}" for reason, count in reasons.most_common(_MOST_REASONS)]
    if len(reasons) > _MOST_REASONS:
        lines.append(f"  and {len(reasons) - _MOST_REASONS} more reasons")
    lines.append(f"Why {rejected} were rejected: {folder / 'rejected.jsonl'}")
    return [*lines, f"Which keys are which files, for you alone: {owner_map_path(set_id)}"] if set_id else lines


def explain(error: BaseException) -> tuple[int, tuple[str, str, str]]:
    """Returns the exit code and the three parts of the message for anything that a verb raised."""
    if isinstance(error, RunInterruptedError):
        return STOPPED, (error.asked, error.found, error.remedy)
    if isinstance(error, DomainClipError):
        return WRONG_USE, (error.asked, error.found, error.remedy)
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, (
            "The work was to be stopped (Ctrl-C).",
            "It is stopped.",
            "Run the same command again; pretrain takes --resume.",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return WRONG_USE, (
            "A file was to be written.",
            "The disk is full.",
            "Free some space, or name another --output; then --resume.",
        )
    if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError):
        where = Path(error.filename).name if error.filename else "a file"
        return WRONG_USE, (f"{where} was to be opened.", f"{error.strerror}.", "Check the path and its permissions.")
    return INTERNAL, (
        "The command was to be carried out.",
        f"It failed inside domainclip: {type(error).__name__}: {error}",
        "This is a defect; run again with --debug and report what it prints.",
    )


def _say(parts: tuple[str, str, str], write_json: Callable[[str], None] | None) -> None:
    asked, found, remedy = parts
    print(f"{asked}\n  Found: {found}\n  To do: {remedy}", file=sys.stderr, flush=True)  # noqa: T201
    if write_json is not None:
        write_json(json.dumps({"error": {"asked": asked, "found": found, "remedy": remedy}}, indent=1, ensure_ascii=False))
