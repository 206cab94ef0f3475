"""What comes of a search: ``best.params.yaml``, a picture, and a ``summary.yaml`` with the best trial's metrics."""

import statistics
from collections.abc import Sequence
from typing import Any

from ..config.search_plan import SearchPlan
from ..metrics.metric_name import MetricName
from ..storage.atomic import write_yaml
from ..storage.experiment_files import ExperimentFiles
from ..storage.run_manifest import SEARCH_REPORT
from ..storage.search_record import DONE, FAILED, PRUNED, TrialRecord, best_trial
from ..storage.summary_file import read_summary
from ..visualization.plots import write_figure
from ..visualization.search_plot import search_figure


def write_best(files: ExperimentFiles, trials: Sequence[TrialRecord], goal: MetricName) -> None:
    """Write the parameters of the best trial so far, by value; nothing while none is completed."""
    best = best_trial(trials, lower_is_better=goal.lower_is_better)
    if best is not None:
        write_yaml(files.best_parameters, best.parameters)


def write_search_summary(
    files: ExperimentFiles, trials: Sequence[TrialRecord], goal: MetricName, plan: SearchPlan, subsample: float
) -> None:
    """Write the summary of a search with a completed trial, and its picture.

    ``mean``, ``max`` and ``min`` are those of the scores, as musket_core has them; ``stages`` and ``allStages`` are the
    best trial's.
    """
    best = best_trial(trials, lower_is_better=goal.lower_is_better)
    assert best is not None and best.score is not None
    of_best = read_summary(files.of_trial(best.number).summary)
    scores = [trial.score for trial in trials if trial.state == DONE and trial.score is not None]
    states = {state: sum(trial.state == state for trial in trials) for state in (DONE, PRUNED, FAILED)}
    summary: dict[str, Any] = {
        "completed": sum(states.values()) >= plan.max_evals and bool(of_best.get("completed")),
        "cfgName": files.config.name,
        "subsample": subsample,
        "folds": of_best.get("folds", []),
        "best_trial": best.number,
        "best_score": round(best.score, 6),
        "mean": round(statistics.fmean(scores), 6),
        "max": round(max(scores), 6),
        "min": round(min(scores), 6),
        "trials": states,
        **({"seeds": of_best["seeds"]} if "seeds" in of_best else {}),
        "stages": of_best["stages"],
        "allStages": of_best["allStages"],
    }
    figure = search_figure(trials, goal.plain, files.root.name, lower_is_better=goal.lower_is_better)
    write_figure(files.root / SEARCH_REPORT, figure)
    write_yaml(files.summary, summary)
