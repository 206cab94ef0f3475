"""Pickles that run code where they are unpickled as they ask, and the files that carry them."""

import io
import pickle
import struct
import zipfile


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
