"""Source files to a prepared set: decode in supervised workers, caption, split, write shards and their index."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from domainclip.cores import usable_cores
from domainclip.data.entries import Gathered, Gatherer
from domainclip.data.licence_terms import Use, refuse_changed_copies
from domainclip.data.owner_map import owner_map_path, write_owner_map
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.set_writer import SetFacts, refuse_torn_groups, write_set
from domainclip.data.sources import Source
from domainclip.data.spool import FULL_DISK, SpoolPlan, is_whole, read_spool, write_rejection, write_spool
from domainclip.data.supervised import Limits, disk_full, run_supervised
from domainclip.data.workplace import WORK, aside_of, claim_output, give_back
from domainclip.domains.base import Domain, checked_reading
from domainclip.errors import DiskFullError, RunInterruptedError, UnreadableFileError, UsageError
from domainclip.identifiers import keyed_hash, owner_key
from domainclip.sample import SourceItem

Progress = Callable[[int, int, str], None]


def prepare(
    source: Source | PreparedSet,
    domain: Domain,
    output: Path | str,
    *,
    reading: BaseModel | dict[str, Any] | None = None,
    held_out_fraction: float = 0.2,
    val_fraction: float = 0.1,
    duplicates: Literal["exact", "near"] | None = None,
    split: Literal["published", "by_group"] = "published",
    stratify: str | None = None,
    permitted: Sequence[Use] = (),
    seed: int = 0,
    jpeg_quality: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    workers: int | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> PreparedSet:
    """Makes a prepared set.

    It depends on source, options and key alone. Captions are a sample's own, else composed of its labels.

    Args:
        source: From ``open_source``, for this domain.
        domain: The reader.
        output: Folder to write.
        reading: Options of the reader, over those that the source's card needs.
        held_out_fraction: Share of groups held out, where the source gives no split.
        val_fraction: Share of training groups set aside.
        duplicates: What counts as one group: equal pixels, or also the same picture (``domainclip.data.duplicates``); None: what
            the card says, else ``exact``.
        split: Keep the source's split where it gives one, or split anew by group.
        stratify: Label whose values get their share in every part, as far as whole groups allow; where the split is ours.
        permitted: Uses that the licence forbids and that the caller holds a permission for; kept in the set.
        seed: Of the splits and of composed captions.
        jpeg_quality: 1 to 100: store 8-bit colour as JPEG of this quality, with loss; None stores PNG.
        strict: Stop at the first file or image that cannot be used.
        overwrite: Replace a set that lies at ``output``; until the new one is done it waits in ``.<output>.replaced``.
        resume: Go on with what an interrupted call left there; a finished set of the same options is returned.
        workers: Reader processes; default: all cores. 0 reads in this process, without ``limits``.
        limits: Of time and memory of one file.
        progress: Called with (done, total, text).

    Raises:
        UsageError: The output exists, options do not fit, the licence forbids it, the disk is full, or nothing can be used.
        UnreadableFileError: With ``strict``, a file cannot be used; RunInterruptedError: Ctrl-C; ``resume`` goes on.
    """
    source = _unprepared(source)
    options = checked_reading(domain, reading, source.reading)
    settings: dict[str, Any] = {"reading": options.model_dump(mode="json"), "seed": seed, "jpeg_quality": jpeg_quality}
    settings |= {"held_out_fraction": held_out_fraction, "val_fraction": val_fraction}
    settings |= _told(duplicates=duplicates or source.duplicates, split=split, stratify=stratify, permitted=list(permitted))
    usual = checked_reading(domain, None, source.reading)
    refuse_changed_copies(source.card, _guarded(options, jpeg_quality), _guarded(usual), permitted)
    how = _How(Path(output), strict, overwrite, resume, workers, limits or Limits(), progress or _quiet)
    return _prepared(source, domain, options, settings, how)


@dataclass(frozen=True)
class _How:
    """What a preparation does not depend on."""

    output: Path
    strict: bool
    overwrite: bool
    resume: bool
    workers: int | None
    limits: Limits
    progress: Progress


def _prepared(source: Source, domain: Domain, options: BaseModel, settings: dict[str, Any], how: _How) -> PreparedSet:
    items, rejected, key, output = source.numbered(), source.rejections, owner_key(), how.output
    with _clean_stops(output) as claimed:
        if not source.published and settings.get("split", "published") == "published":
            refuse_torn_groups(items)
        plan_id = _plan_id(source, items, domain, settings, key)
        if (finished := claim_output(output, plan_id, overwrite=how.overwrite, resume=how.resume)) is not None:
            return finished
        claimed.append(not how.resume)
        workers, threads = _spread(how.workers, len(items), domain)
        plan = SpoolPlan(output / WORK, key, settings["seed"], settings["jpeg_quality"], threads, True, _note(source))
        strict = plan_id if how.strict else None
        found = _Job(items, domain, options, plan, workers, how.limits, strict, how.progress).run(rejected)
        settings["reading"] = _public_reading(options, key)  # after the hash, which the paths are part of
        write_set(output, plan.folder, items, found, SetFacts(source, domain, settings, plan_id, key))
        shutil.rmtree(aside_of(output), ignore_errors=True)
    return PreparedSet(output)


NOT_TOLD: dict[str, Any] = {"duplicates": "exact", "split": "published", "stratify": None, "permitted": []}
"""What a set does not say of its options."""


def _guarded(reading: BaseModel, jpeg_quality: int | None = None) -> dict[str, Any]:
    """Options by the names that a licence's guard has for them."""
    return {"data.jpeg_quality": jpeg_quality} | {f"reading.{name}": value for name, value in reading.model_dump().items()}


def _told(**asked: Any) -> dict[str, Any]:
    """What a set says of options; nothing of defaults, so that sets keep the plans they have."""
    return {name: value for name, value in asked.items() if value != NOT_TOLD[name]}


def _note(source: Source) -> str:
    return "synthetic content" if source.card.get("synthetic") else ""


def _unprepared(source: Source | PreparedSet) -> Source:
    if isinstance(source, PreparedSet):
        raise UsageError(f"{source.folder} was to be prepared.", "It is a prepared set already.", "Use it as it is: --data.")
    return source


def _spread(workers: int | None, files: int, domain: Domain) -> tuple[int, int]:
    """Returns how many processes read, and with how many threads each: all cores, unless the caller says how many processes."""
    if workers is not None:
        return workers, 1
    cores = usable_cores()
    processes = max(1, min(cores, files))
    return processes, cores // processes if getattr(domain, "thread_safe", False) else 1


@contextlib.contextmanager
def _clean_stops(output: Path) -> Iterator[list[bool]]:
    """Turns Ctrl-C and a full disk into messages; what is finished stays for ``resume``.

    Yields:
        A list to which is added, once the output belongs to this call alone, whether nothing that lay there is being gone on with.
        If so and the call fails, the folder is removed, so that the corrected command can follow at once.
    """
    claimed: list[bool] = []
    try:
        yield claimed
    except (UsageError, UnreadableFileError) as error:
        if any(claimed) and not isinstance(error, DiskFullError):
            give_back(output)
        raise
    except KeyboardInterrupt as error:
        raise RunInterruptedError(
            f"{output} was being prepared.", "It was interrupted.", "Go on where it stopped: the same command with --resume."
        ) from error
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise disk_full(f"A prepared set was being written to {output}.") from error


@dataclass
class _Job:
    """The first half: every source file becomes a spool."""

    items: Sequence[SourceItem]
    domain: Domain
    reading: BaseModel
    plan: SpoolPlan
    workers: int
    limits: Limits
    strict: str | None
    """With ``strict``, the name of the owner's map that tells which file it was."""
    progress: Progress

    def run(self, rejections: Sequence[tuple[str, str]]) -> Gathered:
        """Reads the files whose spools are not there yet; with ``strict``, what the source rejected stops it at once."""
        if self.strict and rejections:
            raise _strict_stop(*rejections[0], self.strict)
        waiting = [n for n in range(len(self.items)) if not is_whole(self.plan.folder, n)]
        done = len(self.items) - len(waiting)
        gatherer = Gatherer(self.plan.folder, self.items, self.plan.key)
        for number in {*range(len(self.items))} - {*waiting}:
            gatherer.finish(number)
        self.progress(done, len(self.items), "reading")
        for number in self._finished(waiting):
            done += 1
            self.progress(done, len(self.items), "reading")
            if self.strict:
                self._stop_at_rejections(number)
            gatherer.finish(number)
        self.progress(done, len(self.items), "writing shards")
        return gatherer.whole(rejections)

    def _finished(self, waiting: list[int]) -> Iterator[int]:
        if self.workers == 0 or not waiting:
            for number in waiting:
                write_spool(self.items[number], number, self.domain, self.reading, self.plan, _no_tick)
                yield number
            return
        setup = {
            "reading": self.reading.model_dump(mode="json"),
            "folder": str(self.plan.folder.absolute()),
            "key": self.plan.key.hex(),
            "seed": self.plan.seed,
            "plan": {name: getattr(self.plan, name) for name in ("jpeg_quality", "threads", "overviews", "note")},
        }
        for outcome in run_supervised(waiting, self.items.__getitem__, self.domain, setup, self.workers, self.limits):
            if outcome.reason is not None:
                write_rejection(self.items[outcome.number], outcome.number, self.plan, outcome.reason)
            yield outcome.number

    def _stop_at_rejections(self, number: int) -> None:
        for line in read_spool(self.plan.folder, number):
            if "reason" in line:
                assert self.strict
                raise _strict_stop(self.items[number].place, line["reason"], self.strict)


def _public_reading(options: BaseModel, key: bytes) -> dict[str, Any]:
    """The reading options as a set may tell them: paths may name people, so keyed hashes stand for them."""
    values = options.model_dump(mode="json")
    for name in getattr(type(options), "paths", ()):
        if values[name] is not None and (os.sep in values[name] or Path(values[name]).exists()):
            values[name] = keyed_hash(values[name], key)
    return values


def _plan_id(source: Source, items: Sequence[SourceItem], domain: Domain, settings: dict[str, Any], key: bytes) -> str:
    """Hashes what the result follows from, with sizes and times of the files, so that only the same job is resumed."""
    from domainclip import __version__
    from domainclip.data.records import item_to_json

    digest = hashlib.sha256(
        json.dumps([__version__, domain.name, settings, source.card, source.rejections], sort_keys=True).encode()
    )
    for name in sorted(getattr(domain.reading_model, "paths", ())):
        # Files that options lead to count by size and time, as the source's own do.
        place = Path(str(settings["reading"].get(name)))
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        digest.update(json.dumps([[file.name, _file_facts(SourceItem(file, ""))] for file in files], sort_keys=True).encode())
    with ThreadPoolExecutor(8) as pool:
        for item, facts in zip(items, pool.map(_file_facts, items), strict=True):
            digest.update(json.dumps([item_to_json(item), facts], sort_keys=True).encode())
    return keyed_hash(digest.hexdigest(), key)


def _file_facts(item: SourceItem) -> list[int]:
    facts = []
    for path in (item.path, *item.members):
        try:
            status = path.stat()
        except OSError:
            continue
        facts += [status.st_size, status.st_mtime_ns]
    return facts


def _strict_stop(path: str, reason: str, name: str) -> UnreadableFileError:
    """Builds the error of ``strict``; a path may name a person, so it goes to the owner's map and not into the message."""
    write_owner_map(name, [{"path": path, "reason": reason}])
    remedy = f"The file is named in {owner_map_path(name)}, for you alone. Mend or remove it; or leave --strict out."
    return UnreadableFileError("All files were to be usable (--strict).", reason, remedy)


def _quiet(done: int, total: int, text: str) -> None:
    """Shows nothing."""


def _no_tick() -> None:
    """Nobody watches the clock in this process."""
