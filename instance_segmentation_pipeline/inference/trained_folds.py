"""What trained weights tell by themselves, where the dataset that they were trained on is not at hand."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ..models.checkpoints import BBOX_ORDER_KEY, classes_of, read_checkpoint
from ..storage.experiment_files import ExperimentFiles
from ..storage.run_manifest import stage_of


class TrainedFolds:
    """The folds and stages of an experiment whose best weights are on disk.

    Args:
        files: Names of the files of the experiment, or of each of its seeds.
    """

    def __init__(self, files: Sequence[ExperimentFiles]) -> None:
        self.files = list(files)

    def folds(self) -> tuple[int, ...]:
        """Return the folds of which any stage has weights, in order."""
        return tuple(sorted({number[0] for number in self._weights}))

    def class_names(self) -> "tuple[str, ...] | None":
        """Return the names of the classes that were trained, in label order; ``None`` where nothing is trained."""
        return None if self._first is None else classes_of(self._first)

    def bbox_order(self) -> "str | None":
        """Return ``yxyx`` or ``xyxy``, the order of the dataset's boxes; ``None`` where it is not told."""
        order = (self._first or {}).get("meta", {}).get(BBOX_ORDER_KEY)
        return order if order in ("yxyx", "xyxy") else None

    @cached_property
    def _weights(self) -> dict[tuple[int, int], Path]:
        found = {}
        for files in self.files:
            for path in sorted((files.root / "weights").glob("best-*.weights")):
                number = stage_of(path.relative_to(files.root).as_posix())
                if number is not None:
                    found[number] = path
        return found

    @cached_property
    def _first(self) -> "dict | None":
        return read_checkpoint(self._weights[min(self._weights)]) if self._weights else None
