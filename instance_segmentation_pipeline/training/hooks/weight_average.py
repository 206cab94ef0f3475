"""``WeightAverage``: an average of a model's weights over the steps of its optimizer."""

from typing import Any

from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class WeightAverage(EMAHook):
    """MMEngine's ``EMAHook``, buffers included, updated when the optimizer has made a step, and not between.

    In step ``n`` the new weights have a share of ``max(momentum, warmup / (warmup + n))``, as ``MomentumAnnealingEMA``
    has it: the first steps, far from where the training ends, are forgotten. The averaged weights are those that are
    validated, saved and started from; the others, and how many steps were averaged, lie beside them in a checkpoint.

    Args:
        momentum: The share, between 0 and 1.
        warmup: How slowly the share falls to it; 0 for a share that does not change.
    """

    def __init__(self, momentum: float, warmup: int = 0) -> None:
        kind = {"ema_type": "MomentumAnnealingEMA", "gamma": warmup} if warmup else {}
        super().__init__(**{"ema_type": "ExponentialMovingAverage", **kind}, momentum=momentum, update_buffers=True)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Take the weights into the average, where they have changed."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper) or wrapper.should_update():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
