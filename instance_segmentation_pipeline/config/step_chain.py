"""Chains of steps, as ``preprocessing``, ``declarations`` and a ``dataset`` that is a list have them.

Declared chains, ``seq``, ``repeat(n)``, ``if(condition)`` and ``pass`` are resolved here; what is left are steps that
do something, with their arguments: functions of the project's modules, ``cache``, ``disk-cache``, ``augmentation``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .templates import evaluated, filled_in

CACHE, DISK_CACHE, AUGMENTATION = "cache", "disk-cache", "augmentation"
CACHES = (CACHE, DISK_CACHE)
SEQUENCES = ("seq", "seq-preprocessor")
PASS = "pass"
BUILT_IN = (CACHE, DISK_CACHE, AUGMENTATION, *SEQUENCES, PASS, "repeat(n)", "if(condition)")

NAMING = ("preprocessing", "dataset", "datasets", "pretrain_transform", "extra_train_data")
"""Properties that may name declarations."""

MANY_IMAGES = (
    "split-preprocessor",
    "split-concat-preprocessor",
    "transform-preprocessor",
)
"""Steps of musket_core that give several arrays in place of one."""

MOST_STEPS = 1000
MOST_ENTRIES = 20_000
MOST_DEPTH = 40
MOST_REPEATS = 100

_CONTROL = re.compile(r"(?P<word>if|repeat)\s*\((?P<inner>.*)\)", re.DOTALL)
_BROKEN_CONTROL = re.compile(r"(if|repeat)\b")
_OF_NETS = ("inputs", "outputs", "shared")
_PARTS = ("parameters", "body", "with")


@dataclass(frozen=True)
class Step:
    """One step of a chain.

    Attributes:
        name: A function of the modules, or one of ``cache``, ``disk-cache`` and ``augmentation``.
        arguments: What the YAML gives it.
        where: Its place in the YAML, such as ``preprocessing[1]``.
        given: Arguments that a declaration's ``with`` gives to each of its steps that knows them.
        declared_as: That declaration's name; empty outside of one.
        body: Of an augmentation: the steps that it draws, in groups.
    """

    name: str
    arguments: Any
    where: str
    given: dict[str, Any] = field(default_factory=dict)
    body: "tuple[tuple[Step, ...], ...]" = ()
    declared_as: str = ""


def steps_of(chain: Any, declarations: "Mapping[str, Any] | None", where: str) -> list[Step]:
    """Return the steps of a chain: a name, a mapping of one name to its arguments, or a list of such.

    Raises:
        ConfigError: It is none of these, a declaration leads to itself, or a word of the language is used wrongly.
    """
    known = dict(declarations or {})
    check_declarations(known)
    steps: list[Step] = []
    for step in _Expansion(known).steps(_entries(chain, where), {}, {}, where, ()):
        steps.append(step)
        if len(steps) > MOST_STEPS:
            raise ConfigError(f"{where} has more than {MOST_STEPS} steps: repeat less.")
    return steps


def described(steps: Sequence[Step]) -> str:
    """Return steps with their arguments as one line of text, the same for the same steps."""
    texts = []
    for step in steps:
        body = [f"[{described(group)}]" for group in step.body]
        arguments = [repr(one) for one in (step.arguments, step.given) if one not in (None, {}, [])]
        texts.append(" ".join([step.name, *body, *arguments]))
    return ", ".join(texts)


def check_declarations(declarations: Mapping[str, Any]) -> None:
    """See to it that declarations are chains, whether they are used or not.

    Raises:
        ConfigError: One of them is not, describes a net, or has the name of a word of the language.
    """
    for name, declared in declarations.items():
        where = f"declarations.{name}"
        if name in BUILT_IN or _CONTROL.fullmatch(name) or name in MANY_IMAGES:
            raise ConfigError(f"{where} has the name of a step that is there already: give it another name.")
        if isinstance(declared, dict) and "body" in declared:
            _check_parts(declared, where)
            _entries(declared["body"], f"{where}.body")
        else:
            _entries(declared, where)


def check_used(own: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """See to it that the declarations of an experiment's own YAML are named by what it runs.

    Args:
        own: ``declarations`` of its own YAML; those of ``common.yaml`` may wait for other experiments.
        properties: All its properties.

    Raises:
        ConfigError: One is named nowhere.
    """
    declared = properties.get("declarations") or {}
    waiting = [properties.get(key) for key in NAMING]
    used: set[str] = set()
    while waiting:
        for name in names_in(waiting.pop()):
            if name in declared and name not in used:
                used.add(name)
                waiting.append(declared[name])
    idle = next((name for name in own if name not in used), None)
    if idle is not None:
        raise ConfigError(
            f"declarations.{idle} is named by none of {', '.join(NAMING)}: name it there, or remove it; nets are named "
            "by configPath."
        )


def names_in(chain: Any) -> Iterator[str]:
    """Give the names that a chain mentions, at any depth, known or not."""
    if isinstance(chain, str):
        yield chain
    elif isinstance(chain, list):
        for entry in chain:
            yield from names_in(entry)
    elif isinstance(chain, dict):
        for name, arguments in chain.items():
            yield str(name)
            if isinstance(arguments, (list, dict)):
                yield from names_in(arguments)


def _check_parts(declared: dict[str, Any], where: str) -> None:
    for key in declared:
        if key in _OF_NETS:
            raise ConfigError(f"{where}.{key} is for nets of Keras, and a chain of images has none: remove it.")
        if key not in _PARTS:
            raise ConfigError(f"{where}.{key} is not known{nearest(str(key), _PARTS)}: use {', '.join(_PARTS)}.")
    parameters = declared.get("parameters") or []
    if not isinstance(parameters, list) or not all(isinstance(one, str) and one.isidentifier() for one in parameters):
        raise ConfigError(f"{where}.parameters is {shortened(parameters)}, expected a list of names.")
    if len(set(parameters)) < len(parameters):
        raise ConfigError(f"{where}.parameters is {shortened(parameters)}, expected different names.")
    given = declared.get("with") or {}
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise ConfigError(f"{where}.with is {shortened(given)}, expected a mapping of arguments.")
    texts = " ".join(_texts([declared["body"], given]))
    idle = next((one for one in parameters if not re.search(rf"\b{one}\b", texts)), None)
    if idle is not None:
        raise ConfigError(
            f"{where}.parameters has {shortened(idle)}, which neither body nor with uses: name it where its value is "
            "to stand, or remove it."
        )


def _texts(chain: Any) -> Iterator[str]:
    """Give all texts in a chain, at any depth: names, keys of arguments, and values."""
    if isinstance(chain, str):
        yield chain
    elif isinstance(chain, list):
        for entry in chain:
            yield from _texts(entry)
    elif isinstance(chain, dict):
        for key, value in chain.items():
            yield str(key)
            yield from _texts(value)


def _entries(chain: Any, where: str) -> list[Any]:
    """Return the entries of a chain as it is written."""
    if isinstance(chain, (str, dict)):
        chain = [chain]
    if not isinstance(chain, list) or not chain:
        found = "is empty" if chain in ([], None) else f"is {shortened(chain)}"
        raise ConfigError(
            f"{where} {found}, expected a step's name, a mapping of it to its arguments, or a list of these."
        )
    for number, entry in enumerate(chain):
        _name_and_arguments(entry, f"{where}[{number}]" if len(chain) > 1 else where)
    return chain


def _name_and_arguments(entry: Any, where: str) -> tuple[str, Any]:
    if isinstance(entry, str) and entry.strip():
        return entry.strip(), None
    if not isinstance(entry, dict) or not entry:
        raise ConfigError(
            f"{where} is {shortened(entry)}, expected a step's name, or a mapping of it to its arguments."
        )
    if len(entry) > 1:
        names = ", ".join(str(name) for name in list(entry)[:4])
        raise ConfigError(
            f"{where} has {len(entry)} names ({names}), expected one step: begin each with a dash, and indent what "
            "belongs to it."
        )
    ((name, arguments),) = entry.items()
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{where} is {shortened(entry)}, expected the name of a step.")
    return name.strip(), arguments


class _Expansion:
    """Resolves a chain; ``declarations`` are the chains that it may name."""

    def __init__(self, declarations: Mapping[str, Any]) -> None:
        self.declarations = declarations
        self._visited = 0

    def steps(
        self,
        entries: Sequence[Any],
        parameters: Mapping[str, Any],
        given: dict[str, Any],
        where: str,
        within: tuple[str, ...],
    ) -> Iterator[Step]:
        """Give the steps of a list of entries; ``within`` are the declarations that lead here."""
        if len(within) > MOST_DEPTH:
            raise ConfigError(f"{where}: declarations are nested more than {MOST_DEPTH} deep: name fewer.")
        for number, entry in enumerate(entries):
            place = f"{where}[{number}]" if len(entries) > 1 else where
            yield from self._of_entry(entry, parameters, given, place, within)

    def _of_entry(
        self, entry: Any, parameters: Mapping[str, Any], given: dict[str, Any], where: str, within: tuple[str, ...]
    ) -> Iterator[Step]:
        self._visited += 1
        if self._visited > MOST_ENTRIES:
            raise ConfigError(f"{where}: the chain has more than {MOST_ENTRIES} entries in all: repeat less.")
        name, arguments = _name_and_arguments(entry, where)
        control = _CONTROL.fullmatch(name)
        if control is not None:
            yield from self._controlled(control, arguments, parameters, given, where, within)
        elif name in SEQUENCES:
            yield from self.steps(_entries(arguments, f"{where}.{name}"), parameters, given, f"{where}.{name}", within)
        elif name == PASS:
            if arguments not in (None, {}, []):
                raise ConfigError(f"{where}: pass does nothing, and takes no arguments: remove {shortened(arguments)}.")
        elif name in MANY_IMAGES:
            raise ConfigError(
                f"{where}: {name} makes several arrays of one, but an item has one image: write a preprocessor that "
                "gives one."
            )
        elif _BROKEN_CONTROL.match(name):
            raise ConfigError(
                f"{where} is {shortened(name)}: write if(condition), or repeat(n), and the steps behind it."
            )
        elif name == AUGMENTATION:
            yield self._augmentation(arguments, parameters, given, where, within)
        elif name in self.declarations:
            yield from self._declared(name, filled_in(arguments, parameters, where), where, within)
        else:
            yield Step(name, filled_in(arguments, parameters, where), where, given, declared_as="".join(within[-1:]))

    def _controlled(
        self,
        control: "re.Match[str]",
        body: Any,
        parameters: Mapping[str, Any],
        given: dict[str, Any],
        where: str,
        within: tuple[str, ...],
    ) -> Iterator[Step]:
        value = evaluated(control["inner"], parameters, where)
        place = f"{where}.{control[0]}"
        entries = _entries(body, place)
        if control["word"] == "if":
            yield from self.steps(entries if value else [], parameters, given, place, within)
            return
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_REPEATS:
            raise ConfigError(f"{place}: {shortened(value)} is no number of times, expected 0 to {MOST_REPEATS}.")
        for time in range(1, value + 1):
            yield from self.steps(entries, {**parameters, "_": time}, given, place, within)

    def _declared(self, name: str, arguments: Any, where: str, within: tuple[str, ...]) -> Iterator[Step]:
        if name in within:
            raise ConfigError(f"declarations.{name} leads to itself ({' -> '.join([*within, name])}): break the ring.")
        declared = self.declarations[name]
        if not (isinstance(declared, dict) and "body" in declared):
            declared = {"body": declared}
        parameters = _bound(declared.get("parameters") or [], arguments, f"{where}: {name}")
        given = filled_in(declared.get("with") or {}, parameters, where)
        place = f"declarations.{name}"
        yield from self.steps(_entries(declared["body"], place), parameters, given, place, (*within, name))

    def _augmentation(
        self, arguments: Any, parameters: Mapping[str, Any], given: dict[str, Any], where: str, within: tuple[str, ...]
    ) -> Step:
        place = f"{where}.{AUGMENTATION}"
        if not isinstance(arguments, dict):
            raise ConfigError(f"{place} is {shortened(arguments)}, expected a mapping with body, weights and seed.")
        known = ("body", "weights", "seed")
        for key in arguments:
            if key not in known:
                raise ConfigError(
                    f"{place}.{key} is not known{nearest(str(key), known)}: it takes body, weights and seed; imgaug's "
                    "augmenters stand in the property augmentation."
                )
        body = _entries(arguments.get("body"), f"{place}.body")
        groups = []
        for number, entry in enumerate(body):
            group = tuple(self._of_entry(entry, parameters, given, f"{place}.body[{number}]", within))
            wrong = next((one.name for one in group if one.name in (CACHE, DISK_CACHE, AUGMENTATION)), None)
            if wrong is not None:
                raise ConfigError(f"{place}.body[{number}]: {wrong} can be no part of an augmentation: put it before.")
            groups.append(group)
        settings = {
            key: filled_in(arguments[key], parameters, place) for key in ("weights", "seed") if key in arguments
        }
        drawing = _drawing(settings, len(groups), place)
        return Step(AUGMENTATION, drawing, where, given, tuple(groups), "".join(within[-1:]))


def _drawing(settings: dict[str, Any], count: int, where: str) -> dict[str, Any]:
    """Return how an augmentation draws: ``weights``, a share for each of its groups, and ``seed``."""
    weights = settings.get("weights")
    if weights is None:
        raise ConfigError(
            f"{where}.weights is missing: give how often each step of body runs, {count} shares of 0 to 1."
        )
    shares = weights if isinstance(weights, list) else [weights] * count
    if len(shares) != count:
        raise ConfigError(f"{where}.weights has {len(shares)} shares for {count} steps of body: give one for each.")
    for share in shares:
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise ConfigError(f"{where}.weights has {shortened(share)}, expected shares of 0 to 1.")
    seed = settings.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ConfigError(f"{where}.seed is {shortened(seed)}, expected a whole number from 0 to 4294967295.")
    return {"weights": [float(share) for share in shares], "seed": seed}


def _bound(names: Sequence[str], arguments: Any, where: str) -> dict[str, Any]:
    """Return the values of a declaration's parameters."""
    if isinstance(arguments, dict) and set(arguments) == {"args"}:
        arguments = arguments["args"]
    if arguments in (None, {}, []):
        arguments = []
    if isinstance(arguments, dict):
        unknown = next((key for key in arguments if key not in names), None)
        if unknown is not None:
            has = f"its parameters are {', '.join(names)}" if names else "it has no parameters"
            raise ConfigError(f"{where} is given {shortened(unknown)}{nearest(str(unknown), names)}, but {has}.")
        values = arguments
    else:
        listed = arguments if isinstance(arguments, list) else [arguments]
        if len(listed) > len(names):
            raise ConfigError(f"{where} is given {len(listed)} arguments, but has {len(names)} parameters.")
        values = dict(zip(names, listed, strict=False))
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(f"{where} is not given {', '.join(missing)}: give all its parameters.")
    return values
