"""Finding and reading a native MMDetection config: ``configPath`` to an ``mmengine.Config``.

Configs of MMDetection 1.x and 2.x are recognised by their structure and refused by name; nothing is changed
here (``model_config`` does that).
"""

import functools
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.config import utils as config_utils

from ..errors import ConfigError, nearest, one_line, shortened
from ..storage.regular_file import absence, named_file
from ..zoo.catalogue import successor_of, zoo_folder, zoo_names
from ..zoo.own_configs import SCOPE as OWN_SCOPE
from ..zoo.own_configs import own_folder, own_names

ZOO_SCOPE = "mmdet::"

# MMEngine reads the zoo's hundred metafiles anew for each config that has a ``_base_`` in it
config_utils.load = functools.cache(config_utils.load)


def locate(config_path: str, base: Path) -> Path:
    """Return the file that ``configPath`` names: ``mmdet::…`` in the zoo, ``musket::…`` in this package, or a path.

    Args:
        config_path: The property's value.
        base: The folder that a relative path starts from.

    Raises:
        ConfigError: There is no such file; for a config of the zoo or of this package the nearest names are given.
    """
    if config_path.startswith(ZOO_SCOPE):
        name = _name_in_scope(config_path, ZOO_SCOPE)
        path = zoo_folder() / name
        if not path.is_file():
            hint = _nearest_zoo(name)
            raise ConfigError(f"configPath {config_path!r} is not in MMDetection's zoo{hint}: correct the name.")
        return path
    if config_path.startswith(OWN_SCOPE):
        return _locate_own(config_path)
    path = named_file(base, config_path)
    reason = absence(path)
    if reason is not None:
        hint = successor_of(Path(config_path).stem)
        extra = f"; for a config of MMDetection's zoo write mmdet::{hint}" if hint else ""
        raise ConfigError(f"configPath {shortened(config_path)} {reason}{extra}.")
    return path


def _locate_own(config_path: str) -> Path:
    name = _name_in_scope(config_path, OWN_SCOPE).removesuffix(".py")
    if name not in own_names():
        known = [OWN_SCOPE + own for own in own_names()]
        hint = nearest(OWN_SCOPE + name, known) or f" (there is {', '.join(known)})"
        raise ConfigError(
            f"configPath {config_path!r} is not a config of this package{hint}: correct the name; configs of "
            f"MMDetection's zoo begin with {ZOO_SCOPE}."
        )
    return own_folder() / f"{name}.py"


def _name_in_scope(config_path: str, scope: str) -> str:
    name = config_path[len(scope) :].lstrip("/")
    return name if name.endswith(".py") else name + ".py"


def read_native(path: Path) -> Config:
    """Read a config and check that it is one of MMDetection 3.x.

    Raises:
        ConfigError: It cannot be parsed, has no model, or is of MMDetection 1.x or 2.x.
    """
    try:
        config = Config.fromfile(str(path), lazy_import=False) if _is_old_style(path) else Config.fromfile(str(path))
    except (Exception, SystemExit) as error:
        text = one_line(error)
        generation = _generation_of_text(path)
        if generation:
            raise ConfigError(_refusal(path, generation)) from None
        raise ConfigError(f"configPath: {path} cannot be read as a MMDetection config: {text}.") from error
    generation = _generation(config)
    if generation:
        raise ConfigError(_refusal(path, generation))
    if not isinstance(config.get("model"), dict) or "type" not in config.model:
        raise ConfigError(
            f"configPath: {path} has no model: give a MMDetection 3.x config with model = dict(type=...)."
        )
    if "train_dataloader" not in config or "optim_wrapper" not in config:
        raise ConfigError(
            f"configPath: {path} has no train_dataloader or no optim_wrapper: give a complete training config, "
            "one that lists datasets and schedules in its _base_."
        )
    return config


def _nearest_zoo(name: str) -> str:
    return nearest(name, zoo_names(), count=3) or nearest(Path(name).name, [Path(n).name for n in zoo_names()], count=3)


def _is_old_style(path: Path) -> bool:
    """Say whether a config uses text style (``_base_ = …``), for which imports inside are ordinary code."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return "read_base" not in text


def _generation(config: Config) -> str:
    data = config.get("data")
    if isinstance(data, dict) and "train_dataloader" not in config:
        return "1.x" if "imgs_per_gpu" in data else "2.x"
    if "train_dataloader" not in config and ("optimizer" in config or "total_epochs" in config):
        return "2.x"
    return ""


def _generation_of_text(path: Path) -> str:
    """Recognise an old config that does not even parse here, because its base files are elsewhere."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if re.search(r"\bimgs_per_gpu\s*=", text):
        return "1.x"
    return "2.x" if re.search(r"\bsamples_per_gpu\s*=|^total_epochs\s*=", text, re.MULTILINE) else ""


def _refusal(path: Path, generation: str) -> str:
    name = successor_of(path.stem)
    instead = (
        f"configPath: 'mmdet::{name}'" if name else "a config of MMDetection 3.x, such as mmdet::<folder>/<name>.py"
    )
    found = f"configPath: {path} is a config of MMDetection {generation}"
    return f"{found}, which MMDetection 3.x cannot train: use {instead}."
