"""Checkpoints of strangers: none runs code, whatever it asks the unpickler to do."""

import os
import pickle
import sys
import types

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import get_torch_safe_globals

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoint_reader import (
    STAND_INS,
    TORCH,
    is_allowed,
)
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from tests.support.checkpoint_attacks import attacks, before_1_6, in_zip, inside_a_state

pytestmark = pytest.mark.slow


NAMES = sorted(attacks("/tmp/x"))


FORMATS = {"zip": in_zip, "before torch 1.6": before_1_6, "in meta": lambda pickled: in_zip(inside_a_state(pickled))}


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_no_checkpoint_runs_code(tmp_path, monkeypatch, name, form):
    marker = tmp_path / "owned"
    module = types.ModuleType("evil_module")
    module.run = lambda: marker.write_text("owned")
    monkeypatch.setitem(sys.modules, "evil_module", module)
    path = tmp_path / "attack.pth"
    path.write_bytes(form(attacks(marker)[name]))
    before = vars(HistoryBuffer).copy()
    with pytest.raises(WeightsError) as raised:
        read_checkpoint(path)
    assert not marker.exists()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700
    assert dict(vars(HistoryBuffer)) == before


def test_the_attacks_work_where_they_are_let(tmp_path):
    """Else the tests above would show nothing."""
    for name in ("os.system", "eval", "open", "INST", "STACK_GLOBAL"):
        marker = tmp_path / name.replace(".", "_")
        pickle.loads(attacks(marker)[name])
        assert marker.exists(), name


def test_what_other_code_has_allowed_is_not_allowed_here(tmp_path):
    """MMEngine's table holds ``getattr``; a script may add anything."""
    path = tmp_path / "attack.pth"
    path.write_bytes(in_zip(attacks(tmp_path / "owned")["os.system"]))
    with torch.serialization.safe_globals([*get_torch_safe_globals(), os.system, open]):
        for name in ("getattr of a class", "open", "os.system"):
            path.write_bytes(in_zip(attacks(tmp_path / "owned")[name]))
            with pytest.raises(WeightsError):
                read_checkpoint(path)
        assert os.system in torch.serialization.get_safe_globals()
    assert not (tmp_path / "owned").exists()


def test_nothing_in_the_table_reaches_a_function_of_the_file(tmp_path):
    """Every name that may be called is called with a function, a class, a path and nested ones of them."""
    marker = tmp_path / "owned"

    def touch(*_, **__):
        marker.write_text("owned")
        return marker

    class Reached:
        __reduce__ = __setstate__ = __call__ = __iter__ = __len__ = __index__ = touch

    import contextlib

    for function in STAND_INS.values():
        if not callable(function):
            continue
        for arguments in ((touch,), (touch, "x"), (Reached,), ("os", "system"), (os, "system"), (str(marker), "w")):
            with contextlib.suppress(Exception):
                function(*arguments)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "os.system", "torch._tensor._rebuild_from_type_v2", "torch.storage._load_from_bytes", "torch.load",
     "torch.jit.load", "torch.utils.Storage", "torch.hub.Storage", "torch.OsStorage.system", "torch.int8x",
     "torch._utils._rebuild_wrapper_subclass", "numpy.load", "builtins.__import__", "torch.classes.Storage"],
)  # fmt: skip
def test_names_that_only_look_right_are_refused(name):
    assert not is_allowed(name)


def test_every_allowed_name_of_torch_is_one_of_its_own_reader(tmp_path):
    """None of them widens what torch itself takes for safe."""
    from torch._weights_only_unpickler import _get_allowed_globals

    known = set(_get_allowed_globals())
    assert {name for name in TORCH if name not in known} <= {"torch._utils._rebuild_tensor_v3"}
