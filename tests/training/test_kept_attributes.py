"""Attributes of callbacks of a project go through a checkpoint, which holds plain data, and come back as they were."""

import random
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from instance_segmentation_pipeline.models.checkpoints import read_checkpoint, read_meta
from instance_segmentation_pipeline.training.callbacks.base import LearningRates, RunningStage
from instance_segmentation_pipeline.training.callbacks.kept_attributes import KIND, kept_of, restored
from instance_segmentation_pipeline.training.callbacks.project import KerasBridge
from instance_segmentation_pipeline.training.hooks import stage_end
from instance_segmentation_pipeline.training.hooks.stage_end import StageEnd
from tests.support.keras_callback import Callback

VALUES = {
    "nothing": None,
    "truth": True,
    "large": 10**40,
    "infinite": float("-inf"),
    "complex": 1 + 2j,
    "bytes": b"\x00\xff",
    "text": "ä\n",
    "lists": [1, [2, (3, None)], []],
    "mapping": {"a": {1: 2.5}},
    "mapping by tuples": {(1, 2): 3, None: 4, 1.5: 6, (): []},
    "mapping that looks like ours": {KIND: "deque", "items": [1]},
    "ordered": OrderedDict([(2, 1), (1, 2)]),
    "counter": Counter("abca"),
    "with a default": defaultdict(list, {"a": [1]}),
    "without a default": defaultdict(None, {1: 2}),
    "set": {1, "a", (2, 3)},
    "frozen": frozenset([1]),
    "window": deque([1, 2, 3], 3),
    "queue": deque(["a"]),
    "nested": {"a": [deque([{1, 2}, np.float32(1.5)], 7)]},
    "array": np.arange(6.0).reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "array of none": np.zeros((0, 4), np.float32),
    "array of texts": np.array(["ab", "c"]),
    "array without axes": np.array(3.5),
    "float32": np.float32(1.1),
    "int64": np.int64(3),
    "bool": np.bool_(True),
    "tensor": torch.arange(3),
    "scalar tensor": torch.tensor(1.5, dtype=torch.bfloat16),
    "path": Path("/a/b"),
    "date": date(2026, 2, 3),
    "moment": datetime(2026, 2, 3, 4, 5, 6, 7),
}


@pytest.fixture(scope="module")
def back(tmp_path_factory):
    """The values of ``VALUES`` after they were in a checkpoint."""
    kept, lost = kept_of(VALUES)
    assert not lost
    path = tmp_path_factory.mktemp("kept") / "last.weights"
    torch.save({"state_dict": {}, "meta": {"callbacks": {"Own 0": kept}}}, path)
    for meta in (read_checkpoint(path)["meta"], read_meta(path)):
        found = {name: restored(one) for name, one in meta["callbacks"]["Own 0"].items()}
    return found


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_as_it_was(back, name):
    before, after = VALUES[name], back[name]
    assert type(before) is type(after)
    if isinstance(before, (np.ndarray, torch.Tensor)):
        assert before.dtype == after.dtype
        assert before.shape == after.shape
        assert before.tolist() == after.tolist()
        after[...] = after  # it may be written to
    else:
        assert before == after
        assert getattr(before, "maxlen", None) == getattr(after, "maxlen", None)
        assert getattr(before, "default_factory", None) is getattr(after, "default_factory", None)
    if isinstance(before, (dict, list)):
        assert list(before) == list(after)


GENERATORS = [
    random.Random(3),
    *[np.random.Generator(getattr(np.random, kind)(5)) for kind in ("PCG64", "MT19937", "Philox", "SFC64")],
]


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda one: type(getattr(one, "bit_generator", one)).__name__)
def test_generators_go_on(generator, tmp_path):
    generator.random()
    path = tmp_path / "last.weights"
    torch.save({"state_dict": {}, "meta": kept_of({"one": generator})[0]}, path)
    again = restored(read_checkpoint(path)["meta"]["one"])
    assert [again.random() for _ in range(5)] == [generator.random() for _ in range(5)]


class Own(Callback):
    """Keeps what it has seen, and what cannot be kept."""

    def __init__(self):
        super().__init__()
        self.window, self.classes, self.lock = deque(maxlen=2), set(), threading.Lock()
        self.tell, self.odd = print, [object()]

    def on_epoch_end(self, epoch, logs=None):
        self.window.append(np.float32(logs["loss"]))
        self.classes.add(epoch)


@pytest.fixture
def said():
    return []


@pytest.fixture
def bridged(said):
    """Return a function that makes a bridge to an object of ``Own``, whose stage has begun."""

    def make():
        stage = RunningStage("fold 0 stage 0", 9, LearningRates(0.1), StageEnd(), said.append)
        bridge = KerasBridge("Own", Own)
        bridge.on_train_begin(stage)
        return bridge

    return make


def test_what_cannot_be_kept_is_told_once_and_stays_as_it_is_made(bridged, said):
    one, other = bridged(), bridged()
    for epoch in range(3):
        one.on_epoch_end(epoch, {"loss": epoch / 3, "epoch": epoch})
        state = one.state()
    assert said == [
        "callback Own: checkpoints do not keep lock (lock), odd (object): a run that is resumed has it as __init__ and "
        "on_train_begin make it"
    ]
    lock = other.callback.lock
    other.restore(state)
    assert other.callback.window == deque([np.float32(1 / 3), np.float32(2 / 3)], 2)
    assert other.callback.window.maxlen == 2
    assert other.callback.classes == {0, 1, 2}
    assert other.callback.lock is lock
    one.callback.classes.add(9)
    assert 9 not in other.callback.classes


def test_a_request_to_stop_can_be_taken_back_until_the_epoch_has_ended(bridged):
    """As in Keras, whoever sets ``stop_training`` last before the loop looks at it has the say; built-in ones too."""
    model = bridged().callback.model
    end, loop = model._stage.end, SimpleNamespace(train_loop=SimpleNamespace(stop_training=False))
    model.stop_training = True
    model.stop_training = False
    assert model.stop_training is False
    end.ask("EarlyStopping: no better")
    assert model.stop_training is True
    model.stop_training = False
    end.after_val_epoch(loop)
    assert (end.reason, loop.train_loop.stop_training) == (None, False)
    model.stop_training = False
    end.ask("EarlyStopping: no better")
    end.after_val_epoch(loop)
    assert (end.reason, loop.train_loop.stop_training) == ("EarlyStopping: no better", True)


def test_what_the_first_process_takes_back_counts_in_all(monkeypatch):
    """A built-in callback asks in each process, one of the project, called behind it, takes it back in the first."""
    first, second = StageEnd(), StageEnd()
    for one in (first, second):
        one.ask("EarlyStopping: no better")
    first.withdraw()
    asked = []
    monkeypatch.setattr(stage_end, "all_gather_object", lambda own: asked.append(own) or [own])
    for one in (first, second):
        one.after_val_epoch(SimpleNamespace(train_loop=SimpleNamespace()))
    together = list(asked)
    monkeypatch.setattr(stage_end, "all_gather_object", lambda own: together)
    for one in (StageEnd(), StageEnd()):
        loop = SimpleNamespace(train_loop=SimpleNamespace(stop_training=False))
        one.after_val_epoch(loop)
        assert loop.train_loop.stop_training is False
