"""From the YAML's ``dataset`` to a dataset: finding the provider among modules, and calling it.

musket_core turns an exception inside a provider to ``None``; here it keeps its place and its words.
"""

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from musket_core import builtin_datasets, datasets, net_declaration
from musket_core.configloader import PythonFunction, PythonType

from ..config.step_chain import BUILT_IN, Step, steps_of
from ..detection.arrays import UInt8Array
from ..errors import ConfigError, DatasetError, UserError, nearest, one_line, shortened
from .annotation_files import PROVIDERS, check_arguments
from .data_folder import DataFolder
from .dataset_length import length_of
from .preprocessing.chain import Chain, Place, image_through
from .protocols import Dataset

Provider = Callable[..., Any]
PARTS = ("train", "validation", "holdout")


def project_modules(project: Path) -> list[str]:
    """Return the names of the modules in a project's ``modules`` folder, and make them importable."""
    folder = project / "modules"
    if not folder.is_dir():
        return []
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    names = sorted(path.stem for path in folder.glob("*.py"))
    for name in names:
        _forget_namesake(name, folder / f"{name}.py")
    return names


@dataclass(frozen=True)
class Declarations:
    """What the declarations of datasets are read with.

    Attributes:
        imports: Names of the modules to look for providers and preprocessors in.
        where: The YAML file, for messages.
        chains: ``declarations``: chains by name.
        preprocessing: The chain that every provider's dataset goes through, as the YAML has it.
        preprocessed_at: The YAML file that has it, for messages.
        cache: The folder of disk caches.
        declared_at: Gives the YAML file that has a chain of ``declarations``, by its name; ``where`` without it.
    """

    imports: Sequence[str]
    where: Path
    chains: "Mapping[str, Any]" = field(default_factory=dict)
    preprocessing: Any = None
    preprocessed_at: "Path | None" = None
    cache: Path = Path(".cache")
    declared_at: "Callable[[str], Path] | None" = None

    @contextlib.contextmanager
    def named(self, path: Path) -> Iterator[None]:
        """Put the name of a file before what is wrong with a chain in it, or with a declared one that it names."""
        try:
            yield
        except UserError as error:
            told = str(error)
            kind = ConfigError if isinstance(error, ConfigError) else DatasetError
            begins = [name for name in self.chains if re.match(rf"declarations\.{re.escape(name)}(?!\w)", told)]
            if begins and self.declared_at is not None:
                path = self.declared_at(max(begins, key=len))
            raise kind(told if told.startswith(str(path)) else f"{path}: {told}") from error


def declared_dataset(declaration: Any, given: Declarations, key: str = "dataset") -> Dataset:
    """Return the dataset that a declaration describes.

    Args:
        declaration: A provider's name; or a mapping of it to its arguments (nothing, a list, a mapping or one
            value); or a mapping with the keys ``train``, ``validation`` and ``holdout`` to such mappings; or a list of
            a provider and the steps behind it; or the name of a declared list.
        given: What it is read with.
        key: Where the YAML has it, for messages.

    Raises:
        UserError: No such provider, or it failed.
    """
    if isinstance(declaration, dict):
        _check_mapping(declaration, given.where)
    maker = _Maker(given, imported(given.imports, given.where))
    if isinstance(declaration, dict) and declaration and set(declaration) <= set(PARTS):
        return _parts(declaration, maker, key)
    return maker.made(declaration, key)


def preprocessed_dataset(dataset: Dataset, given: Declarations) -> Dataset:
    """Return a dataset with ``preprocessing`` around it.

    Raises:
        UserError: A step is not known, is given wrong arguments, or failed.
    """
    return _Maker(given, imported(given.imports, given.where)).preprocessed(dataset)


class ImageSteps:
    """``preprocessing`` for images of no dataset, as those of a folder: without caches, and with no objects.

    Args:
        given: What the chain is read with.
        folder: Where its functions run.

    Raises:
        ConfigError: A step is not known, or is given wrong arguments.
    """

    def __init__(self, given: Declarations, folder: DataFolder) -> None:
        self._folder = folder
        with folder.entered():
            self._chain = _Maker(given, imported(given.imports, given.where)).chain

    def __call__(self, name: str, image: UInt8Array) -> UInt8Array:
        """Return what the chain makes of an image.

        Raises:
            DatasetError: A step fails on it, leaves it out, or changes its size.
        """
        with self._folder.entered():
            return image_through(self._chain, name, image)


def transformers(steps: "Sequence[Step]", given: Declarations, key: str) -> Chain:
    """Return a chain of transformers of datasets, ready to be put around one.

    Raises:
        ConfigError: A step is not known, changes items, or is given wrong arguments.
    """
    maker = _Maker(given, imported(given.imports, given.where))
    with given.named(given.where):
        chain = Chain(steps, maker.place)
        wrong = chain.first_of_items()
        if wrong is not None:
            raise ConfigError(
                f"{key}: {wrong} changes single items, which prediction would not: name transformers of datasets here, "
                "and the others in preprocessing."
            )
    return chain


class _Maker:
    """Makes datasets of providers, with the steps behind them and those of ``preprocessing``."""

    def __init__(self, given: Declarations, modules: Sequence[ModuleType]) -> None:
        self.given, self.modules = given, modules
        self.place = Place(modules, given.chains, given.cache)
        self.chain = Chain((), self.place)
        if given.preprocessing is not None:
            with given.named(given.preprocessed_at or given.where):
                steps = steps_of(given.preprocessing, given.chains, "preprocessing")
                self.chain = Chain(steps, self.place)

    def made(self, declaration: Any, key: str) -> Dataset:
        """Return the dataset of one provider."""
        where = self.given.where
        if isinstance(declaration, dict) and len(declaration) == 1:
            ((name, arguments),) = declaration.items()
        else:
            name, arguments = declaration, None
        if isinstance(name, str) and name not in self.given.chains:
            return self.preprocessed(_provided(name, arguments, self.modules, where))
        with self.given.named(where):
            steps = steps_of(declaration, self.given.chains, key)
            if not steps or steps[0].name in BUILT_IN:
                raise ConfigError(f"{key} has no provider before its steps: begin with one.")
            chain = Chain(steps[1:], self.place)
        provided = _provided(steps[0].name, steps[0].arguments, self.modules, where)
        with self.given.named(where):
            made = chain.around(provided)
        return self.preprocessed(made)

    def preprocessed(self, made: Dataset) -> Dataset:
        """Return a dataset with ``preprocessing`` around it."""
        with self.given.named(self.given.preprocessed_at or self.given.where):
            return cast(Dataset, self.chain.around(made))


def _check_mapping(declaration: Mapping[str, Any], where: Path) -> None:
    """Raise an error for a mapping of which a part would be left out: it is one provider, or parts alone."""
    parts = [key for key in declaration if key in PARTS]
    others = [str(key) for key in declaration if key not in PARTS]
    if parts and others:
        raise ConfigError(
            f"{where}: dataset has {', '.join(parts)} beside {', '.join(others[:3])}{nearest(others[0], PARTS)}: give "
            "the parts train, validation and holdout alone, or one provider."
        )
    if len(others) > 1:
        raise ConfigError(
            f"{where}: dataset names {len(others)} providers ({', '.join(others[:3])}), expected one: give several "
            "below train, where they are joined, or write one provider that joins them."
        )


def _forget_namesake(name: str, path: Path) -> None:
    """Drop a module of the same name that was imported from another project."""
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if file is not None and Path(file).resolve() != path.resolve() and Path(file).parent.name == "modules":
        del sys.modules[name]


def imported(imports: Sequence[str], where: Path) -> list[ModuleType]:
    """Import modules and tell musket_core of what they define; return them."""
    net_declaration.layers.register_module(builtin_datasets)
    modules = []
    for name in imports:
        try:
            modules.append(importlib.import_module(name))
        except (Exception, SystemExit) as error:
            text = one_line(error)
            raise ConfigError(f"{where}: the module {name!r} cannot be imported: {text}.") from error
        net_declaration.layers.register(name)
    return modules


def _provided(name: str, arguments: object, modules: Sequence[ModuleType], where: Path) -> Dataset:
    provider = _provider(name, modules)
    if provider is None:
        known = [key for module in modules for key, value in vars(module).items() if getattr(value, "dataset", False)]
        known += PROVIDERS
        hint = nearest(name, known) or (f"; known are {', '.join(sorted(set(known)))}" if known else "")
        raise ConfigError(
            f"{where}: dataset {name!r} is no dataset provider{hint}: define it in the project's modules, or name its "
            "module in imports."
        )
    positional, named = _call_arguments(arguments)
    if name in PROVIDERS and provider is PROVIDERS[name]:
        with Declarations((), where).named(where):
            check_arguments(name, positional, named)
    try:
        made = provider(*positional, **named)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        text = one_line(error)
        raise DatasetError(f"{where}: the dataset provider {name!r} failed: {text}.") from error
    return _checked(made, f"the dataset provider {name!r}", where)


def _provider(name: str, modules: Sequence[ModuleType]) -> "Provider | None":
    """Return what a name stands for: the modules' own function or class first, then this package's, then musket_core's.

    musket_core's catalogue keeps the first function of a name for the life of the process, and knows no capitals.
    """
    for module in modules:
        if callable(vars(module).get(name)):
            return cast(Provider, vars(module)[name])
        for value in vars(module).values():
            if callable(value) and getattr(value, "dataset_name", None) == name:
                return cast(Provider, value)
    if name in PROVIDERS:
        return PROVIDERS[name]
    catalog = net_declaration.layers.catalog
    entry = catalog.get(name, catalog.get(name.lower()))
    if isinstance(entry, PythonFunction):
        return cast(Provider, entry.func)
    return cast(Provider, entry.clazz) if isinstance(entry, PythonType) else None


def _call_arguments(arguments: object) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(arguments, dict) and set(arguments) == {"args"}:
        arguments = arguments["args"]
    if arguments is None:
        return [], {}
    if isinstance(arguments, dict):
        return [], arguments
    return (arguments, {}) if isinstance(arguments, list) else ([arguments], {})


def _parts(declaration: Mapping[str, Any], maker: _Maker, key: str) -> Dataset:
    """Join the datasets of train, validation and holdout to one that carries its fold and holdout."""
    made: dict[str, list[Dataset]] = {part: [] for part in PARTS}
    for part, providers in declaration.items():
        where = f"{key}.{part}"
        if isinstance(providers, list) and providers:
            made[part] = [maker.made(providers, where)]
            continue
        if not isinstance(providers, dict):
            raise ConfigError(
                f"{maker.given.where}: {where} is {shortened(providers)}, expected a mapping of providers, or a "
                "list of one and its steps."
            )
        made[part] = [maker.made({name: arguments}, where) for name, arguments in providers.items()]
    joined: Any = datasets.CompositeDataSet([dataset for part in PARTS for dataset in made[part]])
    ranges, start = {}, 0
    for part in PARTS:
        count = sum(len(dataset) for dataset in made[part])
        if part in declaration and not count:
            raise ConfigError(
                f"{maker.given.where}: {key}.{part} has no item: give it a provider that has some, or leave {part} out."
            )
        ranges[part] = list(range(start, start + count))
        start += count
    if ranges["validation"]:
        joined.folds = [(ranges["train"], ranges["validation"])]
    if ranges["holdout"]:
        joined.holdoutArr = ranges["holdout"]
    return cast(Dataset, joined)


def _checked(made: Any, what: str, where: Path) -> Dataset:
    if made is None or not hasattr(made, "__getitem__") or not hasattr(made, "__len__"):
        raise DatasetError(f"{where}: {what} gave a {type(made).__name__}, expected a musket_core.datasets.DataSet.")
    length_of(made)
    return cast(Dataset, made)
