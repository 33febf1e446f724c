"""``pretrain``: from a source to a trained, measured, loadable model in a run folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from domainclip import __version__
from domainclip.benchmarks.held_out import class_names_of
from domainclip.config import RunConfig
from domainclip.data.licence_terms import forbidden_uses
from domainclip.data.loader import BatchLoader
from domainclip.domains.base import Domain, domains
from domainclip.errors import DiskFullError, RunInterruptedError
from domainclip.heads.model_input import missing_lines, mostly_missing, tally_of_fits
from domainclip.model_record import ModelRecord, Preprocessing, Prompts
from domainclip.models.checkpoint import SavableTokenizer, save_model
from domainclip.models.model_card import write_model_card
from domainclip.models.tokenizer import load_tokenizer, train_tokenizer
from domainclip.models.towers import ClipModel, build_model, parameter_groups, resolved_model_cfg
from domainclip.training.band_wavelengths import wavelengths_of_set
from domainclip.training.batch_norm import apply_batch_norm
from domainclip.training.distributed import Processes, processes
from domainclip.training.engine import Engine, make_engine
from domainclip.training.input_statistics import fit_preprocessing
from domainclip.training.loop import train, use_weights
from domainclip.training.measure import Measure
from domainclip.training.metrics import LoopResult, StepReport
from domainclip.training.run_data import Progress, RunData, augmentation_steps, check_parts, opened_run_data, run_data
from domainclip.training.run_folder import claim_run_folder, guarded_run

Say = Callable[[str], None]


def pretrain(
    config: RunConfig, *, resume: bool = False, overwrite: bool = False, progress: Progress | None = None, say: Say | None = None
) -> dict[str, Any]:
    """Trains a model and measures it on held-out groups. Under torchrun every process calls it.

    Args:
        config: The resolved configuration (``resolve_config`` joins defaults, file and options).
        resume: Go on with the run in ``config.output``.
        overwrite: Replace what lies in ``config.output``.
        progress: Called with (done, total, text).
        say: Takes sentences for the user.

    Returns:
        The summary, as written to ``summary.json``, with ``rank`` of this process beside it.

    Raises:
        UsageError: The source, the configuration or the output folder cannot be used.
        RunInterruptedError: Stopped from outside; the state is saved.
    """
    domain = domains.get(config.domain)
    with processes(config.training) as here:
        run = claim_run_folder(config, here, resume, overwrite)
        quiet_say: Say = say if say is not None and here.main else (lambda text: None)
        quiet_progress = progress if here.main else None
        with guarded_run(run, active=here.main, resume=resume), _own_words(f"--domain {config.domain} --output {run} --resume"):
            if here.main:
                data = run_data(config, domain, run, resume=resume, progress=quiet_progress)
            here.wait_for_main()
            if not here.main:
                data = opened_run_data(run)
            check_parts(config, data.prepared)
            return _Run(config, domain, run, data, here, quiet_say, quiet_progress).carry_out(resume)


@contextlib.contextmanager
def _own_words(options: str) -> Iterator[None]:
    """Names the command by which a stopped run goes on."""
    try:
        yield
    except RunInterruptedError as error:
        raise RunInterruptedError(error.asked, error.found, f"Go on from there: domainclip pretrain {options}") from error
    except DiskFullError as error:
        raise DiskFullError(error.asked, error.found, f"Free space, then go on: domainclip pretrain {options}") from error


class _Run:
    """One call of ``pretrain`` after the data is there."""

    def __init__(
        self, config: RunConfig, domain: Domain, run: Path, data: RunData, here: Processes, say: Say, progress: Progress | None
    ) -> None:
        self.config, self.domain, self.run, self.data, self.here = config, domain, run, data, here
        self.say, self.progress = say, progress
        self.prepared = data.prepared
        self.missing: dict[str, Any] = {}

    def carry_out(self, resume: bool) -> dict[str, Any]:
        """Builds the parts, trains, measures, writes."""
        config = self.config
        tokenizer = self._tokenizer()
        model, preprocessing = self._model(tokenizer)
        kind = apply_batch_norm(model, config.model.batch_norm, self.here.world_size, self.here.backend)
        if kind:
            self.say(kind)
        if config.optimizer.warmup_steps >= config.training.max_steps:
            steps, warm = config.training.max_steps, config.optimizer.warmup_steps
            self.say(f"The learning rate warms up over {warm} steps and the run has {steps}: it never reaches optimizer.lr.")
        record = self._record(model, preprocessing, tokenizer)
        groups = parameter_groups(model, config.optimizer.weight_decay)
        engine = make_engine(config.training, config.optimizer, model, groups, self.here)
        try:
            measure = Measure(engine, self.prepared, record, tokenizer, config, self.class_names)
            result = self._train(engine, model, tokenizer, preprocessing, measure, resume)
            weights = engine.weights()
            if self.here.main:  # before measuring: whatever goes wrong there, the model is safe
                record = self._write_model(weights, record, tokenizer)
            held_out = measure.held_out()
            summary = self._summary(engine, result, held_out)
        finally:
            engine.close()
        if self.here.main:
            write_model_card(self.run / "model", record, held_out)
            written = {name: value for name, value in summary.items() if name != "example_file"}  # a path: for the terminal only
            (self.run / "summary.json").write_text(json.dumps(written, indent=1, default=str, ensure_ascii=False), encoding="utf-8")
        self.here.barrier()
        return summary | {"rank": self.here.rank}

    @cached_property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """The zero-shot classes: value of the class label to its names."""
        return class_names_of(self.prepared, self.config)[1]

    @cached_property
    def prompt_templates(self) -> dict[str, tuple[str, ...]]:
        """Language to zero-shot templates: the card's own before the domain's."""
        own = self.prepared.card.get("prompt_templates") or {}
        return {language: tuple(templates) for language, templates in (own or self.domain.facts.prompt_templates).items()}

    def _tokenizer(self) -> SavableTokenizer:
        model = self.config.model
        length = int(resolved_model_cfg(model)["text_cfg"].get("context_length", 77))
        if model.tokenizer != "corpus-bpe":
            return load_tokenizer(model.tokenizer, length)
        keys = set(self.prepared.subset("train")["key"])
        captions = self.prepared.captions
        texts = sorted(set(captions[captions["key"].isin(keys)]["text"]))
        names = [name for synonyms in self.class_names.values() for name in synonyms]
        prompts = [template.replace("{}", name) for template in self.prompt_templates.get("en", ()) for name in names]
        return train_tokenizer([*texts, *prompts], model.vocabulary_size, length)

    def _model(self, tokenizer: SavableTokenizer) -> tuple[ClipModel, Preprocessing]:
        config = self.config
        size = int(resolved_model_cfg(config.model)["vision_cfg"].get("image_size", 224))
        preprocessing = fit_preprocessing(
            self.prepared,
            self.domain,
            channels=config.model.channels,
            image_size=size,
            one_channel=config.model.one_channel,
            seed=config.training.seed,
            missing=config.data.missing_channels,
            statistics=config.data.statistics,
        ).model_copy(update={"views": config.model.views})
        return self._built(preprocessing, tokenizer), preprocessing

    def _built(self, preprocessing: Preprocessing, tokenizer: SavableTokenizer) -> ClipModel:
        model, seed = self.config.model, self.config.training.seed
        waves: dict[str, float] = {}
        if model.channel_embedding == "wavelength":
            # What the configuration says need not be known otherwise, nor agreed on by all sensors.
            asked = [name for name in preprocessing.channels if name not in (model.wavelengths_um or {})]
            waves = wavelengths_of_set(self.prepared.subset("train"), self.domain, asked)
        size = tokenizer.vocabulary_size
        return build_model(model, preprocessing.channels, vocabulary_size=size, seed=seed, wavelengths_um=waves)

    def _record(self, model: ClipModel, preprocessing: Preprocessing, tokenizer: SavableTokenizer) -> ModelRecord:
        card = self.prepared.card
        languages = sorted(set(self.prepared.captions["language"]) - {"und"})
        if languages and not set(languages) & set(self.prompt_templates):
            prompts = ", ".join(self.prompt_templates)
            self.say(
                f"The captions are in {', '.join(languages)}, the zero-shot prompts in {prompts}: zero-shot figures will suffer."
            )
        return ModelRecord(
            domain=self.config.domain,
            architecture=self.config.model.architecture,
            model_cfg=model.model_cfg,
            preprocessing=preprocessing,
            context_length=model.context_length,
            tokenizer="clip" if self.config.model.tokenizer == "clip" else "folder",
            prompts=Prompts(templates=self.prompt_templates),
            classes=tuple(names[0] for names in self.class_names.values()),
            languages=tuple(languages),
            synthetic=self.data.synthetic,
            inflated_from=model.inflated_from,
            channel_embedding=model.channel_embedding,
            provenance={
                "domainclip": __version__,
                "data": card.get("name", "unknown"),
                "data_licence": card.get("licence", "unknown"),
                **({"data_forbids": list(uses)} if (uses := forbidden_uses(card)) else {}),
                **({"shots": card["shots"]} if "shots" in card else {}),
                "seed": self.config.training.seed,
                "reading": card.get("reading", {}),
            },
        )

    def _train(
        self,
        engine: Engine,
        model: ClipModel,
        tokenizer: SavableTokenizer,
        preprocessing: Preprocessing,
        measure: Measure,
        resume: bool,
    ) -> LoopResult:
        config = self.config
        augmentation = augmentation_steps(config.training.augmentation, self.domain.facts, self.prepared)
        loader = BatchLoader(
            self.prepared,
            "train",
            preprocessing,
            tokenizer,
            batch_size=config.training.batch_size,
            seed=config.training.seed,
            augmentation=augmentation,
            rank=self.here.rank,
            world_size=self.here.world_size,
            workers=config.data.workers,
            cache_gib=config.data.cache_gib if config.data.cache else 0.0,
            planes=config.data.planes,
            shorten=model.shorten,
            missing_channels=config.data.missing_channels,
        )
        self.missing = tally_of_fits(loader.fits, config.data.missing_channels).document()
        for line in missing_lines(self.missing, len(loader.fits)):
            self.say(f"Training: {line}.")
        most = [fit for fit in loader.fits if fit.mostly_missing]
        if most:
            self.say(
                f"Warning: {len(most)} of these lack more than half of the model's channels. The first: {mostly_missing(most[0])}."
            )
        evaluate = measure.on_validation if config.training.evaluate_every_steps and measure.has_validation else None
        result = train(engine, loader, config, self.run, resume=resume, evaluate=evaluate, on_report=self._report, log=self.say)
        if result.averaged:
            self.say(f"The mean of {result.averaged} weights of the last {config.training.average_last:.0%} of training is kept.")
        elif result.best_checkpoint is not None and result.best_checkpoint != result.checkpoint:
            use_weights(engine, result.best_checkpoint)
            self.say(f"The weights of step {int(result.best_checkpoint.name.rpartition('-')[2])} were best on val and are kept.")
        engine.average_buffers()
        engine.train(False)
        return result

    def _report(self, report: StepReport) -> None:
        if self.progress is not None:
            done = round(report.progress * 100)
            self.progress(
                done, 100, f"training, step {report.step}, loss {report.loss:.3f}, {report.images_per_second:.0f} images/s"
            )

    def _summary(self, engine: Engine, result: LoopResult, held_out: dict[str, Any]) -> dict[str, Any]:
        starter = self.data.starter_set
        paths = self.prepared.paths()
        examples = sorted(paths[key] for key in self.prepared.subset("held_out")["key"] if key in paths)
        return {
            "run": str(self.run),
            "domain": self.config.domain,
            "engine": engine.name,
            "zero_stage": engine.zero_stage,
            "device": self.here.device.type,
            "processes": self.here.world_size,
            "steps": result.steps,
            "samples_seen": result.samples_seen,
            "seconds": result.seconds,
            "images_per_second": result.images_per_second,
            "data_share": result.data_share,
            "averaged_weights": result.averaged,
            "best_step": _kept_step(result),
            "synthetic": self.data.synthetic,
            "starter_set": str(starter) if starter else None,
            "data": {
                "prepared": str(self.prepared.folder),
                "counts": self.prepared.card["counts"],
                "missing_channels": self.missing,
            },
            "class_names": [names[0] for names in self.class_names.values()],
            "example_file": examples[0] if examples else None,
            "held_out": held_out,
        }

    def _write_model(self, weights: dict[str, Any], record: ModelRecord, tokenizer: SavableTokenizer) -> ModelRecord:
        """Writes the model folder; a fresh model takes the weights, free of the engine's hooks."""
        fresh = self._built(record.preprocessing, tokenizer)
        fresh.load_state_dict(weights)
        folder = self.run / "model"
        if folder.exists():
            shutil.rmtree(folder)
        return save_model(folder, fresh.eval(), record, tokenizer)


def _kept_step(result: LoopResult) -> int | None:
    """Returns the step whose weights are the result, where they were chosen on val."""
    if result.best_checkpoint is None or result.averaged:
        return None
    return int(result.best_checkpoint.name.rpartition("-")[2])
