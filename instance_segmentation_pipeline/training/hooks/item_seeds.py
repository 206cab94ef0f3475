"""``ItemSeeds``: what data workers draw at random comes from the process that trains."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..item_seeds import SeededSampler


class ItemSeeds(Hook):
    """Gives the training items of data workers their seeds; without workers the process draws for itself."""

    def before_train(self, runner: Runner) -> None:
        """Put the seeds into the sampler, once it is there."""
        loader = runner.train_dataloader
        if loader.num_workers and loader.batch_sampler is not None:
            loader.batch_sampler.sampler = SeededSampler(loader.batch_sampler.sampler)
