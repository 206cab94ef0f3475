"""``DetectionStage``: one stage of the YAML's ``stages``, run for each fold by musket_core's ``FoldWork``."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from musket_core.datasets import SubDataSet

from ..config.step_chain import CACHES, described, steps_of
from ..errors import WeightsError
from ..launch.job_environment import leads
from ..launch.multi_bar import terminal
from ..models.checkpoints import last_checkpoint, read_checkpoint
from ..models.finished_config import FinishedConfig
from ..models.schedule import iterations_of, schedule
from ..models.trained_weights import check_classes
from ..models.transfer import HeadPolicy
from ..storage.digests import digest_of_file
from ..storage.experiment_files import StageFiles
from ..storage.metrics_csv import read_rows
from ..text import printable
from ..training.detection_dataset import MusketDetectionDataset
from ..training.job import TrainingJob
from ..training.samplers import set_sampler
from ..training.stage_settings import Resumption, Settings, resumption, settings_of
from ..training.train_detector import train_detector
from ..visualization.plots import draw_learning_curves
from .stage_items import ItemRequest, StageItems, stage_items, weights_mark

LARGEST_SEED = 2**32 - 2**16
"""Each process of a group adds its number, and NumPy takes seeds below 2**32."""


class DetectionStage:
    """A stage: how many epochs, and at what learning rate.

    It has the surface of ``musket_core.generic_config.Stage`` that ``FoldWork`` uses.
    """

    def __init__(self, properties: dict[str, Any], cfg: Any) -> None:
        self.dict = properties
        self.cfg = cfg
        self.epochs: int = properties["epochs"]
        self.lr: float | None = properties.get("lr")
        self.negatives = properties.get("negatives")
        self.validation_negatives = properties.get("validation_negatives")
        self.loss = None
        self.initial_weights = None

    def properties(self) -> dict[str, Any]:
        """Return what the YAML would say of the stage."""
        return {
            "epochs": self.epochs,
            "lr": self.lr,
            "negatives": self.negatives,
            "validation_negatives": self.validation_negatives,
        }

    def execute(self, kf: Any, model: FinishedConfig, ec: Any, callbacks: Any = None) -> None:
        """Train the stage for fold ``ec.fold``; does nothing when a resumed experiment has finished it.

        Args:
            kf: The folds, as ``PipelineConfig.kfold`` gives them.
            model: What ``PipelineConfig.createNet`` gave.
            ec: musket_core's ``ExecutionConfig``: fold, stage and subsample.
            callbacks: Not used: MMEngine's hooks take their place.
        """
        cfg, files, executor = self.cfg, self.cfg.files.stage(ec.fold, ec.stage), self.cfg.executor()
        if cfg.canceled_by_timer:
            return
        train = kf.indexes(ec.fold, True)
        if ec.subsample < 1:
            count = max(1, round(len(train) * ec.subsample))
            train = random.Random(cfg.random_state).sample(list(train), count)
        settings = self._settings(model, kf, train, ec)
        resumed = self._resumption(files, settings, ec) if cfg.resume else None
        if resumed is not None and resumed.finished:
            return
        if executor.agree(cfg.deadline):
            cfg.canceled_by_timer = True
            return
        later = [stage.items(model, kf, train, ec.fold) for stage in cfg.stages[ec.stage :]]  # all, or none is trained
        items = later[0]
        iterations = iterations_of(model.config, items.per_epoch(), cfg.gpus)
        finished = schedule(model, self.epochs, iterations, self.lr)
        set_sampler(finished.config, items.epoch, (ec.fold, ec.stage))
        cfg.announce_once(ec.stage, [*finished.decisions, *items.notes])
        job = self._job(finished, kf, items, ec, settings, resumed)
        cfg.deadline.begin()
        result = executor.train(lambda device: train_detector(job, device), cfg.deadline)
        if leads():
            draw_learning_curves(files, job.label)
        cfg.canceled_by_timer = cfg.canceled_by_timer or result.stopped

    def _resumption(self, files: StageFiles, settings: Settings, ec: Any) -> "Resumption | None":
        """Return how what is trained of the stage is gone on with, ``None`` where it is to be trained anew.

        Raises:
            WeightsError: It was trained with other settings, or cannot be read.
        """
        cfg, last = self.cfg, last_checkpoint(files)
        complete = files.best_weights.exists() and len(read_rows(files.metrics)) >= self.epochs
        if last is None and not complete:
            return None
        where = last or files.best_weights  # the last is needed for going on alone
        checkpoint = read_checkpoint(where)
        check_classes(checkpoint, where, cfg.class_names())
        meta = checkpoint.get("meta", {})
        resumed = resumption(meta, settings, where, ec.stage == len(cfg.stages) - 1)
        if complete and (last is None or meta.get("epoch", 0) >= self.epochs):
            resumed = replace(resumed, finished=True, note="" if resumed.longer else resumed.note)
        if resumed.note:
            print(printable(f"  {cfg.files.label}fold {ec.fold} stage {ec.stage}: {resumed.note}"))  # noqa: T201
        return resumed

    def items(self, model: FinishedConfig, kf: Any, train: Sequence[int], fold: int) -> StageItems:
        """Return the items of the stage that a fold trains and validates on."""
        return stage_items(self.item_request(model), model, kf, fold, train, self.cfg.labels(), self.cfg.positives())

    def item_request(self, model: FinishedConfig) -> ItemRequest:
        """Return what is asked for of the items of the stage."""
        cfg = self.cfg
        return ItemRequest(
            self.negatives,
            self.validation_negatives,
            cfg.maxEpochSize or cfg.steps_per_epoch,
            model.config.train_dataloader.batch_size * cfg.gpus,
            self._seed(),
        )

    def _settings(self, model: FinishedConfig, kf: Any, train: Sequence[int], ec: Any) -> Settings:
        """Return what decides how the stage learns, this and those before it."""
        cfg = self.cfg
        start, policy = cfg.initial_weights()
        weights = weights_mark(kf, train)
        return settings_of(
            model,
            self.epochs,
            self.lr,
            cfg.gpus,
            weightsPath=None if start is None else f"a file of SHA-256 {digest_of_file(start)[:12]}",
            resetHeads=policy.reset,
            random_state=self._seed(),
            primary_metric=f"{cfg.primary()} ({cfg.primary().mode})",
            augmentation=cfg.augmentation,
            transforms=cfg.transforms,
            preprocessing=self._preprocessing(),
            stages={
                str(number): {"epochs": one.epochs, "lr": one.lr, **one.item_request(model).settings()}
                for number, one in self._before(ec)
            },
            **self.item_request(model).settings(),
            **cfg.parts.training.settings_of(cfg.parts.folds.of(cfg.get_dataset()), ec.fold),
            **({} if weights is None else {"sample_weight": weights}),
            **{"training items": len(train)},
        )

    def _preprocessing(self) -> "str | None":
        chain = self.cfg.preprocessing
        if chain is None:
            return None
        steps = steps_of(chain, self.cfg.declarations, "preprocessing")
        return described([step for step in steps if step.name not in CACHES])

    def _before(self, ec: Any) -> list[Any]:
        return list(enumerate(self.cfg.stages))[: ec.stage]

    def _seed(self) -> int:
        return int((self.cfg.random_state + self.cfg.seed) % LARGEST_SEED)

    def _job(
        self,
        finished: FinishedConfig,
        kf: Any,
        items: StageItems,
        ec: Any,
        settings: Settings,
        resumed: "Resumption | None",
    ) -> TrainingJob:
        cfg, files = self.cfg, self.cfg.files.stage(ec.fold, ec.stage)
        reader, names = cfg.reader(), cfg.class_names()
        start, policy = self._start(ec)
        return TrainingJob(
            config=finished.config,
            train_dataset=MusketDetectionDataset(
                kf.ds,
                items.train,
                reader,
                finished.train_pipeline,
                names,
                training=True,
                augmenters=cfg.item_augmenters,
                epoch_items=items.epoch,
            ),
            val_dataset=MusketDetectionDataset(
                kf.validated,
                items.validation,
                reader,
                finished.val_pipeline,
                names,
                training=False,
                augmenters=cfg.item_augmenters,
            ),
            files=files,
            label=f"{cfg.files.label}fold {ec.fold} stage {ec.stage}",
            primary_metric=cfg.primary(),
            with_masks=finished.needs_masks,
            threshold=cfg.threshold,
            seed=self._seed(),
            start=start,
            policy=policy,
            resume=resumed is not None,
            longer=resumed is not None and resumed.longer,
            settings=settings,
            expired=cfg.deadline,
            terminal=terminal(),
            further=cfg.further_metrics(SubDataSet(kf.validated, items.validation), ec.fold, ec.stage),
        )

    def _start(self, ec: Any) -> "tuple[Path | None, HeadPolicy]":
        """Return the checkpoint that the stage starts from, and how its heads are taken."""
        if ec.stage == 0:
            start: tuple[Path | None, HeadPolicy] = self.cfg.initial_weights()
            return start
        previous = self.cfg.files.stage(ec.fold, ec.stage - 1).best_weights
        if not previous.exists():
            raise WeightsError(
                f"fold {ec.fold} stage {ec.stage} starts from the weights of stage {ec.stage - 1}, but {previous} "
                "does not exist: train that stage first."
            )
        return previous, HeadPolicy()
