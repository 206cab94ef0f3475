"""Steps for ``preprocessing``: light made even for every image, and a lens out of focus for training alone."""

import cv2
import numpy as np
from musket_core import preprocessing


@preprocessing.dataset_preprocessor
def even_light(image, sigma: float = 30, strength: float = 1):
    """Take out of an image what changes slowly over it: the lamp, not the coins."""
    light = cv2.GaussianBlur(image, (0, 0), sigma).astype(np.float32)
    even = image - strength * (light - light.mean())
    return np.clip(even, 0, 255).astype(np.uint8)


@preprocessing.dataset_preprocessor
def out_of_focus(image, sigma: float = 1.5):
    return cv2.GaussianBlur(image, (0, 0), sigma)
