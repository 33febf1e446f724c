"""From the words of the command line to one resolved run configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from domainclip.config import RunConfig, load_config
from domainclip.domains.base import domains
from domainclip.errors import UsageError, unknown_name
from domainclip.resources import resource_folder

# What may differ when a run goes on: where and how long, not what is learnt from what.
_FREE_ON_RESUME = {
    # batch_size with the number of processes: the loop checks that the global batch stays.
    "training": {"batch_size", "max_seconds", "save_every_steps", "log_every_steps", "threads", "engine", "zero_stage"},
    "data": {"workers", "cache", "cache_gib", "prepared", "root"},
    "evaluation": {"bootstrap", "recall_at", "control"},
}


def resolve_config(
    domain: str,
    *,
    data: str | None = None,
    root: Path | None = None,
    path: Path | None = None,
    overrides: Sequence[str] = (),
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> RunConfig:
    """Joins the domain's defaults, a file, and the options, the later winning.

    Without ``path``, the file is ``configs/<card>.yaml`` where ``data`` names a card that has one, and
    ``configs/<domain>-starter.yaml`` where there is no ``data``.

    Args:
        domain: Domain name.
        data: Source; None for the starter set.
        root: Folder of a card's files.
        path: Configuration file.
        overrides: ``section.field=value`` strings.
        output: Run folder.
        resume: The run in ``output`` goes on: its own ``config.yaml`` is the base, and what decides the result may not change.
        overwrite: An existing output folder may be replaced.

    Raises:
        UsageError: A name is unknown, the output exists, or there is nothing to resume.
    """
    if domain not in domains:
        raise unknown_name("domain", domain, domains)
    if resume and overwrite:
        raise UsageError("--resume and --overwrite were asked for.", "One keeps what the other removes.", "Give one of them.")
    if resume:
        return _resumed(domain, data, root, path, overrides, output)
    base: dict[str, Any] = {"domain": domain, "output": str(output) if output else None}
    base["data"] = {"source": data, "root": str(root) if root else None}
    config = load_config(path or _default_file(domain, data), overrides, base)
    if config.domain != domain:
        raise UsageError(
            f"A run for {domain} was asked for.", f"The configuration is for {config.domain}.", f"Give --domain {config.domain}."
        )
    if data is not None and config.data.source != data:
        config = config.model_copy(update={"data": config.data.model_copy(update={"source": data})})
    if output is not None and output.exists() and not overwrite and any(output.iterdir()):
        raise UsageError(
            f"The run was to be written to {output}.",
            "The folder exists and is not empty.",
            "Give --resume to go on with it, --overwrite to replace it, or another --output.",
        )
    return config


def _default_file(domain: str, data: str | None) -> Path | None:
    configs = resource_folder("configs")
    file = configs / (f"{domain}-starter.yaml" if data is None else f"{data}.yaml")
    plain_name = data is None or (Path(data).name == data and not Path(data).exists())
    return file if plain_name and file.is_file() else None


def _resumed(
    domain: str, data: str | None, root: Path | None, path: Path | None, overrides: Sequence[str], output: Path | None
) -> RunConfig:
    if output is None or not (output / "config.yaml").is_file():
        found = "No --output was given." if output is None else f"There is no run in {output} (config.yaml is missing)."
        raise UsageError("A run was to be resumed.", found, "Name the run folder with --output.")
    saved = yaml.safe_load((output / "config.yaml").read_text(encoding="utf-8"))
    base = load_config(path, (), saved) if path else load_config(None, (), saved)
    values = base.model_dump(mode="json") | {"output": str(output)}
    if root is not None:
        values["data"]["root"] = str(root)
    config = load_config(None, overrides, values)
    _refuse_changes(load_config(None, (), saved), config, domain, data)
    return config


def _refuse_changes(saved: RunConfig, now: RunConfig, domain: str, data: str | None) -> None:
    changed = [f"domain: {saved.domain} -> {domain}"] if domain != saved.domain else []
    if data is not None and data != saved.data.source:
        changed.append(f"data.source: {saved.data.source} -> {data}")
    before, after = saved.model_dump(mode="json"), now.model_dump(mode="json")
    for section, values in before.items():
        if section == "output":
            continue
        if not isinstance(values, dict):
            changed += [f"{section}: {values} -> {after[section]}"] if values != after[section] else []
            continue
        for name in sorted(set(values) | set(after[section])):
            old, new = values.get(name), after[section].get(name)
            if old != new and name not in _FREE_ON_RESUME.get(section, set()):
                changed.append(f"{section}.{name}: {old} -> {new}")
    if changed:
        raise UsageError(
            "A run was to be resumed with other settings.",
            f"They would change what is learnt: {'; '.join(changed)}.",
            "Resume without them, or start a new run with another --output.",
        )
