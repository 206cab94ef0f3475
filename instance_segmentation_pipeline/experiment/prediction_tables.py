"""``dumpPredictionsToCSV``: what is there and what is found, as tables, under musket_core's names."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from ..inference.prediction_datasets import Predictions
from ..storage.atomic import write_text
from ..storage.digests import digest, digest_of_file
from ..storage.regular_file import read_text
from ..storage.run_manifest import RunManifest
from .trainable import Trainable


class TableSource(Trainable, Protocol):
    """A config that can be asked for predictions."""

    def predictions(self, name: Any, fold: Any = None, stage: Any = None) -> Predictions:
        """Return predictions as a dataset."""
        ...

    def hasHoldout(self) -> bool:
        """Say whether a part of the dataset is held out."""
        ...


def write_tables(experiment: TableSource, folds: Sequence[int]) -> None:
    """Write the tables of the validation part of each fold and of the holdout, last stage, those that are not current.

    A table is made of predictions with a fingerprint and of a threshold; what it was made of, and its digest, stand in
    ``predictions/csv.json``, so that one that was edited or deleted is made again.

    Raises:
        UserError: The dataset's own ``encode`` fails, or a file cannot be written.
    """
    last, threshold = len(experiment.parts.settings.stages) - 1, experiment.parts.settings.inference.threshold
    asked: list[tuple[str, str, Any]] = [(f"validation{fold}.{last}", "validation", fold) for fold in folds]
    if experiment.hasHoldout():
        asked.append((f"holdout-{list(folds)}.{last}", "holdout", list(folds)))
    files = experiment.files
    notes = _read(experiment)
    for name, dataset, fold in asked:
        found = experiment.predictions(dataset, fold, last)
        for truth in (True, False):
            path = files.prediction_table(name, truth)
            mark = digest([getattr(found, "fingerprint", ""), threshold, truth])
            if path.exists() and notes.get(path.name) == [mark, digest_of_file(path)]:
                continue
            written = (path, files.prediction_tables)
            RunManifest(files).claim(one.relative_to(files.root).as_posix() for one in written)
            found.dump(path, threshold, truth)
            notes[path.name] = [mark, digest_of_file(path)]
            write_text(files.prediction_tables, json.dumps(notes, indent=1) + "\n")


def _read(experiment: Trainable) -> dict[str, Any]:
    try:
        notes = json.loads(read_text(experiment.files.prediction_tables))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}
