"""The median rule: a trial ends after an epoch in which it is worse than half of the completed trials were by then.

Golovin et al., "Google Vizier" (2017), section 3.2: the best value of the trial so far is compared with the median of
what completed trials had in the same epoch. What is compared lies in metrics CSVs, so that a trial that was cut and
goes on is judged as one that was not.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ..config.pruning import Pruning
from ..metrics.metric_name import MetricName
from ..storage.metrics_csv import read_rows

Place = tuple[str, int]
"""The name of a metrics CSV below a trial's folder, and an epoch in it, from 0."""


@dataclass(frozen=True)
class MedianRule:
    """Decides whether a trial is to end.

    Attributes:
        pruning: What the YAML asks for.
        metric: The primary metric, a column of the CSVs.
        completed: Folders of the completed trials that it is compared with.
        files: Names of the metrics CSVs of a trial, in the order in which they are trained.
        epochs: Epochs of each.
    """

    pruning: Pruning
    metric: MetricName
    completed: Sequence[Path]
    files: Sequence[str]
    epochs: Sequence[int]

    def verdict(self, trial: Path) -> "Place | None":
        """Return where a trial is to end, or was: after the first epoch that is too bad; ``None``: nowhere.

        The last epoch of all ends it in any case.
        """
        if len(self.completed) < self.pruning.trials:
            return None
        last = (self.files[-1], self.epochs[-1] - 1)
        return next(
            (place for place, best in self._bests(trial) if place != last and self._is_worse(place, best)), None
        )

    def _bests(self, trial: Path) -> Iterator[tuple[Place, float]]:
        """Give each epoch behind the first ones of its stage, with the best value of its stage so far."""
        for name in self.files:
            values: list[float] = []
            for epoch, value in enumerate(self._values(trial / name)):
                values.append(value)
                best = self.metric.best(values)
                if epoch >= self.pruning.epochs and not math.isnan(best):
                    yield (name, epoch), best

    def _is_worse(self, place: Place, best: float) -> bool:
        name, epoch = place
        columns = [self._values(folder / name) for folder in self.completed]
        others = [values[epoch] for values in columns if len(values) > epoch and not math.isnan(values[epoch])]
        return len(others) >= self.pruning.trials and self.metric.better(median(others), best)

    def _values(self, path: Path) -> list[float]:
        return [float(row.get(str(self.metric), math.nan)) for row in read_rows(path)]
