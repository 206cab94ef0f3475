"""What a search shows while it runs: a line a trial, with the best so far and a time to go."""

import time
from collections.abc import Sequence

from ..launch.multi_bar import terminal
from ..metrics.metric_name import MetricName
from ..storage.search_record import DONE, PRUNED, RUNNING, TrialRecord, best_trial
from ..visualization.terminal import duration


class SearchProgress:
    """Shows how far a search is.

    Args:
        count: How many trials it makes.
        goal: What they are compared by.
        slots: How many train at the same time.
    """

    def __init__(self, count: int, goal: MetricName, slots: int) -> None:
        self.count, self.goal, self.slots = count, goal, slots
        self._began, self._ended = time.monotonic(), 0

    def show(self, record: TrialRecord, trials: Sequence[TrialRecord]) -> None:
        """Show a trial that has ended, or that time has cut.

        Args:
            record: The trial.
            trials: All that have begun.
        """
        if record.state == RUNNING:
            return
        self._ended += 1
        terminal().line(self._line(record, trials, (time.monotonic() - self._began) / self._ended))

    def _line(self, record: TrialRecord, trials: Sequence[TrialRecord], seconds: float) -> str:
        left = self.count - sum(1 for trial in trials if trial.state != RUNNING)
        told = {
            DONE: f"{self.goal.plain} {record.score or 0.0:.4f}",
            PRUNED: "ended early, worse than half of the others",
        }.get(record.state, f"failed: {record.error}")
        best = best_trial(trials, lower_is_better=self.goal.lower_is_better)
        if best is not None and best.number != record.number:
            told += f", best {best.score:.4f} of trial {best.number}"
        elif best is not None:
            told += ", best so far"
        text = f"trial {record.number} ({self.count - left} of {self.count}): {told}"
        return f"{text}  [{duration(record.seconds)}, {duration(seconds * left)} left]"
