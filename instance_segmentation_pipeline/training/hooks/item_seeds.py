"""``ItemSeeds``: what data workers draw at random comes from the process that trains."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..item_seeds import draw_apart, seed_workers


class ItemSeeds(Hook):
    """Gives the training items of data workers their seeds; without workers the process draws for itself."""

    def before_train(self, runner: Runner) -> None:
        """Put the seeds into the sampler, once it is there."""
        seed_workers(runner.train_dataloader)
        draw_apart(runner.train_dataloader)
        if runner.val_loop is not None:
            draw_apart(runner.val_loop.dataloader)
