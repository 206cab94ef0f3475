"""``BackgroundReplacer``: the objects of an image before another background."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from imgaug import augmenters as iaa
from imgaug import parameters as iap

from ...detection.arrays import UInt8Array
from ...errors import ConfigError, DatasetError
from ..image_file import read_image
from ..image_folder import Directory


class BackgroundReplacer(iaa.Augmenter):
    """Keeps the pixels of all objects and takes all others from an image of a folder, resized to fit.

    Args:
        path: Folder of images; all are uint8 RGB once read.
        rate: Share of items that keep their own background.
        erosion: Pixels by which objects are shrunk when they are cut out, so that nothing of their old background
            stays around them; a tuple is a range. Their masks stay as they are.
        augmenters: Applied to image and masks before, where the background is replaced.
    """

    def __init__(
        self, path: Path, rate: float = 0.5, erosion: Any = 0, augmenters: "Sequence[iaa.Augmenter] | None" = None
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.rate = iap.handle_continuous_param(rate, "rate", (0, 1), False, False)
        self.erosion = iap.handle_discrete_param(erosion, "erosion", (0, 1000), True, True, False)
        self.augmenters = iaa.Sequential(list(augmenters or []))
        self.files: tuple[Path, ...] = ()

    def find_files(self) -> None:
        """List the folder.

        Raises:
            ConfigError: There is no such folder, or there is no image in it.
        """
        try:
            self.files = tuple(Directory(self.path).files)
        except DatasetError as error:
            raise ConfigError(f"BackgroundReplacer.path: {error}") from None

    def _augment_batch_(self, batch: Any, random_state: Any, parents: list[Any], hooks: Any) -> Any:
        if not batch.nb_rows or float(random_state.uniform(0, 1)) < float(self.rate.draw_sample(random_state)):
            return batch
        if not self.files:
            self.find_files()
        number = int(random_state.integers(0, len(self.files)))
        erosion = int(self.erosion.draw_sample(random_state))
        batch = self.augmenters.augment_batch_(batch, parents=[*parents, self], hooks=hooks)
        if batch.images is not None:
            objects = hooks.objects()
            if erosion:
                objects = cv2.erode(objects, np.ones((erosion, erosion), np.uint8))
            batch.images[0] = self._before(batch.images[0], objects != 0, number)
        return batch

    def _before(self, image: UInt8Array, objects: UInt8Array, number: int) -> UInt8Array:
        file = self.files[number]
        try:
            background = read_image(file).pixels
        except DatasetError as error:
            raise DatasetError(f"the background {file} {error}: mend it, or take it out of its folder.") from None
        height, width = image.shape[:2]
        shrinks = background.shape[0] * background.shape[1] > height * width
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        replaced: UInt8Array = cv2.resize(background, (width, height), interpolation=method)
        replaced[objects] = image[objects]
        return replaced

    def _to_deterministic(self) -> "BackgroundReplacer":
        made: BackgroundReplacer = self.copy()
        made.augmenters = self.augmenters.to_deterministic()
        made.deterministic = True
        made.random_state = self.random_state.derive_rng_()
        return made

    def get_parameters(self) -> list[Any]:
        """Return the parameters, as imgaug asks for them."""
        return [self.rate, self.erosion]

    def get_children_lists(self) -> list[Any]:
        """Return the lists of augmenters inside."""
        return [self.augmenters]
