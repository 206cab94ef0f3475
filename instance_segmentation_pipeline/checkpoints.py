"""Where weights come from, and how they get into a model: resolving, fetching, safe loading, head surgery.

Checkpoints are read with ``weights_only=True`` and MMEngine's allow-list, so loading one runs no code.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.config import Config
from mmengine.fileio import load as load_file
from mmengine.runner.checkpoint import get_torch_safe_globals

from .errors import WeightsError
from .files import write_atomically
from .native_config import walk

HOW_TO_GO_WITHOUT = (
    "set pretrained: false to train from random weights, or give weightsPath a file that you have downloaded"
)
LEAST_MATCH = 0.5
"""A checkpoint that fills fewer of a model's tensors than this share is taken for another architecture's."""


def resolve_weights(weights_path: str, base: Path, cache: "Path | None" = None) -> Path:
    """Return the local file that ``weightsPath`` names: absolute, relative to ``base``, or a URL (fetched once).

    Raises:
        WeightsError: There is no such file, or the URL cannot be fetched.
    """
    if urlparse(weights_path).scheme in ("http", "https"):
        return fetch(weights_path, cache, "weightsPath")
    path = (base / Path(weights_path).expanduser()).resolve()
    if not path.is_file():
        raise WeightsError(f"weightsPath {weights_path!r} does not exist: {path} was looked for.")
    return path


def fetch(url: str, cache: "Path | None", what: str) -> Path:
    """Return the local copy of ``url``, downloading it when it is not there yet.

    Raises:
        WeightsError: The download failed, for example for lack of a network.
    """
    folder = cache / "checkpoints" if cache is not None else Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(urlparse(url).path).name
    if path.is_file():
        return path
    try:
        with write_atomically(path) as temporary:
            torch.hub.download_url_to_file(url, str(temporary))
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        message = f"{what} {url} could not be downloaded ({reason}): {HOW_TO_GO_WITHOUT}."
        raise WeightsError(message) from None
    return path


def localize_initial_weights(config: Config, cache: "Path | None" = None) -> None:
    """Replace, in place, every download that a config's ``init_cfg`` names by a local file.

    Raises:
        WeightsError: One is neither cached nor can be fetched, or its scheme or file is unknown.
    """
    for path, node in walk(config.model):
        init = node.get("init_cfg")
        if not isinstance(init, dict) or init.get("type") != "Pretrained":
            continue
        source = str(init["checkpoint"])
        what = f"model.{path}.init_cfg: the initial weights"
        if "://" in source:
            init["checkpoint"] = str(fetch(_url_of(source, what), cache, what))
        elif not Path(source).is_file():
            raise WeightsError(f"{what} {source} do not exist: {HOW_TO_GO_WITHOUT}.")


def _url_of(source: str, what: str) -> str:
    """Turn the model-zoo schemes of MMEngine to the URL they stand for, from the lists in its package."""
    import mmengine

    scheme, _, name = source.partition("://")
    lists = {
        "torchvision": ("torchvision_0.12.json",),
        "modelzoo": ("torchvision_0.12.json",),
        "open-mmlab": ("openmmlab.json",),
        "openmmlab": ("openmmlab.json",),
        "mmcls": ("mmcls.json",),
    }
    if scheme in ("http", "https"):
        return source
    for file in lists.get(scheme, ()):
        urls = load_file(Path(mmengine.__file__).parent / "hub" / file)
        url = urls.get(name)
        if isinstance(url, str):
            return url if "://" in url else f"https://download.openmmlab.com/{url}"
    raise WeightsError(f"{what} {source} are not in MMEngine's list: {HOW_TO_GO_WITHOUT}.")


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint file safely.

    Raises:
        WeightsError: It is absent, damaged, or holds objects beyond tensors and plain data.
    """
    try:
        with torch.serialization.safe_globals(get_torch_safe_globals()):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist.") from None
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path} is not a checkpoint that can be loaded safely, or is damaged: {text}.") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path} holds a {type(checkpoint).__name__}, expected a dict of weights.")
    return checkpoint


def state_of(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Return the model's tensors of a checkpoint, without the prefix that parallel wrappers add."""
    state = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name.removeprefix("module."): value for name, value in tensors.items()}


@dataclass(frozen=True)
class LoadReport:
    """What became of a model's tensors and a checkpoint's."""

    loaded: int
    total: int
    anew: tuple[str, ...]
    reshaped: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.loaded} of {self.total} tensors loaded"]
        for name in ("anew", "reshaped", "missing", "unexpected"):
            keys = getattr(self, name)
            if keys:
                shown = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
                parts.append(f"{len(keys)} {name} ({shown})")
        return "; ".join(parts)


def load_into(model: torch.nn.Module, path: Path, anew: frozenset = frozenset()) -> LoadReport:
    """Load a checkpoint's tensors into a model; those named in ``anew``, or of another shape, stay as they are.

    Raises:
        WeightsError: The file cannot be read, or fits too little of the model.
    """
    source = state_of(read_checkpoint(path))
    target = model.state_dict()
    skipped = sorted(name for name in target if name in anew)
    reshaped = sorted(n for n in target if n in source and n not in anew and source[n].shape != target[n].shape)
    usable = {n: source[n] for n in target if n in source and n not in anew and n not in set(reshaped)}
    wanted = len(target) - len(skipped)
    if len(usable) < LEAST_MATCH * wanted:
        raise WeightsError(
            f"{path} is a checkpoint of another architecture: it fills {len(usable)} of the {wanted} tensors of "
            "this model; give weightsPath a checkpoint that belongs to configPath."
        )
    model.load_state_dict(usable, strict=False)
    missing = sorted(name for name in target if name not in source and name not in anew)
    unexpected = sorted(name for name in source if name not in target)
    return LoadReport(len(usable), len(target), *(tuple(names) for names in (skipped, reshaped, missing, unexpected)))


def class_dependent(config: Config) -> frozenset:
    """Return the names of the tensors whose shape depends on the number of classes.

    Found by building the model on no device twice, once with a class more, and comparing shapes: no list of
    layer names decides it.
    """
    other = _shapes(_one_more(config))
    return frozenset(name for name, shape in _shapes(config.model).items() if other.get(name) != shape)


def _one_more(config: Config) -> Any:
    model = copy.deepcopy(config.model)
    for _, node in walk(model):
        if isinstance(node.get("num_classes"), int):
            node["num_classes"] += 1
    return model


def _shapes(model: Any) -> dict:
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    with torch.device("meta"):
        built = MODELS.build(copy.deepcopy(model))
    return {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
