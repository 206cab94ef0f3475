"""Reading ``#%Musket MMDetection`` files: header, YAML, ``common.yaml``, and the project that a file lies in."""

import os
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, shortened
from ..storage.regular_file import open_regular, read_text
from ..storage.yaml_files import MOST_CONFIG, parse_yaml
from ..text import one_line_of

VERSION = "1.0"
HEADER = f"#%Musket MMDetection {VERSION}"
_HEADER = re.compile(r"#%Musket\s+MMDetection\b\s*(?P<version>\S*)", re.IGNORECASE)
REPLACEABLE = ("declarations", "callbacks", "datasets", "tasks")
"""Mappings of common.yaml whose entries are added one by one, as musket_core does."""


def is_ours(path: Path) -> bool:
    """Say whether a file begins with our header."""
    try:
        return _HEADER.match(first_line(Path(path))) is not None
    except (OSError, ValueError):
        return False


def check_version(path: Path) -> None:
    """Refuse a file of ours whose header names another version than this dialect's; one without a version is taken.

    Raises:
        ConfigError: It names another one, or more than that.
    """
    line = first_line(path)
    found = _HEADER.match(line)
    if found is None or line[found.start("version") :].strip() not in ("", VERSION):
        raise ConfigError(
            f"{path} begins with {shortened(line.strip())}, but this is version {VERSION} of the dialect: begin with "
            f"the line {HEADER}."
        )


def first_line(path: Path) -> str:
    """Return the first line of a text file, at most 1000 characters of it, without a byte order mark."""
    with open_regular(path, encoding="utf-8", errors="replace") as file:
        return str(file.readline(1000)).lstrip("\ufeff")


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


def taken_from_common(path: Path, common: "Path | None") -> dict[str, Any]:
    """Return what an experiment takes from ``common.yaml``: keys, and entries of them, that it does not have itself.

    Raises:
        ConfigError: One of the files cannot be read.
    """
    if common is None or not os.path.lexists(common):
        return {}
    own = read_mapping(path)
    taken = {}
    for key, value in read_mapping(common).items():
        there = own.get(key)
        if there is None:
            taken[key] = value
        elif key in REPLACEABLE and isinstance(there, dict) and isinstance(value, dict):
            taken[key] = {name: entry for name, entry in value.items() if name not in there}
    return taken


def origin_of(path: Path, key: str, entry: "str | None" = None) -> Path:
    """Return the file that gives an experiment a property, or an entry of one: its own YAML, or ``common.yaml``."""
    common = common_of(path)
    try:
        given = {} if common is None or not os.path.lexists(common) else read_mapping(common)
        own = read_mapping(path).get(key)
    except ConfigError:
        return path
    if common is None or given.get(key) is None:
        return path
    if entry is None or not isinstance(own, dict):
        return common if own is None else path
    return common if entry not in own and entry in given[key] else path


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


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, for which a key given twice is an error instead of a silent choice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
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
