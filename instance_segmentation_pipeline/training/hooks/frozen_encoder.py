"""``FrozenEncoder``: an encoder that is not trained computes as it does when it predicts."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...models.learning_parts import FROZEN_KEY, encoders


class FrozenEncoder(Hook):
    """Keeps a frozen encoder's normalisation at its statistics, and its dropout off."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Put it into evaluation: the loop has put the whole model into training at the epoch's begin."""
        if not runner.cfg.get(FROZEN_KEY):
            return
        for encoder in encoders(getattr(runner.model, "module", runner.model)):
            if encoder.training:
                encoder.eval()
