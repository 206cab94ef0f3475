"""Evaluating trained weights on a dataset: the model of a finished config, one pass, COCO metrics."""

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader
from tqdm import tqdm

from .checkpoints import load_into
from .metrics import InstanceMetric
from .mmdet_parts import MODELS, complete


def load_detector(config: Config, weights: Path, device: str = "cpu") -> Any:
    """Return MMDetection's detector of a finished config with trained weights, ready to predict.

    Raises:
        WeightsError: The weights are missing, damaged or of another model.
    """
    init_default_scope(config.default_scope)
    model = copy.deepcopy(config.model)
    detector = complete(MODELS.build(model))
    load_into(detector, weights)
    return detector.to(device).eval()


@torch.no_grad()
def evaluate(detector: Any, dataset: Any, batch_size: int, with_masks: bool, description: str) -> dict:
    """Return ``metrics.coco_metrics`` of a detector on a ``MusketDetectionDataset`` made for validation."""
    metric = InstanceMetric(with_masks=with_masks)
    metric.dataset_meta = dataset.metainfo
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=pseudo_collate)
    for batch in tqdm(loader, description, leave=False, disable=None):
        data = detector.data_preprocessor(batch, False)
        samples = detector(**data, mode="predict")
        metric.process(batch, [sample.to_dict() for sample in samples])
    return dict(metric.compute_metrics(metric.results))
