"""The only training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, Protocol

from domainclip.batch import Batch
from domainclip.config import RunConfig
from domainclip.errors import RunInterruptedError, UsageError
from domainclip.losses import check_needs, make_loss
from domainclip.losses.gather import Gather
from domainclip.training.averaging import WeightAverage, use_average
from domainclip.training.contention import Contention
from domainclip.training.engine import Engine
from domainclip.training.metrics import LoopResult, Losses, StepReport, Stopwatch, append_line, cut_lines
from domainclip.training.random_state import seed_all
from domainclip.training.schedule import learning_rate, progress_of
from domainclip.training.signals import StopSignals
from domainclip.training.state import (
    TrainingState,
    checkpoint_folder,
    find_checkpoint,
    load_checkpoint,
    read_average,
    read_tensors,
    save_checkpoint,
)


class BatchSource(Protocol):
    """What the loop wants of a loader."""

    def iterate(self, start_step: int) -> Iterator[Batch]:
        """Yields this process's part of the global batches from a step on, without end."""
        ...


def train(
    engine: Engine,
    loader: BatchSource,
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    evaluate: Callable[[int], float] | None = None,
    keep: int = 2,
    on_report: Callable[[StepReport], None] | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> LoopResult:
    """Trains until ``max_steps`` or ``max_seconds``, whichever comes first. Every process calls it.

    Writes ``metrics.jsonl`` (a ``StepReport`` each ``log_every_steps``) and ``checkpoints/`` into the folder (rank 0).

    Args:
        engine: Holds the model.
        loader: Gives this process's batches; batch n must depend on n alone.
        config: The sections ``loss``, ``optimizer`` and ``training`` are read.
        folder: The run's folder.
        resume: Go on from the newest complete checkpoint, if there is one.
        evaluate: Called with the step in every process each ``evaluate_every_steps`` and at the end, the engine in evaluation
            mode; rank 0's value counts, the highest is the best.
        keep: Newest checkpoints to keep besides the best.
        on_report: Called in rank 0 at each logging point.
        log: Takes sentences for the user, called in rank 0.

    Raises:
        RunInterruptedError: SIGINT or SIGTERM came; the state is saved.
        UsageError: Gradients are not finite, the disk is full, a loss lacks what it needs, or the checkpoint does not fit.
    """
    loop = _Loop(engine, config, folder, keep)
    loop.on_report, loop.evaluate = on_report, evaluate
    if engine.processes.main:
        loop.log = log
    with StopSignals() as signals:
        loop.start(resume)
        return loop.run(loader, signals)


def use_weights(engine: Engine, checkpoint: Path) -> None:
    """Puts the weights of a checkpoint into the engine, its optimizer untouched; every process calls it."""
    engine.restore(read_tensors(checkpoint, ("parameters", "buffers")))


class _Loop:
    """One call of ``train``; see there."""

    def __init__(self, engine: Engine, config: RunConfig, folder: Path, keep: int) -> None:
        self.engine, self.config, self.folder, self.keep = engine, config, folder, keep
        self.on_report: Callable[[StepReport], None] | None = None
        self.evaluate: Callable[[int], float] | None = None
        self.log: Callable[[str], None] = lambda text: None
        self.processes, self.training = engine.processes, config.training
        self.loss = make_loss(config.loss)
        self.gather = Gather(self.processes.world_size, self.processes.rank)
        self.state = TrainingState(
            step=0, seed=self.training.seed, world_size=self.processes.world_size, batch_size=self.training.batch_size
        )
        self.start_step, self.saved_step = 0, -1
        self.losses, self.total, self.recent = Losses(), Stopwatch(), Stopwatch()
        self.contention, self.average = Contention(), WeightAverage()

    def start(self, resume: bool) -> None:
        """Finds and loads the checkpoint to go on from, cuts the metrics back to it."""
        root = self.folder / "checkpoints"
        step = -1
        if self.processes.main:
            root.mkdir(parents=True, exist_ok=True)
            if resume:
                found, notes = find_checkpoint(root)
                for note in notes:
                    self.log(note)
                step = -1 if found is None else int(found.name.rpartition("-")[2])
        step = int(self.processes.agree([step])[0])
        if step >= 0:
            self._go_on(checkpoint_folder(root, step))
        else:
            seed_all(self.training.seed, self.processes.rank)
            if resume:
                self.log("There is no complete checkpoint: the run starts at step 0.")
        if self.processes.main:
            cut_lines(self.folder / "metrics.jsonl", self.state.step)

    def _go_on(self, checkpoint: Path) -> None:
        """Loads a checkpoint."""
        before, notes = load_checkpoint(checkpoint, self.engine)
        self.average = read_average(checkpoint)
        wanted, found = (state.world_size * state.batch_size for state in (self.state, before))
        if wanted != found or before.seed != self.training.seed:
            raise UsageError(
                f"The run was to go on with a global batch of {wanted} and the seed {self.training.seed}.",
                f"It was started with {found} and {before.seed}, on which the order of the samples depends.",
                "Set training.seed, and training.batch_size such that batch_size times processes is what it was.",
            )
        for note in notes:
            self.log(note)
        own = {"world_size": self.state.world_size, "batch_size": self.state.batch_size}
        self.state = before.model_copy(update=own)
        self.start_step = self.saved_step = before.step

    def run(self, loader: BatchSource, signals: StopSignals) -> LoopResult:
        """Steps until a limit or a signal."""
        every = self.training
        batches = loader.iterate(self.state.step)
        self.engine.train(True)
        stop = self._agree(signals)
        while self.state.progress < 1.0 and not stop:
            self._step(batches)
            stop = self._agree(signals)
            step, over = self.state.step, self.state.progress >= 1.0
            if every.average_last:
                self._add_to_average(over)
            if step % every.log_every_steps == 0 or over or stop:
                self._report()
            if every.evaluate_every_steps and (step % every.evaluate_every_steps == 0 or over) and not stop:
                self._evaluate()
            if step % every.save_every_steps == 0:
                self._save()
        self._save()
        if stop:
            raise RunInterruptedError(
                "The run was stopped from outside.",
                f"Step {self.state.step} of {every.max_steps} is finished and saved in {self.folder / 'checkpoints'}.",
                "Repeat the command with --resume to go on from there.",
            )
        return self._result(kept=self._averaged(batches))

    def _add_to_average(self, over: bool) -> None:
        """Adds the weights where the end of training has begun; it counts as training time."""
        if self.state.progress <= 1.0 - self.training.average_last:
            self.average = WeightAverage()  # a resumed run may have been given more time, so that the end begins later
        elif self.state.step % self.training.average_every_steps == 0 or over:
            begun = time.perf_counter()
            self.average.add(self.engine.weights())
            self.state = self.state.model_copy(update={"seconds": self.state.seconds + time.perf_counter() - begun})

    def _averaged(self, batches: Iterator[Batch]) -> int:
        """Puts the mean of the weights into the engine where it does at least as well on val as the best checkpoint.

        Returns:
            How many weights it is the mean of; 0 where it was not taken.
        """
        if not self.average.count:
            return 0
        begun = time.perf_counter()
        use_average(self.engine, self.average, batches)
        self.state = self.state.model_copy(update={"seconds": self.state.seconds + time.perf_counter() - begun})
        if self.evaluate is None or self.state.best_value is None:
            return self.average.count
        self.engine.train(False)
        value = self.processes.agree([self.evaluate(self.state.step)])[0]
        if value >= self.state.best_value:
            self.state = self.state.model_copy(update={"best_value": value})
            return self.average.count
        use_weights(self.engine, checkpoint_folder(self.folder / "checkpoints", self.state.step))
        return 0

    def _agree(self, signals: StopSignals) -> bool:
        """Lets rank 0's clock and everybody's signals decide, so that all processes leave at the same step."""
        seconds = self.processes.agree([self.state.seconds])[0]
        progress = progress_of(self.training, self.state.step, seconds)
        self.state = self.state.model_copy(update={"seconds": seconds, "progress": progress})
        return self.processes.any(signals.received is not None)

    def _step(self, batches: Iterator[Batch]) -> None:
        """Makes one update."""
        begun = time.perf_counter()
        batch = next(batches)
        data_seconds = time.perf_counter() - begun
        batch = batch.to(self.processes.device)
        output = self.engine.forward(batch.images, batch.tokens, "both", batch.channels)
        if self.state.step == self.start_step:
            check_needs(self.loss, output, batch)
        loss = self.loss(output, batch, self.gather)
        self.engine.backward(loss)
        self.lr = learning_rate(self.config.optimizer, self.state.step, self.state.progress)
        finite = self.engine.step(self.lr)
        self.losses.add(loss)
        if not finite:
            self._stop_not_finite()
        self.logit_scale = output.logit_scale.detach()
        images = len(batch.images) * self.processes.world_size
        seconds = time.perf_counter() - begun
        self.total.add(seconds, data_seconds, images)
        self.recent.add(seconds, data_seconds, images)
        self.state = self.state.model_copy(
            update={
                "step": self.state.step + 1,
                "samples_seen": self.state.samples_seen + images,
                "seconds": self.state.seconds + seconds,
            }
        )

    def _stop_not_finite(self) -> NoReturn:
        """Ends the run; the last checkpoint is from before."""
        loss = self.losses.settle(self.processes)[-1]
        last = f"the checkpoint of step {self.saved_step} is good" if self.saved_step >= 0 else "nothing was saved yet"
        raise UsageError(
            f"Step {self.state.step + 1} was to be made with a learning rate of {self.lr:.3g}.",
            f"Its gradients are not finite (loss {loss:.4g}); the update was left out, and {last}.",
            "Look for images without finite values; or lower optimizer.lr, or set optimizer.clip_norm, and use --resume.",
        )

    def _report(self) -> None:
        """Writes a line of metrics."""
        fresh = self.losses.settle(self.processes)
        if self.processes.main and fresh:
            report = StepReport(
                step=self.state.step,
                loss=sum(fresh) / len(fresh),
                lr=self.lr,
                logit_scale=float(self.logit_scale),
                seconds=self.state.seconds,
                images_per_second=self.recent.images_per_second,
                data_share=self.recent.data_share,
                progress=self.state.progress,
            )
            append_line(self.folder / "metrics.jsonl", report)
            if self.on_report is not None:
                self.on_report(report)
        if self.processes.device.type == "cpu" and (words := self.contention.notice()):
            self.log(words)
        self.recent = Stopwatch()

    def _evaluate(self) -> None:
        """Measures the model; a new best is saved at once."""
        if self.evaluate is None:
            return
        self.engine.average_buffers()
        self.engine.train(False)
        value = self.processes.agree([self.evaluate(self.state.step)])[0]
        self.engine.train(True)
        best = self.state.best_value
        if best is None or value > best:
            self.state = self.state.model_copy(update={"best_step": self.state.step, "best_value": value})
            self._save()

    def _save(self) -> None:
        """Writes a checkpoint unless this step has one."""
        if self.saved_step == self.state.step:
            return
        self.engine.average_buffers()
        self.state = self.state.model_copy(update={"averaged": self.average.count})
        save_checkpoint(self.folder / "checkpoints", self.engine, self.state, keep=self.keep, average=self.average)
        self.saved_step = self.state.step

    def _result(self, kept: int) -> LoopResult:
        """Sums up; ``kept`` weights went into the mean that the engine holds."""
        state, root = self.state, self.folder / "checkpoints"
        self.losses.settle(self.processes)
        return LoopResult(
            steps=state.step,
            samples_seen=state.samples_seen,
            seconds=state.seconds,
            images_per_second=state.samples_seen / state.seconds if state.seconds else 0.0,
            start_step=self.start_step,
            losses=self.losses.known,
            data_share=self.total.data_share,
            checkpoint=checkpoint_folder(root, state.step),
            best_checkpoint=None if state.best_step is None else checkpoint_folder(root, state.best_step),
            best_value=state.best_value,
            averaged=kept,
        )
