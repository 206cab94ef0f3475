"""The tray between the coins: images without objects, to be added to what trains."""

import cv2
import numpy as np
from coins import between_coins, instances
from musket_core.datasets import DataSet, PredictionItem, dataset_provider
from skimage import data

WINDOW = 28


class Trays(DataSet):
    """Enlarged windows of the photograph that no coin reaches into, of the part that fold 0 trains on."""

    def __init__(self, count: int, size: int, seed: int):
        super().__init__()
        self.photograph = cv2.cvtColor(data.coins(), cv2.COLOR_GRAY2RGB)
        self.size = size
        numbered = instances(data.coins())
        taken = cv2.boxFilter((numbered > 0).astype(np.float32), -1, (WINDOW, WINDOW), anchor=(0, 0), normalize=False)
        free = taken[: -WINDOW or None, : between_coins(numbered) - WINDOW] < 0.5
        corners = np.argwhere(free)
        self.corners = np.random.default_rng(seed).choice(corners, count)

    def __len__(self):
        return len(self.corners)

    def meta(self):
        return {"CLASSES": ["coin"]}

    def isPositive(self, item):
        return False

    def __getitem__(self, item):
        y, x = (int(value) for value in self.corners[item])
        window = self.photograph[y : y + WINDOW, x : x + WINDOW]
        image = cv2.resize(window, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        nothing = np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros((0, self.size, self.size), bool)
        return PredictionItem(f"tray-{x}-{y}", image, nothing)


@dataset_provider()
def get_trays(count: int = 80, size: int = 160, seed: int = 0) -> DataSet:
    return Trays(count, size, seed)
