"""What a run itself wrote in an experiment's folder: ``.musket-run.json``, and the names that only a run gives.

A run claims the names of its files before it writes any of them. Only what was claimed, or what says by its content
whose it is, is ever moved or removed; all else in the folder is the user's. Experiments of versions that kept no
manifest are known by the finished MMDetection config that each trained stage has beside its weights.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ..errors import ConfigError
from .atomic import write_text
from .experiment_files import AVERAGE, TRIAL, ExperimentFiles
from .regular_file import open_regular, read_text

NAME = ".musket-run.json"
FORMAT = 1

_STAMP = r"\d{8}_\d{6}"
_OF_STAGE = (
    r"weights/(?:best|last)-(?P<fold>\d+)\.(?P<stage>\d+)\.weights",
    r"weights/last-(?P<fold>\d+)\.(?P<stage>\d+)\.previous",
    r"weights/config-(?P<fold>\d+)\.(?P<stage>\d+)\.py",
    r"weights/training-(?P<fold>\d+)\.(?P<stage>\d+)\.yaml",
    r"metrics/metrics-(?P<fold>\d+)\.(?P<stage>\d+)\.(?:csv|png|all\.csv)",
    r"examples/(?P<fold>\d+)/(?P<stage>\d+)/(?:train_)?\d+\.jpg",
    r"trackers/(?P<fold>\d+)\.(?P<stage>\d+)\.json",
    r"tensorboard/(?P<fold>\d+)\.(?P<stage>\d+)/events\.out\.tfevents\.[^/]+",
    r"wandb/(?P<fold>\d+)\.(?P<stage>\d+)/wandb/.+",
    r"logs/(?P<fold>\d+)\.(?P<stage>\d+)/[^/]+\.py",
    r"logs/(?P<fold>\d+)\.(?P<stage>\d+)/tensorboard/(?:batches/)?events\.out\.tfevents\.[^/]+",
    rf"logs/(?P<fold>\d+)\.(?P<stage>\d+)/{_STAMP}/{_STAMP}[^/]*\.(?:log|json|py)",
    rf"logs/(?P<fold>\d+)\.(?P<stage>\d+)/{_STAMP}/vis_data/(?:{_STAMP}\.json|scalars\.json|config\.py)",
)
_STAGE_NAMES = tuple(re.compile(pattern) for pattern in _OF_STAGE)
_LOG_OF_RUN = re.compile(rf"logs/\d+\.\d+/{_STAMP}/.+")
_STORE = re.compile(rf"predictions/[^/]+-(?:s(?:\d+|{AVERAGE}))+-(?:f\d+)+(?:-[\w-]+)?\.sqlite")
_AVERAGE = re.compile(rf"weights/{AVERAGE}-(\d+)\.weights")
_TABLE = re.compile(r"predictions/(?:(?:validation\d+|holdout-\[[\d, ]*\])\.\d+-(?:gt|pt)\.csv|csv\.json)")
TOLD = ("trackers", "tensorboard", "wandb")
"""Folders of what trackers were told."""

REPORTS = ("reports/precision_recall.png", "reports/confusion.png")
SEARCH_REPORT = "reports/search.png"
OF_SEARCHES = (ExperimentFiles.SCORES, ExperimentFiles.BEST, SEARCH_REPORT)
"""What a search writes beside the folders of its trials."""
_SUMMARY = re.compile(rb"^(?:completed|cfgName|allStages):|\AError\b", re.MULTILINE)
_ERROR = re.compile(rb"^errors:", re.MULTILINE)
_SPLIT = re.compile(rb"\A# made from ")
_SQLITE = re.compile(rb"\ASQLite format 3\0")


@dataclass(frozen=True)
class RunNames:
    """What a run is going to write.

    Attributes:
        folds: Numbers of the folds.
        epochs: Of each stage.
        native: File name of the MMDetection config, which MMEngine copies beside its log.
    """

    folds: Sequence[int]
    epochs: Sequence[int]
    native: str = ""

    def of_stage(self, fold: int, stage: int) -> Iterator[str]:
        """Give the names of one stage of one fold, relative to the experiment's folder."""
        number = f"{fold}.{stage}"
        yield from (f"weights/best-{number}.weights", f"weights/last-{number}.weights")
        yield from (f"weights/last-{number}.previous", f"weights/config-{number}.py")
        yield f"weights/training-{number}.yaml"
        yield from (
            f"metrics/metrics-{number}.csv",
            f"metrics/metrics-{number}.png",
            f"metrics/metrics-{number}.all.csv",
        )
        yield from (f"examples/{fold}/{stage}/{epoch}.jpg" for epoch in range(self.epochs[stage]))
        yield f"examples/{fold}/{stage}/train_0.jpg"
        if self.native:
            yield f"logs/{number}/{self.native}"

    def all(self) -> list[str]:
        """Return all names, those of the reports too."""
        stages = range(len(self.epochs))
        of_stages = (name for fold in self.folds for stage in stages for name in self.of_stage(fold, stage))
        return [*of_stages, *REPORTS, "summary.yaml"]


class Moving(TypedDict):
    """A move that has begun: the folder it goes to, and the names of the files."""

    to: str
    files: list[str]


class RunManifest:
    """The manifest of an experiment's folder; made when a run first claims something.

    Args:
        files: The experiment's files.

    Raises:
        ConfigError: There is a manifest, and it cannot be read.
    """

    def __init__(self, files: ExperimentFiles) -> None:
        self.files = files
        self.path = files.root / NAME
        self.claimed: set[str] = set()
        self.moving: Moving | None = None
        self.exists = self.path.exists()
        if self.exists:
            self._read()

    def _read(self) -> None:
        try:
            held = json.loads(read_text(self.path))
            names, moving = held["files"], held.get("moving")
            if moving is not None:
                moving = {"to": str(moving["to"]), "files": [str(name) for name in moving["files"]]}
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("its files are no names")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self.path}, the list of what runs wrote here, cannot be read ({type(error).__name__}): delete it; "
                "files of trained stages are then known by their names."
            ) from error
        self.claimed = set(names)
        self.moving = moving

    def write(self) -> None:
        """Write the manifest, whole."""
        if not self.exists:
            self.claimed.update(self.owned())  # of a version without manifest
        held: dict[str, object] = {"format": FORMAT, "files": sorted(self.claimed)}
        if self.moving is not None:
            held["moving"] = self.moving
        write_text(self.path, json.dumps(held, indent=0) + "\n")
        self.exists = True

    def check(self, names: Iterable[str]) -> None:
        """Raise a ``ConfigError`` where a file that no run wrote has one of the names that a run is going to write."""
        ours = set(self.owned())
        foreign = sorted(name for name in set(names) - ours if _is_there(self.files.root / name))
        if foreign:
            shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if foreign[3:] else "")
            raise ConfigError(
                f"{self.files.root}: {shown} would be written by this run, but no run of this experiment wrote what is "
                "there: move it, or rename it."
            )

    def claim(self, names: Iterable[str]) -> None:
        """Note, on disk, that a run is going to write files of these names, relative to the experiment's folder."""
        wanted = set(names)
        if not self.exists or not wanted <= self.claimed:
            self.claimed |= wanted
            self.write()

    def knows_a_run(self) -> bool:
        """Say whether any run has begun in this folder."""
        return self.exists or bool(self._earlier_stages())

    def owned(self) -> list[str]:
        """Return the names, relative to the experiment's folder, of what runs wrote and what is there."""
        earlier = None if self.exists else self._earlier_stages()
        found = []
        for folder in ("weights", "metrics", "examples", "logs", "predictions", "reports", *TOLD):
            for path in sorted((self.files.root / folder).rglob("*")):
                name = path.relative_to(self.files.root).as_posix()
                if (path.is_file() or path.is_symlink()) and self._is_ours(name, path, earlier):
                    found.append(name)
        told = (
            (self.files.summary, _SUMMARY),
            (self.files.error, _ERROR),
            (self.files.folds_split, _SPLIT),
            (self.files.holdout_split, _SPLIT),
        )
        found += [path.name for path, words in told if _holds(path, words)]
        return found + [name for name in sorted(self.claimed) if self._is_of_search(name)]

    def _is_of_search(self, name: str) -> bool:
        """Say whether a name is one of what a search claimed in the experiment's folder itself, and is there."""
        path = self.files.root / name
        if is_trial(name):
            return path.is_dir() and not path.is_symlink()
        return name in (ExperimentFiles.SCORES, ExperimentFiles.BEST) and path.is_file()

    def _is_ours(self, name: str, path: Path, earlier: "set[tuple[int, int]] | None") -> bool:
        if _TABLE.fullmatch(name):
            return name in self.claimed
        if _STORE.fullmatch(name):
            return _holds(path, _SQLITE)
        number = stage_of(name)
        if earlier is not None:
            return number in earlier if number is not None else name in REPORTS and bool(earlier)
        if average_of(name) is not None:
            return name in self.claimed
        if number is not None and (_LOG_OF_RUN.fullmatch(name) or name.startswith(TOLD)):
            return f"weights/config-{number[0]}.{number[1]}.py" in self.claimed
        return name in self.claimed and (number is not None or name in (*REPORTS, SEARCH_REPORT))

    def _earlier_stages(self) -> set[tuple[int, int]]:
        """Return fold and stage of what a version without manifest trained here."""
        paths = (self.files.root / "weights").glob("config-*.py")
        numbers = [stage_of(path.relative_to(self.files.root).as_posix()) for path in paths]
        return {number for number in numbers if number is not None}


def stage_of(name: str) -> "tuple[int, int] | None":
    """Return fold and stage of a name that a run gives to a file of one stage, ``None`` for all other names."""
    for pattern in _STAGE_NAMES:
        match = pattern.fullmatch(name)
        if match is not None:
            return int(match["fold"]), int(match["stage"])
    return None


def average_of(name: str) -> "int | None":
    """Return the fold of a name that the average of a fold's weights is given, ``None`` for all other names."""
    match = _AVERAGE.fullmatch(name)
    return None if match is None else int(match[1])


def is_of_run(files: ExperimentFiles, name: str) -> bool:
    """Say whether a name, relative to the experiment's folder, is one that a run gives to a file."""
    whole = [path.name for path in (files.summary, files.error, files.folds_split, files.holdout_split)]
    return (
        stage_of(name) is not None
        or average_of(name) is not None
        or is_store(name)
        or _TABLE.fullmatch(name) is not None
        or is_trial(name)
        or name in (*whole, *REPORTS, *OF_SEARCHES)
    )


def is_trial(name: str) -> bool:
    """Say whether a name, relative to the experiment's folder, is that of the folder of a trial of a search."""
    return TRIAL.fullmatch(name) is not None


def is_store(name: str) -> bool:
    """Say whether a name, relative to the experiment's folder, is that of a prediction store."""
    return _STORE.fullmatch(name) is not None


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _holds(path: Path, words: "re.Pattern[bytes]") -> bool:
    """Say whether the beginning of a file has the words that only a run writes."""
    try:
        with open_regular(path, "rb") as file:
            return words.search(file.read(1 << 16)) is not None
    except OSError:
        return False
