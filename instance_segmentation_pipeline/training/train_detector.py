"""``train_detector``: MMEngine's Runner over one stage of one fold, in this process.

MMDetection 1.x and 2.x had a function of this name; it drives MMEngine's Runner here. What is trained (a
``TrainingJob``) is kept apart from where (``launch``).
"""

import errno
import re
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from ..data.worker_memory import is_about_shared_memory, sentence_about
from ..errors import TrainingError, UserError, one_line
from ..launch.multi_bar import ProgressLine
from ..metrics.metric_name import MetricName
from ..models.checkpoints import HeadPolicy, LoadReport, last_checkpoint, load_into, read_checkpoint, reading_for
from ..models.config_file import is_pretrained, walk
from ..models.missing_operators import naming_config
from ..models.trained_weights import check_trained, load_trained
from ..storage.experiment_files import StageFiles, save_with
from ..text import printable
from .hooks import LossWatch, RandomStates, SamplePictures, StopAfter, TrainingLog, WeightsKeeper
from .runner import StageRunner, experiment_name, forget_afterwards


@dataclass(frozen=True)
class TrainingJob:
    """One stage of one fold.

    Attributes:
        config: The finished MMDetection config, with the stage's schedule.
        train_dataset: ``MusketDetectionDataset`` to train on.
        val_dataset: ``MusketDetectionDataset`` to validate on.
        files: Where weights, metrics and pictures go.
        label: What messages and the progress line call it, such as ``fold 0 stage 1``.
        primary_metric: Column of the CSV that chooses the best weights, such as ``val_coco_segm_mAP``.
        with_masks: Whether masks are evaluated.
        threshold: Lowest score that sample pictures show.
        seed: Seed of weights, order and augmentation.
        start: Checkpoint to start from, ``None`` for the config's own initial weights.
        policy: What happens to tensors of ``start`` that depend on the number of classes.
        resume: Go on from ``files.last_weights``.
        expired: Asked after each epoch; true ends the training there, to be resumed later.
        further: Computes metrics beyond ``metrics.coco_metrics`` from each epoch's truths and predictions.
    """

    config: Config
    train_dataset: Any
    val_dataset: Any
    files: StageFiles
    label: str
    primary_metric: MetricName
    with_masks: bool = True
    threshold: float = 0.5
    seed: int = 33
    start: "Path | None" = None
    policy: HeadPolicy = field(default_factory=HeadPolicy)
    resume: bool = False
    expired: "Callable[[], bool] | None" = None
    further: "Callable[[list, list], dict] | None" = None


@dataclass(frozen=True)
class TrainingResult:
    """What came of a job: its CSV's rows, and whether time ended it before its last epoch."""

    rows: list
    stopped: bool


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
        _prepare_files(job)
    barrier()
    watch = LossWatch(job.label)
    log = TrainingLog(job.files.metrics, watch)
    keeper = WeightsKeeper(job.files, log, job.primary_metric)
    stop = StopAfter(job.expired or (lambda: False))
    progress = ProgressLine(job.label, job.primary_metric, keeper, log)
    hooks: list[Hook] = [watch, log, keeper, SamplePictures(job.files, job.val_dataset, job.threshold), stop, progress]
    with forget_afterwards(name), warnings.catch_warnings(), reading_for(job.config):
        for known in ("torch.meshgrid", "`broadcast_buffers` is deprecated", "Setting MKL_NUM_THREADS"):
            warnings.filterwarnings("ignore", message=known)  # of MMDetection's and MMEngine's own code
        try:
            runner = _runner(job, name, device)
            states = _resumed_states(runner, job) if runner._resume else None
            for hook in [_StartWeights(job), *hooks, RandomStates(states)]:
                runner.register_hook(hook, priority=getattr(hook, "priority", "NORMAL"))
            with naming_config(job.config):
                runner.train()
        except UserError:
            raise
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"{job.label}: the memory of {device} ran out ({one_line(error)[:120]}): lower imagesPerGpu or shape, "
                "or set amp: true."
            ) from error
        except (RuntimeError, OSError) as error:
            told = _of_workers(error)
            if told is None:
                raise
            raise TrainingError(f"{job.label}: {told}") from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                f"{job.label}: a BatchNorm was given one value a channel, of which it can take no statistics "
                f"({one_line(error)[:120]}): set imagesPerGpu to 2 or more, and train_dataloader.drop_last: true by "
                "configOptions where the last batch of an epoch holds one image."
            ) from error
        finally:
            progress.close()
    return TrainingResult(log.rows, stop.stopped)


def _prepare_files(job: TrainingJob) -> None:
    """Remove the weights of an earlier start of the stage, unless it is resumed, and write its config."""
    if not job.resume:
        for path in (job.files.best_weights, job.files.last_weights, job.files.previous_weights):
            path.unlink(missing_ok=True)
    save_with(job.files.model_config, job.config.dump)


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
            "workersPerGpu, imagesPerGpu or shape; --allow_resume true goes on."
        )
    return None


def _while_starting(error: BaseException) -> bool:
    """Say whether an error was raised while data workers were started; torch's half-made loader is put to rest."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        loader: Any = frame.f_locals.get("self")
        if type(loader).__name__ == "_MultiProcessingDataLoaderIter":
            if not hasattr(loader, "_shutdown"):
                loader._shutdown = True  # else its __del__ raises, and prints a traceback
            return True
    return False


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
    runner: Runner = StageRunner(
        model=config.model,
        work_dir=config.work_dir,
        train_dataloader={**config.train_dataloader, "dataset": job.train_dataset},
        val_dataloader={**config.val_dataloader, "dataset": job.val_dataset},
        val_evaluator={
            **config.val_evaluator,
            "with_masks": job.with_masks,
            "further": job.further,
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
        cfg=config,
        **fields,
    )
    return runner


def _resumed_states(runner: Runner, job: TrainingJob) -> "list | None":
    """Return the random states in the checkpoint that a Runner resumes from, which fits the model whole."""
    path = Path(runner._load_from)
    checkpoint = read_checkpoint(path)
    check_trained(
        checkpoint, path, getattr(runner.model, "module", runner.model), job.train_dataset.metainfo["classes"]
    )
    states = checkpoint.get("meta", {}).get("random_states")
    return None if states is None else list(states)


class _StartWeights(Hook):
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
        if self.job.start is not None and self.job.files.stage > 0:
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
