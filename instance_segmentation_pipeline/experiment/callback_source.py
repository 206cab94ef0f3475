"""``CallbackSource``: the callbacks of each stage, looked up in the project's modules and checked."""

from collections.abc import Sequence

from ..config.settings import ExperimentSettings
from ..data.catalog import DatasetCatalog
from ..errors import ConfigError
from ..metrics.metric_name import MetricName
from ..training.callbacks.making import CallbackPlan, plan_of


class CallbackSource:
    """Plans the callbacks of stages.

    Args:
        settings: What the YAML declares.
        datasets: Has the project's modules.
    """

    def __init__(self, settings: ExperimentSettings, datasets: DatasetCatalog) -> None:
        self.settings, self.datasets = settings, datasets

    def of(self, number: int, measured: Sequence[str], primary: MetricName) -> CallbackPlan:
        """Return the plan of a stage's callbacks.

        Args:
            number: The stage.
            measured: Names of the metrics that are computed after each epoch, without ``val_``.
            primary: The metric that chooses the best weights.

        Raises:
            ConfigError: There is no such callback, argument, function or monitor, or two set the learning rate.
        """
        declared = self.settings.callbacks_of(number).callbacks
        if not declared:
            return CallbackPlan()
        functions = self.datasets.functions()
        try:
            plan = plan_of(declared, functions.get, list(functions), measured, primary)
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
