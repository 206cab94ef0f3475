"""Memory and time of an epoch: one real step, in a process of its own, so that one that runs out of memory is told."""

import contextlib
import io
from typing import Any

from ..errors import UserError, one_line
from ..experiment.pipeline_config import PipelineConfig
from ..experiment.run_arguments import FoldRequest
from ..experiment.stage_work import StageWork
from ..training.step_probe import StepCost, measure_step
from ..visualization.terminal import duration
from .findings import Section
from .forked import Forked, Send

BUSY = 0.2
"""Share of a step that waited for processors from which on its times are said to be wrong."""

PATIENCE = 300.0
"""Seconds that two steps, and what they need to begin, may take."""


class StepProbe:
    """Tries a step of the first stage of fold 0.

    Args:
        cfg: The experiment. Its process is forked here, before anything has started threads, and waits.
    """

    def __init__(self, cfg: PipelineConfig) -> None:
        self._cfg = cfg
        self._forked = Forked(self._work, waits=True)

    def measured(self) -> Section:
        """Let it run; return what it took, or a fault where it came to nothing."""
        section = Section("One step")
        self._forked.begin()
        try:
            answer = self._forked.answer(PATIENCE)
        except EOFError:
            section.fault(
                f"the process that trained one step was {self._forked.end()}: often memory ran out: lower imagesPerGpu "
                "or shape"
            )
            return section
        except TimeoutError:
            self.close()
            section.warn(
                f"one step took more than {PATIENCE:.0f} seconds, and was given up: a smaller model, shape or "
                "imagesPerGpu suits this machine"
            )
            return section
        self.close()
        if isinstance(answer, StepCost):
            _tell(section, answer, self._cfg)
        else:
            section.fault(answer)
        return section

    def close(self) -> None:
        """Let its process end."""
        self._forked.process.kill()
        self._forked.end()

    def _work(self, send: Send) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                send(self._measure())
        except UserError as error:
            send(str(error).rstrip("."))
        except MemoryError:
            send("the memory ran out in one step: lower imagesPerGpu or shape")
        except Exception as error:
            send(_told(error))

    def _measure(self) -> StepCost:
        parts = self._cfg.parts
        split = parts.folds.expected(parts.datasets.main())
        folds = parts.training.of(split, parts.model.prepared.config.train_dataloader.batch_size)
        return measure_step(StageWork(self._cfg, folds, FoldRequest(0), 0).trial(), self._cfg.device)


def _told(error: Exception) -> str:
    text = one_line(error)
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text or "std::bad_alloc" in text:
        return f"the memory ran out in one step ({text[:160]}): lower imagesPerGpu or shape, or set amp: true on a GPU"
    if "more than 1 value per channel" in text:
        return (
            f"a BatchNorm was given one value a channel, of which it can take no statistics ({text[:120]}): set "
            "imagesPerGpu to 2 or more"
        )
    return f"one step fails ({text[:300]})"


def _tell(section: Section, cost: StepCost, cfg: PipelineConfig) -> None:
    if not abs(cost.loss) < float("inf"):
        section.fault(f"the loss of the first step is {cost.loss}: lower lr, or look for extreme values in the data")
    epoch = cost.epoch_seconds()
    epochs = sum(stage.epochs for stage in cfg.parts.settings.stages)
    nets = len(cfg.members()) * cfg.parts.folds.count(cfg.parts.datasets.main())
    what = "memory of the process" if cost.device == "cpu" else f"memory of {cost.device}"
    shown, each = ("images", "an image") if cfg.parts.settings.tiles.grid is None else ("cells", "a cell")
    rows: list[tuple[str, Any]] = [
        ("device", cost.device),
        (f"{shown} of a step", cost.batch),
        (what, f"{cost.memory / 2**30:.2f} GB"),
        ("reading a batch, in one process", f"{cost.load_seconds:.2f} s"),
        ("training a batch", f"{cost.step_seconds:.2f} s"),
        (f"predicting {each}", f"{cost.predict_seconds:.2f} s"),
        ("steps of an epoch", cost.iterations),
        (f"{shown} validated after it", cost.images),
        ("loss of the first step", f"{cost.loss:.3f}"),
        ("an epoch, about", duration(epoch)),
        (f"all {epochs} epochs of {nets} nets, about", duration(epoch * epochs * nets)),
    ]
    section.table = [["", "measured"], *([name, str(value)] for name, value in rows)]
    section.note(f"an epoch takes about {duration(epoch)}, all {epochs} epochs of {nets} nets {rows[-1][1]}")
    if cost.waiting >= BUSY:
        section.warn(
            f"the machine was busy: threads waited {cost.waiting:.0%} of the step for a processor that others used: "
            f"these times are too long; alone, an epoch would take nearer to {duration(epoch * (1 - cost.waiting))}: "
            "check again when the machine is idle"
        )
