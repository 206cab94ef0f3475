"""Reading an item of a Musket dataset: its id, its image, and its objects, checked."""

from dataclasses import dataclass, replace

from ..detection.arrays import UInt8Array
from ..detection.instances import Instances, check_image, fits_only_swapped, from_musket
from ..detection.mask_crops import MaskCrops
from ..errors import DatasetError, UserError, one_line
from .protocols import Dataset, Item
from .training_members import train_item

MAX_REFETCH = 1000
"""How often another item is tried when a training pipeline rejects one, as in MMEngine's BaseDataset."""


@dataclass(frozen=True)
class ItemReader:
    """Reads and checks one item of a Musket dataset; the settings are those of ``instances.from_musket``."""

    classes: int
    bbox_order: str
    bbox_source: str
    needs_masks: bool

    def read(self, source: Dataset, index: int, *, training: bool = False) -> tuple[str, UInt8Array, Instances]:
        """Return id, image ``(height, width, 3)`` uint8 RGB and instances of item ``index``.

        Args:
            source: The dataset.
            index: Position of the item.
            training: Read the item that the dataset gives for training; see ``training_members.train_item``.

        Raises:
            DatasetError: The item cannot be read, or is not what it should be.
        """
        item = self.checked(source, index, training=training)
        return str(item.id), item.x, self.instances(item)

    def image(self, source: Dataset, index: int) -> tuple[str, UInt8Array]:
        """Return id and image of item ``index``, whose target may be missing.

        Raises:
            DatasetError: The item cannot be read, or its image is not what it should be.
        """
        item = self.checked(source, index)
        return str(item.id), item.x

    def checked(self, source: Dataset, index: int, *, training: bool = False) -> Item:
        """Return item ``index``, whose image is what it should be; ``training`` as for ``read``.

        Raises:
            DatasetError: It cannot be read, or its image is not what it should be.
        """
        item = self._item(source, index, training)
        check_image(item.x, item.id)
        return item

    def check_order(self, item: Item) -> None:
        """Raise a ``DatasetError`` when the boxes of an item fit its masks in the other coordinate order only."""
        if self.bbox_source == "dataset" and fits_only_swapped(item.y, self.bbox_order):
            other = "xyxy" if self.bbox_order == "yxyx" else "yxyx"
            raise DatasetError(
                f"item {item.id!r}: the bboxes fit the masks only when read as {other}, but bboxOrder is "
                f"{self.bbox_order}: set bboxOrder: {other}, or bboxSource: masks."
            )

    def instances(self, item: Item) -> Instances:
        """Return the instances of an item whose image was checked.

        Raises:
            DatasetError: They are not what they should be.
        """
        height, width = item.x.shape[:2]
        try:
            found = from_musket(
                item.y,
                height,
                width,
                classes=self.classes,
                bbox_order=self.bbox_order,
                bbox_source=self.bbox_source,
                needs_masks=self.needs_masks,
                item_id=item.id,
            )
            crowds = getattr(item, "crowds", None)
            if crowds is None:
                return found
            return replace(found, crowds=(crowds[0] - 1, MaskCrops.from_rles(crowds[1], height, width)))
        except UserError:
            raise
        except Exception as error:  # ragged lists, numbers beyond any type, arrays whose methods raise
            raise DatasetError(
                f"item {item.id!r}: y cannot be taken as arrays of labels, bboxes and masks ({one_line(error)[:300]})."
            ) from error

    @staticmethod
    def _item(source: Dataset, index: int, training: bool) -> Item:
        try:
            item = train_item(source, index) if training else source[index]
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            text = one_line(error)
            raise DatasetError(f"item {index} of the dataset cannot be read: {text}.") from error
        if item is None or not hasattr(item, "x") or not hasattr(item, "y"):
            raise DatasetError(f"item {index} of the dataset is a {type(item).__name__}, expected a PredictionItem.")
        return item
