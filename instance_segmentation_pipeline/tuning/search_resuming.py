"""Whether a search can be gone on with: its trials must be those that the YAML of now would make."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.loader import read_config
from ..config.search_plan import SearchPlan
from ..errors import ConfigError, shortened
from ..storage.experiment_files import ExperimentFiles
from ..storage.search_record import DONE, TrialRecord
from ..storage.summary_file import read_summary
from ..storage.yaml_files import parse_yaml, yaml_text

TECHNICAL = ("workersPerGpu", "inference_batch")
"""Properties that decide nothing about what comes of a trial."""

_ANEW = "put the config back, or begin anew without --allow_resume"


def check_trials(trials: Sequence[TrialRecord], plan: SearchPlan, files: ExperimentFiles) -> None:
    """See to it that the trials of a search were made of what its YAML says now; more of them may be asked for.

    Raises:
        ConfigError: They were not.
    """
    if len(trials) > plan.max_evals:
        raise ConfigError(
            f"{files.scores} has {len(trials)} trials, more than max_evals {plan.max_evals}: raise it, or begin anew "
            "without --allow_resume."
        )
    for trial in trials:
        if set(trial.parameters) != set(plan.space):
            raise ConfigError(
                f"trial {trial.number} of {files.root} has the hyperparameters {', '.join(sorted(trial.parameters))}, "
                f"and the config {', '.join(sorted(plan.space))}: {_ANEW}."
            )
        for name, value in trial.parameters.items():
            try:
                plan.space[name].number_of(value)
            except ValueError:
                raise ConfigError(
                    f"trial {trial.number} of {files.root} has {name} {shortened(value)}, which is no value of "
                    f"hyperparameters.{name} any more: {_ANEW}."
                ) from None
        _check_config(trial.number, plan.properties(trial.parameters), files.of_trial(trial.number))


def check_request(
    trials: Sequence[TrialRecord], files: ExperimentFiles, folds: Sequence[int], subsample: float
) -> None:
    """See to it that completed trials were trained on the folds, and the share of their items, that are asked for now.

    Raises:
        ConfigError: They were not: their scores could not be compared with those of further trials.
    """
    for trial in trials:
        if trial.state != DONE or not files.of_trial(trial.number).summary.is_file():
            continue
        summary = read_summary(files.of_trial(trial.number).summary)
        for name, now in (("folds", sorted(folds)), ("subsample", subsample)):
            then = summary.get(name, now)
            if then != now:
                raise ConfigError(
                    f"trial {trial.number} of {files.root} was trained with {name} {shortened(then)}, and {name} "
                    f"{shortened(now)} is asked for: ask for the same, or begin anew without --allow_resume."
                )


def _check_config(number: int, properties: Mapping[str, Any], files: ExperimentFiles) -> None:
    if not files.config.is_file():
        return
    there, now = read_config(files.config), _as_read(properties)
    for key in dict.fromkeys((*there, *now)):
        if there.get(key) != now.get(key) and key not in TECHNICAL:
            raise ConfigError(
                f"trial {number} was begun with {key} {shortened(there.get(key))}, and it would be "
                f"{shortened(now.get(key))} now: {_ANEW}."
            )


def _as_read(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties as they are read back from the YAML that they are written to."""
    read: dict[str, Any] = parse_yaml(yaml_text(dict(properties)))
    return read
