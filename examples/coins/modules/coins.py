"""Greek coins on a tray: instances found in the photograph that ships inside scikit-image.

The photograph is cut at one column in two parts that share no pixel. Each part gives crops at random places to
train on, and crops on a grid to validate on; fold 0 trains on the left part and validates on the right one, fold 1
the other way round.
"""

import cv2
import numpy as np
from musket_core.datasets import DataSet, PredictionItem, dataset_provider
from scipy import ndimage
from skimage import data, filters, segmentation

CROP = 130


def instances(photograph):
    """Return ``(height, width)`` int: 0 for the tray, 1, 2, … for the coins; by edges, markers and watershed."""
    markers = np.zeros(photograph.shape, int)
    markers[photograph < 30] = 1
    markers[photograph > 150] = 2
    coins = segmentation.watershed(filters.sobel(photograph), markers) == 2
    numbered, _ = ndimage.label(ndimage.binary_fill_holes(coins))
    sizes = np.bincount(numbered.ravel())
    numbered[np.isin(numbered, np.flatnonzero(sizes < 200))] = 0
    return numbered


def between_coins(numbered):
    """Return the column near the middle that cuts the fewest pixels of coins."""
    middle = numbered.shape[1] // 2
    return min(range(middle - 30, middle + 30), key=lambda column: np.count_nonzero(numbered[:, column]))


class Coins(DataSet):
    """Square crops of the photograph; ``folds`` tells musket_core what trains and what validates."""

    def __init__(self, train_crops: int, size: int, seed: int):
        super().__init__()
        self.photograph = cv2.cvtColor(data.coins(), cv2.COLOR_GRAY2RGB)
        self.numbered = instances(data.coins())
        self.size = size
        cut = between_coins(self.numbered)
        parts = [(0, cut), (cut, self.numbered.shape[1])]
        random = np.random.default_rng(seed)
        self.crops, train, validation = [], [], []
        for part in parts:
            train.append(self._add([self._somewhere(part, random) for _ in range(train_crops)]))
            validation.append(self._add(self._grid(part)))
        self.folds = [(train[0], validation[1]), (train[1], validation[0])]

    def __len__(self):
        return len(self.crops)

    def meta(self):
        return {"CLASSES": ["coin"]}

    def __getitem__(self, item):
        x, y = self.crops[item]
        window = np.s_[y : y + CROP, x : x + CROP]
        numbered = self.numbered[window]
        masks = np.array([numbered == number for number in np.unique(numbered) if number], bool)
        masks = masks.reshape(-1, *numbered.shape)
        masks = masks[masks.sum(axis=(1, 2)) > 60]
        image = cv2.resize(self.photograph[window], (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        masks = [cv2.resize(m.astype(np.uint8), (self.size, self.size), interpolation=cv2.INTER_NEAREST) for m in masks]
        masks = np.array(masks, bool).reshape(-1, self.size, self.size)
        return PredictionItem(f"coins-{x}-{y}", image, (np.ones(len(masks), np.int64), boxes(masks), masks))

    def _add(self, corners):
        first = len(self.crops)
        self.crops.extend(corners)
        return list(range(first, len(self.crops)))

    def _somewhere(self, part, random):
        x, y = random.integers(part[0], part[1] - CROP + 1), random.integers(0, len(self.numbered) - CROP + 1)
        return int(x), int(y)

    def _grid(self, part):
        xs = np.linspace(part[0], part[1] - CROP, 3).round().astype(int)
        ys = np.linspace(0, len(self.numbered) - CROP, 4).round().astype(int)
        return [(int(x), int(y)) for y in ys for x in xs]


def boxes(masks):
    """Return ``(N, 4)`` tight boxes ``[minY, minX, maxY, maxX]`` of ``(N, height, width)`` masks."""
    result = np.zeros((len(masks), 4), np.float32)
    for number, mask in enumerate(masks):
        rows, columns = np.where(mask)
        result[number] = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    return result


@dataset_provider()
def get_coins(train_crops: int = 160, size: int = 160, seed: int = 0) -> DataSet:
    return Coins(train_crops, size, seed)
