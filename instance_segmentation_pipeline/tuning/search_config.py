"""``SearchConfig``: an experiment with ``hyperparameters``, whose ``fit`` makes a search.

Until the search is finished it has the first values of the parameters; afterwards it is that of the best trial, whose
weights answer.
"""

import contextlib
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.loader import read_config
from ..config.schema import check_properties
from ..config.search_plan import SearchPlan
from ..config.search_templates import SEARCH_KEYS, with_first_values
from ..errors import ConfigError
from ..experiment.attributes import PROPERTY_NAMES
from ..experiment.metric_selection import default_primary
from ..experiment.pipeline_config import PipelineConfig
from ..experiment.run_arguments import TrainRequest, refuse_upstream
from ..metrics.metric_name import MetricName
from ..storage.experiment_files import ExperimentFiles
from ..storage.summary_file import read_summary
from .search import Search


class SearchConfig(PipelineConfig):
    """An experiment of the MMDetection dialect with ``hyperparameters``.

    Raises:
        ConfigError: A property is unknown, missing or wrong, with any end of any parameter.
    """

    _best: "ExperimentFiles | None" = None

    def __init__(self, **properties: Any) -> None:
        SearchPlan.of(properties)
        self._raw = copy.deepcopy(properties)
        super().__init__(**with_first_values(properties))

    # -- what is searched ------------------------------------------------------------------------------------

    def search_plan(self) -> SearchPlan:
        """Return what is searched, with what was set on the config since it was read.

        Raises:
            ConfigError: It cannot be searched so.
        """
        now = self.properties()
        changed = {name: value for name, value in now.items() if value != self._written[name]}
        return SearchPlan.of({**self._raw, **changed, "hyperparameters": self.hyperparameters})

    def goal(self) -> MetricName:
        """Return the metric that trials are compared by, with its direction."""
        primary = self.primary()
        name = self.experiment_result or self.primary_metric or default_primary(self.finished().needs_masks)
        return MetricName(name, primary.mode if MetricName(name).plain == primary.plain else "auto")

    @property
    def search_files(self) -> ExperimentFiles:
        """Names of the files of the search."""
        if self._path is None:
            raise ConfigError("this config has no path: read it with generic.parse(path).")
        return ExperimentFiles(Path(self._path))

    def trial_config(self, files: ExperimentFiles, properties: dict[str, Any]) -> PipelineConfig:
        """Return the config of a trial; datasets that its parameters do not change are those of the search."""
        trial = PipelineConfig(**properties)
        trial.path = str(files.config)
        trial.join(self.holdoutArr, self._shared.announcer, self.parts.datasets)
        return trial

    # -- whose answers it gives ------------------------------------------------------------------------------

    @property
    def files(self) -> ExperimentFiles:
        """Names of the files of the best trial of a finished search; until then, of the search."""
        return self._best or self.search_files

    def seeds(self) -> "list[PipelineConfig]":
        """Return the configs of the seeds of the best trial; none until the search is finished."""
        return super().seeds() if self._best is not None else []

    def answer_with_best(self) -> None:
        """Become the best trial of a finished search, where there is one; its own YAML says what it was trained with.

        What cannot be read is passed over here: a run that begins anew puts it aside.
        """
        files = self.search_files
        with contextlib.suppress(ConfigError):
            number = read_summary(files.summary).get("best_trial") if files.summary.exists() else None
            if type(number) is int and files.of_trial(number).config.is_file():
                self._become(read_config(files.of_trial(number).config))
                self._best = files.of_trial(number)

    def forget_best(self) -> None:
        """Become the search again, with the first values of its parameters."""
        if self._best is not None:
            self._best = None
            self._become(with_first_values(self._raw))

    def _become(self, properties: Mapping[str, Any]) -> None:
        changed = {name: value for name, value in self.properties().items() if value != self._written[name]}
        wanted = {**check_properties(properties), **changed}
        for name in PROPERTY_NAMES - set(SEARCH_KEYS):
            if getattr(self, name) != wanted[name] and name not in changed:
                setattr(self, name, wanted[name])
        self._written = {**copy.deepcopy(self.properties()), **{name: self._written[name] for name in changed}}

    # -- what is done ----------------------------------------------------------------------------------------

    def fit(
        self,
        dataset_: Any = None,
        subsample: float = 1.0,
        foldsToExecute: "Sequence[int] | None" = None,
        start_from_stage: int = 0,
        drawingFunction: Any = None,
        parallel: bool = False,
    ) -> None:
        """Search: train each trial as an experiment of its own, then write the best parameters and ``summary.yaml``.

        The arguments are those of ``PipelineConfig.fit``; ``start_from_stage`` is refused.

        Raises:
            UserError: What is wrong, in one sentence; nothing trained before is touched by it.
        """
        request = TrainRequest.of(foldsToExecute, start_from_stage, subsample, len(self.stages))
        refuse_upstream(drawingFunction, parallel)
        if request.first_stage:
            raise ConfigError(
                "start_from_stage goes on with what is trained, and the trials of a search begin: leave it out."
            )
        if dataset_ is not None:
            self.use_dataset(dataset_() if callable(dataset_) and not hasattr(dataset_, "__len__") else dataset_)
        self.forget_best()
        Search(self).run(request)
        self.answer_with_best()

    def generateReports(self, foldsToExecute: "Sequence[int] | None" = None, subsample: float = 1.0) -> None:
        """Measure the completed trials anew, then write the summary of the search."""
        if not self.canceled_by_timer:
            self.forget_best()
            Search(self).report(subsample)
            self.answer_with_best()
