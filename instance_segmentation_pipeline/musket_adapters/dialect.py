"""Reading ``#%Musket MMDetection`` files: header, YAML, ``common.yaml``, and the way from a path to a config.

``legacy.overrides`` hands these functions to musket_core, so that ``generic.parse`` and ``Experiment`` find
them. Files of other dialects go to upstream's own functions.
"""

import os
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, shortened
from ..storage.regular_file import open_regular, read_text
from ..storage.yaml_files import MOST_CONFIG, parse_yaml
from ..text import one_line_of

VERSION = "1.0"
HEADER = f"#%Musket MMDetection {VERSION}"
_ANY_HEADER = re.compile(r"#\s*%\s*Musket\b", re.IGNORECASE)
_HEADER = re.compile(r"#%Musket\s+MMDetection\b\s*(?P<version>\S*)", re.IGNORECASE)
REPLACEABLE = ("declarations", "callbacks", "datasets", "tasks")
"""Mappings of common.yaml whose entries are added one by one, as musket_core does."""


class Dialect:
    """What ``musket_core.configloader`` calls a module: makes a config object of the YAML's mapping."""

    def instantiate(self, properties: Any, clear_custom: bool = False, with_args: Any = None) -> Any:
        """Return our ``PipelineConfig``."""
        from ..experiment.pipeline_config import PipelineConfig

        return PipelineConfig(**properties)


def is_ours(path: Path) -> bool:
    """Say whether a file begins with our header."""
    try:
        return _HEADER.match(_first_line(Path(path))) is not None
    except (OSError, ValueError):
        return False


def check_version(path: Path) -> None:
    """Refuse a file of ours whose header names another version than this dialect's; one without a version is taken.

    Raises:
        ConfigError: It names another one, or more than that.
    """
    line = _first_line(path)
    found = _HEADER.match(line)
    if found is None or line[found.start("version") :].strip() not in ("", VERSION):
        raise ConfigError(
            f"{path} begins with {shortened(line.strip())}, but this is version {VERSION} of the dialect: begin with "
            f"the line {HEADER}."
        )


def refuse_near_miss(path: Path) -> None:
    """Refuse a file without our header that is one of ours by all signs, before musket_core takes it for its own.

    Raises:
        ConfigError: Its header names no dialect, it is not UTF-8, or it has no header and names a configPath.
    """
    try:
        with open_regular(path, "rb") as file:
            raw = file.read(100_000)
        line = _first_line(path)
    except OSError:
        return  # musket_core says what there is to say
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = "is UTF-16: save it as UTF-8, and begin it with"
    elif _ANY_HEADER.match(line):
        dialect = line.split()[1].lower() if len(line.split()) > 1 else ""
        if dialect and (_schemas() / f"{dialect}.raml").exists() and dialect != "mmdetection":
            return
        problem = f"begins with {shortened(line.strip())}, which names no dialect: begin it with"
    elif re.search(rb"^configPath\s*:", raw, re.MULTILINE):
        problem = "names a configPath, but has no header in its first line: begin it with"
    else:
        return
    raise ConfigError(f"{path} {problem} the line {HEADER}.")


def _first_line(path: Path) -> str:
    with open_regular(path, encoding="utf-8", errors="replace") as file:
        return str(file.readline(1000)).lstrip("\ufeff")


def _schemas() -> Path:
    import musket_core

    return Path(str(musket_core.__file__)).parent / "schemas"


def read_config(path: Path, common: "Path | None" = None) -> dict[str, Any]:
    """Read an experiment's YAML with the safe loader, and add what only ``common`` has.

    Raises:
        ConfigError: The file is not YAML, is not a mapping, names a key twice, or has another header version.
    """
    properties = read_mapping(path)
    if common is not None and os.path.lexists(common):
        for key, value in read_mapping(common).items():
            own = properties.get(key)
            if own is None:
                properties[key] = value
            elif key in REPLACEABLE and isinstance(own, dict) and isinstance(value, dict):
                properties[key] = {**value, **own}
    return properties


def common_of(path: Path) -> "Path | None":
    """Return the ``common.yaml`` of the project that an experiment's YAML lies in, ``None`` outside a project."""
    project = project_of(path)
    return None if project is None else project / "common.yaml"


def project_of(path: Path) -> "Path | None":
    """Return the project of an experiment's YAML: the nearest folder above it that holds ``experiments/`` it is in.

    A folder above that happens to be called ``experiments`` does not mislead it: the innermost one counts.
    """
    for folder in Path(path).absolute().parents:
        if folder.name == "experiments":
            return folder.parent
    return None


def parse_with_dialect(upstream: Callable) -> Callable:
    """Return ``configloader.parse`` that reads our files by itself and hands all others to ``upstream``."""

    def parse(name: str, source: Any, extra: Any = None) -> Any:
        if not isinstance(source, (str, os.PathLike)) or not is_ours(Path(source)):
            if isinstance(source, (str, os.PathLike)):
                refuse_near_miss(Path(source))
            return upstream(name, source, extra)
        path = Path(source).absolute()
        check_version(path)
        common = common_of(path) if extra is None else Path(extra)
        try:
            config = Dialect().instantiate(read_config(path, common))
        except ConfigError as error:
            told = str(error)
            raise ConfigError(told if told.startswith(str(path)) else f"{path}: {told}") from None
        config.path = str(path)
        return config

    return parse


def resolve_before(upstream: Callable) -> Callable:
    """Return ``generic.parse`` that says what is wrong when a name is neither a file nor an experiment."""

    def parse(path: Any, extra: Any = None) -> Any:
        from musket_core import context

        if isinstance(path, os.PathLike):
            path = os.fspath(path)
        if isinstance(path, str) and not Path(path).is_file():
            folder = Path(path)
            if (folder / "config.yaml").is_file():
                return upstream(str(folder / "config.yaml"), extra)
            project = context.get_current_project_path()
            if project is None or not (Path(project) / "experiments" / path / "config.yaml").is_file():
                looked = "" if project is None else f" of the project {project}"
                raise ConfigError(f"{path} is neither a file nor an experiment{looked}: check the path.")
        return upstream(path, extra)

    parse.__doc__ = upstream.__doc__
    return parse


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, for which a key given twice is an error instead of a silent choice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                problem = f"{shortened(key)} is no key (line {line})"
                raise yaml.constructor.ConstructorError(None, None, problem, None)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{shortened(key)} is given twice (line {line})", None
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of properties with the safe loader; an empty one has none.

    Raises:
        ConfigError: It cannot be read, is no YAML, holds no mapping, or names a key twice.
    """
    try:
        data = parse_yaml(read_text(path, "utf-8-sig", MOST_CONFIG), _UniqueKeyLoader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise ConfigError(f"{path} is not valid YAML: it is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:  # a number of thousands of digits is the latter
        text = one_line_of(str(error), 300)
        raise ConfigError(f"{path} is not valid YAML: {text}.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be a mapping of properties, but it is a {type(data).__name__}.")
    wrong = next((key for key in data if not isinstance(key, str)), "")
    if wrong != "":
        raise ConfigError(
            f"{path}: the key {shortened(wrong)} is no text, expected the name of a property: correct it."
        )
    return data
