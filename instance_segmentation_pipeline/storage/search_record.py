"""``hyperopt.scores``: the trials of a search, as musket_core lists them, with what became of each."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, one_line, shortened
from .atomic import write_yaml
from .yaml_files import read_yaml

RUNNING, DONE, PRUNED, FAILED = "running", "done", "pruned", "failed"
STATES = (RUNNING, DONE, PRUNED, FAILED)


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a search.

    Attributes:
        number: From 0, in the order in which trials began.
        parameters: Its parameters, by value.
        state: ``running`` until it has ended: ``done``, ``pruned`` (it ended early, by a rule) or ``failed``.
        score: What it reached, in the unit of the goal; ``None`` where it was not completed.
        seconds: How long it took.
        error: Why it failed.
    """

    number: int
    parameters: dict[str, Any] = field(default_factory=dict)
    state: str = RUNNING
    score: "float | None" = None
    seconds: float = 0.0
    error: str = ""

    def ended(self, state: str, score: "float | None", seconds: float, error: str = "") -> "TrialRecord":
        """Return the record of the trial when it has ended."""
        return replace(self, state=state, score=score, seconds=round(self.seconds + seconds, 1), error=error)

    def again(self) -> "TrialRecord":
        """Return the record of the trial when it goes on."""
        return replace(self, state=RUNNING, score=None, error="")


def read_trials(path: Path) -> list[TrialRecord]:
    """Return the trials of a search in order; none where there is no file.

    Raises:
        ConfigError: The file is damaged.
    """
    try:
        entries = read_yaml(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}, the trials of a search, cannot be read ({one_line(error)}): {_REMEDY}.") from None
    if not isinstance(entries, list):
        raise ConfigError(f"{path} holds {shortened(entries)}, expected the list of a search's trials: {_REMEDY}.")
    return [_trial(entry, number, path) for number, entry in enumerate(entries)]


_REMEDY = "put it back, or begin anew without --allow_resume"


def _trial(entry: Any, number: int, path: Path) -> TrialRecord:
    def whole(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

    sound = (
        isinstance(entry, dict)
        and type(entry.get("num")) is int
        and entry["num"] == number
        and isinstance(entry.get("parameters"), dict)
        and all(isinstance(name, str) for name in entry["parameters"])
        and entry.get("state") in STATES
        and (entry.get("score") is None or whole(entry["score"]))
        and (entry["state"] != DONE or entry.get("score") is not None)
        and whole(entry.get("seconds", 0.0))
    )
    if not sound:
        raise ConfigError(f"{path}: entry {number} is {shortened(entry)}, which is no trial {number}: {_REMEDY}.")
    return TrialRecord(
        number,
        entry["parameters"],
        entry["state"],
        None if entry.get("score") is None else float(entry["score"]),
        float(entry.get("seconds", 0.0)),
        str(entry.get("error") or ""),
    )


def write_trials(path: Path, trials: Sequence[TrialRecord]) -> None:
    """Write the trials of a search, whole."""
    write_yaml(path, [_entry(trial) for trial in trials])


def _entry(trial: TrialRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "num": trial.number,
        "score": trial.score,
        "parameters": trial.parameters,
        "state": trial.state,
        "seconds": trial.seconds,
    }
    return {**entry, "error": trial.error} if trial.error else entry


def best_trial(trials: Iterable[TrialRecord], *, lower_is_better: bool) -> "TrialRecord | None":
    """Return the completed trial with the best score, the first of equals; ``None`` where none is completed."""
    done = [trial for trial in trials if trial.state == DONE and trial.score is not None]
    if not done:
        return None
    return min(done, key=lambda trial: ((trial.score or 0.0) * (1 if lower_is_better else -1), trial.number))
