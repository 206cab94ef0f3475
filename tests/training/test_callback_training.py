"""Callbacks in real trainings: the rates that the optimizer has, stages that end early, and what is resumed of them."""

import json

import pytest
import yaml
from musket_core import generic
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import ConfigError, TrainingError, UserError
from instance_segmentation_pipeline.models.checkpoints import ENDED_KEY, read_meta
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.training.hooks.checkpoint import WeightsKeeper
from tests.support.weights import weights_of

pytestmark = pytest.mark.slow

MODULE = """
import json
import os
from keras.callbacks import Callback
from mmengine.hooks import Hook

class Rates(Hook):
    '''Writes the rate that the optimizer has in each iteration.'''

    def __init__(self, file):
        self.file = file

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not runner.rank:
            with open(self.file, "a") as file:
                file.write(f"{runner.optim_wrapper.get_lr()['lr'][0]!r}\\n")

class Counts(Callback):
    '''Ends the stage after so many epochs, and writes what it is told.'''

    def __init__(self, epochs, file=os.devnull):
        super().__init__()
        self.epochs, self.file, self.seen, self.batches = epochs, file, 0, []

    def note(self, *words):
        with open(self.file, "a") as file:
            file.write(json.dumps(words) + "\\n")

    def on_train_begin(self, logs=None):
        self.seen = 0
        self.note("begin", self.params["epochs"], self.params["steps"])

    def on_train_end(self, logs=None):
        self.note("end", "val_loss" in logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.batches = []
        self.note("epoch", epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append([batch, logs["loss"] > 0])

    def on_test_begin(self, logs=None):
        self.note("test", self.batches)

    def on_epoch_end(self, epoch, logs=None):
        self.seen += 1
        self.note("ended", epoch, self.seen, sorted(logs), self.model.optimizer.lr)
        if self.seen >= self.epochs:
            self.model.stop_training = True

class Halves(Callback):
    sets_learning_rate = True

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2

class Sneaks(Halves):
    sets_learning_rate = False

class Fails(Callback):
    def on_epoch_begin(self, epoch, logs=None):
        raise KeyError("here")

class Predicts(Callback):
    def on_predict_begin(self, logs=None):
        pass

def counts_of(epochs):
    return Counts(epochs)

def nothing():
    return 3

def tell(epoch, logs, model):
    print("told", epoch, round(logs["val_loss"], 2) > 0, model.stop_training)
"""

ITEMS = [("count: 12", "count: 8"), ("imagesPerGpu: 4", "imagesPerGpu: 2")]
"""Three iterations an epoch."""


@pytest.fixture
def make(project, add_experiment):
    """Return a function that makes an experiment with callbacks; its modules have some of their own."""
    (project / "modules" / "told.py").write_text(MODULE)

    def experiment(callbacks, name="exp01", epochs=5, extra=""):
        text = f"lr: 0.008\n{yaml.safe_dump({'callbacks': callbacks})}{extra}"
        return add_experiment(name, text, replace=[*ITEMS, ("- epochs: 1\n", f"- epochs: {epochs}\n")])

    return experiment


def fitted(path, *flags):
    assert fit.main(["--project", str(path.parents[2]), "--name", path.parent.name, *flags]) == 0
    return generic.parse(str(path)).files.stage(0, 0)


def rates_in(file):
    return [float(line) for line in file.read_text().split()]


PLATEAU = {"ReduceLROnPlateau": {"monitor": "loss", "patience": 1, "factor": 0.5, "min_delta": 100}}
CHAIN = {"LRVariator": {"absSize": 2, "toVal": 0.002, "then": {"LRVariator": {"absSize": 2, "toVal": 0.004}}}}
CHAIN["LRVariator"]["then"]["LRVariator"]["then"] = PLATEAU
NEVER_BETTER = {"min_delta": 100, "patience": 3}
CYCLE = {"base_lr": 0.001, "max_lr": 0.003, "step_size": 4}

CASES = {
    "a chain, a plateau, early stopping": (
        {**CHAIN, "EarlyStopping": NEVER_BETTER},
        [0.008, 0.002, 0.002, 0.004, 0.004, 0.004, 0.004, 0.004, 0.004, 0.002, 0.002, 0.002],
        "EarlyStopping: val_loss was best in epoch 1",
    ),
    "cycles, a class of the project": (
        {"CyclicLR": CYCLE, "Counts": {"epochs": 3}},
        [0.001, 0.0015, 0.002, 0.0025, 0.003, 0.0025, 0.002, 0.0015, 0.001],
        "Counts set model.stop_training",
    ),
    "a rate of the project": (
        {"Halves": None, "counts_of": {"epochs": 2}},
        [0.008, 0.008, 0.008, 0.004, 0.004, 0.004],
        "counts_of set model.stop_training",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rates_end_and_a_run_that_was_cut_twice(make, tmp_path, case, capsys):
    """Each iteration has the rate computed by hand; a run in three pieces has the same bits and CSV."""
    callbacks, rates, reason = CASES[case]
    whole = make({**callbacks, "Rates": {"file": str(tmp_path / "whole")}}, "whole")
    one = fitted(whole)
    assert rates_in(tmp_path / "whole") == pytest.approx(rates, rel=1e-9)
    assert [row["lr"] for row in read_rows(one.metrics)] == pytest.approx(rates[::3], rel=1e-5)
    assert read_meta(one.last_weights)[ENDED_KEY].startswith(reason)
    out = capsys.readouterr()
    owner = next(iter(callbacks))
    assert f"learning rate: set by {owner}" in out.out
    assert "in place of the config's LinearLR, CosineAnnealingLR, its warm-up included" in out.out
    assert "ends the stage" in out.err
    summary = yaml.safe_load((whole.parent / "summary.yaml").read_text())
    assert summary["completed"] is True

    cut = make({**callbacks, "Rates": {"file": str(tmp_path / "whole")}}, "cut")
    for _ in range(2):
        cfg = generic.parse(str(cut))
        cfg.setAllowResume(True)
        cfg.expires = 0.0
        cfg.fit()
    two = fitted(cut, "--allow_resume", "true")
    assert one.metrics.read_text() == two.metrics.read_text()
    for name in ("best_weights", "last_weights"):
        assert weights_of(getattr(one, name)) == weights_of(getattr(two, name)), name
    assert rates_in(tmp_path / "whole") == pytest.approx(rates * 2, rel=1e-9)


def test_a_death_between_the_end_and_its_note_and_what_a_change_does(make, monkeypatch, capsys):
    """The checkpoint of the epoch that ends a stage says so; the next stage goes on, and more epochs change nothing."""
    path = make({"EarlyStopping": {**NEVER_BETTER, "patience": 1}}, epochs=4)
    save = WeightsKeeper._save

    def die(runner, path, meta, complete):
        save(runner, path, meta, complete)
        if ENDED_KEY in meta:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(WeightsKeeper, "_save", staticmethod(die))
        generic.parse(str(path)).fit()
    files = fitted(path, "--allow_resume", "true")
    assert len(read_rows(files.metrics)) == 2
    before = weights_of(files.last_weights)
    path.write_text(path.read_text().replace("epochs: 4", "epochs: 6"))
    fitted(path, "--allow_resume", "true")
    assert "more epochs change nothing, since it was ended: EarlyStopping" in capsys.readouterr().out
    assert (len(read_rows(files.metrics)), weights_of(files.last_weights)) == (2, before)
    path.write_text(path.read_text().replace("patience: 1", "patience: 2"))
    cfg = generic.parse(str(path))
    cfg.setAllowResume(True)
    with pytest.raises(UserError, match=r"callbacks\.0\.EarlyStopping\.patience 1 there, 2 now"):
        cfg.fit()


def test_stages_and_what_a_class_is_told(make, tmp_path):
    """The first stage ends early, the second follows, with callbacks of its own and event files."""
    told = tmp_path / "told"
    counts = {"Counts": {"epochs": 1, "file": str(told)}}
    path = make(counts, epochs=3)
    board = {"update_freq": 2, "histogram_freq": 1, "log_dir": "board"}
    stage = {"epochs": 2, "callbacks": [{"LambdaCallback": {"on_epoch_end": "tell"}}, {"TensorBoard": board}]}
    text = path.read_text().replace("- epochs: 3\n", f"- epochs: 3\n  - {json.dumps(stage)}\n")
    path.write_text(text)
    files = fitted(path)
    (row,) = read_rows(files.metrics)
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    names = sorted(set(row) - {"epoch"})
    assert lines == [
        ["begin", 3, 3],
        ["epoch", 0],
        ["test", [[0, True], [1, True], [2, True]]],
        ["ended", 0, 1, names, lines[3][-1]],
        ["end", True],
    ]
    rows = read_rows(generic.parse(str(path)).files.stage(0, 1).metrics)
    assert len(rows) == 2
    events = EventAccumulator(str(path.parent / "board" / "0.1"), {"histograms": 0, "scalars": 0}).Reload()
    for name in set(rows[0]) - {"epoch"}:
        found = events.Scalars(name)
        assert [event.step for event in found] == [0, 1]
        expected = pytest.approx([one[name] for one in rows], rel=1e-4, nan_ok=True)
        assert [event.value for event in found] == expected, name
    assert [event.step for event in events.Histograms("weights/backbone.stem.0.conv.weight")] == [0, 1]
    batches = EventAccumulator(str(path.parent / "board" / "0.1" / "batches")).Reload()
    assert [event.step for event in batches.Scalars("loss")] == [0, 2, 4]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ({"Fails": None}, r"fold 0 stage 0: callback Fails failed in on_epoch_begin: KeyError: 'here': correct it"),
        ({"nothing": None}, r"callback nothing gave an object of int, expected a keras.callbacks.Callback"),
        ({"Sneaks": None}, r"Sneaks sets the learning rate.* put sets_learning_rate = True into the class"),
        ({"EarlyStopping": {"monitor": "val_loss_msk"}}, r"no column 'val_loss_msk' \(did you mean 'val_loss_mask'"),
    ],
)
def test_what_shows_while_training_is_told(make, callbacks, message):
    cfg = generic.parse(str(make(callbacks)))
    with pytest.raises(TrainingError, match=message):
        cfg.fit()


CHECKED = [
    ({"Predicts": None}, "Predicts has on_predict_begin, which is never called here"),
    ({"Counts": {"epoch": 3}}, "callbacks.Counts has no argument 'epoch' (did you mean 'epochs'?)"),
    ({"Counts": None}, "callbacks.Counts cannot be made: missing a required argument: 'epochs'"),
    ({"Rates": {"files": "a"}}, "callbacks.Rates has no argument 'files' (did you mean 'file'?)"),
    ({"Count": None}, "there is no callback 'Count' (did you mean 'Counts'?)"),
    ({"Halves": None, "CyclicLR": None}, "callbacks.Halves and callbacks.CyclicLR both set the learning rate"),
    ({"LambdaCallback": {"on_epoch_end": "tel"}}, "'tel' is no function of the project's modules (did you mean 'tell"),
    (
        {"EmptyCacheHook": {"after": True}},
        "callbacks.EmptyCacheHook has no argument 'after' (did you mean 'after_iter'?)",
    ),
    ({"EarlyStopping": {"monitor": "val_accuracy"}}, "monitor 'val_accuracy' is no column of the metrics CSV"),
    ({"EarlyStopping": {"monitor": "val_coco_segm_mAP_holdout"}}, "is no column of the metrics CSV"),
    ({"LRVariator": {"relSize": 3, "toVal": 0.1, "periodSteps": 2}}, "so that its end is never reached"),
]


def test_what_is_wrong_is_told_before_anything_is_trained(make):
    """All on one config, whose parts are made once: each by attribute."""
    path = make({})
    cfg = generic.parse(str(path))
    for callbacks, message in CHECKED:
        cfg.callbacks = callbacks
        with pytest.raises(ConfigError) as caught:
            cfg.check()
        assert message in str(caught.value)
    cfg.callbacks = None
    cfg.callbacks.append("CyclicLR")
    cfg.check()
    assert cfg.callback_plan(0).owner.declared.name == "CyclicLR"
    cfg.configOptions["param_scheduler"] = []
    with pytest.raises(ConfigError, match=r"configOptions: param_scheduler would do nothing: remove one"):
        cfg.check()
    assert not (path.parent / "weights").exists()


def test_an_object_in_place_of_a_name_is_refused(make):
    cfg = generic.parse(str(make({})))
    cfg.get_dataset()
    import told

    with pytest.raises(ConfigError, match=r"callbacks\[0\] is an object of Halves.*name its class"):
        cfg.callbacks = [told.Halves()]


def test_all_processes_of_a_net_end_after_the_same_epoch(make, tmp_path):
    """Two processes train one net; a class in the first of them decides, and sets the rate of both."""
    rates = tmp_path / "rates"
    callbacks = {"Halves": None, "Counts": {"epochs": 2}, "Rates": {"file": str(rates)}}
    files = fitted(make(callbacks, epochs=4), "--gpus_per_net", "2")
    assert len(read_rows(files.metrics)) == 2
    found = rates_in(rates)
    assert found[: len(found) // 2] == [0.008] * (len(found) // 2)
    assert found[len(found) // 2 :] == [0.004] * (len(found) // 2)
    assert read_meta(files.last_weights)[ENDED_KEY] == "Counts set model.stop_training"
