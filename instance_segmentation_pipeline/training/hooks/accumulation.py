"""``WholeEpochs``: gradients that are accumulated make a step at the end of each epoch at the latest."""

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner


class WholeEpochs(Hook):
    """Counts the batches whose gradients make a step anew in each epoch.

    MMEngine counts over the whole training, so that gradients are pending where an epoch is validated and its
    checkpoint is written, which does not keep them. The last step of an epoch is of the batches that are left, with the
    mean of their gradients.

    Args:
        accumulation: How many batches make a step.
    """

    def __init__(self, accumulation: int) -> None:
        self.accumulation = accumulation

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin to count."""
        wrapper = runner.optim_wrapper
        if self.accumulation > 1 and isinstance(wrapper, OptimWrapper):
            wrapper.initialize_count_status(runner.model, 0, len(runner.train_dataloader))
