"""The YAML's ``augmentation`` and ``transforms`` as one value that datasets and nets are given."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...detection.arrays import UInt8Array
from ...detection.instances import Instances
from .augmentation import Augmentation, ColourTransforms
from .backgrounds import BackgroundReplacer
from .catalogue import all_of
from .declaration import Surroundings, built


@dataclass(frozen=True)
class ItemAugmenters:
    """What happens to items before the native pipeline.

    Attributes:
        augmentation: Of training items; ``None`` for nothing.
        transforms: Of all images, after it; ``None`` for nothing.
    """

    augmentation: "Augmentation | None" = None
    transforms: "ColourTransforms | None" = None

    def check_files(self) -> None:
        """Raise a ``ConfigError`` where a folder of backgrounds is missing, or has no images."""
        if self.augmentation is not None:
            for augmenter in all_of(self.augmentation.sequence):
                if isinstance(augmenter, BackgroundReplacer):
                    augmenter.find_files()

    def training_item(
        self, image: UInt8Array, instances: Instances, item_id: Any, seed: "int | None" = None
    ) -> tuple[UInt8Array, Instances]:
        """Return an item as it is trained on; what is random is decided by ``seed``.

        Without one it comes from NumPy's generator, whose state is in checkpoints: a resumed run draws what an
        uninterrupted one would have drawn.
        """
        if self.augmentation is not None:
            if seed is None:
                seed = int(np.random.randint(2**31 - 1000))  # noqa: NPY002 - seeded in each worker
            image, instances = self.augmentation(image, instances, seed, item_id)
        return self.image(image), instances

    def image(self, image: UInt8Array) -> UInt8Array:
        """Return an image as the net is shown it, in training and predicting alike."""
        return image if self.transforms is None else self.transforms(image)


def augmentation_of(declared: Any, around: Surroundings) -> "Augmentation | None":
    """Return what ``augmentation`` declares, ``None`` for nothing; see ``declaration.built``."""
    return None if declared is None else Augmentation(built(declared, "augmentation", around))


def transforms_of(declared: Any, around: Surroundings) -> "ColourTransforms | None":
    """Return what ``transforms`` declares, ``None`` for nothing; see ``declaration.built``."""
    return None if declared is None else ColourTransforms(built(declared, "transforms", around, True))


DECLARED = {"augmentation": augmentation_of, "transforms": transforms_of}
"""What builds each of the two properties."""

NOTHING = ItemAugmenters()
"""No augmentation, no transforms."""
