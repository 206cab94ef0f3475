"""Checkpoints of strangers: none runs code, on whatever way it becomes weights; real ones load."""

import collections
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import get_torch_safe_globals
from musket_core import generic

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoint_reader import (
    STAND_INS,
    TORCH,
    is_allowed,
    read_file,
    reading_for_models,
)
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint, state_of
from instance_segmentation_pipeline.storage.zip_files import is_whole

pytestmark = pytest.mark.slow


class Raw:
    """Writes a pickle, protocol 2, instruction by instruction."""

    def __init__(self):
        self.data = b"\x80\x02"

    def name(self, module, name):
        self.data += b"c" + module.encode() + b"\n" + name.encode() + b"\n"
        return self

    def text(self, text):
        data = text.encode()
        self.data += b"X" + struct.pack("<I", len(data)) + data
        return self

    def add(self, data):
        self.data += data
        return self


def call(module, name, *arguments):
    """Return the instructions that call a function with texts."""
    raw = Raw().name(module, name).add(b"(")
    for argument in arguments:
        raw.text(argument)
    return raw.add(b"tR").data[2:]


def attacks(marker):
    """Return pickles that make the marker file where they are unpickled as they ask, by name."""
    command = f"touch {marker}"
    system = call("os", "system", command)
    getter = Raw().name("__builtin__", "getattr").data[2:]
    # getattr(getattr(dtype, "__class__"), …) up to os, as MMEngine's table lets it
    through = (
        Raw()
        .name("__builtin__", "getattr")
        .add(b"(")
        .name("mmengine.logging.history_buffer", "HistoryBuffer")
        .text("update")
        .add(b"tR")
        .data[2:]
    )
    globals_of = b"(" + through + Raw().text("__globals__").add(b"t").data[2:] + b"R"
    rebuild = Raw().name("torch._tensor", "_rebuild_from_type_v2").add(b"(").data[2:]
    table = {
        "os.system": system,
        "posix.system": call("posix", "system", command),
        "subprocess": Raw()
        .name("subprocess", "Popen")
        .add(b"(]")
        .text("touch")
        .add(b"a")
        .text(str(marker))
        .add(b"atR")
        .data[2:],
        "eval": call("builtins", "eval", f"open({str(marker)!r}, 'w')"),
        "exec": call("__builtin__", "exec", f"open({str(marker)!r}, 'w')"),
        "open": call("io", "open", str(marker), "w"),
        "builtins.open": call("builtins", "open", str(marker), "w"),
        "pathlib": Raw().add(call("pathlib", "Path", str(marker))).data[2:],
        "getattr": getter + globals_of,
        "getattr of a module": getter
        + b"("
        + Raw().name("numpy", "os").text("system").add(b"tR(").text(command).add(b"tR").data[2:],
        "getattr of a class": getter
        + b"("
        + Raw().name("mmengine.logging.history_buffer", "HistoryBuffer").text("__init__").add(b"tR").data[2:],
        "getattr of what was got": getter + b"(" + Raw().text("x").text("format").add(b"tR").data[2:],
        "rebuild with a function": rebuild + Raw().name("os", "system").add(b"(").text(command).add(b"tN}tR").data[2:],
        "rebuild with getattr": rebuild
        + getter
        + b"("
        + Raw().name("torch", "Tensor").text("__init__").add(b"tN}tR").data[2:],
        "rebuild, other module": Raw()
        .name("torch._utils", "_rebuild_from_type_v2")
        .add(b"(")
        .name("os", "system")
        .add(b"(")
        .text(command)
        .add(b"tN}tR")
        .data[2:],
        "wrapper subclass": Raw()
        .name("torch._utils", "_rebuild_wrapper_subclass")
        .add(b"(")
        .name("torch", "Tensor")
        .add(b"tR")
        .data[2:],
        "unpickling again": Raw()
        .name("torch.storage", "_load_from_bytes")
        .add(b"(U")
        .add(bytes([len(inner(system))]))
        .add(inner(system))
        .add(b"tR")
        .data[2:],
        "pickle.loads": Raw()
        .name("_pickle", "loads")
        .add(b"(U")
        .add(bytes([len(inner(system))]))
        .add(inner(system))
        .add(b"tR")
        .data[2:],
        "torch.load": call("torch.serialization", "load", str(marker)),
        "torch.hub": call("torch.hub", "load", "a/b", "c"),
        "torch.save": Raw().name("torch.serialization", "save").add(b"(K\x01").text(str(marker)).add(b"tR").data[2:],
        "runpy": call("runpy", "run_path", str(marker)),
        "importlib": call("importlib", "import_module", "antigravity"),
        "codecs file": call("codecs", "open", str(marker), "w"),
        "numpy.load": call("numpy", "load", str(marker)),
        "numpy.save": Raw().name("numpy", "save").add(b"(").text(str(marker)).add(b"K\x01tR").data[2:],
        "numpy tofile": call("numpy", "fromfile", str(marker)),
        "config text": call("mmengine.config", "Config.fromstring", f"open({str(marker)!r}, 'w')", ".py"),
        "partial": Raw()
        .name("functools", "partial")
        .add(b"(")
        .name("os", "system")
        .text(command)
        .add(b"tR(tR")
        .data[2:],
        "operator": Raw().name("operator", "methodcaller").add(b"(").text("x").add(b"tR").data[2:],
        "attrgetter": call("operator", "attrgetter", "__globals__"),
        "types": Raw().name("types", "FunctionType").add(b"(tR").data[2:],
        "copyreg": Raw()
        .name("copy_reg", "_reconstructor")
        .add(b"(")
        .name("io", "FileIO")
        .name("io", "FileIO")
        .text(str(marker))
        .add(b"tR")
        .data[2:],
        "build a class": Raw()
        .name("mmengine.logging.history_buffer", "HistoryBuffer")
        .add(b"N}")
        .text("update")
        .add(b"K\x01s\x86b")
        .data[2:],
        "build a module": Raw()
        .name("collections", "OrderedDict")
        .add(b"}")
        .text("__init__")
        .name("os", "system")
        .add(b"sb")
        .data[2:],
        "new object": Raw().name("io", "FileIO").add(b"(").text(str(marker)).text("w").add(b"t\x81").data[2:],
        "call a mentioned class": Raw().name("builtins", "list").add(b"(").text("ab").add(b"tR").data[2:],
        "dtype of a structure": Raw().name("numpy", "dtype").add(b"(").text("V8").add(b"tR").data[2:],
        "dtype with pointers": Raw().name("numpy", "dtype").add(b"(").text("O4,f8").add(b"tR").data[2:],
        "INST": b"(" + Raw().text(command).data[2:] + b"ios\nsystem\n",
        "OBJ": b"(" + Raw().name("os", "system").text(command).add(b"o").data[2:],
        "STACK_GLOBAL": b"\x8c\x02os\x8c\x06system\x93(" + Raw().text(command).data[2:] + b"tR",
        "extension": b"\x82\x01",
        "persistent id": Raw().text("any").add(b"Q").data[2:],
        "TorchScript": call("torch.jit", "load", str(marker)),
        "ctypes": call("ctypes", "CDLL", str(marker)),
        "webbrowser": call("webbrowser", "open", str(marker)),
        "a module of the project": call("evil_module", "run"),
    }
    return {name: b"\x80\x02" + body + b"." for name, body in table.items()}


def inner(system):
    return b"\x80\x02" + system[:200] + b"."


NAMES = sorted(attacks("/tmp/x"))


def in_zip(pickled):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return buffer.getvalue()


def before_1_6(pickled):
    """Return the format of torch before 1.6: pickles one behind the other."""
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*parts, pickled, pickle.dumps([], 2)])


def inside_a_state(pickled):
    """Return a checkpoint whose meta is an attack."""
    body = pickled[2:-1]
    return b"\x80\x02}" + b"(X\x04\x00\x00\x00meta" + body + b"X\x0a\x00\x00\x00state_dict}u."


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


# -- what must load ------------------------------------------------------------------------------------------------


def of_mmdetection_3(net):
    hub = MessageHub.get_instance("for the reader's test")
    hub.update_scalar("train/loss", 0.5)
    hub.update_scalar("train/loss", 0.25)
    hub.update_info("epoch", 3)
    optimizer = torch.optim.AdamW(net.parameters(), 0.1)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return {
        "meta": {
            "epoch": 3,
            "iter": 30,
            "cfg": "model = dict()",
            "config": ConfigDict(model={"type": "X", "nested": ConfigDict(a=(1, 2))}),
            "file": Config({"a": 1, "b": {"c": 2}}),
            "dataset_meta": {"classes": ("a", "b"), "palette": [(1, 2, 3)], "counts": np.arange(4)},
            "experiment_name": "x",
            "seed": np.int64(3),
            "time": "now",
            "mmengine_version": "0.10",
            "slice": slice(1, 2),
        },
        "state_dict": net.state_dict(),
        "message_hub": hub.state_dict(),
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [scheduler.state_dict()],
        "ema_state_dict": OrderedDict(steps=torch.tensor(3), a=torch.nn.Parameter(torch.ones(2))),
    }


def of_mmdetection_2(net):
    defaults = collections.defaultdict(dict)
    defaults[0]["momentum_buffer"] = torch.zeros(2, dtype=torch.float16)
    return {
        "meta": {
            "mmdet_version": "2.25.0+abc",
            "CLASSES": ["a", "b"],
            "PALETTE": None,
            "config": "model = dict()",
            "env_info": "sys.platform: linux",
            "hook_msgs": {
                "best_score": np.float64(0.25),
                "best_ckpt": "x.pth",
                "small": np.float32(1),
                "flag": np.bool_(1),
            },
            "epoch": 12,
            "iter": 1,
        },
        "state_dict": OrderedDict((f"module.{name}", value) for name, value in net.state_dict().items()),
        "optimizer": {"state": defaults, "param_groups": [{"lr": 0.02, "params": [0, 1]}]},
    }


def of_other_things(net):
    kinds = (torch.float64, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.uint8)
    return {
        "state_dict": {str(kind): torch.zeros(2, dtype=kind) for kind in kinds},
        "view": torch.arange(12).reshape(3, 4)[:, 1:].t(),
        "shared": [net.weight, net.weight],
        "arrays": [np.zeros((2, 3), order="F"), np.array(["ab", "c"]), np.array([b"x"]), np.array([True]), np.zeros((0, 4)),
                   np.array([{"a": np.arange(2)}, None], dtype=object), np.arange(3, dtype=">i4"), np.array(3.5)],
        "numbers": [np.float16(1.5), np.int64(2), 10**30, -1, 1.5, True, None, 1 + 2j],
        "text": ["é", b"bytes", bytearray(b"x"), b"", {1, 2}, (), ("a", ("b",))],
        "kind": [torch.float32, torch.Size([1, 2]), torch.device("cpu"), np.dtype("f4"), torch.strided],
        "counter": collections.Counter("aab"),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
    }  # fmt: skip


def same(first, second):
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(
            first.to_dense() if first.is_sparse else first, second.to_dense() if second.is_sparse else second
        )
    elif isinstance(first, np.ndarray) and first.dtype == object:
        for one, two in zip(first.ravel(), second.ravel(), strict=True):
            same(one, two)
    elif isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        assert type(second) is np.ndarray
        np.testing.assert_array_equal(first, second)
    elif isinstance(first, HistoryBuffer):
        assert type(second) is HistoryBuffer
        same(list(first.data), list(second.data))
        assert first.mean() == second.statistics("mean")
    elif isinstance(first, Config):
        same(dict(first._cfg_dict), second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, two in zip(first, second, strict=True):
            same(one, two)
    else:
        assert first == second
        assert type(first) is type(second)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("make", [of_mmdetection_3, of_mmdetection_2, of_other_things])
def test_real_checkpoints_load(tmp_path, make, zipped):
    content = make(torch.nn.Linear(3, 2))
    path = tmp_path / "real.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    same(content, read_file(path))
    torch.save(read_file(path), tmp_path / "again.pth")  # nothing that stood for something else is left in it
    same(content, read_file(tmp_path / "again.pth"))


def test_metadata_of_a_state_is_kept(tmp_path):
    net = torch.nn.BatchNorm2d(3)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "a.pth")
    assert read_file(tmp_path / "a.pth")["state_dict"]._metadata == net.state_dict()._metadata


def test_a_mapping_of_mmcv_loads(tmp_path):
    """MMCV 1.x pickled ``ConfigDict``, addict's mapping, item by item and with itself as its state."""
    module = types.ModuleType("mmcv.utils.config")

    class ConfigDict(dict):
        def __getstate__(self):
            return self

        def __setstate__(self, state):
            self.update(state)

    ConfigDict.__module__, ConfigDict.__qualname__ = "mmcv.utils.config", "ConfigDict"
    module.ConfigDict = ConfigDict
    sys.modules["mmcv.utils.config"] = module
    try:
        torch.save({"state_dict": {}, "meta": {"config": ConfigDict(a=ConfigDict(b=3))}}, tmp_path / "a.pth")
    finally:
        del sys.modules["mmcv.utils.config"]
    assert read_file(tmp_path / "a.pth")["meta"]["config"] == {"a": {"b": 3}}


def test_the_trained_weights_of_a_run_load(trained):
    for path in (trained.parent / "weights").glob("*.weights"):
        assert state_of(read_checkpoint(path))


# -- damage, bombs, and what is no file ------------------------------------------------------------------------------


def flipped(data, place=0.5):
    spot = int(len(data) * place)
    return data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :]


def bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(60_000_000))
    return buffer.getvalue()


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


WHOLE = saved({"state_dict": {"weight": torch.ones(1000)}})
DAMAGED = {
    "empty": b"",
    "text": b"404: not found",
    "html": b"<html><body>Sign in</body></html>",
    "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
    "half": WHOLE[: len(WHOLE) // 2],
    "a byte less": WHOLE[:-1],
    "a bit of a tensor": flipped(WHOLE),
    "a bit of the directory": flipped(WHOLE, 0.98),
    "zip of nothing": b"PK\x05\x06" + bytes(18),
    "zip bomb": bomb(),
    "zip of something": in_zip(b"\x80\x02}."[:2]),
    "deep": in_zip(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."),
    "deep lists": in_zip(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "pickle of itself": in_zip(b"\x80\x02]q\x00h\x00a."),
    "a number of a million bytes": in_zip(b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\1" * 10**6 + b"."),
    "huge storage": in_zip(b"\x80\x02" + b"ctorch.storage\nUntypedStorage\n(\x8a\x06\0\0\0\0\0\x7ftR."),
    "memo of nothing": in_zip(b"\x80\x02h\x07."),
    "no list": in_zip(b"\x80\x02K\x01."),
    "tar": b"ustar" * 300,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_checkpoints_are_one_sentence_without_wrong_advice(tmp_path, data):
    (tmp_path / "d\x1bamaged.pth").write_bytes(data)
    with pytest.raises(WeightsError) as raised:
        read_checkpoint(tmp_path / "d\x1bamaged.pth")
    words = str(raised.value)
    assert "trustWeights" not in words
    assert "\x1b" not in words
    assert len(words) < 600


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nothing", "dead link", "below a file", "loop"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dead link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "below a file":
        path.write_bytes(WHOLE)
        path = path / "weights.pth"
    with pytest.raises(WeightsError, match="does not exist|is a folder|a pipe or a device|cannot be read"):
        read_checkpoint(path)


def test_a_changed_file_is_read_anew(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(WHOLE)
    assert is_whole(path)
    path.write_bytes(WHOLE[:-5])
    assert not is_whole(path)


def test_a_damaged_weights_path_is_noticed_before_training(add_experiment, tmp_path):
    (tmp_path / "start.pth").write_bytes(flipped(WHOLE))
    cfg = generic.parse(str(add_experiment(extra=f"weightsPath: {tmp_path / 'start.pth'}\n")))
    with pytest.raises(WeightsError, match="is damaged: its records do not agree with their checksums"):
        cfg.check()


# -- every way on which a file becomes weights -------------------------------------------------------------------------


@pytest.fixture
def attack(tmp_path):
    """A checkpoint that MMEngine's own loader runs, and the marker that must not appear."""
    marker, path = tmp_path / "owned", tmp_path / "attack.pth"
    path.write_bytes(in_zip(attacks(marker)["os.system"]))
    return path, marker


def initialised(path):
    return {"type": "Pretrained", "checkpoint": str(path)}


WAYS = {
    "backbone": lambda path: {"model.backbone.init_cfg": initialised(path)},
    "head": lambda path: {"model.bbox_head.init_cfg": initialised(path)},
    "neck with a prefix": lambda path: {"model.neck.init_cfg": {**initialised(path), "prefix": "neck."}},
    "the whole model": lambda path: {"model.init_cfg": initialised(path)},
    "one of a list": lambda path: {
        "model.backbone.init_cfg": [{"type": "Kaiming", "layer": "Conv2d"}, initialised(path)]
    },
    "override": lambda path: {
        "model.backbone.init_cfg": {
            "type": "Kaiming", "layer": "Conv2d", "override": {"name": "stem", **initialised(path)}
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_initial_weights_of_a_config_run_no_code(add_experiment, attack, way):
    path, marker = attack
    lines = "".join(
        f"  {key}: {json.dumps(value)}\n" for key, value in ({"model.backbone.init_cfg": None} | way(path)).items()
    )
    cfg = generic.parse(str(add_experiment(replace=[("pretrained: false\n", ""), ("stages:", f"{lines}stages:")])))
    with pytest.raises(WeightsError, match="holds objects"):
        cfg.fit()
    assert not marker.exists()
    assert not list(cfg.files.root.glob("weights/*.weights"))


@pytest.mark.parametrize("name", ["{path}", "file-of-a-scheme"])
def test_all_that_mmengine_loads_goes_through_the_reader(attack, name):
    from mmengine.model import BaseModule
    from mmengine.runner import load_checkpoint

    path, marker = attack
    with reading_for_models(lambda source: read_file(path)), pytest.raises(WeightsError):
        load_checkpoint(torch.nn.Linear(1, 1), name.format(path=path))
    with reading_for_models(lambda source: read_file(path)), pytest.raises(WeightsError):
        BaseModule(init_cfg=initialised("https://example.org/a.pth")).init_weights()
    assert not marker.exists()


def test_outside_the_block_mmengine_loads_as_ever(tmp_path):
    from mmengine.runner import load_checkpoint

    torch.save({"state_dict": torch.nn.Linear(1, 1).state_dict()}, tmp_path / "a.pth")
    with reading_for_models(lambda source: {}):
        pass
    assert load_checkpoint(torch.nn.Linear(1, 1), str(tmp_path / "a.pth"))["state_dict"]


def test_resuming_runs_no_code_of_the_checkpoint(add_experiment, tmp_path):
    """Neither ``meta.config``, which MMEngine executes, nor what is unpickled."""
    cfg = generic.parse(str(add_experiment(replace=[("epochs: 1", "epochs: 2")])))
    cfg.expires = 0.0
    cfg.fit()
    marker, last = tmp_path / "owned", cfg.files.stage(0, 0).last_weights
    checkpoint = read_checkpoint(last)
    assert checkpoint["meta"]["epoch"] == 1
    checkpoint["meta"]["config"] = f"open({str(marker)!r}, 'w')"
    torch.save(checkpoint, last)
    cfg = generic.parse(cfg.path)
    cfg.setAllowResume(True)
    cfg.fit()
    assert not marker.exists()
    assert read_checkpoint(last)["meta"]["epoch"] == 2

    last.write_bytes(in_zip(attacks(marker)["os.system"]))
    cfg.files.stage(0, 0).best_weights.write_bytes(last.read_bytes())
    again = generic.parse(cfg.path)
    again.setAllowResume(True)
    with pytest.raises(WeightsError):
        again.fit()
    with pytest.raises(WeightsError):
        list(generic.parse(cfg.path).predictions("validation"))
    assert not marker.exists()
