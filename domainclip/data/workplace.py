"""The output folder of a preparation: refused when it holds something, claimed, resumed or replaced on demand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from domainclip.data.prepared_set import PreparedSet
from domainclip.data.shards import write_bytes
from domainclip.errors import UsageError

WORK = ".preparing"
"""Folder of spools inside the output while it is made."""
_OURS = re.compile(
    r"\d{5}\.tar|dataset\.json|index\.parquet|contact_sheet\.jpg|overviews|captions\.parquet|rejected\.jsonl|.*\.part"
)


def claim_output(output: Path, plan_id: str, *, overwrite: bool, resume: bool) -> PreparedSet | None:
    """Makes the output folder ready to be written.

    Args:
        output: Folder of the prepared set.
        plan_id: What is to be made; a half-made set of another plan is not resumed.
        overwrite: Remove a prepared set that lies there.
        resume: Go on with a half-made set; take a finished one as it is.

    Returns:
        The finished set when ``resume`` finds it complete, else None.

    Raises:
        UsageError: The folder holds something else, or was made with other options.
    """
    asked = f"A prepared set was to be written to {output}."
    if output.exists() and not output.is_dir():
        raise UsageError(asked, "There is a file of that name.", "Choose another --output.")
    entries = {path.name for path in output.iterdir()} if output.is_dir() else set()
    foreign = sorted(name for name in entries if name != WORK and not _OURS.fullmatch(name))
    if foreign:
        found = f"The folder holds files that are no part of a prepared set, such as {foreign[0]}."
        raise UsageError(asked, found, "Choose another --output.")
    if entries and not (overwrite or resume):
        raise UsageError(
            asked, "The folder exists and is not empty.", "Add --resume to go on with it, or --overwrite to replace it."
        )
    if entries and resume and not overwrite:
        done = (output / "dataset.json").is_file()
        if _plan_at(output, done) != plan_id:
            found = "What lies there was made from other files, with other options, or with another owner's key."
            raise UsageError(asked, found, "Add --overwrite to make it anew, or choose another --output.")
        if done:
            shutil.rmtree(output / WORK, ignore_errors=True)
            return PreparedSet(output)
    else:
        _clear(output, entries)
    try:
        (output / WORK).mkdir(parents=True, mode=0o700, exist_ok=resume)
    except FileExistsError as error:
        raise UsageError(asked, "Another process has just begun to write there.", "Choose another --output.") from error
    for draft in (*output.glob("*.part"), *(output / WORK).glob("*.part")):
        draft.unlink(missing_ok=True)
    write_bytes(output / WORK / "plan.json", json.dumps({"plan": plan_id}).encode())
    return None


def aside_of(output: Path) -> Path:
    """Returns where a finished set or run waits that is to be replaced, until the new one is done."""
    return output.with_name(f".{output.name}.replaced")


def set_aside(output: Path) -> None:
    """Moves a set or run out of the way; where one waits already, that is the last that was finished, and it stays."""
    if aside_of(output).is_dir():
        shutil.rmtree(output)
    else:
        output.rename(aside_of(output))


def give_back(output: Path) -> None:
    """Removes what a call made that failed, and puts back what it was to replace."""
    shutil.rmtree(output)
    if aside_of(output).is_dir():
        aside_of(output).rename(output)


def _clear(output: Path, entries: set[str]) -> None:
    """Makes room: a finished set is set aside, the rest goes."""
    if "dataset.json" in entries:
        set_aside(output)
    elif entries:
        shutil.rmtree(output)


def _plan_at(output: Path, done: bool) -> str | None:
    path = output / "dataset.json" if done else output / WORK / "plan.json"
    try:
        plan: str | None = json.loads(path.read_text(encoding="utf-8")).get("plan")
        return plan
    except (OSError, ValueError, AttributeError):
        return None
