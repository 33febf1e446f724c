"""The table of losses, and the weighted sum of terms that a run trains."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from domainclip.batch import Batch, TowerOutput
from domainclip.config import LossTerm
from domainclip.errors import UsageError, unknown_name
from domainclip.registry import Registry

if TYPE_CHECKING:
    import torch

    from domainclip.losses.gather import Gather


class Loss(Protocol):
    """What a loss provides.

    Attributes:
        needs: Fields of ``Batch`` and ``TowerOutput`` that must not be None.
    """

    needs: frozenset[str]

    def __call__(self, output: TowerOutput, batch: Batch, gather: Gather) -> torch.Tensor:
        """Returns the mean over this process's rows, a float32 scalar."""
        ...


losses: Registry[type[Loss]] = Registry(
    "loss",
    {
        "clip": "domainclip.losses.clip:ClipLoss",
        "multi-positive": "domainclip.losses.multi_positive:MultiPositiveLoss",
    },
)

_BATCH_FIELDS = frozenset(field.name for field in fields(Batch))
_OUTPUT_FIELDS = frozenset(field.name for field in fields(TowerOutput))


@dataclass(frozen=True)
class TotalLoss:
    """The weighted sum of a run's loss terms.

    Attributes:
        terms: Name, weight and loss of each term.
    """

    terms: tuple[tuple[str, float, Loss], ...]

    def __call__(self, output: TowerOutput, batch: Batch, gather: Gather) -> torch.Tensor:
        """Returns the weighted sum, a float32 scalar; its mean over processes is the loss of the global batch."""
        values = [weight * loss(output, batch, gather) for _, weight, loss in self.terms]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


def make_loss(terms: Sequence[LossTerm]) -> TotalLoss:
    """Builds the losses of a configuration.

    Args:
        terms: The ``loss`` section.

    Raises:
        UsageError: A loss or one of its options does not exist, or there is no term at all.
    """
    if not terms:
        raise UsageError(
            "A run without a loss was asked for.", "The section 'loss' is empty.", "Name one: " + ", ".join(losses) + "."
        )
    built = []
    for term in terms:
        kind = losses.get(term.name)
        known = _options(kind)
        for option in term.options:
            if option not in known:
                raise unknown_name(f"option of the loss {term.name!r}", option, known)
        built.append((term.name, term.weight, kind(**term.options)))
    return TotalLoss(tuple(built))


def check_needs(total: TotalLoss, output: TowerOutput, batch: Batch) -> None:
    """Checks on the first batch, before any parameter moves, that every term finds what it needs.

    Raises:
        UsageError: A field that a loss needs is empty, or is no field of ``Batch`` and ``TowerOutput``.
    """
    for name, _, loss in total.terms:
        for field in sorted(loss.needs):
            asked = f"The loss {name!r} was asked for; it needs {field!r}."
            if field in _BATCH_FIELDS:
                value, origin = getattr(batch, field), "The loader's batches do not hold it."
            elif field in _OUTPUT_FIELDS:
                value, origin = getattr(output, field), "The model's output does not hold it."
            else:
                raise unknown_name(f"field of the loss {name!r}", field, _BATCH_FIELDS | _OUTPUT_FIELDS)
            if value is None:
                raise UsageError(asked, origin, "Choose another loss, or a loader or model that provides it.")


def _options(kind: type[Loss]) -> list[str]:
    """Lists the constructor's parameters of a loss."""
    if kind.__init__ is object.__init__:
        return []
    parameters: dict[str, Any] = dict(inspect.signature(kind).parameters)
    return [
        name for name, parameter in parameters.items() if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
