"""Who tells the classes and the form of the boxes: the dataset, or what was trained on it, which needs none."""

from collections.abc import Callable
from typing import Any

from ..data.catalog import DatasetCatalog
from ..data.class_names import known_class_names
from ..data.item_reader import ItemReader
from ..errors import ConfigError
from ..inference.trained_folds import TrainedFolds


class ClassSource:
    """What is known of the dataset without its items.

    The dataset tells it once it was asked for; until then trained weights do, where there are any, so that inference
    needs no dataset. It is looked at anew on each question: what is trained meanwhile counts.

    Args:
        datasets: The datasets.
        trained: What is trained.
    """

    def __init__(self, datasets: DatasetCatalog, trained: Callable[[], TrainedFolds]) -> None:
        self.datasets, self._trained = datasets, trained
        self._named: tuple[Any, tuple[str, ...] | None] | None = None

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes; where nothing names them, ``class 1``, ``class 2``, …

        Raises:
            ConfigError: Nothing tells them, or ``classes`` is another number of them.
        """
        where, classes = self.datasets.paths.config, self.datasets.settings.classes
        dataset, trained = self._dataset(), self._trained()
        if self._named is None or self._named[0] is not dataset:
            self._named = dataset, known_class_names(dataset)
        known, whose = self._named[1], "the dataset names"
        if dataset is None:
            known, whose = trained.class_names(), f"the weights in {where.parent / 'weights'} have"
        if classes is None:
            if known is None:
                raise ConfigError(f"{where}: classes is missing, and the dataset does not name its CLASSES: give it.")
            return known
        if known is None:
            return tuple(f"class {number}" for number in range(1, classes + 1))
        if len(known) != classes:
            raise ConfigError(
                f"{where}: classes is {classes}, but {whose} {len(known)} CLASSES "
                f"({', '.join(known[:5])}): make them agree, or leave classes out."
            )
        return known

    def reader(self, needs_masks: bool) -> ItemReader:
        """Return how items of the dataset are read; ``needs_masks`` says that a model learns masks."""
        settings, dataset = self.datasets.settings, self._dataset()
        order = "xyxy" if self.datasets.gives_xyxy() else "yxyx"
        if dataset is None:
            order = self._trained().bbox_order() or order
        return ItemReader(
            classes=len(self.class_names()),
            bbox_order=settings.bbox_order or order,
            bbox_source=settings.bbox_source or "dataset",
            needs_masks=needs_masks,
        )

    def _dataset(self) -> Any:
        """Return the dataset if it was asked for; where weights do not tell what only it knows, it is asked now."""
        datasets = self.datasets
        if datasets.known is None and datasets.settings.dataset is not None:
            trained = self._trained()
            if trained.class_names() is None or (trained.bbox_order() or datasets.settings.bbox_order) is None:
                return datasets.main()
        return datasets.known
