"""The averages of a fold's weights that are there: of which folds, and whether they are still those of its stages."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError
from ..models.checkpoints import read_meta
from ..models.uniform_average import MEMBERS_KEY
from ..storage.digests import digest_of_file
from ..storage.experiment_files import ExperimentFiles
from ..storage.run_manifest import average_of


def averaged_folds(each: Sequence[ExperimentFiles]) -> list[int]:
    """Return the folds that have averaged weights, in order, in each seed.

    Raises:
        WeightsError: None has.
    """
    folds = sorted(set.intersection(*({*_folds(files)} for files in each)))
    if not folds:
        raise WeightsError(
            f"{each[0].root} has no averaged weights: cfg.average() makes them, and keeps them where they are better "
            "than those of each stage; name a stage."
        )
    return folds


def average_there(files: ExperimentFiles, fold: int) -> Path:
    """Return the averaged weights of a fold.

    Raises:
        WeightsError: There are none, or a stage has other best weights now than those that were averaged.
    """
    path = files.average_weights(fold)
    if not path.exists():
        folds = ", ".join(map(str, _folds(files))) or "no fold"
        raise WeightsError(
            f"fold {fold} has no averaged weights, {path} does not exist, {folds} has: cfg.average() makes them, and "
            "keeps them where they are better than those of each stage; name a stage."
        )
    for stage, digest in members_of(path).items():
        weights = files.stage(fold, stage).best_weights
        if weights.exists() and digest_of_file(weights) != digest:
            raise WeightsError(
                f"{path} is an average of other weights than stage {stage} has now: make it anew with "
                f"cfg.average({fold}), or name a stage."
            )
    return path


def members_of(path: Path) -> dict[int, str]:
    """Return the SHA-256 of the weights that an average is of, by stage.

    Raises:
        WeightsError: It cannot be read, or does not tell.
    """
    members = read_meta(path).get(MEMBERS_KEY)
    if not isinstance(members, dict) or not all(type(stage) is int for stage in members):
        raise WeightsError(f"{path} does not tell what it is an average of: move it away, and call cfg.average().")
    return members


def _folds(files: ExperimentFiles) -> list[int]:
    found = (average_of(f"weights/{path.name}") for path in sorted((files.root / "weights").glob("*-*.weights")))
    return sorted(fold for fold in found if fold is not None)
