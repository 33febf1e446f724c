"""The mean of the weights over the end of training, with batch-norm statistics of its own.

Stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407): with a learning rate that stays up, the mean of the weights on
the way lies in a flatter place than the last of them, and does better on images that differ from those trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import torch

from domainclip.batch import Batch
from domainclip.training.engine import Engine, EngineState

_REFRESH_BATCHES = 25


class WeightAverage:
    """A running mean.

    Attributes:
        mean: Name to float32 values on the CPU (whole numbers: the last ones).
        count: How many weights it is the mean of.
    """

    def __init__(self, mean: Mapping[str, torch.Tensor] | None = None, count: int = 0) -> None:
        self.mean, self.count = dict(mean or {}), count

    def add(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Adds ``Engine.weights()`` of a step."""
        self.count += 1
        for name, value in weights.items():
            if name in self.mean and value.is_floating_point():
                self.mean[name] += (value - self.mean[name]) / self.count
            else:
                self.mean[name] = value.clone()


def use_average(engine: Engine, average: WeightAverage, batches: Iterator[Batch]) -> None:
    """Puts the mean into an engine and measures its batch-norm statistics on training batches; every process calls it.

    Args:
        engine: Holds the model; its optimizer is left alone.
        average: The mean of its weights, the same in every process.
        batches: Of training, as the loop gets them; up to 25 are used, none without batch norm.
    """
    names = {name for name, _ in engine.module.named_parameters()}
    parameters = {name: value for name, value in average.mean.items() if name in names}
    buffers = {name: value for name, value in average.mean.items() if name not in names}
    engine.restore(EngineState(parameters=parameters, buffers=buffers))
    engine.train(True)
    layers = [m for m in engine.module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and m.training]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    engine.train(False)  # ZeRO-3 fetches ahead along the steps of training, which a forward without a backward would break
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over what follows
    with torch.no_grad():
        for batch in islice(batches, _REFRESH_BATCHES):
            batch = batch.to(engine.processes.device)
            # Both towers: half a forward would leave ZeRO-3 with parameters on the way.
            engine.forward(batch.images, batch.tokens, channels=batch.channels)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    engine.average_buffers()
