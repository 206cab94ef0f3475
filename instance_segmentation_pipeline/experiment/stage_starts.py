"""What each stage starts from: ``initial_weights``, the best weights of the stage before, or ``weightsPath``."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.loader import project_of
from ..errors import ConfigError, WeightsError, shortened
from ..inference.trained_folds import weights_of
from ..models.initial_weights import resolve_weights
from ..models.transfer import HeadPolicy
from ..storage.digests import digest_of_file
from ..storage.experiment_files import ExperimentFiles
from ..storage.weights_reference import WeightsReference, experiment_named, latest_stage
from .assembly import ExperimentParts


class StageStart(NamedTuple):
    """Weights that a stage starts from.

    Attributes:
        path: The checkpoint, ``None`` for the native config's own initial weights.
        policy: How its heads are taken; ``None`` for weights of the experiment itself, which are taken whole.
        own: The stage of the same fold that they are of, where they are the experiment's own.
    """

    path: "Path | None"
    policy: "HeadPolicy | None"
    own: "int | None" = None


def stage_start(parts: ExperimentParts, fold: int, number: int) -> StageStart:
    """Return what a stage of a fold starts from; weights of its own experiment may not be there yet.

    Raises:
        WeightsError: There is no such file, experiment, fold or stage, or it cannot be fetched or read.
        ConfigError: They are of another fold, or of a stage that is trained later.
    """
    words = parts.settings.stages[number].initial_weights
    if words is None:
        if number == 0:
            return StageStart(*parts.model.start)
        return StageStart(parts.files.stage(fold, number - 1).best_weights, None, number - 1)
    key = f"stages[{number}].initial_weights"
    reference = WeightsReference.of(words)
    if reference is None:
        path = resolve_weights(words, parts.model.base, parts.run.cache, key)
    else:
        files = _files(parts, reference, words, key)
        if files.root.resolve() in (parts.files.root.resolve(), parts.files.base.resolve()):
            return _own(parts, reference, fold, number, f"{key}: {words}")
        path = _of_another(files, reference, fold, f"{key}: {words}")
    return StageStart(path, parts.model.policy(path, key))


def marks_of_starts(parts: ExperimentParts, fold: int, number: int) -> dict[str, str]:
    """Return what tells the weights of ``initial_weights`` of a stage, for comparing; nothing where it has none."""
    if parts.settings.stages[number].initial_weights is None:
        return {}
    start = stage_start(parts, fold, number)
    if start.own is not None:
        return {"initial_weights": f"best.{start.own}"}
    assert start.path is not None
    return {"initial_weights": f"a file of SHA-256 {digest_of_file(start.path)[:12]}"}


def needed_starts(parts: ExperimentParts, folds: Sequence[int], first_stage: int = 0) -> list[StageStart]:
    """Return the weights that stages of folds start from and that must be there before any of them is trained.

    Raises:
        UserError: As ``stage_start``, and where a stage that is not trained anew has no weights.
    """
    found = {}
    for number in range(first_stage, len(parts.settings.stages)):
        for fold in folds:
            start = stage_start(parts, fold, number)
            if start.own is not None:
                if start.own < first_stage:
                    weights_of(parts.files, fold, start.own)
            elif start.path is not None:
                found[start.path] = start
    return list(found.values())


def _files(parts: ExperimentParts, reference: WeightsReference, words: str, key: str) -> ExperimentFiles:
    if reference.experiment is None:
        return parts.files
    project = project_of(parts.files.config)
    files = experiment_named(reference.experiment, parts.files.base, project)
    if files is None:
        where = "" if project is None else f"{project / 'experiments'} and "
        raise WeightsError(
            f"{key}: {shortened(words)} names an experiment {shortened(reference.experiment)} that is not there: "
            f"{where}{parts.files.base} were looked in; a file is named with its ending, as best-0.0.weights."
        )
    return files


def _own(parts: ExperimentParts, reference: WeightsReference, fold: int, number: int, where: str) -> StageStart:
    stage = number - 1 if reference.stage is None else reference.stage
    if reference.fold not in (None, fold):
        raise ConfigError(
            f"{where} is fold {reference.fold} of the experiment itself, which learned from items that fold {fold} is "
            f"validated on: write best.{stage}, the weights of the same fold."
        )
    if not 0 <= stage < number:
        raise ConfigError(
            f"{where} is stage {stage} of the experiment itself, which is not trained before stage {number}: name an "
            "earlier stage, or another experiment."
        )
    return StageStart(parts.files.stage(fold, stage).best_weights, None, stage)


def _of_another(files: ExperimentFiles, reference: WeightsReference, fold: int, where: str) -> Path:
    fold = fold if reference.fold is None else reference.fold
    stage = reference.stage if reference.stage is not None else (latest_stage(files, fold) or 0)
    try:
        return weights_of(files, fold, stage)
    except WeightsError as error:
        if files.of_seed(0).config.is_file():
            raise WeightsError(
                f"{where}: {files.root} is trained with several seeds: name one of them, as in "
                f"{reference.experiment}/0/best."
            ) from None
        raise WeightsError(f"{where}: {error}") from None
