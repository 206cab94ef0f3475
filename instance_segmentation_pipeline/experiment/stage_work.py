"""``StageWork``: one stage of one fold, from what is asked for to the job that trains it."""

import contextlib
import random
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from musket_core.datasets import SubDataSet

from ..config.settings import DataSettings, ModelSettings
from ..config.step_chain import CACHES, Step, described, steps_of
from ..data.cross_validation import DetectionFolds
from ..data.providers import PARTS
from ..errors import TrainingError, WeightsError
from ..launch.deadline import Deadline
from ..launch.multi_bar import terminal
from ..models.checkpoints import ENDED_KEY, last_checkpoint, read_meta
from ..models.finished_config import FinishedConfig
from ..models.trained_weights import WHAT_TO_DO, check_classes
from ..storage.digests import digest_of_file
from ..storage.metrics_csv import read_rows
from ..text import printable
from ..training.detection_dataset import MusketDetectionDataset
from ..training.job import TrainingJob
from ..training.samplers import check_sampler, set_sampler
from ..training.stage_settings import DATA_FOLDER, ITEMS, Resumption, Settings, resumption, settings_of
from ..training.step_probe import Trial
from .run_arguments import FoldRequest
from .stage_items import ItemRequest, StageItems, stage_items, weights_mark
from .stage_starts import StageStart, marks_of_starts, stage_start
from .tracking import tracked_run
from .trainable import Trainable

NO_ARGUMENTS = "without arguments"

LARGEST_SEED = 2**32 - 2**16
"""Each process of a group adds its number, and NumPy takes seeds below 2**32."""


class StageWork:
    """One stage of one fold.

    Args:
        config: The experiment's config, or that of one of its seeds.
        folds: Its folds.
        request: The fold, and the share of its training items.
        number: Number of the stage.
    """

    def __init__(self, config: Trainable, folds: DetectionFolds, request: FoldRequest, number: int) -> None:
        self.config, self.folds, self.request, self.number = config, folds, request, number
        self.parts = config.parts
        self.files = config.files.stage(request.fold, number)
        self._stages = self.parts.settings.stages

    def resumption(self) -> "Resumption | None":
        """Return how what is trained of the stage is gone on with, ``None`` where it is to be trained anew.

        Raises:
            WeightsError: It was trained with other settings, or cannot be read.
        """
        resumed = self._resumption()
        if resumed is not None and resumed.note:
            print(printable(f"  {self._label}: {resumed.note}"))  # noqa: T201
        return resumed

    def check_items(self) -> None:
        """See to it that the stage, and those behind it, have items; nothing is written or printed.

        Raises:
            ConfigError: The config has a sampler that would choose them, too.
            DatasetError: One of them has none, or the dataset cannot tell which are to be shown.
        """
        self._items()

    def trial(self) -> Trial:
        """Return what a step of the stage is tried with; no file is written.

        Raises:
            UserError: The stage, or one behind it, has no item to train on.
        """
        items = self._items()
        config = self._scheduled(items)
        train, val = (self._dataset(items, config, training=training) for training in (True, False))
        start = self._start()
        return Trial(config, train, val, start.path, start.policy, items.per_epoch(), self._seed)

    def is_finished(self) -> bool:
        """Say whether it is trained to its end with the settings that are asked for; nothing is written or printed."""
        with contextlib.suppress(WeightsError, TrainingError):
            resumed = self._resumption()
            return resumed is not None and resumed.finished
        return False

    def check(self, what_to_do: str = WHAT_TO_DO, besides: Collection[str] = ()) -> None:
        """See to it that what is trained of the stage can be gone on with; nothing is written or printed.

        Args:
            what_to_do: How a message of other settings ends.
            besides: Settings that may be others.

        Raises:
            WeightsError: It was trained with other settings or for other classes, or cannot be read.
        """
        last = last_checkpoint(self.files)
        with contextlib.suppress(TrainingError):  # a damaged CSV is made again, or the stage is trained anew
            if last is not None or self._is_complete():
                self._compared(last or self.files.best_weights, what_to_do, besides)

    def job(self, resumed: "Resumption | None", stop: Deadline) -> TrainingJob:
        """Return the job that trains the stage.

        Args:
            resumed: How it is gone on with, ``None`` where it is trained anew.
            stop: Asked after each epoch.

        Raises:
            DatasetError: It, or one of the stages behind it, has no item to train on.
            WeightsError: The stage before it is not trained.
        """
        parts, items = self.parts, self._items()
        config = self._scheduled(items)
        start = self._start()
        return TrainingJob(
            config=config.config,
            train_dataset=self._dataset(items, config, training=True),
            val_dataset=self._dataset(items, config, training=False),
            files=self.files,
            label=self._label,
            primary_metric=self.config.primary(),
            with_masks=config.needs_masks,
            threshold=parts.settings.inference.threshold,
            seed=self._seed,
            start=start.path,
            policy=start.policy,
            resume=resumed is not None,
            longer=resumed is not None and resumed.longer,
            settings=self.settings,
            callbacks=self.config.callback_plan(self.number),
            shows_data=parts.settings.items.show_data_examples,
            max_detections=self._most,
            tracked=tracked_run(self.config, self.request.fold, self.number),
            verbose=parts.settings.showing.verbose,
            logs_batches=parts.settings.logs_batches(self.number),
            expired=stop,
            terminal=terminal(),
            further=self.config.further_metrics(
                SubDataSet(self.folds.validated, items.validation), self.request.fold, self.number
            ),
        )

    @cached_property
    def settings(self) -> Settings:
        """What decides how the stage learns, this and those before it."""
        parts, stage, primary = self.parts, self._stages[self.number], self.config.primary()
        start, policy = parts.model.start
        marks = [marks_of_starts(parts, self.request.fold, one) for one in range(self.number + 1)]
        weights = weights_mark(self.folds, self._train)
        return settings_of(
            parts.model.prepared,
            stage.epochs,
            stage.lr,
            parts.run.gpus_per_net,
            weightsPath=None if start is None else f"a file of SHA-256 {digest_of_file(start)[:12]}",
            resetHeads=policy.reset,
            random_state=self._seed,
            **average_settings(parts.settings.model.ema),
            primary_metric=f"{primary} ({primary.mode})",
            **shape_settings(parts.settings.model),
            **asdict(parts.settings.augmentation),
            **parts.settings.tiles.given(),
            **(declared_settings(parts.settings.data) if parts.datasets.is_declared else {}),
            preprocessing=preprocessing_of(parts.settings.data.preprocessing, parts.settings.data.declarations),
            **{"steps of dataset": dataset_steps_of(parts.settings.data)},
            stages={
                str(number): {
                    "epochs": one.epochs,
                    "lr": one.lr,
                    **marks[number],
                    **self._learning(number),
                    **self._item_request(number).settings(),
                }
                for number, one in enumerate(self._stages[: self.number])
            },
            **marks[self.number],
            **self._learning(self.number),
            **self._item_request(self.number).settings(),
            **parts.training.settings_of(parts.folds.of(parts.datasets.main()), self.request.fold),
            **({} if weights is None else {"sample_weight": weights}),
            **{ITEMS: len(self._train)},
            **({} if self._most is None else {"maxDetections": self._most}),
        )

    def _learning(self, number: int) -> dict[str, Any]:
        """Return what a stage learns from, and whether all of it learns, where that is not as by default."""
        loss, frozen = self._stages[number].loss, self.parts.settings.frozen_encoders[number]
        return {
            **({"loss": loss} if loss else {}),
            **({"freeze_encoder": True} if frozen else {}),
            **self.parts.settings.callbacks_of(number).settings(),
        }

    @property
    def _label(self) -> str:
        return f"{self.config.files.label}fold {self.request.fold} stage {self.number}"

    @property
    def _most(self) -> "int | None":
        return self.parts.settings.model.max_detections

    @property
    def _seed(self) -> int:
        seeds = self.parts.settings.seeds
        return int((seeds.random_state + seeds.seed) % LARGEST_SEED)

    @cached_property
    def _train(self) -> list[int]:
        train = [int(index) for index in self.folds.indexes(self.request.fold, True)]
        if self.request.subsample < 1:
            count = max(1, round(len(train) * self.request.subsample))
            train = random.Random(self.parts.settings.seeds.random_state).sample(train, count)
        return train

    def _resumption(self) -> "Resumption | None":
        stage, last = self._stages[self.number], last_checkpoint(self.files)
        complete = self._is_complete()
        if last is None and not complete:
            return None
        where = last or self.files.best_weights  # the last is needed for going on alone
        meta, resumed = self._compared(where)
        if complete and (last is None or meta.get("epoch", 0) >= stage.epochs):
            return replace(resumed, finished=True, note="" if resumed.longer else resumed.note)
        if ENDED_KEY in meta and self.files.best_weights.exists():
            return self._ended(resumed, meta)
        return resumed

    @staticmethod
    def _ended(resumed: Resumption, meta: dict[str, Any]) -> Resumption:
        """Return how a stage is gone on with that was ended before its last epoch: not, where that was for good."""
        why = meta[ENDED_KEY]
        if not resumed.longer:
            return replace(resumed, finished=True)
        if not isinstance(why, str):
            return resumed  # a hook of MMEngine's stopped the loop, and may not stop a longer one
        return replace(resumed, finished=True, note=f"more epochs change nothing, since it was ended: {why}")

    def _is_complete(self) -> bool:
        """Say whether there are best weights, and all epochs in the CSV."""
        epochs = self._stages[self.number].epochs
        return self.files.best_weights.exists() and len(read_rows(self.files.metrics)) >= epochs

    def _compared(
        self, where: Any, what_to_do: str = WHAT_TO_DO, besides: Collection[str] = ()
    ) -> tuple[dict[str, Any], Resumption]:
        """Return a checkpoint's ``meta``, and how the stage is gone on with from there."""
        meta = read_meta(where)
        check_classes({"meta": meta}, where, self.parts.classes.class_names())
        is_last = self.number == len(self._stages) - 1
        return meta, resumption(meta, self.settings, where, is_last, what_to_do, besides)

    def _item_request(self, number: int) -> ItemRequest:
        """Return what is asked for of the items of a stage."""
        stage, parts = self._stages[number], self.parts
        return ItemRequest(
            stage.negatives,
            stage.validation_negatives,
            parts.settings.items.max_epoch_size or parts.settings.items.steps_per_epoch,
            parts.model.prepared.config.train_dataloader.batch_size * parts.run.gpus_per_net,
            self._seed,
        )

    def _items(self) -> StageItems:
        """Return the items of the stage; those behind it must have some too, or none is trained."""
        parts, datasets = self.parts, self.parts.datasets
        later = [
            stage_items(
                self._item_request(number),
                parts.model.prepared,
                self.folds,
                self.request.fold,
                self._train,
                datasets.labels,
                datasets.positives,
                parts.cells,
            )
            for number in range(self.number, len(self._stages))
        ]
        if any(one.epoch is not None for one in later):
            check_sampler(parts.model.prepared.config)
        return later[0]

    def _scheduled(self, items: StageItems) -> FinishedConfig:
        finished = self.parts.model.scheduled(
            self._stages[self.number],
            items.per_epoch(),
            frozen=self.parts.settings.frozen_encoders[self.number],
            callbacks=self.config.callback_plan(self.number),
        )
        set_sampler(finished.config, items.epoch, (self.request.fold, self.number))
        self.config.announce_once(self.number, [*finished.decisions, *items.notes])
        return finished

    def _dataset(self, items: StageItems, config: FinishedConfig, *, training: bool) -> MusketDetectionDataset:
        parts = self.parts
        return MusketDetectionDataset(
            self.folds.ds if training else self.folds.validated,
            items.train if training else items.validation,
            parts.classes.reader(config.needs_masks),
            config.train_pipeline if training else config.val_pipeline,
            parts.classes.class_names(),
            training=training,
            augmenters=parts.augmentation.both(),
            epoch_items=items.epoch if training else None,
            cells=items.train_cells if training else items.validation_cells,
        )

    def _start(self) -> StageStart:
        """Return the checkpoint that the stage starts from, and how its heads are taken."""
        start = stage_start(self.parts, self.request.fold, self.number)
        if start.own is not None and start.path is not None and not start.path.exists():
            raise WeightsError(
                f"fold {self.request.fold} stage {self.number} starts from the weights of stage {start.own}, but "
                f"{start.path} does not exist: train that stage first."
            )
        return start


def check_stage_items(config: Trainable) -> None:
    """See to it that each stage of each fold has items to train and validate on; no file is written.

    Raises:
        UserError: One has none, or what decides which they are fails.
    """
    parts = config.parts
    split = parts.folds.expected(parts.datasets.main())
    folds = parts.training.of(split, parts.model.prepared.config.train_dataloader.batch_size)
    for number in range(len(split.folds)):
        StageWork(config, folds, FoldRequest(number), 0).check_items()


def shape_settings(model: ModelSettings) -> dict[str, Any]:
    """Return what decides the sizes of images, by the names of the properties; ``None`` for what is as by default."""
    return {
        "shape": None if model.shape is None else str(model.shape),
        "multiscaleMode": model.multiscale_mode,
        "manualResize": model.manual_resize or None,
    }


def average_settings(ema: "bool | dict[str, float] | None") -> dict[str, Any]:
    """Return what is said of averaged weights, by the names of the properties; nothing where nothing is."""
    return {} if ema is None else {"ema": dict(ema) if isinstance(ema, dict) else ema}


def preprocessing_of(chain: Any, declarations: dict[str, Any]) -> "str | None":
    """Return what ``preprocessing`` does to items, ``None`` for nothing; caches do nothing."""
    return None if chain is None else _doing_something(steps_of(chain, declarations, "preprocessing"))


def dataset_steps_of(settings: DataSettings) -> "str | None":
    """Return what the steps behind the providers of ``dataset`` do to items, ``None`` where there are none."""
    dataset, declarations = _declared(settings), settings.declarations
    in_parts = isinstance(dataset, dict) and set(dataset) <= set(PARTS)
    texts = []
    for entry in dataset.values() if in_parts else [dataset]:
        name = next(iter(entry)) if isinstance(entry, dict) and len(entry) == 1 else entry
        if isinstance(entry, list) or (isinstance(name, str) and name in declarations):
            texts.append(_doing_something(steps_of(entry, declarations, "dataset")[1:]))
    return "; ".join(filter(None, texts)) or None


def _declared(settings: DataSettings) -> Any:
    """Return what ``dataset`` declares, or the entry of ``datasets`` that it names."""
    dataset = settings.dataset
    return settings.datasets.get(dataset, dataset) if isinstance(dataset, str) else dataset


def _doing_something(steps: "Sequence[Step]") -> str:
    return described([step for step in steps if step.name not in CACHES])


def declared_settings(settings: DataSettings) -> dict[str, Any]:
    """Return what makes the items of a declared dataset, and the folder that its providers read in."""
    folder = settings.datasets_path
    return {**dataset_settings(_declared(settings)), DATA_FOLDER: None if folder is None else _placeless(folder)}


def dataset_settings(declared: Any) -> dict[str, Any]:
    """Return what makes the items of ``dataset``: its providers and their arguments, without the holdout's.

    Of absolute paths the last name counts, since a project may move. ``dataset_steps_of`` tells the steps behind them.
    """
    if declared is None:
        return {}
    if not (isinstance(declared, dict) and set(declared) <= set(PARTS)):
        return {"dataset": _provider(declared)}
    return {"dataset": {part: _provider(entry) for part, entry in declared.items() if part != "holdout"}}


def _provider(entry: Any) -> dict[str, Any]:
    first = entry[0] if isinstance(entry, list) and entry else entry
    arguments = _placeless(first)
    return arguments if isinstance(arguments, dict) else {str(first): NO_ARGUMENTS}


def _placeless(value: Any) -> Any:
    if value in (None, {}, []):
        return NO_ARGUMENTS
    if isinstance(value, dict):
        return {key: _placeless(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_placeless(one) for one in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value
