"""Every file name an experiment has; ``ExperimentFiles`` owns the names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRIAL = re.compile(r"trial(\d{1,6})")

AVERAGE = "average"
"""What stands for a stage where the averaged weights of a fold are meant."""


def trial_folder(number: int) -> str:
    """Return the name of the folder of a trial of a search."""
    return f"trial{number}"


@dataclass(frozen=True)
class StageFiles:
    """The files of one stage of one fold."""

    root: Path
    fold: int
    stage: int

    @property
    def best_weights(self) -> Path:
        """The best checkpoint by ``primary_metric``: model weights and class names."""
        return self.root / "weights" / f"best-{self.fold}.{self.stage}.weights"

    @property
    def last_weights(self) -> Path:
        """The latest complete checkpoint: weights, optimizer, schedule, epoch."""
        return self.root / "weights" / f"last-{self.fold}.{self.stage}.weights"

    @property
    def previous_weights(self) -> Path:
        """The checkpoint before the latest, for resuming when that one is damaged."""
        return self.root / "weights" / f"last-{self.fold}.{self.stage}.previous"

    @property
    def model_config(self) -> Path:
        """The finished MMDetection config that trained this stage."""
        return self.root / "weights" / f"config-{self.fold}.{self.stage}.py"

    @property
    def decided(self) -> Path:
        """What was decided about the stage's optimisation."""
        return self.root / "weights" / f"training-{self.fold}.{self.stage}.yaml"

    @property
    def metrics(self) -> Path:
        """One CSV row an epoch."""
        return self.root / "metrics" / f"metrics-{self.fold}.{self.stage}.csv"

    @property
    def batches(self) -> Path:
        """One CSV row a batch."""
        return self.root / "metrics" / f"metrics-{self.fold}.{self.stage}.all.csv"

    @property
    def event_files(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.root / "tensorboard" / f"{self.fold}.{self.stage}"

    @property
    def tracked(self) -> Path:
        """What trackers were told, and by which ids they know the run."""
        return self.root / "trackers" / f"{self.fold}.{self.stage}.json"

    @property
    def of_wandb(self) -> Path:
        """Folder of wandb's files."""
        return self.root / "wandb" / f"{self.fold}.{self.stage}"

    @property
    def learning_curves(self) -> Path:
        """Losses and metrics by epoch, as a picture."""
        return self.metrics.with_suffix(".png")

    @property
    def logs(self) -> Path:
        """MMEngine's own log files."""
        return self.root / "logs" / f"{self.fold}.{self.stage}"

    def example(self, epoch: int) -> Path:
        """The sample picture of an epoch (counted from 0): ground truth beside prediction."""
        return self.root / "examples" / str(self.fold) / str(self.stage) / f"{epoch}.jpg"

    def training_example(self, epoch: int) -> Path:
        """The picture of what the net was shown in an epoch (counted from 0)."""
        return self.root / "examples" / str(self.fold) / str(self.stage) / f"train_{epoch}.jpg"


@dataclass(frozen=True)
class ExperimentFiles:
    """The files of one experiment; ``config`` is its YAML file."""

    config: Path

    CONCRETE = "config_concrete.yaml"
    SCORES = "hyperopt.scores"
    BEST = "best.params.yaml"

    @classmethod
    def in_folder(cls, folder: Path) -> "ExperimentFiles":
        """Return the files of the experiment, or of one of its seeds or trials, whose folder this is."""
        concrete = folder / cls.CONCRETE
        return cls(concrete if concrete.exists() else folder / "config.yaml")

    @property
    def root(self) -> Path:
        """The experiment's folder."""
        return self.config.parent

    @property
    def is_of_seed(self) -> bool:
        """Whether this is one of the trainings of ``num_seeds``."""
        return self.config.name == self.CONCRETE

    @property
    def trial(self) -> "int | None":
        """The number of the trial of a search that this is, or is a seed of; ``None`` for all else."""
        folder = self.root.parent if self.is_of_seed else self.root
        match = TRIAL.fullmatch(folder.name)
        return int(match[1]) if match and (folder.parent / self.SCORES).exists() else None

    @property
    def base(self) -> Path:
        """The folder that paths in the YAML are relative to."""
        folder = self.root.parent if self.is_of_seed else self.root
        return folder if self.trial is None else folder.parent

    @property
    def label(self) -> str:
        """What messages call one of several trainings (``seed 1 ``); empty for the only one."""
        trial = "" if self.trial is None else f"trial {self.trial} "
        return f"{trial}seed {self.root.name} " if self.is_of_seed else trial

    def of_seed(self, number: int) -> "ExperimentFiles":
        """Return the files of one of the trainings of ``num_seeds``."""
        return ExperimentFiles(self.root / str(number) / self.CONCRETE)

    def of_trial(self, number: int) -> "ExperimentFiles":
        """Return the files of a trial of a search."""
        return ExperimentFiles(self.root / trial_folder(number) / "config.yaml")

    def trials(self) -> "list[ExperimentFiles]":
        """Return the files of the trials of a search that are there, in order."""
        numbers = [TRIAL.fullmatch(path.parent.name) for path in self.root.glob("trial*/config.yaml")]
        return [self.of_trial(number) for number in sorted(int(match[1]) for match in numbers if match)]

    @property
    def scores(self) -> Path:
        """The trials of a search."""
        return self.root / self.SCORES

    @property
    def best_parameters(self) -> Path:
        """The parameters of the best trial of a search so far."""
        return self.root / self.BEST

    @property
    def summary(self) -> Path:
        """The metrics of a finished experiment, in musket_core's layout."""
        return self.root / "summary.yaml"

    @property
    def error(self) -> Path:
        """The last failure, with its traceback, as musket_core writes it."""
        return self.root / "error.yaml"

    @property
    def in_progress(self) -> Path:
        """Exists while the experiment trains."""
        return self.root / "inProgress.yaml"

    @property
    def torchrun(self) -> Path:
        """Which torchrun trains here; it is gone when the run is finished."""
        return self.root / "torchrun.txt"

    @property
    def folds_split(self) -> Path:
        """Pairs of train and validation indices, one per fold."""
        return self.config.with_name(self.config.name + ".folds_split")

    @property
    def holdout_split(self) -> Path:
        """The indices to train on and the indices held out."""
        return self.config.with_name(self.config.name + ".holdout_split")

    def average_weights(self, fold: int) -> Path:
        """Return the average of best weights of a fold's stages, which is better than each of them."""
        return self.root / "weights" / f"{AVERAGE}-{fold}.weights"

    def predictions(self, name: str, stages: "Sequence[int | str]", folds: Sequence[int], further: str = "") -> Path:
        """Return the prediction store of a dataset for stages and folds; ``further`` tells variants apart."""
        numbers = "-".join(("".join(f"s{stage}" for stage in stages), "".join(f"f{fold}" for fold in folds)))
        return self.root / "predictions" / f"{name}-{numbers}{further and '-' + further}.sqlite"

    def prediction_table(self, name: str, truth: bool) -> Path:
        """Return the CSV of what is there (``gt``) or found (``pt``) in a dataset, by musket_core's names."""
        return self.root / "predictions" / f"{name}-{'gt' if truth else 'pt'}.csv"

    @property
    def prediction_tables(self) -> Path:
        """What the CSVs of predictions were made of."""
        return self.root / "predictions" / "csv.json"

    def reports(self, name: str) -> Path:
        """Return a picture or table of the finished experiment."""
        return self.root / "reports" / name

    def stage(self, fold: int, stage: int) -> StageFiles:
        """Return the files of one stage of one fold."""
        return StageFiles(self.root, fold, stage)

    def trained(self) -> bool:
        """Say whether any weights lie here."""
        weights = self.root / "weights"
        return any(path for kind in ("best", "last") for path in weights.glob(f"{kind}-*.weights"))


def folders_of(files: ExperimentFiles, summary: Mapping[str, Any]) -> "list[tuple[str, ExperimentFiles]]":
    """Return label and files of each training that a summary is about."""
    if "best_trial" in summary:
        files = files.of_trial(summary["best_trial"])
    if "seeds" not in summary:
        return [("", files)]
    return [(f"seed {number} ", files.of_seed(number)) for number in summary["seeds"]]


def concrete_config(folder: Path) -> Path:
    """Return the YAML of an experiment's folder, or of one of its seeds'."""
    own = ExperimentFiles(folder / "config.yaml")
    seeds = own.config.with_name(ExperimentFiles.CONCRETE)
    return seeds if seeds.exists() and not own.config.exists() else own.config
