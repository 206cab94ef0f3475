"""``AugmentationPlan``: what ``augmentation`` and ``transforms`` declare, built for an experiment."""

from functools import cached_property
from pathlib import Path
from typing import Any

from ..config.settings import AugmentationSettings
from ..data.augmentation.augmentation import Augmentation, ColourTransforms
from ..data.augmentation.declaration import Surroundings
from ..data.augmentation.properties import ItemAugmenters, augmentation_of, transforms_of
from ..data.catalog import DatasetCatalog


class AugmentationPlan:
    """Builds each of the two when it is first asked for.

    Args:
        settings: The declarations.
        base: Folder of the YAML, the first that relative paths are looked for in.
        datasets: The datasets, in whose project further augmenters are.
    """

    def __init__(self, settings: AugmentationSettings, base: Path, datasets: DatasetCatalog) -> None:
        self._settings = settings
        folders = dict.fromkeys((base, datasets.paths.project, datasets.paths.data))
        self._around = Surroundings(tuple(folders), datasets.modules)

    @cached_property
    def augmentation(self) -> "Augmentation | None":
        """What training items go through.

        Raises:
            ConfigError: It declares what there is not, or what masks cannot follow.
        """
        return augmentation_of(self._settings.augmentation, self._around)

    @cached_property
    def transforms(self) -> "ColourTransforms | None":
        """What all images go through.

        Raises:
            ConfigError: It declares what there is not, or what moves pixels.
        """
        return transforms_of(self._settings.transforms, self._around)

    def both(self) -> ItemAugmenters:
        """Return what items go through before the native pipeline."""
        return ItemAugmenters(self.augmentation, self.transforms)

    def of(self, key: str) -> Any:
        """Return what one of the two properties declares."""
        return self.augmentation if key == "augmentation" else self.transforms
