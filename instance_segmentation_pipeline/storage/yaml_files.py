"""Reading YAML as plain data, in a time and a memory that grow with the text and with nothing else."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from ..text import printable
from .regular_file import MOST_TEXT, read_text

SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads plain data only; several times faster where it is libyaml's."""

MOST_CONFIG = 1 << 20
"""Bytes of a config at most."""

MOST_DEPTH = 64
MOST_VALUES = 1_000_000
MOST_DIGITS = 1000
_LARGE = 1 << 22
_LEVELS = re.compile(rf"[\[\]{{}}]|^(?:- ?){{{MOST_DEPTH},}}|^ {{{4 * MOST_DEPTH},}}", re.MULTILINE)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not UTF-8.
        yaml.YAMLError: It is no YAML, or stands for more than it holds; see ``parse_yaml``.
    """
    return parse_yaml(read_text(Path(path)))


def parse_yaml(text: str, loader: Any = SAFE_LOADER) -> Any:
    """Return what YAML text holds, by a safe loader: libyaml's, where PyYAML was built with it.

    Raises:
        yaml.YAMLError: It is no YAML; its lists lie in each other more than ``MOST_DEPTH`` deep; its aliases stand for
            more than ``MOST_VALUES`` values, or for what they are in; a number has more than ``MOST_DIGITS`` digits.
    """
    _check_events(text)
    try:
        reader = loader(text)
        try:
            node = reader.get_single_node()
            if node is None:
                return None
            _check_aliases(node, text)
            return reader.construct_document(node)
        finally:
            reader.dispose()
    except (ValueError, ArithmeticError, RecursionError, TypeError, AttributeError) as error:  # of its constructors
        raise yaml.YAMLError(f"a value cannot be read ({type(error).__name__}: {printable(error, 100)})") from None


def yaml_text(data: object) -> str:
    """Return data as YAML that the safe loader reads back.

    Numbers, text and arrays of NumPy are written as plain ones, paths as text, functions and classes by their names.

    Raises:
        yaml.YAMLError: It holds what YAML has no plain form for.
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes what was set from Python as a YAML would have it."""


def _as_plain(dumper: Any, value: Any) -> Any:
    if hasattr(value, "tolist"):
        return dumper.represent_data(value.tolist())
    if isinstance(value, os.PathLike):
        return dumper.represent_str(os.fsdecode(value))
    name = getattr(value, "__name__", None)
    return dumper.represent_str(name) if callable(value) and name else dumper.represent_undefined(value)


_Dumper.add_multi_representer(str, lambda dumper, value: dumper.represent_str(str(value)))
_Dumper.add_multi_representer(tuple, lambda dumper, value: dumper.represent_list(value))
_Dumper.add_multi_representer(object, _as_plain)


def _check_events(text: str) -> None:
    """Refuse nesting that would exhaust a stack, and numbers that would take a processor for long."""
    if len(text) > _LARGE:  # written by programs; their events would take longer to count than to read
        _check_brackets(text)
        return
    depth = 0
    for event in yaml.parse(text, Loader=SAFE_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise yaml.YAMLError(f"lists or mappings lie in each other more than {MOST_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _is_huge_number(event.value):
            raise yaml.YAMLError(f"a number has {len(event.value)} digits, expected {MOST_DIGITS} at most")


def _is_huge_number(value: str) -> bool:
    """Say whether YAML takes a long text for a number, and not for a word such as a digest."""
    if len(value) <= MOST_DIGITS:
        return False
    kinds = yaml.SafeLoader.yaml_implicit_resolvers.get(value[0], [])
    return any(tag.endswith((":int", ":float")) and pattern.match(value) is not None for tag, pattern in kinds)


def _check_brackets(text: str) -> None:
    depth = 0
    for bracket in _LEVELS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket.group(), MOST_DEPTH + 1)
        if depth > MOST_DEPTH:
            raise yaml.YAMLError(f"lists or mappings lie in each other more than {MOST_DEPTH} deep")


def _check_aliases(root: "yaml.Node | None", text: str) -> None:
    """Refuse aliases that stand for too much; each node is looked at once, however often it is meant."""
    if "*" not in text:
        return
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting[-1]
        parts = _parts(node)
        missing = [part for part in parts if id(part) not in sizes]
        if missing and id(node) not in open_nodes:
            open_nodes.add(id(node))
            if any(id(part) in open_nodes for part in missing):
                raise yaml.YAMLError("an alias stands for a value that it is in")
            waiting += missing
            continue
        if missing:
            raise yaml.YAMLError("an alias stands for a value that it is in")
        waiting.pop()
        open_nodes.discard(id(node))
        sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
        if sizes[id(node)] > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES} values")


def _parts(node: "yaml.Node | None") -> "list[yaml.Node | None]":
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return []


__all__ = ["MOST_CONFIG", "MOST_TEXT", "SAFE_LOADER", "parse_yaml", "read_yaml", "yaml_text"]
