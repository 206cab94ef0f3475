"""``callbacks`` and ``extra_callbacks``: what the YAML declares, checked as far as it alone tells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, nearest, shortened
from .callback_table import (
    BUILT_IN,
    CYCLIC,
    EARLY_STOPPING,
    LAMBDA,
    PLATEAU,
    REFUSED,
    REFUSED_ARGUMENTS,
    SETS_RATE,
    TENSORBOARD,
    VARIATOR,
)

MOST_LINKS = 100
"""Callbacks of a chain of ``then`` at most."""


@dataclass(frozen=True)
class Callback:
    """One declared callback.

    Attributes:
        name: Its name: one of ``BUILT_IN``, or of something else that is looked up before training.
        arguments: Of a built-in one every argument, checked; of others what is given.
        where: Its place in the YAML, for messages.
        then: What follows when its time is over.
    """

    name: str
    arguments: Mapping[str, Any]
    where: str
    then: "Callback | None" = None

    @property
    def is_built_in(self) -> bool:
        """Whether the dialect has it."""
        return self.name in BUILT_IN

    @property
    def sets_rate(self) -> bool:
        """Whether it is known to set the learning rate."""
        return self.name in SETS_RATE

    def chain(self) -> "Iterator[Callback]":
        """Give this one and what follows it."""
        link: Callback | None = self
        while link is not None:
            yield link
            link = link.then

    def plain(self) -> dict[str, Any]:
        """Return what it does, as text and numbers, to compare runs by; what only shows is left out."""
        shows = ("verbose",) if self.is_built_in else ()
        given = {key: value for key, value in self.arguments.items() if value is not None and key not in shows}
        return {self.name: {**given, **({} if self.then is None else {"then": self.then.plain()})} or "by default"}


@dataclass(frozen=True)
class StageDeclarations:
    """The callbacks of a stage, in order."""

    callbacks: tuple[Callback, ...] = field(default_factory=tuple)

    def settings(self) -> dict[str, Any]:
        """Return what a resumed run compares; ``TensorBoard`` decides nothing."""
        plain = [one.plain() for one in self.callbacks if one.name != TENSORBOARD]
        return {"callbacks": plain} if plain else {}


def declared_callbacks(value: Any, where: str = "callbacks") -> tuple[Callback, ...]:
    """Return the callbacks that a value of the YAML declares.

    Args:
        value: A name, a mapping of names to arguments, or a list of these; ``None`` for none.
        where: Its place in the YAML.

    Raises:
        ConfigError: It is no such thing, or a callback has an argument that it does not know or that is wrong.
    """
    return tuple(_callback(name, arguments, place) for name, arguments, place in _entries(value, where))


def check_declared(value: Any) -> Any:
    """Return a value of ``callbacks``, checked; a ``ConfigError`` tells what is wrong with it.

    Raises:
        ConfigError: See ``declared_callbacks``.
    """
    check_together(declared_callbacks(value))
    return value


def check_declared_extra(value: Any) -> Any:
    """Return a value of ``extra_callbacks``, checked.

    Raises:
        ConfigError: See ``declared_callbacks``.
    """
    check_together(declared_callbacks(value, "extra_callbacks"))
    return value


def callbacks_of_stage(root: Any, own: Any, extra: Any, number: int) -> tuple[Callback, ...]:
    """Return the callbacks of a stage: its own, or the experiment's where it has none, and those it has beside.

    Args:
        root: ``callbacks`` of the experiment.
        own: ``callbacks`` of the stage; ``None`` where it has none of its own.
        extra: Its ``extra_callbacks``.
        number: Its number.

    Raises:
        ConfigError: Two of them do what only one can.
    """
    first = declared_callbacks(root) if own is None else declared_callbacks(own, f"stages[{number}].callbacks")
    found = first + declared_callbacks(extra, f"stages[{number}].extra_callbacks")
    check_together(found)
    return found


def check_together(callbacks: Sequence[Callback]) -> None:
    """See to it that one callback at most sets the learning rate, and that event files are written once.

    Raises:
        ConfigError: Two of them do.
    """
    owners = [one for one in callbacks if one.sets_rate]
    if len(owners) > 1:
        raise two_owners(owners[0].where, owners[1].where)
    boards = [one for one in callbacks if one.name == TENSORBOARD]
    if len(boards) > 1:
        raise ConfigError(f"{boards[0].where} and {boards[1].where} would write the same numbers: remove one.")


def two_owners(first: str, second: str) -> ConfigError:
    """Return the error about two callbacks that set the learning rate."""
    return ConfigError(
        f"{first} and {second} both set the learning rate: remove one, or let one follow the other by then of "
        "LRVariator."
    )


def _entries(value: Any, where: str) -> Iterator[tuple[str, Any, str]]:
    """Give name, arguments and place of each entry."""
    if value is None:
        return
    if isinstance(value, str):
        yield value, None, f"{where}: {shortened(value)}"
    elif isinstance(value, Mapping):
        for name, arguments in value.items():
            if not isinstance(name, str) or not name.strip():
                raise ConfigError(f"{where} has the key {shortened(name)}, expected the name of a callback.")
            yield name, arguments, f"{where}.{name}"
    elif isinstance(value, (list, tuple)):
        for number, entry in enumerate(value):
            place = f"{where}[{number}]"
            if isinstance(entry, str) and entry.strip():
                yield entry, None, f"{place}.{entry}"
            elif isinstance(entry, Mapping) and entry:
                yield from _entries(entry, place)
            elif callable(getattr(entry, "on_epoch_end", None)) or callable(getattr(entry, "after_train_epoch", None)):
                raise ConfigError(
                    f"{place} is an object of {type(entry).__name__}, but each fold and stage makes its own: name its "
                    "class, with the arguments, and define it in the project's modules."
                )
            else:
                raise ConfigError(f"{place} is {shortened(entry)}, expected a callback's name, or a mapping of it.")
    else:
        raise ValueError


def _callback(given: str, arguments: Any, where: str, depth: int = 0) -> Callback:
    name = _NAMES.get(given.lower(), given)
    unscoped = _NAMES.get(given.lower().rpartition(".")[2], name)  # MMEngine finds mmengine.EMAHook, too
    if unscoped in REFUSED:
        raise ConfigError(f"{where}: {given} is not used here: {REFUSED[unscoped]}.")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        raise ConfigError(f"{where} is {shortened(arguments)}, expected a mapping of its arguments, or nothing.")
    if name not in BUILT_IN:
        return Callback(name, dict(arguments), where)
    checked = _checked(name, arguments, where)
    _CHECKS.get(name, _nothing)(checked, arguments, where)
    then = _following(checked, where, depth) if name == VARIATOR else None
    if then is not None and (checked["periodSteps"] or checked["periodEpochs"]) is not None:
        _check_period(then)
    return Callback(name, checked, where, then)


def _checked(name: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return every argument of a built-in callback."""
    known = BUILT_IN[name]
    for key in given:
        if key in known:
            continue
        refused = REFUSED_ARGUMENTS.get(name, {}).get(key)
        if refused is not None:
            raise ConfigError(f"{where}.{key} is not used here: {refused}.")
        raise ConfigError(
            f"{where} has no argument {shortened(key)}{nearest(key, known)}: it takes {', '.join(sorted(known))}."
        )
    values = {}
    for key, argument in known.items():
        value = given.get(key)
        try:
            values[key] = argument.default if value is None else argument.check(value)
        except (ValueError, TypeError, OverflowError):
            raise ConfigError(f"{where}.{key} is {shortened(value)}, but it must be {argument.allowed}.") from None
    return values


def _early_stopping(values: dict[str, Any], given: Mapping[str, Any], where: str) -> None:
    if given.get("restore_best") is not None and given.get("restore_best_weights") is not None:
        raise ConfigError(f"{where}: restore_best is another name of restore_best_weights: give one of the two.")
    values["restore_best_weights"] = values.pop("restore_best") or values["restore_best_weights"]


def _cyclic(values: dict[str, Any], given: Mapping[str, Any], where: str) -> None:
    if values["base_lr"] >= values["max_lr"]:
        raise ConfigError(
            f"{where}: base_lr {values['base_lr']:g} is not below max_lr {values['max_lr']:g}: the rate rises from the "
            "one to the other and falls back."
        )
    if values["gamma"] is not None and values["mode"] != "exp_range":
        raise ConfigError(f"{where}: gamma belongs to mode exp_range, but mode is {values['mode']}: remove one.")
    if values["gamma"] is None:
        values["gamma"] = 1.0


def _variator(values: dict[str, Any], given: Mapping[str, Any], where: str) -> None:
    if values["absSize"] is None and values["relSize"] is None:
        raise ConfigError(f"{where} does not tell how long it lasts: give absSize in iterations, or relSize in epochs.")
    if values["absSize"] is not None and values["relSize"] is not None:
        raise ConfigError(f"{where} has absSize and relSize, which both tell how long it lasts: remove one.")
    if values["periodSteps"] is not None and values["periodEpochs"] is not None:
        raise ConfigError(f"{where} has periodSteps and periodEpochs, which both tell when it begins anew: remove one.")
    if values["style"] == "const":
        if values["toVal"] is not None and values["toVal"] != values["fromVal"]:
            raise ConfigError(
                f"{where}: style const stays at fromVal, so that toVal {values['toVal']:g} is never reached: give "
                "fromVal in its place, or another style."
            )
    elif values["toVal"] is None:
        raise ConfigError(f"{where}.toVal is missing: give the learning rate that the curve leads to.")


def _functions(values: dict[str, Any], given: Mapping[str, Any], where: str) -> None:
    for moment in ("begin", "end"):
        if values[f"on_batch_{moment}"] is not None and values[f"on_train_batch_{moment}"] is not None:
            raise ConfigError(f"{where}: on_train_batch_{moment} is another name of on_batch_{moment}: give one.")
        values[f"on_batch_{moment}"] = values[f"on_batch_{moment}"] or values[f"on_train_batch_{moment}"]
        del values[f"on_train_batch_{moment}"]
    if not any(values.values()):
        raise ConfigError(f"{where} names no function: give on_epoch_end, or another of {', '.join(values)}.")


def _nothing(values: dict[str, Any], given: Mapping[str, Any], where: str) -> None:
    """Check nothing more."""


def _following(values: dict[str, Any], where: str, depth: int) -> "Callback | None":
    """Return what follows a variator."""
    then = values.pop("then")
    if then is None:
        return None
    if depth >= MOST_LINKS:
        raise ConfigError(f"{where}.then: more than {MOST_LINKS} callbacks follow each other: make fewer of them.")
    if not isinstance(then, Mapping) or len(then) != 1:
        raise ConfigError(f"{where}.then is {shortened(then)}, expected a mapping of one callback to its arguments.")
    ((name, arguments),) = then.items()
    if not isinstance(name, str) or _NAMES.get(name.lower(), name) not in SETS_RATE:
        raise ConfigError(
            f"{where}.then is {shortened(name)}, but only a callback that sets the learning rate can follow: "
            f"{', '.join(SETS_RATE)}: give others beside it."
        )
    found = _callback(name, arguments, f"{where}.then.{name}", depth + 1)
    periods = [key for key in ("periodSteps", "periodEpochs") if found.arguments.get(key) is not None]
    if periods:
        raise ConfigError(f"{found.where}.{periods[0]}: the whole chain begins anew: give it to the first LRVariator.")
    return found


def _check_period(follows: Callback) -> None:
    for link in follows.chain():
        if link.name == PLATEAU:
            raise ConfigError(
                f"{link.where} would go by a metric for as long as the training lasts, but the chain begins anew "
                "before: remove the period, or the plateau."
            )


_NAMES = {name.lower(): name for name in (*BUILT_IN, *REFUSED)}
"""Names as musket_core takes them: large and small letters are the same."""

_CHECKS = {
    EARLY_STOPPING: _early_stopping,
    CYCLIC: _cyclic,
    VARIATOR: _variator,
    LAMBDA: _functions,
}
