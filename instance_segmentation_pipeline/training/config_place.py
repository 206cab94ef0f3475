"""Where in a config something lies that cannot be built: MMEngine names the class that refused it, not the place."""

import inspect
import re
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.registry import Registry

from ..errors import nearest
from ..models.config_tree import Node, walk

SECTIONS = (
    "model",
    "optim_wrapper",
    "param_scheduler",
    "default_hooks",
    "custom_hooks",
    "train_dataloader",
    "val_dataloader",
    "val_evaluator",
    "train_pipeline",
    "val_pipeline",
    "test_pipeline",
)
"""Parts of a config that are built, in the order in which they are searched."""

_UNEXPECTED = re.compile(r"(?:(\w+)\.)?\w+\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"(?:(\w+)\.)?__init__\(\) missing \d+ required \S+ arguments?: '(\w+)'")
_UNKNOWN = re.compile(r"(\w[\w.]*) is not in the (.+?) registry")
_UNNAMED = "Cannot find None in registry"


def place_of(error: BaseException, config: Config | Node) -> "str | None":
    """Return the dotted path in a config that an error of building speaks of, with near names; ``None`` if unknown.

    Args:
        error: What the construction of a part raised.
        config: The config that it was built from.
    """
    text = str(error)
    for pattern, find in ((_UNEXPECTED, _argument), (_MISSING, _lacking), (_UNKNOWN, _kind)):
        match = pattern.search(text)
        if match:
            return next(find(config, *match.groups()), None)
    return next(_unregistered(config), None) if _UNNAMED in text else None


def _nodes(config: Config | Node) -> Iterator[tuple[str, Node, str]]:
    """Yield path, mapping and its type's name, of all that is built."""
    for section in SECTIONS:
        for path, node in walk(config.get(section), section):
            kind = node.get("type", "")
            yield path, node, kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _argument(config: Config | Node, owner: "str | None", name: str) -> Iterator[str]:
    found = [(path, kind) for path, node, kind in _nodes(config) if name in node]
    of_owner = [(path, kind) for path, kind in found if owner in (None, kind.rpartition(".")[2])]
    for path, kind in of_owner or found:  # a class hands on to the one that it is derived from
        yield f"{path}.{name}{nearest(name, _arguments(kind))}"


def _lacking(config: Config | Node, owner: "str | None", name: str) -> Iterator[str]:
    return (f"{path}, which lacks {name}," for path, _, kind in _nodes(config) if kind.rpartition(".")[2] == owner)


def _kind(config: Config | Node, name: str, registry: str) -> Iterator[str]:
    known = _classes(registry.rpartition("::")[2])
    return (f"{path}.type{nearest(name, known)}" for path, _, kind in _nodes(config) if kind == name)


def _unregistered(config: Config | Node) -> Iterator[str]:
    """Yield the types of layers that no registry has: MMCV says of them ``None``."""
    known = set(_classes(""))
    for path, _, kind in _nodes({"model": config.get("model")}):
        if kind and path.endswith("_cfg") and kind not in known:
            yield f"{path}.type{nearest(kind, _classes('model'))}"


def _registries(name: str) -> Iterator[Registry]:
    from mmdet import registry as of_mmdet
    from mmengine import registry as of_mmengine

    for module in (of_mmdet, of_mmengine):
        for value in vars(module).values():
            if isinstance(value, Registry) and name in ("", value.name.rpartition("::")[2]):
                yield value


def _classes(registry: str) -> list[str]:
    return [name for one in _registries(registry) for name in one.module_dict]


def _arguments(kind: str) -> list[str]:
    """Return the arguments of a registered class, and of those that it is derived from."""
    made = next((one.module_dict[kind] for one in _registries("") if kind in one.module_dict), None)
    if not inspect.isclass(made):
        return []
    signatures = [vars(base)["__init__"] for base in made.__mro__[:-1] if "__init__" in vars(base)]
    return [name for init in signatures for name in inspect.signature(init).parameters if name != "self"]
