"""``CallbackSource``: the callbacks of each stage, looked up in the project's modules and checked."""

from collections.abc import Sequence

from ..config.settings import ExperimentSettings
from ..data.catalog import DatasetCatalog
from ..errors import ConfigError
from ..metrics.coco import metric_names
from ..training.callbacks.making import CallbackPlan, plan_of
from ..training.callbacks.monitor import Measured
from .metric_selection import MetricSelection
from .user_metrics import user_metric


class CallbackSource:
    """Plans the callbacks of stages.

    Args:
        settings: What the YAML declares.
        datasets: Has the project's modules.
    """

    def __init__(self, settings: ExperimentSettings, datasets: DatasetCatalog) -> None:
        self.settings, self.datasets = settings, datasets

    def of(self, number: int, selection: MetricSelection, with_masks: bool, known: Sequence[str]) -> CallbackPlan:
        """Return the plan of a stage's callbacks.

        Args:
            number: The stage.
            selection: Which metrics are computed after each epoch, and which chooses the best weights.
            with_masks: Whether masks are predicted.
            known: Names of the built-in metrics.

        Raises:
            ConfigError: There is no such callback, argument, function or monitor, or two set the learning rate.
        """
        declared = self.settings.callbacks_of(number).callbacks
        if not declared:
            return CallbackPlan()
        of_project = [name for name in selection.each_epoch if user_metric(name) is not None]
        measured = Measured([*metric_names(with_masks), *selection.each_epoch], known, bool(of_project))
        try:
            plan = plan_of(
                declared, self.datasets.find_function, self.datasets.function_names(), measured, selection.primary
            )
        except ConfigError as error:
            raise ConfigError(f"{self.datasets.paths.config}: {error}") from None
        self._check_schedule(plan)
        return plan

    def _check_schedule(self, plan: CallbackPlan) -> None:
        options = [key for key in self.settings.model.config_options if key.partition(".")[0] == "param_scheduler"]
        if plan.owner is not None and options:
            raise ConfigError(
                f"{self.datasets.paths.config}: {plan.owner.declared.where} sets the learning rate in place of the "
                f"config's schedulers, so that configOptions: {options[0]} would do nothing: remove one of the two."
            )
