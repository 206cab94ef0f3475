"""Before a run trains: what an earlier one left is compared, put aside or gone on with, and file names are claimed."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError
from ..inference.trained_folds import weights_of
from ..storage.archive import archive, belonging
from ..storage.run_manifest import RunManifest, RunNames
from ..text import printable
from .fold_trainer import FoldTrainer
from .resuming import make_whole
from .run_arguments import FoldRequest, TrainRequest
from .stage_starts import needed_starts
from .trainable import Trainable, TrainableExperiment


def make_room(experiment: TrainableExperiment, request: TrainRequest) -> None:
    """Put what an earlier run of these folds and stages trained aside, and claim the names of their files.

    Nothing is moved before it is known that the run can begin.

    Raises:
        UserError: It cannot.
    """
    resume = experiment.run.resume
    folds: Sequence[int] | None = request.folds
    if resume or request.first_stage:
        for one in experiment.members():
            one.kfold()
    elif folds is not None:
        folds = _with_one_split(experiment, folds)
    each: list[tuple[Trainable, RunNames]] = [(experiment, RunNames((), ()))] if experiment.seeds() else []
    each += [(one, _names_of_run(one, folds or range(fold_count(experiment)))) for one in experiment.members()]
    for one, names in each:
        manifest = RunManifest(one.files)
        if not (resume and manifest.knows_a_run()):
            manifest.check(names.all())
        if not resume and names.folds:
            _check_start(one, list(names.folds), request.first_stage)
            for fold in names.folds:
                FoldTrainer(one).check_earlier(FoldRequest(fold, request.first_stage, request.subsample))
    if resume:
        _go_on(each, request)
    for one, names in each:
        archived = None if resume else archive(one.files, folds, request.first_stage)
        if archived is not None:
            print(f"  the weights of an earlier run are kept in {printable(archived)}")  # noqa: T201
        one.parts.folds.forget()
        RunManifest(one.files).claim(names.all())
    for one in (experiment, *experiment.members()):
        one.kfold()


def _go_on(each: "Sequence[tuple[Trainable, RunNames]]", request: TrainRequest) -> None:
    """See to it that what is trained can be gone on with: all is compared before anything is put aside.

    Raises:
        WeightsError: It was trained with other settings or for other classes, or cannot be read.
    """
    for one, names in each:
        for fold in names.folds:
            FoldTrainer(one).check(FoldRequest(fold, request.first_stage, request.subsample))
    for one, names in each:
        for fold in names.folds:
            make_whole(one, fold)


def fold_count(config: Trainable) -> int:
    """Return how many folds there are, whatever split lies on disk."""
    return config.parts.folds.count(config.parts.datasets.main())


def check_folds(config: Trainable, wanted: "Sequence[int] | None") -> None:
    """Raise a ``ConfigError`` where one of these folds is none that there is."""
    count = fold_count(config)
    for fold in wanted or ():
        if not 0 <= fold < count:
            raise ConfigError(f"fold {fold} was asked for, but there are folds 0 to {count - 1}.")


def _names_of_run(config: Trainable, folds: Sequence[int]) -> RunNames:
    native = Path(str(config.parts.model.prepared.config.filename or "")).name
    return RunNames(list(folds), [stage.epochs for stage in config.parts.settings.stages], native)


def _check_start(config: Trainable, folds: Sequence[int], first_stage: int) -> None:
    """See to it that what the training starts from is there, and will be when an earlier run is put aside."""
    files = config.files
    if first_stage:
        for fold in folds:
            weights_of(files, fold, first_stage - 1)
    moved = {(files.root / name).resolve() for name in belonging(files, folds, first_stage)}
    for start in needed_starts(config.parts, folds, first_stage):
        if start.path is not None and start.policy is not None and start.path.resolve() in moved:
            named = start.path.resolve().relative_to(files.root.resolve())
            raise ConfigError(
                f"{files.config}: {start.policy.key} {named} was trained here, and would be put aside into "
                "previous/ by the run that starts from it: copy it to another place, and name that."
            )


def _with_one_split(config: Trainable, folds: Sequence[int]) -> "Sequence[int] | None":
    """Return the folds to put aside: all, where the split has changed and no other fold was trained on the old one.

    Raises:
        ConfigError: Other folds were trained on another split.
    """
    try:
        config.kfold()
    except ConfigError:
        others = config.parts.trained.begun() - set(folds)
        if others:
            raise ConfigError(
                f"{config.files.folds_split} was made for another dataset, or other settings of the split, and fold "
                f"{min(others)} was trained on it: train all folds anew, or put the config back."
            ) from None
        return None
    return folds
