"""What callbacks see of a stage while it trains, where their files go, and that all processes of a net leave its loop."""

from functools import partial
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from instance_segmentation_pipeline.config.callbacks import declared_callbacks
from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.storage.experiment_files import ExperimentFiles
from instance_segmentation_pipeline.training.callbacks.base import LearningRates, RunningStage
from instance_segmentation_pipeline.training.callbacks.making import plan_of
from instance_segmentation_pipeline.training.callbacks.monitor import Measured
from instance_segmentation_pipeline.training.callbacks.project import ModelView
from instance_segmentation_pipeline.training.hooks import stage_end
from instance_segmentation_pipeline.training.hooks.stage_end import EndTogether, StageEnd


def board(files, **arguments):
    plan = plan_of(declared_callbacks({"TensorBoard": arguments}), {}.get, [], Measured([]), MetricName("val_loss"))
    ((callback,), _) = plan.make(files)
    return callback


@pytest.fixture
def scheduled():
    """A stage whose rates the native schedule sets; the first group has a tenth of the rate, one has none."""
    groups = [{"lr": 0.0}, {"lr": 0.001}, {"lr": 0.01}]
    rates = LearningRates(0.01)
    rates.begin(groups)
    return RunningStage("fold 0 stage 0", 3, rates, StageEnd(), print, iterations=2), groups


def test_the_rate_of_a_schedule_is_seen_as_it_is(scheduled):
    stage, groups = scheduled
    model = ModelView(stage, "Own")
    for share in (1, 0.1, 0.5):
        groups[1]["lr"], groups[2]["lr"] = 0.001 * share, 0.01 * share
        assert model.optimizer.lr == model.optimizer.learning_rate == pytest.approx(0.01 * share)
    stage.may_set_rate.add("Own")
    model.optimizer.lr = 0.2
    assert [group["lr"] for group in groups] == pytest.approx([0, 0.02, 0.2])
    assert model.optimizer.lr == 0.2


def test_tensorboard_has_the_rate_of_each_iteration_by_the_schedule(scheduled, tmp_path):
    stage, groups = scheduled
    callback = board(ExperimentFiles(tmp_path / "config.yaml").stage(0, 0), update_freq="batch")
    callback.on_train_begin(stage)
    callback.on_epoch_begin(0)
    for iteration, share in enumerate((0.1, 1.0)):
        stage.iteration = iteration
        groups[1]["lr"], groups[2]["lr"] = 0.001 * share, 0.01 * share
        callback.on_batch_end(iteration, lambda: {"loss": 1.0})
    callback.on_train_end()
    found = EventAccumulator(str(callback.folder / "batches")).Reload().Scalars("lr")
    assert [event.value for event in found] == pytest.approx([0.001, 0.01])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("learn_rate", "learn_rate of the model cannot be set here"),
        ("optimizer.weight_decay", "weight_decay of the optimizer cannot be set here"),
    ],
)
def test_what_nothing_looks_at_cannot_be_set(scheduled, path, message):
    target = ModelView(scheduled[0], "Own")
    *parents, name = path.split(".")
    for parent in parents:
        target = getattr(target, parent)
    with pytest.raises(AttributeError, match=message):
        setattr(target, name, 1)


def test_what_is_not_there_is_told_with_what_there_is(scheduled):
    with pytest.raises(AttributeError, match="the optimizer has no iterations here: it has learning_rate"):
        _ = ModelView(scheduled[0], "Own").optimizer.iterations


def test_event_files_of_seeds_trials_and_experiments_stay_apart(tmp_path):
    experiments = [ExperimentFiles(tmp_path / name / "config.yaml") for name in ("one", "two")]
    one = experiments[0]
    places = [
        *experiments,
        one.of_seed(0),
        one.of_seed(1),
        one.of_trial(0),
        one.of_trial(1),
        one.of_trial(1).of_seed(0),
    ]
    one.root.mkdir()
    one.scores.touch()
    for place in places:
        place.root.mkdir(parents=True, exist_ok=True)
        place.config.touch()
    for given in (None, "board", "a/../board", "..", "../boards", str(tmp_path / "boards"), str(one.root / "board")):
        arguments = {} if given is None else {"log_dir": given}
        folders = [board(place.stage(0, 1), **arguments).folder.resolve() for place in places]
        assert len(set(folders)) == len(places), given
        inside = given in (None, "board", "a/../board")
        assert (
            all(folder.is_relative_to(place.root) for folder, place in zip(folders, places, strict=True)) or not inside
        )
    outside = board(one.of_trial(1).of_seed(0).stage(0, 1), log_dir="../boards").folder.resolve()
    assert outside == tmp_path / "boards" / "one" / "trial1" / "0" / "0.1"


@pytest.mark.parametrize("stopped", [[False, False], [True, False], [False, True]])
def test_a_loop_that_one_process_stopped_is_left_by_all(stopped, monkeypatch):
    monkeypatch.setattr(stage_end, "all_gather_object", partial(_gathered, stopped))
    for own in stopped:
        runner = SimpleNamespace(train_loop=SimpleNamespace(stop_training=own))
        EndTogether().after_val_epoch(runner)
        assert runner.train_loop.stop_training is any(stopped)


def _gathered(others, own):
    assert own in others
    return others
