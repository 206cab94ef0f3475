"""``EpochSampler``: the items of an epoch, drawn anew for each from the seed, and shared out to the processes."""

import math
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ..data.epoch_items import EpochItems
from ..errors import ConfigError, shortened


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler[int]):
    """Shows the items that ``dataset.epoch_items`` draws, each process its share.

    What an epoch shows follows from seed, stream and the epoch's number alone, so that a run that is resumed shows the
    same. Every process draws all of it; where the number of items does not divide, the first ones come twice.

    Args:
        dataset: A dataset with ``epoch_items``, an ``EpochItems``.
        seed: The same in every process.
        stream: Numbers that tell draws of one seed apart, such as those of fold and stage.
    """

    def __init__(self, dataset: Any, seed: "int | None" = None, stream: Sequence[int] = ()) -> None:
        rank, world_size = get_dist_info()
        self.rank, self.world_size = int(rank), int(world_size)
        self.items: EpochItems = dataset.epoch_items
        self.dataset: Sized = dataset
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.stream = [int(number) for number in stream]
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, *self.stream, self.epoch])
        drawn = self.items.drawn(generator)
        total = len(self) * self.world_size
        return iter(np.resize(drawn, total)[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        return math.ceil(len(self.items) / self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Draw for this epoch from now on; MMEngine says which one begins."""
        self.epoch = epoch


def set_sampler(config: Config, items: "EpochItems | None", stream: Sequence[int]) -> None:
    """Let a training dataloader show what is drawn for each epoch; ``None`` leaves it as it is.

    Args:
        config: The config of a stage; it is changed.
        items: What an epoch draws.
        stream: As ``EpochSampler`` takes it.

    Raises:
        ConfigError: The config has a sampler of its own.
    """
    if items is None:
        return
    check_sampler(config)
    config.train_dataloader.sampler = ConfigDict(type="EpochSampler", stream=list(stream))


def check_sampler(config: Config) -> None:
    """Raise a ``ConfigError`` for a config with a sampler of its own, beside which no other can choose the items."""
    sampler = config.train_dataloader.sampler
    kind = str(getattr(sampler.type, "__name__", sampler.type))
    if kind != "DefaultSampler" or not sampler.get("shuffle", True):
        raise ConfigError(
            f"configOptions: train_dataloader.sampler is {shortened(dict(sampler))}, but negatives, maxEpochSize and "
            "the dataset's sample_weight choose the items of an epoch themselves: leave one of the two out."
        )
