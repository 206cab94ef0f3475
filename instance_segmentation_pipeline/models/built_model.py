"""A model as MMDetection's registry built it, made whole."""

from typing import TypeVar

import torch

from . import fine_masks as fine_masks  # the registry knows its head from here on
from .faster_parts import make_faster
from .mmdet_compat import BaseDenseHead

Model = TypeVar("Model", bound=torch.nn.Module)


def complete(model: Model) -> Model:
    """Return a built model with what MMDetection's own code expects of it and one head leaves out, and faster.

    ``BaseDenseHead`` asks for ``loss_cls`` when it predicts; ``SSDHead`` has none.
    """
    for module in model.modules():
        if isinstance(module, BaseDenseHead) and not hasattr(module, "loss_cls"):
            module.loss_cls = None
    return make_faster(model)
