"""From the YAML's ``augmentation`` and ``transforms`` to augmenters of imgaug, built with their children.

Every message names the place in the YAML, such as ``augmentation.Sometimes.then_list[0].Affine.rotate``.
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from imgaug import augmenters as iaa
from imgaug import parameters as iap

from ...errors import ConfigError, UserError, one_line, shortened
from .arguments import CHILDREN, Form, check_names, converted, form_of, parameters_of
from .backgrounds import BackgroundReplacer
from .catalogue import (
    BASES,
    CLASSES,
    FORMER,
    GEOMETRY,
    MUSKET_ARGUMENTS,
    REFUSED,
    Kind,
    children_of,
    hint,
    kind_of,
    known_name,
)
from .checked_image import checked
from .seeding import quiet

DEEPEST = 20
"""Levels of augmenters within augmenters."""


@dataclass
class Surroundings:
    """Where a declaration stands.

    Attributes:
        folders: Folders that relative paths are looked for in, the first that has them.
        modules: Gives the names of the project's modules, asked when a name is none of imgaug's.
    """

    folders: Sequence[Path] = ()
    modules: Callable[[], Iterable[str]] = field(default=lambda: ())


def built(declared: Any, key: str, around: Surroundings, colours_only: bool = False) -> list[Any]:
    """Return the augmenters that a property declares.

    Args:
        declared: A mapping of names to arguments, or a list of names and such mappings.
        key: The property's name.
        around: Where it stands.
        colours_only: Refuse what moves pixels.

    Raises:
        ConfigError: A name, an argument or a value is none that there is, or that masks cannot follow.
    """
    with iap.no_prefetching(), quiet():  # numbers drawn in advance would outlive the seed of their item
        return _Builder(around, colours_only).augmenters(declared, key, 0)


class _Builder:
    def __init__(self, around: Surroundings, colours_only: bool) -> None:
        self.around = around
        self.colours_only = colours_only
        self._own: dict[str, type] | None = None

    def augmenters(self, declared: Any, where: str, depth: int) -> list[Any]:
        """Return the augmenters of a mapping or a list."""
        if depth > DEEPEST:
            raise ConfigError(f"{where} lies more than {DEEPEST} augmenters deep: flatten it.")
        if isinstance(declared, str):
            return [self.augmenter(declared, None, f"{where}.{declared}"[:300], depth)]
        if isinstance(declared, dict):
            return [self.augmenter(name, given, f"{where}.{name}"[:300], depth) for name, given in declared.items()]
        if not isinstance(declared, list):
            raise ConfigError(
                f"{where} is {shortened(declared)}, expected augmenters: a mapping of names to arguments, or a list."
            )
        made = []
        for number, entry in enumerate(declared):
            if not isinstance(entry, (str, dict)) or not entry:
                raise ConfigError(
                    f"{where}[{number}] is {shortened(entry)}, expected an augmenter's name, or a mapping of it to its "
                    "arguments."
                )
            made += self.augmenters(entry, f"{where}[{number}]", depth)
        return made

    def augmenter(self, written: Any, given: Any, where: str, depth: int) -> Any:
        """Return one augmenter."""
        name, cls = self._class_of(written, where)
        arguments = self._arguments(name, cls, given, where)
        if name == "Rot90" and isinstance(arguments.get("k"), bool):  # Musket's Rotate90: true
            arguments = {"keep_size": False, **arguments, "k": {"choice": [0, 1, 2, 3]} if arguments["k"] else 0}
        check_names(arguments, cls, name, where)
        values = {key: self._value(key, value, cls, f"{where}.{key}", depth) for key, value in arguments.items()}
        if cls is BackgroundReplacer:
            values["path"] = self._folder(arguments["path"], f"{where}.path")
        try:
            made = cls(**values)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{where} cannot be made ({one_line(error)[:300]}): correct its arguments.") from error
        self._check_kind(made, name, where)
        _check_children(made, values, where)
        if not made.get_children_lists():
            _try(made, where)
        return made

    def _class_of(self, written: Any, where: str) -> tuple[str, type]:
        if not isinstance(written, str):
            raise ConfigError(f"{where} is no augmenter's name, expected one such as Fliplr.")
        own = self._own_classes() if known_name(written) is None else {}
        if written in own:
            _check_own(own[written], where)
            return written, own[written]
        name = known_name(written)
        if name is None:
            raise ConfigError(
                f"{where} is no augmenter of imgaug, and no class of the project's modules{hint(written, own)}: "
                "correct or remove it."
            )
        name = FORMER[name][0] if name in FORMER else name
        if name in REFUSED:
            raise ConfigError(f"{where} is refused: {name} {REFUSED[name]}.")
        if name.startswith("imgcorruptlike."):
            _check_corruptions(where)
        return name, CLASSES[name]

    def _own_classes(self) -> dict[str, type]:
        """Return the augmenter classes of the project's modules, by name."""
        if self._own is None:
            self._own = {}
            for module in self.around.modules():
                try:
                    found = vars(importlib.import_module(module))
                except (Exception, SystemExit) as error:
                    raise ConfigError(f"the module {module!r} cannot be imported: {one_line(error)}.") from error
                for name, value in found.items():
                    if isinstance(value, type) and issubclass(value, iaa.Augmenter):
                        self._own.setdefault(name, value)
        return self._own

    def _arguments(self, name: str, cls: type, given: Any, where: str) -> dict[str, Any]:
        """Return arguments by name: one value, or a list, is that of the first parameter."""
        known = parameters_of(cls)
        children = next((key for key in ("children", "then_list", "foreground") if key in known), None)
        renamed = {**MUSKET_ARGUMENTS.get(name, {}), **_renamed(name)}
        if given is None:
            return {}
        if isinstance(given, dict) and set(given) != {"choice"}:
            is_children = name in ("Sequential", "OneOf") and not any(key in known or key in renamed for key in given)
            if children is not None and is_children:
                return {children: given}
            return {str(renamed.get(key, key)): value for key, value in given.items()}
        if not known:
            raise ConfigError(f"{where} is given {shortened(given)}, but {name} takes no argument.")
        is_list = isinstance(given, list) and any(isinstance(entry, (dict, str)) for entry in given)
        first = children if is_list and children is not None else next(iter(known))
        return {first: given}

    def _value(self, key: str, value: Any, cls: type, where: str, depth: int) -> Any:
        if cls is BackgroundReplacer and key == "path":
            return value
        if form_of(cls, key) is Form.AUGMENTERS:
            if value is None:
                return None
            inner = self.augmenters(value, where, depth + 1)
            if not inner:
                raise ConfigError(f"{where} is empty, expected augmenters.")
            return inner
        return converted(value, cls, key, where)

    def _folder(self, path: Any, where: str) -> Path:
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise ConfigError(f"{where} is {shortened(path)}, expected a folder of images.")
        tried = [folder / path for folder in self.around.folders] or [Path(path)]
        return next((folder for folder in tried if folder.is_dir()), tried[0])

    def _check_kind(self, made: Any, name: str, where: str) -> None:
        kind = kind_of(made)
        if self.colours_only and (kind in GEOMETRY or isinstance(made, BackgroundReplacer)):
            raise ConfigError(
                f"{where} is refused: transforms run when predicting too, where what moves pixels would have to be "
                "undone: put it into augmentation, or let shape and the native pipeline do it."
            )
        if kind is Kind.CHANNELS:
            inner = next((one for one in _inside(made) if kind_of(one) in GEOMETRY or _replaces(one)), None)
            if inner is not None:
                raise ConfigError(
                    f"{where} is refused: {type(inner).__name__} inside {name} would move some of the image's pixels "
                    "and not others, and masks cannot follow both: take it out."
                )
        changes_all = kind is Kind.BENDING or isinstance(made, iaa.WithColorspace)
        if changes_all and any(_replaces(one) for one in _inside(made)):
            raise ConfigError(f"{where} is refused: BackgroundReplacer cannot stand inside {name}: put it before.")


def _check_children(made: Any, values: dict[str, Any], where: str) -> None:
    """Raise a ``ConfigError`` for an augmenter that has none inside to apply, or not as many as it is to choose."""
    count = len(children_of(made))
    lists = [key for key in parameters_of(type(made)) if key in CHILDREN]
    if lists and not count and not _replaces(made):
        raise ConfigError(f"{where} has no augmenters to apply: give {' or '.join(lists)}.")
    if isinstance(made, iaa.SomeOf) and "n" in values:
        _check_number(values["n"], count, f"{where}.n")


def _check_number(number: Any, count: int, where: str) -> None:
    """Raise a ``ConfigError`` for a number of augmenters that cannot be chosen; imgaug rounds and swaps them."""
    ends = [
        one for one in (number if isinstance(number, (list, tuple)) else (number,)) if isinstance(one, (int, float))
    ]
    for one in ends:
        if not 0 <= one <= count:
            raise ConfigError(f"{where} is {shortened(one)}, but there are {count} augmenters to choose from.")
        if one != int(one):
            raise ConfigError(f"{where} is {shortened(one)}, expected a whole number.")
    if ends != sorted(ends) and isinstance(number, tuple):
        raise ConfigError(f"{where} is {shortened(list(number))}, whose low end is above the high one: swap them.")


def _renamed(name: str) -> dict[str, str]:
    return {old: new for present, renames in FORMER.values() if present == name for old, new in renames.items()}


def _inside(augmenter: Any) -> list[Any]:
    found = []
    for children in augmenter.get_children_lists():
        for child in children:
            found += [child, *_inside(child)]
    return found


def _replaces(augmenter: Any) -> bool:
    return isinstance(augmenter, BackgroundReplacer)


def _check_own(cls: type, where: str) -> None:
    """Raise a ``ConfigError`` for a class of the project's that masks could not follow."""
    refused = next((name for name in REFUSED if name not in BASES and issubclass(cls, CLASSES[name])), None)
    if refused is not None:
        raise ConfigError(f"{where} is refused: it extends {refused}, which {REFUSED[refused]}.")
    says = getattr(cls, "changes_geometry", None)
    known = next(base for base in cls.__mro__ if base.__module__.startswith("imgaug."))
    follows = any(
        name in vars(base)
        for base in cls.__mro__[: cls.__mro__.index(known)]
        for name in ("_augment_batch_", "_augment_segmentation_maps")
    )
    if known is iaa.Augmenter and says is not False and not follows:
        raise ConfigError(
            f"{where} does not say what becomes of masks: set changes_geometry = False in the class {cls.__name__} if "
            "it changes colours alone, or write its _augment_batch_ or _augment_segmentation_maps."
        )


def _check_corruptions(where: str) -> None:
    try:
        importlib.import_module("imagecorruptions")
    except ImportError:
        raise ConfigError(f"{where} needs a package that is not there: pip install imagecorruptions.") from None


def _try(augmenter: Any, where: str) -> None:
    """Raise a ``ConfigError`` where an augmenter fails at a small image: imgaug looks at some values only then."""
    augmenter.seed_(0)
    try:
        image = np.full((64, 96, 3), 128, np.uint8)
        checked(augmenter.augment_image(image), image.shape if kind_of(augmenter) is Kind.COLOUR else None)
    except UserError as error:
        raise ConfigError(f"{where} does not work: {error}") from None
    except Exception as error:
        raise ConfigError(f"{where} does not work ({one_line(error)[:300]}): correct its arguments.") from error
