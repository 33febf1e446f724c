"""The data of a run: the starter set where nothing else is named, a prepared set in every case."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainclip.benchmarks.held_out import class_names_of
from domainclip.channel_names import channel_positions, present_channels
from domainclip.config import DataConfig, RunConfig
from domainclip.data.licence_terms import refuse_use
from domainclip.data.missing_channels import checked_rule
from domainclip.data.owner_map import owner_map_path
from domainclip.data.prepare import NOT_TOLD, prepare
from domainclip.data.prepared_set import PreparedSet
from domainclip.data.sources import Source, open_source
from domainclip.domains.base import Domain, DomainFacts
from domainclip.errors import UsageError, unknown_name
from domainclip.heads.reading import refuse_reading

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunData:
    """What a run trains on.

    Attributes:
        prepared: The set.
        starter_set: Folder of the starter set's native files, or None.
        synthetic: The content is generated.
    """

    prepared: PreparedSet
    starter_set: Path | None
    synthetic: bool


def run_data(config: RunConfig, domain: Domain, run: Path, *, resume: bool, progress: Progress | None) -> RunData:
    """Makes or finds the prepared set of a run. One process calls it; the others open what it made (``opened_run_data``).

    Args:
        config: The resolved configuration.
        domain: The domain.
        run: The run folder.
        resume: Go on with a half-made set, use a whole one.
        progress: Called with (done, total, text).

    Raises:
        UsageError: The source is not there, or nothing in it can be read.
    """
    data = config.data
    starter_set = None
    if data.source is None:
        from domainclip.starter import make_starter_set

        starter_set = Path("starter-sets") / _starter_name(config)
        data = data.model_copy(
            update={"source": str(make_starter_set(config.domain, starter_set, **config.starter.model_dump(), progress=progress))}
        )
    source = open_source(data, domain, config.reading)
    if isinstance(source, PreparedSet):
        refuse_reading(source, config.reading)
        _refuse_preparing(data, source)
        if data.purpose == "commercial":
            refuse_use(source.card, "commercial", "A model for commercial use was to be trained (data.purpose).", data.permitted)
        prepared = source
    else:
        prepared = _prepared(config, data, source, domain, run, resume, progress)
    if prepared.domain != config.domain:
        raise UsageError(
            f"A {config.domain} model was to be trained on {data.source}.",
            f"That set was prepared for {prepared.domain}.",
            f"Give --domain {prepared.domain}.",
        )
    shots = (
        {"label": class_names_of(prepared, config)[0], "shots": data.shots, "seed": config.training.seed} if data.shots else None
    )
    _remember(run, prepared, starter_set, shots)
    return opened_run_data(run)


def opened_run_data(run: Path) -> RunData:
    """Opens the set that ``run_data`` made or found in another process."""
    where = json.loads((run / "data.json").read_text(encoding="utf-8"))
    prepared = PreparedSet(Path(where["prepared"]))
    if where.get("shots"):
        prepared = prepared.with_shots(**where["shots"])
    return RunData(prepared, Path(where["starter_set"]) if where["starter_set"] else None, prepared.synthetic)


def check_parts(config: RunConfig, prepared: PreparedSet) -> None:
    """Finds out before training, not after it, whether there is something to train on and something to measure on.

    Raises:
        UsageError: A part is empty, or an image to be measured lacks a channel of the model.
    """
    train = prepared.subset("train")
    rule = checked_rule(config.data.missing_channels, config.model.channel_embedding)
    if rule == "refuse" and config.model.channels is None and len({frozenset(row) for row in train["channels"]}) > 1:
        return  # several sensors: ``fit_preprocessing`` says which
    wanted = config.model.channels or tuple(train["channels"].iloc[0])
    if rule != "refuse" and config.model.channels is None:
        wanted = tuple(sorted({name for row in train["channels"] for name in row}))
    parts = ["held_out", *(["val"] if (prepared.index["split"] == "val").any() else [])]
    for part in parts:
        rows = prepared.subset(part)
        for key, channels in zip(rows["key"], rows["channels"], strict=True):
            try:
                if rule == "refuse" or not present_channels(channels, wanted):
                    channel_positions(channels, wanted)
            except UsageError as error:
                raise UsageError(
                    f"A model of the channels {', '.join(wanted)} was to be measured on the part {part}.",
                    f"Its image {key} does not do: {error.found}",
                    "Choose channels that all images have (--set model.channels=[...]), or prepare the set without such files; "
                    f"which file it is says {owner_map_path(str(prepared.card.get('set_id')))}, to you alone.",
                ) from error


_OF_PREPARING = (
    *("held_out_fraction", "val_fraction", "duplicates", "split", "stratify", "jpeg_quality", "prepared"),
    *("report_language", "report_encoding", "report_sections"),
)
"""What only a preparation can do: a set that is prepared already stays as it is."""


def _refuse_preparing(data: DataConfig, prepared: PreparedSet) -> None:
    """Refuses options that a prepared set cannot follow any more; the defaults and the set's own say nothing new."""
    for name in _OF_PREPARING:
        asked, default = getattr(data, name), DataConfig.model_fields[name].default
        # Of these a set tells what is not the default of ``prepare``.
        own = prepared.card.get(name, NOT_TOLD.get(name, default))
        if asked in (own, default):
            continue
        mixed = "sources" in prepared.card  # which says of each source how it was prepared
        told = (
            ""
            if mixed or (name not in prepared.card and name not in NOT_TOLD)
            else ", without it"
            if own is None
            else f", with {own}"
        )
        remedy = "Leave it out; or prepare the source anew with it (domainclip prepare), and give that set."
        found = f"It is prepared already{told}."
        raise UsageError(f"The set {prepared.folder} was to be used with data.{name}={asked}.", found, remedy)


def _starter_name(config: RunConfig) -> str:
    starter = config.starter
    groups = f"-groups{starter.groups}" if starter.groups is not None else ""
    return f"{config.domain}{groups}{f'-seed{starter.seed}' if starter.seed else ''}"


def _prepared(
    config: RunConfig, data: DataConfig, source: Source, domain: Domain, run: Path, resume: bool, progress: Progress | None
) -> PreparedSet:
    folder = Path(data.prepared) if data.prepared else run / "set"
    return prepare(
        source,
        domain,
        folder,
        reading=config.reading,
        held_out_fraction=data.held_out_fraction,
        val_fraction=data.val_fraction,
        duplicates=data.duplicates,
        split=data.split,
        stratify=data.stratify,
        permitted=data.permitted,
        seed=config.training.seed,
        jpeg_quality=data.jpeg_quality,
        resume=resume,
        progress=progress,
    )


def _remember(run: Path, prepared: PreparedSet, starter_set: Path | None, shots: dict[str, Any] | None) -> None:
    where = {"prepared": str(prepared.folder), "starter_set": str(starter_set) if starter_set else None, "shots": shots}
    (run / "data.json").write_text(json.dumps(where, indent=1), encoding="utf-8")


def augmentation_steps(name: str | None, facts: DomainFacts, prepared: PreparedSet) -> list[dict[str, Any]] | None:
    """Returns the random changes of training images.

    Args:
        name: A pipeline of the domain's facts; ``default`` takes that of the set's axes and values where there is one (``CZYX-hu``,
            ``CZYX``), else the one of that name. None for no changes.
        facts: The domain's.
        prepared: The set.

    Raises:
        UsageError: The domain has no pipeline of that name.
    """
    if name is None:
        return None
    known = facts.augmentations
    if name == "default":
        axes, kind = str(prepared.index["axes"].iloc[0]), str(prepared.index["values"].iloc[0]["kind"])
        name = next((own for own in (f"{axes}-{kind}", axes) if own in known), name)
    if name not in known:
        raise unknown_name("augmentation", name, known)
    return known[name]
