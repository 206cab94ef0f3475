"""``best-<fold>.<stage>``: how the YAML names best weights, of the experiment itself or of another one."""

import re
from dataclasses import dataclass
from pathlib import Path

from .experiment_files import ExperimentFiles, concrete_config
from .run_manifest import stage_of

_WORDS = re.compile(r"(?:(?P<experiment>[^\0]+)/)?best(?:-(?P<fold>\d{1,6}))?(?:\.(?P<stage>\d{1,6}))?")


@dataclass(frozen=True)
class WeightsReference:
    """Best weights of a stage.

    Attributes:
        experiment: The folder of the other experiment, as it was written; ``None`` for the experiment itself.
        fold: Number of the fold; ``None`` for the fold that is trained.
        stage: Number of the stage; ``None`` for the latest that is trained of that fold.
    """

    experiment: "str | None"
    fold: "int | None"
    stage: "int | None"

    @classmethod
    def of(cls, words: str) -> "WeightsReference | None":
        """Return what ``[<experiment>/]best[-<fold>][.<stage>]`` names, ``None`` for what is written otherwise."""
        match = _WORDS.fullmatch(words)
        if match is None:
            return None
        numbers = (None if match[name] is None else int(match[name]) for name in ("fold", "stage"))
        return cls(match["experiment"], *numbers)


def experiment_named(name: str, base: Path, project: "Path | None") -> "ExperimentFiles | None":
    """Return the files of an experiment, ``None`` where there is none of that name.

    Args:
        name: Its name in the project, or its folder, absolute or relative to ``base``.
        base: Folder of the YAML that names it.
        project: Folder of the project.
    """
    places = [base / name] if project is None else [project / "experiments" / name, base / name]
    for folder in places:
        config = concrete_config(folder)
        if config.is_file():
            return ExperimentFiles(config)
    return None


def latest_stage(files: ExperimentFiles, fold: int) -> "int | None":
    """Return the number of the latest stage of a fold that has best weights, ``None`` where none has."""
    paths = (files.root / "weights").glob(f"best-{fold}.*.weights")
    numbers = (stage_of(f"weights/{path.name}") for path in paths)
    return max((number[1] for number in numbers if number is not None and number[0] == fold), default=None)
