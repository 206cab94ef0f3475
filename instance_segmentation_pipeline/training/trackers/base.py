"""``TrackedRun``: what is told of one stage of one fold, and to whom; each thing once, over kills and resumes."""

import importlib.util
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...errors import ConfigError, one_line
from ...storage.atomic import write_text
from ...storage.digests import digest
from ...storage.experiment_files import StageFiles
from ...storage.metrics_csv import Row
from ...storage.regular_file import read_text


@dataclass(frozen=True)
class RunFacts:
    """What a tracker is told of a run before any number.

    Attributes:
        experiment: The experiment's name.
        name: The run's, such as ``fold 0 stage 1``.
        folder: Where what a tracker writes on this machine belongs.
        description: Of the experiment.
        tags: Of the experiment.
        parameters: The properties of the YAML that are set, flattened.
    """

    experiment: str
    name: str
    folder: Path
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """Is told of a run. What it raises is shown in a line, and it is told again later."""

    def open(self, facts: RunFacts, known: "str | None") -> str:
        """Begin a run, or go on with the one that it knows by this id; return its id."""
        ...

    @property
    def forgets(self) -> bool:
        """Whether all of a run is told again when it is opened."""
        ...

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Take numbers of an epoch."""
        ...

    def picture(self, name: str, path: Path, step: int) -> None:
        """Take a picture of an epoch."""
        ...

    def report(self, name: str, path: Path) -> None:
        """Take a picture of the whole run."""
        ...

    def flush(self) -> None:
        """See to it that what was taken is kept."""
        ...

    def close(self, finished: bool) -> None:
        """End, or leave the run to be gone on with."""
        ...


@dataclass
class _Told:
    """What one tracker was told of a run, as the file in the experiment's folder keeps it."""

    id: "str | None" = None
    epochs: int = 0
    pictures: list[str] = field(default_factory=list)
    summary: "str | None" = None


class TrackedRun:
    """Tells trackers of a run what they do not know yet.

    Args:
        facts: About the run.
        state: The file that keeps what they were told.
        trackers: By name.
        say: Shows a line; a tracker that cannot be told is named once.
    """

    def __init__(
        self, facts: RunFacts, state: Path, trackers: Mapping[str, Tracker], say: Callable[[str], None]
    ) -> None:
        self.facts, self.state, self.trackers, self.say = facts, state, trackers, say
        self._told = {name: _Told() for name in trackers}
        self._open: set[str] = set()
        self._lost: set[str] = set()
        self._failed: set[str] = set()
        self._last: tuple[Sequence[Row], Sequence[tuple[str, Path, int]]] = ((), ())
        self._last_summary: Callable[[Tracker, _Told], None] = lambda tracker, told: None
        self._read()

    def tell(self, rows: Sequence[Row], pictures: Sequence[tuple[str, Path, int]]) -> None:
        """Tell of epochs and pictures, those that a tracker was told of left out.

        Args:
            rows: Of the metrics CSV, from the first epoch on.
            pictures: Name, file and epoch of each.
        """
        self._last = rows, pictures
        for name in self.trackers:
            self._try(name, self._catch_up)

    def tell_summary(self, values: Mapping[str, float], pictures: Sequence[tuple[str, Path]], step: int) -> None:
        """Tell of the final numbers, once for each that they become, and of name and file of pictures."""
        mark = digest({key: float(value) for key, value in values.items()})

        def tell(tracker: Tracker, told: _Told) -> None:
            if told.summary == mark:
                return
            tracker.numbers({f"summary/{name}": value for name, value in values.items() if _is_number(value)}, step)
            for name, path in pictures:
                if path.exists():
                    tracker.report(name, path)
            told.summary = mark

        self._last_summary = tell
        for name in self.trackers:
            self._try(name, tell)

    def close(self, finished: bool) -> None:
        """Let go of the trackers; one that had lost the run by then, and forgets, is told all of it once more."""

        def end(tracker: Tracker, told: _Told) -> None:
            tracker.close(finished)

        for name in sorted(self._open):
            self._try(name, end)
        for name in sorted(self._lost):
            self._try(name, end)
        self._open.clear()

    def _catch_up(self, tracker: Tracker, told: _Told) -> None:
        rows, pictures = self._last
        for row in rows:
            if row["epoch"] >= told.epochs:
                values = {name: float(value) for name, value in row.items() if name != "epoch" and _is_number(value)}
                tracker.numbers(values, row["epoch"])
                told.epochs = row["epoch"] + 1
        for name, path, epoch in pictures:
            if path.name not in told.pictures and path.exists():
                tracker.picture(name, path, epoch)
                told.pictures.append(path.name)

    def _try(self, name: str, tell: "Callable[[Tracker, _Told], None]") -> None:
        tracker, told = self.trackers[name], self._told[name]
        try:
            if name not in self._open:
                told.id = tracker.open(self.facts, told.id)
                self._open.add(name)
                self._lost.discard(name)
                if tracker.forgets:
                    self._told[name] = told = _Told(told.id)
                    self._catch_up(tracker, told)
                    self._last_summary(tracker, told)
                    tracker.flush()
                self._write()
            tell(tracker, told)
            tracker.flush()
            self._write()
        except Exception as error:  # whatever a server, a disk or a package makes of it
            if tracker.forgets and name in self._open:  # told anew, whole
                self._open.discard(name)
                self._lost.add(name)
            if name not in self._failed:
                self._failed.add(name)
                self.say(
                    f"{self.facts.name}: {name} cannot be told ({one_line(error)[:200]}): the training goes on "
                    "without, and it is tried again after each epoch"
                )

    def _read(self) -> None:
        try:
            kept = json.loads(read_text(self.state))
            for name, one in kept.items():
                if name in self._told:
                    told = _Told(str(one["id"]), int(one["epochs"]), [str(path) for path in one["pictures"]])
                    told.summary = None if one["summary"] is None else str(one["summary"])
                    self._told[name] = told
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # a run that was never told of, or whose file is damaged: a new one begins

    def _write(self) -> None:
        write_text(self.state, json.dumps({name: vars(told) for name, told in self._told.items()}, indent=1) + "\n")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def pictures_of(files: StageFiles, epochs: int) -> list[tuple[str, Path, int]]:
    """Return name, file and epoch of each picture that a stage may have after some epochs."""
    examples = [("examples", files.example(epoch), epoch) for epoch in range(epochs)]
    return [("training", files.training_example(0), 0), *examples]


PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow-skinny", "wandb": "wandb"}


def check_installed(trackers: "Sequence[Mapping[str, Any]]") -> None:
    """See to it that the packages of trackers are there.

    Raises:
        ConfigError: One is not.
    """
    for name in (name for one in trackers for name in one):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"trackers: {name} is not installed: pip install {PACKAGES[name]}, or leave it out.")
