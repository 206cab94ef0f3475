"""A built model as it is trained: what a stage's config says of it besides its parts."""

from typing import TypeVar

import torch
from mmengine.config import Config

from .built_model import complete
from .learning_parts import FROZEN_KEY, freeze
from .memory_format import CHANNELS_LAST_KEY, lay_channels_last
from .reduced_precision import WRAPPER, let_reduce

Model = TypeVar("Model", bound=torch.nn.Module)


def ready_to_train(model: Model, config: Config) -> Model:
    """Return a built model, completed: frozen, laid out in memory and reduced in precision as its stage's config says.

    It is for before the model is wrapped for several devices, and before its optimizer is built.
    """
    if config.get(FROZEN_KEY):
        freeze(model)
    completed = complete(model)
    if config.get(CHANNELS_LAST_KEY):
        lay_channels_last(completed)
    if config.optim_wrapper.get("type") == WRAPPER:
        let_reduce(completed)
    return completed
