"""``train_detector``: MMEngine's Runner over one stage of one fold, in this process.

MMDetection 1.x and 2.x had a function of this name; it drives MMEngine's Runner here. What is trained (a
``TrainingJob``) is kept apart from where (``launch``).
"""

import errno
import re
import sys
import traceback
import warnings
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..errors import TrainingError, UserError, one_line
from ..models.checkpoints import BBOX_ORDER_KEY, last_checkpoint, reading_for
from ..models.missing_operators import naming_config
from ..models.optimization import accumulation_of
from ..storage.atomic import write_text, write_yaml
from . import coco_metric, samplers, validation_loop  # noqa: F401 - they register what a prepared config names
from .callbacks.base import LearningRates, RunningStage
from .callbacks.hook import STATES_KEY, CallbackDecisions, CallbackMoments, StageCallbacks
from .decided import HEADER, decided_of
from .hooks import weight_average  # noqa: F401 - it registers what a prepared config names
from .hooks.accumulation import WholeEpochs
from .hooks.batch_log import BatchLog
from .hooks.checkpoint import WeightsKeeper
from .hooks.csv_logger import TrainingLog
from .hooks.examples import SamplePictures
from .hooks.frozen_encoder import FrozenEncoder
from .hooks.item_seeds import ItemSeeds
from .hooks.loss_check import LossWatch
from .hooks.progress import ProgressLine
from .hooks.rng import RandomStates
from .hooks.stage_end import EndTogether, StageEnd
from .hooks.start_weights import StartWeights
from .hooks.time_limit import StopAfter
from .hooks.tracking import Tracking
from .hooks.training_pictures import TrainingPictures
from .job import TrainingJob, TrainingResult
from .runner import StageRunner, experiment_name, forget_afterwards
from .stage_settings import META_KEY
from .worker_memory import is_about_shared_memory, sentence_about


def train_detector(job: TrainingJob, device: str = "cpu") -> TrainingResult:
    """Train one stage of one fold.

    Args:
        job: What to train.
        device: ``cpu`` or ``cuda:<n>``.

    Returns:
        The metrics of each epoch.

    Raises:
        UserError: The data, the weights or the loss do not let it go on.
    """
    name = experiment_name()
    init_default_scope(job.config.default_scope)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    if is_main_process():
        _prepare_files(job, device)
    barrier()
    watch = LossWatch(job.label)
    log = TrainingLog(job.files.metrics, watch)
    kept = {META_KEY: dict(job.settings), BBOX_ORDER_KEY: job.train_dataset.reader.bbox_order}
    stop = StopAfter(job.expired or (lambda: False))
    end = StageEnd()
    keeper = WeightsKeeper(
        job.files, log, job.primary_metric, kept, lambda: stop.stopped, end, lambda: {STATES_KEY: callbacks.states()}
    )
    progress = ProgressLine(job.label, job.primary_metric, keeper, log, job.terminal, job.verbose)
    callbacks, of_mmengine = _callbacks(job, end, progress)
    hooks: list[Hook] = [watch, log, keeper, SamplePictures(job.files, job.val_dataset, job.threshold), stop, progress]
    hooks += [CallbackMoments(callbacks), CallbackDecisions(callbacks, log), end, *of_mmengine]
    hooks += _asked_for(job, log)
    with forget_afterwards(name), warnings.catch_warnings(), reading_for(job.config):
        for known in (
            "torch.meshgrid",
            "`broadcast_buffers` is deprecated",
            "Setting MKL_NUM_THREADS",
            "Detected call of `scheduler.step",
        ):
            warnings.filterwarnings("ignore", message=known)  # of MMDetection's and MMEngine's own code
        try:
            runner = _runner(job, name, device)
            for hook in [
                StartWeights(job),
                *hooks,
                ItemSeeds(),
                WholeEpochs(accumulation_of(job.config)),
                FrozenEncoder(),
                RandomStates(),
                EndTogether(),
            ]:
                runner.register_hook(hook, priority=getattr(hook, "priority", "NORMAL"))
            with naming_config(job.config):
                runner.train()
        except UserError:
            raise
        except (RuntimeError, OSError, ValueError) as error:
            told = _told(error, device)
            if told is None:
                raise
            raise TrainingError(f"{job.label}: {told}") from error
        finally:
            progress.close()
    return TrainingResult(log.rows, stop.stopped)


def _asked_for(job: TrainingJob, log: TrainingLog) -> list[Hook]:
    """Return the hooks that write what properties of the YAML ask for."""
    hooks: list[Hook] = []
    if job.logs_batches:
        hooks.append(BatchLog(job.files.batches, job.label, job.terminal))
    if job.tracked is not None:
        hooks.append(Tracking(job.tracked, log, job.files))
    if job.shows_data:
        hooks.append(TrainingPictures(job.files.training_example(0), job.train_dataset.metainfo["classes"]))
    return hooks


def _callbacks(job: TrainingJob, end: StageEnd, progress: ProgressLine) -> tuple[StageCallbacks, list[Hook]]:
    """Return the stage's callbacks, and those of them that are MMEngine's hooks."""
    rates = LearningRates(float(job.config.optim_wrapper.optimizer.get("lr") or 0))
    stage = RunningStage(job.label, job.config.train_cfg.max_epochs, rates, end, progress.note)
    made, of_mmengine = job.callbacks.make(job.files)
    owner = job.callbacks.owner
    by_project = owner is not None and not owner.declared.is_built_in
    if owner is not None:
        stage.may_set_rate.add(owner.declared.name)
    return StageCallbacks(made, stage, by_project), of_mmengine


def _prepare_files(job: TrainingJob, device: str) -> None:
    """Remove the weights of an earlier start of the stage, unless it is resumed; write its config, and what it is."""
    if not job.resume:
        for path in (job.files.best_weights, job.files.last_weights, job.files.previous_weights):
            path.unlink(missing_ok=True)
    write_text(job.files.model_config, _laid_out(job.config))
    write_yaml(job.files.decided, decided_of(job, device), HEADER)


def _told(error: Exception, device: str) -> "str | None":
    """Return the sentence about an error that the user can do something about, ``None`` for all others."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"the memory of {device} ran out ({one_line(error)[:120]}): lower imagesPerGpu or shape, or set amp: true."
        )
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
        return (
            "a BatchNorm was given one value a channel, of which it can take no statistics "
            f"({one_line(error)[:120]}): set imagesPerGpu to 2 or more, and train_dataloader.drop_last: true by "
            "configOptions where the last batch of an epoch holds one image."
        )
    return _of_workers(error) if isinstance(error, (RuntimeError, OSError)) else None


def _of_workers(error: BaseException) -> "str | None":
    """Return the sentence about data workers that died or could not start, ``None`` for all other errors."""
    text = str(error)
    if is_about_shared_memory(error):
        return sentence_about(error)
    if isinstance(error, OSError) and _while_starting(error):
        if error.errno in (errno.ENOSPC, errno.ENOENT, errno.EACCES):  # semaphores lie in shared memory
            return sentence_about(error)
        return f"the data workers cannot be started ({one_line(error)[:160]}): lower workersPerGpu; 0 needs none."
    if re.search(r"DataLoader worker \(pid|DataLoader timed out", text):
        return (
            f"a data worker is gone ({one_line(error)[:160]}): if nobody killed it, the memory ran out: lower "
            "workersPerGpu and go on with --allow_resume true, or lower imagesPerGpu or shape and train anew."
        )
    return None


def _while_starting(error: BaseException) -> bool:
    """Say whether an error was raised while data workers were started; torch's half-made loader is put to rest."""
    loaders = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    if not any(type(loader).__name__ == "_MultiProcessingDataLoaderIter" for loader in loaders):
        return False
    told = sys.unraisablehook

    def tell(found: Any) -> None:
        if not isinstance(found.exc_value, AttributeError):
            told(found)

    sys.unraisablehook = tell  # torch's __del__ asks for what its __init__ did not come to make
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = told
    return True


def _runner(job: TrainingJob, name: str, device: str) -> Runner:
    config = job.config
    config.experiment_name = name
    config.work_dir = str(job.files.logs)
    distributed = is_distributed()
    config.randomness = {"seed": job.seed, "diff_rank_seed": distributed}
    config.train_dataloader.sampler.seed = job.seed
    if distributed:
        config.launcher = "pytorch"
        wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "find_unused_parameters": True}
        index = torch.device(device).index
        config.model_wrapper_cfg = {**wrapper, "device_ids": None if index is None else [index]}
    start = last_checkpoint(job.files) if job.resume else None
    if start is not None:
        config.load_from, config.resume = str(start), True
    fields = {key: config.get(key) for key in ("train_cfg", "val_cfg", "optim_wrapper", "param_scheduler")}
    runner = StageRunner(
        model=config.model,
        work_dir=config.work_dir,
        train_dataloader={**config.train_dataloader, "dataset": job.train_dataset},
        val_dataloader={**config.val_dataloader, "dataset": job.val_dataset},
        val_evaluator={
            **config.val_evaluator,
            "with_masks": job.with_masks,
            "further": job.further,
            "most": job.max_detections,
            "collect_dir": str(job.files.logs / "collect"),
        },
        default_hooks=config.default_hooks,
        custom_hooks=config.get("custom_hooks"),
        load_from=config.load_from,
        resume=config.resume,
        launcher=config.launcher,
        env_cfg=config.get("env_cfg") or {"dist_cfg": {"backend": "nccl"}},
        log_processor=config.get("log_processor"),
        visualizer=config.visualizer,
        default_scope=config.default_scope,
        randomness=config.randomness,
        experiment_name=name,
        cfg=_plainly_written(config),
        **fields,
    )
    runner.longer, runner.class_names = job.longer, job.train_dataset.metainfo["classes"]
    return runner


_LAID_OUT: dict[str, str] = {}
"""Texts of configs laid out, by those that are not: all folds of a stage have the same."""


def _laid_out(config: Config) -> str:
    plain = _plainly_written(config).pretty_text
    if plain not in _LAID_OUT:
        _LAID_OUT[plain] = config.pretty_text
    return _LAID_OUT[plain]


def _plainly_written(config: Config) -> Config:
    """Return a config whose text is not laid out: MMEngine writes it into the log and, each epoch, two checkpoints.

    To lay it out takes yapf half a second each time for a large model.
    """
    return Config(config.to_dict(), config.text, config.filename, format_python_code=False)
