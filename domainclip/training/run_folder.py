"""The folder of a run: claimed, set aside when it is to be replaced, given back when the start fails."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from domainclip.config import RunConfig
from domainclip.data.workplace import aside_of, give_back, set_aside
from domainclip.errors import DomainClipError, UsageError
from domainclip.training.distributed import Processes


def claim_run_folder(config: RunConfig, here: Processes, resume: bool, overwrite: bool) -> Path:
    """Makes the run folder with the resolved configuration; the clock of the first process names it where nobody did.

    A run that is to be replaced is set aside until the new one is done (``guarded_run``).

    Raises:
        UsageError: The folder is in use, or to be replaced and no run.
    """
    started = here.agree([time.time()])[0]
    run = Path(config.output or Path("runs") / f"{config.domain}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(started))}")
    if here.main:
        if run.exists() and any(run.iterdir()) and not resume:
            if not overwrite:
                raise UsageError(
                    f"The run was to be written to {run}.",
                    "The folder exists and is not empty.",
                    "Give --resume to go on with it, --overwrite to replace it, or another --output.",
                )
            _refuse_foreign(run)
            set_aside(run)
        run.mkdir(parents=True, exist_ok=True)
        resolved = config.model_copy(update={"output": str(run)})
        (run / "config.yaml").write_text(resolved.to_yaml(), encoding="utf-8")
    here.barrier()
    return run


@contextlib.contextmanager
def guarded_run(run: Path, *, active: bool, resume: bool) -> Iterator[None]:
    """Around a whole run.

    Where it fails before anything of worth is in the folder, the folder goes, and a run that was set aside comes back: the
    corrected command may follow. Where it fails later, the message says where the run lies that was to be replaced. Where it ends
    well, that one is removed.

    Args:
        run: The folder.
        active: This process looks after it (rank 0).
        resume: The folder is the user's from before.
    """
    try:
        yield
    except BaseException as error:
        if not active:
            raise
        if not resume and {path.name for path in run.iterdir()} <= {"config.yaml", "data.json"}:
            give_back(run)
        elif isinstance(error, DomainClipError):
            raise type(error)(error.asked, error.found, error.remedy + _kept(run, resume)) from error
        raise
    if active:
        shutil.rmtree(aside_of(run), ignore_errors=True)


def _kept(run: Path, resume: bool) -> str:
    """Says what is of use after a failure, beside going on."""
    words = ""
    if not resume and (run / "set" / "dataset.json").is_file() and not (run / "checkpoints").exists():
        words += f" The prepared set is whole: with other settings, give --data {run / 'set'} and another --output."
    if aside_of(run).is_dir():
        words += f" The run that was to be replaced lies in {aside_of(run)}."
    return words


def _refuse_foreign(run: Path) -> None:
    """Overwriting replaces runs, never a folder that holds something else."""
    if not (run / "config.yaml").is_file():
        raise UsageError(
            f"The run in {run} was to be replaced.", "The folder holds no run (config.yaml is missing).", "Name another --output."
        )
