"""``StageRunner``: MMEngine's Runner made quiet, and what it leaves behind in the process cleared away."""

import contextlib
import logging
import shutil
import sysconfig
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict
from mmengine.utils import ManagerMixin
from mmengine.visualization import Visualizer

from ..errors import WeightsError
from ..models.checkpoints import Checkpoint, read_checkpoint
from ..models.memory_format import settle_state
from ..models.trained_weights import check_trained
from ..models.training_model import ready_to_train
from .kept_features import keeping_features


class StageRunner(Runner):
    """MMEngine's Runner with its log in the file only; the console belongs to our progress line.

    Attributes:
        longer: The run that is resumed was made for fewer epochs: its schedulers are those of this run, put to the
            iteration where it goes on. MMEngine would give them back their former length.
        class_names: What a checkpoint that is gone on from must have been trained for.
    """

    longer = False
    class_names: Sequence[str] = ()

    def resume(self, filename: str, *arguments: Any, **options: Any) -> None:
        """Go on from a checkpoint."""
        self._resume_from(filename, *arguments, **options)
        wrappers = self.optim_wrapper.values() if isinstance(self.optim_wrapper, dict) else [self.optim_wrapper]
        for wrapper in wrappers:
            settle_state(wrapper.optimizer)

    def _resume_from(self, filename: str, *arguments: Any, **options: Any) -> None:
        schedulers = self.param_schedulers or []
        if not self.longer or any(getattr(scheduler, "need_val_args", False) for scheduler in schedulers):
            super().resume(filename, *arguments, **options)  # one driven by a metric has no length
            return
        begun = [_rates(scheduler) for scheduler in schedulers]
        super().resume(filename, *arguments, **{**options, "resume_param_scheduler": False})
        for scheduler, rates in zip(schedulers, begun, strict=True):
            for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):  # others than before
                group.update(rate)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `scheduler.step")
            for _ in range(self.iter):
                for scheduler in schedulers:
                    scheduler.step()

    def build_model(self, model: Any) -> torch.nn.Module:
        """Return the built model, ready to train."""
        built: torch.nn.Module = super().build_model(keeping_features(model))
        return ready_to_train(built, self.cfg)

    def wrap_model(self, model_wrapper_cfg: Any, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model ready to train; what synchronises normalisation between devices does so on GPUs only."""
        if not torch.cuda.is_available():
            model = revert_sync_batchnorm(model)
        wrapped: torch.nn.Module = super().wrap_model(model_wrapper_cfg, model)
        return wrapped

    def load_checkpoint(self, filename: str, *_: Any, **__: Any) -> Checkpoint:
        """Load the checkpoint that a run is resumed from; what it holds is data, and ``meta.config`` is not run.

        Raises:
            WeightsError: It cannot be read, is of another model or other classes, or lacks what is gone on from.
        """
        checkpoint = read_checkpoint(Path(filename))
        meta = checkpoint.get("meta")
        missing = [name for name in ("state_dict", "optimizer", "message_hub") if name not in checkpoint]
        if not isinstance(meta, dict) or not all(type(meta.get(name)) is int for name in ("epoch", "iter")) or missing:
            raise WeightsError(
                f"{filename} cannot be gone on from: it lacks {', '.join(missing) or 'the epoch and iteration'}: "
                "delete it to train that stage anew."
            )
        model = getattr(self.model, "module", self.model)
        assert isinstance(model, torch.nn.Module)
        check_trained(checkpoint, Path(filename), model, self.class_names)
        meta.pop("config", None)  # Runner.resume would execute it, to compare the number of GPUs
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        load_state_dict(model, checkpoint["state_dict"], strict=False)
        self._has_loaded = True
        return checkpoint

    def build_logger(self, log_level: Any = "INFO", log_file: "str | None" = None, **options: Any) -> MMLogger:
        """Return MMEngine's logger with its console handler silenced below errors."""
        logger = super().build_logger(log_level, log_file, **options)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.ERROR)
        return logger

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Log the environment; where no compiler is found nothing is said on the terminal."""
        with _quiet_without_compiler():
            super()._log_env(env_cfg)


@contextlib.contextmanager
def _quiet_without_compiler() -> Iterator[None]:
    """MMEngine runs Python's own compiler in a shell to ask its version: ``sh: gcc: not found`` where there is none.

    ``false`` stands for it then, whose status MMEngine logs as ``GCC: n/a``, as it does for the missing one.
    """
    variables = sysconfig.get_config_vars()
    command = variables.get("CC")
    if not command or shutil.which(Path(command.split()[0]).name):
        yield
        return
    variables["CC"] = "false"
    try:
        yield
    finally:
        variables["CC"] = command


def _rates(scheduler: Any) -> list[dict[str, Any]]:
    """Return the hyperparameters of a scheduler's parameter groups, as they are now."""
    return [
        {key: value for key, value in group.items() if key != "params"} for group in scheduler.optimizer.param_groups
    ]


def experiment_name() -> str:
    """Return a name that no other Runner of this process has: MMEngine's own has the second of the day only."""
    return f"musket-{uuid.uuid4().hex}"


class _Forgetting(ManagerMixin):
    """Reaches what MMEngine keeps of the instances of a class by name, for ever, as its subclasses can."""

    @classmethod
    def forget(cls, name: str) -> list[Any]:
        """Forget the instances whose names begin with ``name``; return them."""
        kept = super()._instance_dict  # that of the class beside this one
        return [kept.pop(key) for key in list(kept) if key.startswith(name)]


class _Loggers(_Forgetting, MMLogger):
    pass


class _MessageHubs(_Forgetting, MessageHub):
    pass


class _Visualizers(_Forgetting, Visualizer):
    pass


@contextlib.contextmanager
def forget_afterwards(name: str) -> Iterator[None]:
    """Close and forget the logger, message hub and visualizer that MMEngine keeps for ever under ``name``."""
    try:
        yield
    finally:
        _MessageHubs.forget(name)
        _Visualizers.forget(name)
        for logger in _Loggers.forget(name):
            for handler in list(logger.handlers):
                handler.close()
                logger.removeHandler(handler)
