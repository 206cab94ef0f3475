"""Generated images of discs, squares and triangles: a multi-class dataset that needs no files."""

import cv2
import numpy as np
from musket_core.datasets import DataSet, PredictionItem, dataset_provider

NAMES = ["disc", "square", "triangle"]


class Shapes(DataSet):
    """``count`` images of ``size`` x ``size`` pixels, each made from its number alone."""

    def __init__(self, count: int, size: int, seed: int):
        super().__init__()
        self.count, self.size, self.seed = count, size, seed

    def __len__(self):
        return self.count

    def meta(self):
        return {"CLASSES": NAMES}

    def __getitem__(self, item):
        if not 0 <= item < self.count:
            raise IndexError(f"shape {item} of {self.count}")
        random = np.random.default_rng((self.seed, item))
        image = np.full((self.size, self.size, 3), random.integers(0, 90, 3), np.uint8)
        labels, masks = [], []
        for _ in range(random.integers(0, 4)):
            label = int(random.integers(1, 4))
            mask = self._draw(label, random)
            masks = [previous & ~mask for previous in masks]
            labels, masks = [*labels, label], [*masks, mask]
            image[mask] = random.integers(120, 256, 3)
        seen = [number for number, mask in enumerate(masks) if mask.sum() > 30]
        masks = np.array([masks[number] for number in seen]).reshape(-1, self.size, self.size).astype(bool)
        labels = np.array([labels[number] for number in seen], np.int64)
        return PredictionItem(f"shape{item}", image, (labels, boxes(masks), masks))

    def _draw(self, label, random):
        """Return the mask ``(size, size)`` bool of a shape of a class, at a random place."""
        mask = np.zeros((self.size, self.size), np.uint8)
        radius = int(random.integers(self.size // 9, self.size // 4))
        x, y = (int(value) for value in random.integers(radius, self.size - radius, 2))
        if NAMES[label - 1] == "disc":
            cv2.circle(mask, (x, y), radius, 1, -1)
        elif NAMES[label - 1] == "square":
            cv2.rectangle(mask, (x - radius, y - radius), (x + radius, y + radius), 1, -1)
        else:
            corners = [(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)]
            cv2.fillPoly(mask, [np.array(corners, np.int32)], 1)
        return mask.astype(bool)


def boxes(masks):
    """Return ``(N, 4)`` tight boxes ``[minY, minX, maxY, maxX]`` of ``(N, height, width)`` masks."""
    result = np.zeros((len(masks), 4), np.float32)
    for number, mask in enumerate(masks):
        rows, columns = np.where(mask)
        result[number] = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    return result


@dataset_provider()
def get_shapes(count: int = 60, size: int = 64, seed: int = 0) -> DataSet:
    return Shapes(count, size, seed)
