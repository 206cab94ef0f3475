"""``summary.yaml`` and the pictures in ``reports/``, of what is trained of an experiment."""

from collections.abc import Sequence
from typing import Any

from ..metrics.coco import counted
from ..reporting.report_figures import write_reports
from ..storage.atomic import write_yaml
from ..storage.yaml_files import read_yaml
from .prediction_tables import write_tables
from .resuming import is_ended
from .run_preparation import fold_count
from .seeds import summary_of_seeds
from .tracking import tell_summary
from .trainable import TrainableExperiment


def write_summaries(experiment: TrainableExperiment, folds: Sequence[int], subsample: float) -> None:
    """Compute the summaries of an experiment's seeds and its own, then write them, whole.

    Args:
        experiment: The config.
        folds: The folds that are trained.
        subsample: Share of their training items that was used.
    """
    with experiment.truths_kept():
        seeds = experiment.seeds()
        for one in seeds:
            one.generateReports(folds, subsample)
        if seeds:
            of_seeds = summary_of_seeds([read_yaml(one.files.summary) for one in seeds])
            metrics: dict[str, Any] = {"seeds": [one.seed for one in seeds], **of_seeds}
        else:
            metrics = experiment.createSummary(folds, subsample)
        view, most = experiment.validation_view(folds), experiment.parts.settings.model.max_detections
        summary = {
            "completed": set(folds) >= set(range(fold_count(experiment))) and is_ended(experiment, folds),
            "cfgName": experiment.files.config.name,
            "subsample": subsample,
            "folds": list(folds),
            "maxDetections": most or counted(truth.labels for truth in view.truths),
            **metrics,
        }
        write_reports(view, experiment.files)
        write_yaml(experiment.files.summary, summary)
        if not seeds and experiment.parts.settings.showing.dump_predictions_to_csv:
            write_tables(experiment, folds)
        if not seeds:
            tell_summary(experiment, folds, summary)
