"""The held-out report of a run: zero-shot, retrieval and a control, each figure with n, groups, chance and interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainclip.benchmarks.bootstrap import GroupSums, class_sums, interval, mean_sums, paired_difference
from domainclip.benchmarks.control import METHOD, fit_control
from domainclip.benchmarks.metrics import confusion, per_class_recall
from domainclip.benchmarks.retrieval import PROTOCOL as RETRIEVAL_PROTOCOL
from domainclip.benchmarks.retrieval import retrieval_figures
from domainclip.channel_names import present_channels
from domainclip.config import MissingChannels, RunConfig
from domainclip.domains.base import COMPOSITION
from domainclip.errors import UnreadableFileError
from domainclip.heads.prompts import class_features, templates_for
from domainclip.model_record import ModelRecord

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from domainclip.data.prepared_set import PreparedSet
    from domainclip.heads.model_input import MissingTally, ModelInput

Features = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
PROTOCOL = (
    "Images of {groups}. Zero-shot: each image goes to the class whose text feature (mean over synonyms and "
    "templates) is nearest; balanced accuracy is the mean recall over classes. Intervals: 95 %, percentile bootstrap over groups. "
)
_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The evaluated images.

    Attributes:
        table: Rows of the split that could be read.
        features: (N, D) unit norm.
        unreadable: Rows whose pixels could not be read.
    """

    table: pd.DataFrame
    features: Features
    unreadable: int


def evaluate_held_out(
    encode_image: Callable[..., Any],
    encode_text: Callable[[Sequence[str]], Any],
    prepared: PreparedSet,
    record: ModelRecord,
    config: RunConfig,
    class_names: Mapping[str, Sequence[str]] | None = None,
    *,
    split: str = "held_out",
    batch_size: int = 64,
) -> dict[str, Any]:
    """Measures a model on the held-out split. With several processes every one calls it, and all run the same encodes.

    Args:
        encode_image: (B, C, H, W) float32, transformed as ``record.preprocessing`` says, to (B, D) features (tensor or array). It
            gets the planes of volumes and time series one by one; their features are pooled by their mean. Where
            ``data.missing_channels`` drops channels, it gets the names of those that are there as a second argument.
        encode_text: Texts to (M, D) features (tensor or array).
        prepared: The set; its train split is what the control learns from.
        record: The model's record: preprocessing and prompts.
        config: ``evaluation``, ``data.class_label``, ``training.seed`` and ``domain`` are read.
        class_names: Value of the class label to the words for it; None takes them from card and domain (``class_names_of``).
        split: Which split to measure.
        batch_size: Images at a time.

    Returns:
        JSON-ready: ``zero_shot``, ``retrieval`` (each None where the split has no labels or captions), ``baselines``,
        ``difference``, ``protocol``, ``split``, ``images``, ``groups``, ``unreadable``. A figure is ``{value, low, high, n,
        groups, chance, ...}``.

    Raises:
        UsageError: The split is empty, or the classes have no names in the model's prompts' language.
    """
    rows, missing = _encode_rows(encode_image, prepared, record, split, batch_size, config.data.missing_channels)
    label, named = class_names_of(prepared, config)
    if class_names is not None:
        named = {value: tuple(words) for value, words in class_names.items()}
    torn = _torn_groups(prepared)
    report: dict[str, Any] = {
        "protocol": PROTOCOL.format(groups=_groups_said(torn)) + RETRIEVAL_PROTOCOL,
        "torn_groups": torn,
        "split": split,
        "images": len(rows.table),
        "groups": int(rows.table["group"].nunique()),
        "unreadable": rows.unreadable,
        "missing_channels": missing.document(),
        "zero_shot": None,
        "retrieval": None,
        "baselines": {},
        "difference": None,
    }
    if len(named) > 1:
        report |= _classification(rows, encode_text, prepared, record, config, label, named)
    captions = prepared.captions[prepared.captions["key"].isin(rows.table["key"])]
    if len(captions):
        report["retrieval"] = retrieval_figures(rows.table, rows.features, captions, _text_encoder(encode_text), config)
    return report


def _torn_groups(prepared: PreparedSet) -> int:
    """Counts the groups, with what shows the same joined, that the source's own split tears apart (``prepare`` never does)."""
    return int((prepared.index.groupby("group")["split"].nunique() > 1).sum())


def _groups_said(torn: int) -> str:
    if not torn:
        return "groups that training never saw"
    return f"the source's own split, which leaves {torn} groups in more than one part: the figures may be too good"


def class_names_of(prepared: PreparedSet, config: RunConfig) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Returns the class label's name, and its values in the set with the words for each.

    The label is the configuration's, else the card's, else the domain's. Words come from the card's ``classes``, else from the
    domain's facts; a value that neither names stands for itself with spaces for underscores.
    """
    from domainclip.domains.base import domains

    facts = domains.get(config.domain).facts
    label = config.data.class_label or prepared.card.get("class_label") or facts.class_label
    card_classes = (prepared.card.get("classes") or {}).get(label, {})
    values = sorted({str(labels[label]) for labels in prepared.index["labels"] if labels and labels.get(label)})
    named = {}
    for value in values:
        words = card_classes.get(value, {}).get("names", {}).get(_LANGUAGE)
        if words is None and value in facts.labels.get(label, {}):
            words = facts.labels[label][value].names.get(_LANGUAGE)
        named[value] = tuple(words or (value.replace("_", " "),))
    return label, named


def _classification(
    rows: _Rows,
    encode_text: Callable[[Sequence[str]], Any],
    prepared: PreparedSet,
    record: ModelRecord,
    config: RunConfig,
    label: str,
    named: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    position = {value: number for number, value in enumerate(named)}
    truth = _positions(rows.table, label, position)
    known = truth >= 0
    if not known.any():
        return {}
    templates = templates_for(record.prompts, _LANGUAGE)
    weights = class_features(_text_encoder(encode_text), named, templates, record.prompts.pooling)
    predicted = (rows.features @ weights.T).argmax(axis=1).astype(np.int64)
    labelled = rows.table[known].reset_index(drop=True)
    figures = _Figures(truth[known], labelled["group"].to_numpy(), _compositions(labelled), list(named), config)
    zero_shot = figures.of(predicted[known]) | {
        "label": label,
        "classes": len(named),
        "class_names": {value: list(words) for value, words in named.items()},
        "templates": list(templates),
        "without_label": int((~known).sum()),
    }
    result: dict[str, Any] = {"zero_shot": zero_shot, "baselines": {}, "difference": None}
    train = prepared.index[prepared.index["split"] == "train"].reset_index(drop=True)
    train_truth = _positions(train, label, position)
    train, train_truth = train[train_truth >= 0], train_truth[train_truth >= 0]
    if len(train):
        majority = np.full(int(known.sum()), np.bincount(train_truth).argmax(), dtype=np.int64)
        result["baselines"]["majority"] = figures.of(majority, short=True) | {"method": "the class that train shows most"}
    # The control knows no rule for missing channels: it looks at those that all images have.
    common = _common_channels(record.preprocessing.channels, (train, labelled))
    if config.evaluation.control and len(np.unique(train_truth)) > 1 and common:
        control = fit_control(prepared, train, train_truth, labelled, common)
        figure = figures.of(control.predicted, short=True)
        result["baselines"]["control"] = figure | {"method": METHOD, "trained_on": control.trained_on, "channels": list(common)}
        result["difference"] = figures.difference(predicted[known], control.predicted)
    return result


def _common_channels(channels: Sequence[str], tables: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    places = set(range(len(channels)))
    for own in {tuple(row) for table in tables for row in table["channels"]}:
        places &= set(present_channels(own, channels))
    return tuple(name for place, name in enumerate(channels) if place in places)


class _Figures:
    """Figures of predictions for the same images, so that systems compare."""

    def __init__(
        self,
        truth: Ints,
        groups: npt.NDArray[Any],
        compositions: Mapping[str, npt.NDArray[np.bool_]],
        names: list[str],
        config: RunConfig,
    ) -> None:
        self._truth, self._groups, self._compositions, self._names = truth, groups, compositions, names
        self._resampling: dict[str, int] = {"resamples": config.evaluation.bootstrap, "seed": config.training.seed}

    def _sums(self, predicted: Ints, part: npt.NDArray[np.bool_] | None = None) -> GroupSums:
        chosen = np.ones(len(self._truth), dtype=bool) if part is None else part
        return class_sums(self._truth[chosen], predicted[chosen], self._groups[chosen], len(self._names))

    def of(self, predicted: Ints, short: bool = False) -> dict[str, Any]:
        """Returns the figures of predictions; ``short`` leaves out those per class."""
        chance = 1.0 / len(self._names)
        result: dict[str, Any] = {"balanced_accuracy": interval(self._sums(predicted), **self._resampling).to_dict(chance=chance)}
        for name, part in self._compositions.items():
            figure = interval(self._sums(predicted, part), **self._resampling).to_dict(chance=chance)
            # Those rows may show fewer classes than there are to choose from; chance stays that of choosing among all.
            result[f"{name}_compositions"] = {"balanced_accuracy": figure, "classes_present": len(np.unique(self._truth[part]))}
        if short:
            return result
        right = mean_sums(self._truth == predicted, self._groups)
        counts = np.bincount(self._truth, minlength=len(self._names))
        recalls = per_class_recall(self._truth, predicted, len(self._names))
        result["accuracy"] = interval(right, **self._resampling).to_dict(chance=chance)
        result["per_class_recall"] = {
            name: {"value": recall, "n": int(count)} for name, recall, count in zip(self._names, recalls, counts, strict=True)
        }
        result["confusion"] = {
            "rows": "truth",
            "columns": "prediction",
            "counts": confusion(self._truth, predicted, len(self._names)).tolist(),
        }
        return result

    def difference(self, ours: Ints, theirs: Ints) -> dict[str, Any]:
        """Returns ours minus theirs, paired over groups."""
        parts = {"": None} | {f"{name}_compositions_": part for name, part in self._compositions.items()}
        return {
            f"{name}balanced_accuracy": paired_difference(
                self._sums(ours, part), self._sums(theirs, part), **self._resampling
            ).to_dict(of="zero-shot minus control")
            for name, part in parts.items()
        }


def _encode_rows(
    encode_image: Callable[..., Any],
    prepared: PreparedSet,
    record: ModelRecord,
    split: str,
    batch_size: int,
    rule: MissingChannels,
) -> tuple[_Rows, MissingTally]:
    from domainclip.heads.model_input import MissingTally, input_groups, pooled_inputs

    def encode(planes: torch.Tensor, channels: tuple[str, ...] | None) -> Features:
        return _as_rows(encode_image(planes) if channels is None else encode_image(planes, channels))

    table = prepared.subset(split)
    kept: list[int] = []
    parts: list[Features] = []
    missing = MissingTally(rule)
    for group in input_groups(_transformed(table, prepared, record, kept, rule), batch_size):
        for one in group:
            missing.add(one)
        parts.append(pooled_inputs(encode, group, batch_size)[0])
    return _Rows(table.iloc[kept].reset_index(drop=True), _unit(np.concatenate(parts)), len(table) - len(kept)), missing


def _transformed(
    table: pd.DataFrame, prepared: PreparedSet, record: ModelRecord, kept: list[int], rule: MissingChannels
) -> Iterator[ModelInput]:
    from domainclip.data.missing_channels import fit_channels
    from domainclip.data.records import values_from_json
    from domainclip.data.transforms import transform_planes
    from domainclip.heads.model_input import ModelInput

    for number in range(len(table)):
        row = table.iloc[number]
        try:
            pixels = prepared.read(row)
        except UnreadableFileError:
            continue  # Counted: the report says how many rows of the split were unreadable.
        kept.append(number)
        names = tuple(row["channels"])
        fit = fit_channels(names, record.preprocessing, rule)
        tensor = transform_planes(pixels, row["axes"], values_from_json(row["values"]), names, record.preprocessing, rule)
        yield ModelInput(tensor, fit.channels, fit.missing)


def _text_encoder(encode_text: Callable[[Sequence[str]], Any]) -> Callable[[Sequence[str]], Features]:
    return lambda texts: _unit(np.concatenate([_as_rows(encode_text(texts[i : i + 256])) for i in range(0, len(texts), 256)]))


def _as_rows(features: Any) -> Features:
    rows = features.detach().float().cpu().numpy() if hasattr(features, "detach") else features
    return np.asarray(rows, dtype=np.float32)


def _unit(rows: Features) -> Features:
    unit: Features = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)
    return unit


def _positions(table: pd.DataFrame, label: str, position: Mapping[str, int]) -> Ints:
    return np.array([position.get(str((labels or {}).get(label)), -1) for labels in table["labels"]], dtype=np.int64)


def _compositions(table: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Returns which rows show compositions seen and unseen in training, where the set says so."""
    said = np.array([str((labels or {}).get(COMPOSITION, "")) for labels in table["labels"]])
    return {name: said == name for name in ("seen", "unseen") if (said == name).any()}
