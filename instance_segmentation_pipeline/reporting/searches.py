"""Searches over hyperparameters, for tables and the page: their trials, best first."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..config.loader import common_of, read_config
from ..metrics.metric_name import MetricName
from ..storage.experiment_files import ExperimentFiles
from ..storage.search_record import DONE, FAILED, PRUNED, RUNNING, TrialRecord, best_trial, read_trials
from ..text import short
from ..visualization.plots import png_of
from ..visualization.search_plot import search_figure
from ..visualization.terminal import duration

WORDS = {DONE: "", PRUNED: "ended early", FAILED: "failed", RUNNING: "not finished"}
DEFAULT = "coco_segm_mAP"
MOST_LETTERS = 40


@dataclass(frozen=True)
class SearchReport:
    """A search that has begun.

    Attributes:
        name: Its experiment.
        trials: Its trials, by number.
        goal: What they are compared by.
    """

    name: str
    trials: Sequence[TrialRecord]
    goal: MetricName

    @classmethod
    def of(cls, name: str, files: ExperimentFiles) -> "SearchReport":
        """Return the report of a search.

        Raises:
            ConfigError: Its YAML or the list of its trials cannot be read.
        """
        properties = read_config(files.config, common_of(files.config))
        primary, mode = (
            str(properties.get("primary_metric") or DEFAULT),
            properties.get("primary_metric_mode") or "auto",
        )
        result = MetricName(str(properties.get("experiment_result") or primary))
        is_primary = result.plain == MetricName(primary).plain
        return cls(name, read_trials(files.scores), MetricName(result.plain, mode if is_primary else "auto"))

    @property
    def title(self) -> str:
        """What a heading says of it: how many trials, and which is the best."""
        best = best_trial(self.trials, lower_is_better=self.goal.lower_is_better)
        counts = {state: sum(trial.state == state for trial in self.trials) for state in WORDS}
        told = ", ".join(f"{counts[state]} {words}" for state, words in WORDS.items() if words and counts[state])
        found = f"; best: trial {best.number} with {best.score:.4f}" if best is not None else ""
        return f"search {self.name}: {len(self.trials)} trials{', ' * bool(told)}{told}{found}"

    def rows(self) -> list[list[str]]:
        """Return a heading and a row a trial as text, the best first, those without a score last."""
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.parameters))
        rows = [["trial", *names, self.goal.plain, "time", "state"]]
        for trial in sorted(self.trials, key=self._order):
            score = "" if trial.score is None else f"{trial.score:.4f}"
            values = [_shown(trial.parameters[name]) if name in trial.parameters else "" for name in names]
            state = WORDS[trial.state] + (f": {trial.error}" if trial.error else "")
            rows.append([str(trial.number), *values, score, duration(trial.seconds), state])
        return rows

    def picture(self) -> bytes:
        """Return the scores over trials and parameters as PNG."""
        lower = self.goal.lower_is_better
        return png_of(search_figure(self.trials, self.goal.plain, self.name, lower_is_better=lower))

    def _order(self, trial: TrialRecord) -> tuple[bool, float, int]:
        sign = 1.0 if self.goal.lower_is_better else -1.0
        return trial.score is None, sign * (trial.score or 0.0), trial.number


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else short(value, MOST_LETTERS).strip("'")
