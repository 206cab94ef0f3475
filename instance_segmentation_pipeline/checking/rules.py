"""What does not hang on items: weights, metrics, split, and whether everything that training needs can be built."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from ..data.split_checks import notes_on
from ..errors import UserError
from ..experiment.checks import check_built
from ..experiment.pipeline_config import PipelineConfig
from ..experiment.stage_starts import needed_starts
from ..experiment.stage_work import check_stage_items
from ..training.detection_dataset import MusketDetectionDataset
from .findings import Section


class ExperimentRules:
    """Checks an experiment without reading its items; every fault is told, and not only the first.

    Args:
        cfg: The experiment.
    """

    def __init__(self, cfg: PipelineConfig) -> None:
        self.cfg = cfg
        self.section = Section("Experiment")
        self._parts = cfg.parts

    def before_items(self) -> None:
        """Check what can be known before items are read."""
        cfg, parts = self.cfg, self._parts
        self._attempt(lambda: parts.model.prepared)
        self._attempt(lambda: parts.model.start)
        self._attempt(cfg.metric_selection)
        self._attempt(cfg.callback_plans)
        self._attempt(lambda: parts.folds.check(parts.datasets.main()))
        self._attempt(lambda: parts.training.check(cfg.reader()))

    def with_items(self, usable: Sequence[int]) -> "MusketDetectionDataset | None":
        """Check what is built, with items that can be read; return them as the net sees them in validation."""
        if self.section.findings or not usable:
            return None
        built: list[MusketDetectionDataset] = []

        def build() -> None:
            parts = self._parts
            starts = needed_starts(parts, range(parts.folds.count(parts.datasets.main())))
            notes, val = check_built(parts, usable, starts, self.cfg.callback_plans())
            built.append(val)
            for line in notes:
                self.section.warn(line)

        self._attempt(build)
        self._attempt(lambda: check_stage_items(self.cfg))
        with suppress(UserError):
            dataset = self._parts.datasets.main()
            if getattr(dataset, "folds", None) is not None:
                folds = self._parts.folds.expected(dataset).folds
                for line in notes_on(folds, len(dataset), "the dataset's folds"):
                    self.section.warn(line)
        return built[0] if built else None

    def _attempt(self, check: "Callable[[], object]") -> None:
        try:
            check()
        except UserError as error:
            text = str(error).rstrip(".")
            if all(finding.text != text for finding in self.section.findings):
                self.section.fault(text)
