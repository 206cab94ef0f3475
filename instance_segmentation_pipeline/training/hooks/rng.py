"""``RandomStates``: the generators of random numbers of a resumed run."""

from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .. import rng_state


class RandomStates(Hook):
    """Lets a resumed run draw the random numbers that an uninterrupted one would have drawn.

    They are those of each process in the checkpoint that is gone on from; not used when there are more or fewer
    processes now.
    """

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.states: list[rng_state.States] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take the states of the checkpoint that a run goes on from."""
        states = checkpoint.get("meta", {}).get("random_states")
        self.states = None if states is None else list(states)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the generators, before the first epoch."""
        if self.states is not None and len(self.states) == get_world_size():
            rng_state.put(self.states[get_rank()])
        self.states = None
