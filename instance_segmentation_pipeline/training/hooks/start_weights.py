"""``StartWeights``: what a stage starts from."""

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...models.config_tree import is_pretrained, walk
from ...models.trained_weights import load_trained
from ...models.transfer import LoadReport, load_into
from ...text import printable
from ..job import TrainingJob


class StartWeights(Hook):
    """Puts the starting weights into the model, after the config's own initialisation."""

    priority = "VERY_HIGH"

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.report: LoadReport | None = None

    def before_train(self, runner: Runner) -> None:
        """Load them, unless the run is resumed."""
        if self.job.resume:
            return
        model = getattr(runner.model, "module", runner.model)
        _begin_without_offsets(model, self.job.config)
        if self.job.start is not None and self.job.policy is None:
            load_trained(model, self.job.start, self.job.train_dataset.metainfo["classes"])
            count = len(model.state_dict())
            runner.logger.info(printable(f"{self.job.start}: {count} of {count} tensors loaded"))
        elif self.job.start is not None:
            self.report = load_into(model, self.job.start, self.job.policy)
            runner.logger.info(printable(f"{self.job.start}: {self.report}"))
            if is_main_process():
                print(printable(f"  {self.job.label}: {self.job.start.name}: {self.report}"))  # noqa: T201


def _begin_without_offsets(model: torch.nn.Module, config: Config) -> None:
    """Let deformable convolutions that start at random begin as ordinary ones, as their constructors intend.

    MMDetection's random initialisation of a whole backbone draws their offsets too, and training then diverges.
    """
    pretrained = [path for path, node in walk(config.model) if is_pretrained(node)]
    for name, module in model.named_modules():
        if hasattr(module, "init_offset") and not any(name.startswith(path) for path in pretrained):
            module.init_offset()
