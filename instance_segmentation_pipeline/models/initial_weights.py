"""Where weights start: ``weightsPath``, and what a model's config names, as local files."""

from pathlib import Path

from mmengine.config import Config

from ..errors import WeightsError, shortened
from ..storage.regular_file import absence, named_file
from ..zoo.downloads import HOW_TO_GO_WITHOUT, fetch, is_remote
from .checkpoint_reader import read_file
from .config_tree import Node, type_name, walk


def resolve_weights(weights_path: str, base: Path, cache: "Path | None" = None, key: str = "weightsPath") -> Path:
    """Return the local file that ``weightsPath`` or ``initial_weights`` names.

    Args:
        weights_path: A path, absolute or relative to ``base``; a URL or a model zoo's name, fetched once.
        base: Folder of the YAML file.
        cache: Folder for downloads; by default torch's.
        key: What of the YAML names it, for messages.

    Raises:
        WeightsError: There is no such file, or it cannot be fetched.
    """
    if is_remote(weights_path):
        return fetch(weights_path, cache, key)
    path = named_file(base, weights_path)
    reason = absence(path)
    if reason is not None:
        raise WeightsError(f"{key} {shortened(weights_path)} {reason}.")
    return path


def localize_initial_weights(config: Config, cache: "Path | None" = None) -> None:
    """Replace, in place, every download that a model's config names as weights by a local file.

    Raises:
        WeightsError: One is neither cached nor can be fetched, its scheme is unknown, or the file cannot be read.
    """
    for path, node, key in _weights_named(config.model):
        source = str(node[key])
        what = f"model.{path}.{key}: the weights" if path else f"model.{key}: the weights"
        if is_remote(source):
            node[key] = str(fetch(source, cache, what))
        elif not Path(source).expanduser().exists():
            raise WeightsError(f"{what} {source} do not exist: {HOW_TO_GO_WITHOUT}.")
        else:
            node[key] = str(Path(source).expanduser().absolute())
        read_file(Path(node[key]), config.get("trust_weights", False))


def _weights_named(model: Node) -> list[tuple[str, Node, str]]:
    """Return path, mapping and key of each checkpoint that a model's config names, in ``init_cfg`` at any depth too."""
    named: list[tuple[str, Node, str]] = []
    for path, node in walk(model):
        if type_name(node) in ("Pretrained", "PretrainedInit") and node.get("checkpoint"):
            named.append((path, node, "checkpoint"))
        named += [(path, node, key) for key in ("pretrained", "teacher_ckpt") if isinstance(node.get(key), str)]
    return named
