"""Model cards: Markdown with YAML front matter, beside the weights (README.md) and in ``model_cards/``. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from domainclip import __version__
from domainclip.errors import UsageError
from domainclip.model_record import ModelRecord
from domainclip.models.files import write_text

_INTENDED = {
    "pathology": "Research on histology images: zero-shot sorting, retrieval and search of tiles and slides.",
    "radiology": "Research on radiographs and their reports: zero-shot sorting, retrieval and search.",
    "remote-sensing": "Research on satellite and aerial scenes: zero-shot sorting, retrieval and search.",
}
_MEDICAL = "**Not a medical device.** It is not made, tested or approved for diagnosis, treatment or any decision on a patient."
_SYNTHETIC = (
    "**Synthetic.** It was trained and measured on generated images and texts only. The figures say that the software works; "
    "they say nothing of real data, and on real data the model is of no use."
)

_LOADING = 'import domainclip as dc\n\nmodel = dc.load_model("{name}")'
_LOADING_STOCK = """

# or, without this package
import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:this folder")"""
_PROTOCOL = "Measured on held-out groups that share no slide, patient or scene with training."
_TABLE_HEAD = "| figure | value | interval | chance | n | groups |\n|---|---|---|---|---|---|"


def write_model_card(folder: Path, record: ModelRecord, figures: Mapping[str, Any]) -> Path:
    """Writes ``README.md`` into a model folder.

    Args:
        folder: The model folder.
        record: Its record.
        figures: ``held_out`` of a run's summary: nested mappings whose leaves hold ``value`` and any of ``low``, ``high``,
            ``chance``, ``n``, ``groups``; a text under ``protocol`` is quoted. Empty when nothing was measured.

    Returns:
        The file.

    Raises:
        UsageError: The file cannot be written.
    """
    path = folder / "README.md"
    write_text(path, _card(_front_matter(record), record, figures, title=f"domainclip {record.domain} model"))
    return path


def write_starter_card(folder: Path, out: Path) -> Path:
    """Writes the zoo's card of a starter model from the run that made it.

    Args:
        folder: The run folder: ``summary.json`` and ``model/domainclip.json``.
        out: The card, e.g. ``model_cards/starter-pathology.md``; its stem is the model's name.

    Returns:
        ``out``.

    Raises:
        UsageError: The run has no summary or no model, or was not trained on a starter set.
    """
    asked = f"The card {out} was to be written from the run {folder}."
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        record = ModelRecord.model_validate_json((folder / "model" / "domainclip.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = f"summary.json or model/domainclip.json is missing or broken ({type(error).__name__})."
        raise UsageError(asked, found, "Finish the run first.") from error
    if not record.synthetic:
        remedy = "Use a run of `domainclip pretrain` without --data."
        raise UsageError(asked, "The model was not trained on a starter set.", remedy)
    front = {**zoo_entry(out.stem, record.model_dump(mode="json")), **_front_matter(record)}
    figures = summary.get("held_out", {})
    write_text(out, _card({**front, "figures": _plain(figures)}, record, figures, title=out.stem))
    return out


_LAYER = ("channel_embedding", "wavelengths_um", "sar_wavelength")


def zoo_entry(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the zoo lists of a model, from its record as JSON."""
    keys = (
        "domain",
        "architecture",
        "preprocessing",
        "tokenizer",
        "context_length",
        "prompts",
        "classes",
        "languages",
        "synthetic",
        *(_LAYER if record.get("channel_embedding", "inflated") != "inflated" else ()),
    )
    return {
        "name": name,
        "summary": _summary(record),
        "source": "shipped",
        "activation": "quick_gelu" if record.get("model_cfg", {}).get("quick_gelu") else "gelu",
        "licence": record.get("provenance", {}).get("licence", "Apache-2.0" if record.get("synthetic") else "not stated"),
        "open_clip": record.get("open_clip", False),
        **{key: record[key] for key in keys if key in record},
    }


def _summary(record: Mapping[str, Any]) -> str:
    p = record.get("preprocessing", {})
    parts = [f"{record.get('architecture')} at {p.get('image_size')} px", f"channels {', '.join(p.get('channels', ()))}"]
    return "; ".join([*parts, *(["synthetic: trained on generated content only"] if record.get("synthetic") else [])])


def read_front_matter(card: Path) -> dict[str, Any]:
    """Returns the YAML front matter of a card.

    Raises:
        UsageError: It has none, or it is no mapping.
    """
    asked = f"The model card {card.name} was to be read."
    remedy = "Begin the file with a block of YAML between two lines of ---."
    parts = card.read_text(encoding="utf-8").split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise UsageError(asked, "It has no front matter.", remedy)
    try:
        facts = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise UsageError(asked, f"Its front matter is not valid YAML: {error}", remedy) from error
    if not isinstance(facts, dict):
        raise UsageError(asked, "Its front matter is no mapping.", remedy)
    return facts


_VIEWS = {
    "one": "of the image as it is",
    "d4": "the mean over the eight orientations of an image (stock open_clip gives those of one)",
}


def _front_matter(record: ModelRecord) -> dict[str, Any]:
    """Keys that the Hugging Face hub reads."""
    licence = record.provenance.get("licence", "Apache-2.0" if record.synthetic else None)
    hub = {"license": str(licence).lower()} if licence else {"license": "other", "license_name": "not-stated"}
    tags = [
        "clip",
        "domainclip",
        record.domain,
        *(["synthetic"] if record.synthetic else []),
        *(["open_clip"] if record.open_clip else []),
    ]
    return {
        **hub,
        "language": list(record.languages),
        "library_name": "domainclip",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": tags,
    }


def _card(front: Mapping[str, Any], record: ModelRecord, figures: Mapping[str, Any], title: str) -> str:
    p = record.preprocessing
    scale = f"{p.spacing[0]:g} x {p.spacing[1]:g} {p.spacing_unit} a pixel" if p.spacing else "none: pictures have no scale"
    notices = [text for text, wanted in ((_SYNTHETIC, record.synthetic), (_MEDICAL, _medical(record))) if wanted]
    loading = _LOADING.format(name=title if front.get("source") == "shipped" else "this folder")
    loading += _LOADING_STOCK if record.open_clip else ""
    kind = f"{p.values_kind}, copied to three planes" if p.one_channel == "replicated" else p.values_kind
    sections = [
        f"---\n{yaml.safe_dump(_plain(front), sort_keys=False, allow_unicode=True, width=120)}---\n\n# {_cell(title)}",
        *notices,
        f"## Intended use\n\n{_INTENDED.get(record.domain, 'Research: zero-shot sorting, retrieval and search of images.')}",
        f"```python\n{loading}\n```",
        "## What goes in\n\n"
        f"- Channels: {_listed(p.channels)} ({kind})\n"
        f"- Size: {p.image_size} x {p.image_size} px, resized by {p.resize} with {p.interpolation} interpolation\n"
        f"- Scale: {scale}\n"
        f"- Features: {_VIEWS[p.views]}\n"
        f"- Texts: up to {record.context_length} tokens, {_listed(record.languages)}\n"
        f"- Architecture: {_cell(record.architecture)}{_inflation(record)}{_first_layer(record)}",
        f"## Training data\n\n{_data(record)}",
        f"## Figures\n\n{_figures(figures)}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(record)),
        f"Written by domainclip {__version__}.",
    ]
    return "\n\n".join(sections) + "\n"


def _medical(record: ModelRecord) -> bool:
    return record.domain in ("pathology", "radiology")


def _inflation(record: ModelRecord) -> str:
    pairs = [f"{_cell(name)} from {_cell(whose)}" for name, whose in record.inflated_from.items()]
    return f"; first layer inflated: {', '.join(pairs)}" if pairs else ""


def _first_layer(record: ModelRecord) -> str:
    if record.channel_embedding != "wavelength":
        return "" if record.channel_embedding == "inflated" else f"; first layer {record.channel_embedding}"
    told = [f"{_cell(name)} {value:g} um" for name, value in record.wavelengths_um.items()]
    radar = [] if record.sar_wavelength is None else [f"radar {record.sar_wavelength:g} (a convention of these weights)"]
    return f"; first layer made from wavelengths, which takes any of these bands: {', '.join([*told, *radar])}"


def _data(record: ModelRecord) -> str:
    """Only keys that cannot hold a path or an identifier of a person."""
    known = ("data", "data_version", "data_licence", "images", "captions", "groups", "samples_seen", "seed", "initial_weights")
    facts = {key: record.provenance[key] for key in known if isinstance(record.provenance.get(key), str | int | float)}
    lines = [f"- {key.replace('_', ' ')}: {_cell(_name_only(value))}" for key, value in facts.items()]
    if record.classes:
        lines.append(f"- classes: {_listed(record.classes)}")
    return "\n".join(lines) or "The run recorded nothing on its data."


def _name_only(value: Any) -> Any:
    """A user's paths stay on the user's machine; the last part tells enough."""
    return Path(value).name if isinstance(value, str) and os.sep in value else value


def _figures(figures: Mapping[str, Any]) -> str:
    rows = list(_rows(figures, ()))
    if not rows:
        return "None were measured."
    protocol = figures.get("protocol")
    said = _cell(protocol) if isinstance(protocol, str) else _PROTOCOL
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{said} Intervals: 95 %, bootstrap over groups.\n\n{_TABLE_HEAD}\n{table}"


def _rows(figures: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, value in figures.items():
        path = (*above, str(name).replace("_", " "))
        if not isinstance(value, Mapping):
            continue
        if "value" not in value:
            yield from _rows(value, path)
            continue
        interval = f"{_number(value['low'])} to {_number(value['high'])}" if "low" in value and "high" in value else ""
        rest = (_number(value.get(key)) for key in ("chance", "n", "groups"))
        yield (_cell(", ".join(path)), _number(value["value"]), interval, *rest)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else _cell(value)


def _limits(record: ModelRecord) -> list[str]:
    lines = ["It knows the kinds of images and words that it was trained on, and nothing else."]
    if record.preprocessing.spacing:
        lines.append("Images at another physical scale than the one above have to be resampled first.")
    if len(record.languages) == 1:
        lines.append(f"Texts in other languages than {record.languages[0]} are not understood.")
    return lines


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(_cell(value) for value in values)


def _cell(value: Any) -> str:
    """Words of others must not break the table or start Markdown or HTML of their own."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _plain(value: Any) -> Any:
    """Tuples and mappings of any kind as YAML knows them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
