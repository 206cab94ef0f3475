"""Small prediction stores: the detections that go in, the dataset they are for, and a store written of them."""

from instance_segmentation_pipeline.detection.detections import none_found
from instance_segmentation_pipeline.inference.prediction_store import PredictionStore, writing
from tests.support.datasets import Items, square
from tests.support.scenes import HEIGHT, WIDTH, found

ONE = found((0, 0.9, 3, 10, 21, 15), (1, 0.4, 30, 40, 39, 58))
NONE = none_found(HEIGHT, WIDTH, True)


def source(count=3):
    return Items([square(HEIGHT, WIDTH) for _ in range(count)])


def written(path, items=(ONE, NONE, ONE), fingerprint="a", dataset=None):
    store = PredictionStore(dataset or source(len(items)), path, "yxyx", fingerprint)
    with writing(store):
        for item in items:
            store.append(item)
    return store
