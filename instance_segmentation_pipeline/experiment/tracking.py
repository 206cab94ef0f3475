"""What trackers are told of an experiment: which runs there are, and the final numbers."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.schema import PROPERTIES
from ..config.trackers import tags_by_name
from ..launch.multi_bar import terminal
from ..reporting.analysis import flatten
from ..storage.metrics_csv import read_rows
from ..training.trackers.base import RunFacts, TrackedRun, Tracker, check_installed, pictures_of
from ..training.trackers.mlflow import MlflowTracker
from ..training.trackers.tensorboard import TensorBoardTracker
from ..training.trackers.wandb import WandbTracker, check_wandb
from .trainable import Trainable

UNSAID = ("trackers", "description", "tags")
"""Properties that are no parameters of a run."""


def tracked_run(config: Trainable, fold: int, stage: int) -> "TrackedRun | None":
    """Return the run of one stage of one fold, ``None`` where nobody is told.

    Args:
        config: The experiment, or one of its seeds.
        fold: The fold.
        stage: The stage.
    """
    asked = config.parts.settings.tracking
    if not asked.trackers:
        return None
    files = config.files.stage(fold, stage)
    made: dict[str, Tracker] = {}
    for name, given in (next(iter(one.items())) for one in asked.trackers):
        if name == "tensorboard":
            made[name] = TensorBoardTracker(files.event_files)
        elif name == "wandb":
            project = given.get("project") or os.environ.get("WANDB_PROJECT") or _project_of(config).name
            made[name] = WandbTracker(files.of_wandb, project, given.get("entity"), given.get("mode"))
        else:
            made[name] = MlflowTracker(given.get("tracking_uri") or _default_store(config), given.get("experiment"))
    facts = RunFacts(
        experiment=_name_of(config),
        name=f"{config.files.label}fold {fold} stage {stage}",
        folder=config.files.root,
        description=asked.description or "",
        tags=tags_by_name(asked.tags),
        parameters=_parameters(config),
    )
    return TrackedRun(facts, files.tracked, made, terminal().line)


def check_trackers(trackers: "Sequence[Mapping[str, Mapping[str, Any]]]") -> None:
    """See to it that trackers can be told.

    Raises:
        ConfigError: A package is not there, or a login.
    """
    check_installed(trackers)
    for one in trackers:
        if "wandb" in one:
            check_wandb(one["wandb"].get("mode"))


def tell_summary(config: Trainable, folds: Sequence[int], summary: Mapping[str, Any]) -> None:
    """Tell the trackers of each stage of folds its final numbers, and of the last one all stages' and the reports."""
    last = len(summary["stages"]) - 1
    for fold in folds:
        for stage, numbers in enumerate(summary["stages"]):
            run = tracked_run(config, fold, stage)
            if run is None:
                return
            files = config.files.stage(fold, stage)
            values, pictures = _flat(numbers), [("learning curves", files.learning_curves)]
            if stage == last:
                values.update({f"all stages/{name}": value for name, value in _flat(summary["allStages"]).items()})
                reports = sorted(config.files.reports("x").parent.glob("*.png"))
                pictures += [(f"reports/{path.stem}", path) for path in reports]
            rows = read_rows(files.metrics)
            run.tell(rows, pictures_of(files, len(rows)))
            run.tell_summary(values, pictures, len(rows))
            run.close(finished=True)


def _flat(numbers: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in numbers.items():
        for key, number in value.items() if isinstance(value, dict) else [("", value)]:
            found[f"{name}/{key}" if key else name] = float(number)
    return found


def _default_store(config: Trainable) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or (_project_of(config) / "mlruns").as_uri()


def _project_of(config: Trainable) -> Path:
    return Path(config.parts.datasets.paths.project).absolute()


def _name_of(config: Trainable) -> str:
    parts = config.files.base.parts
    below = parts[len(parts) - parts[::-1].index("experiments") :] if "experiments" in parts else ()
    return "/".join(below) or config.files.base.name


def _parameters(config: Trainable) -> dict[str, str]:
    values, defaults = config.properties(), {entry.name: entry.default for entry in PROPERTIES}
    given = {name: value for name, value in values.items() if name not in UNSAID and value != defaults[name]}
    return {name: value for name, value in flatten(given).items() if value}
