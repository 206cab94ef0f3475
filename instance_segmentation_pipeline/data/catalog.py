"""The datasets of an experiment: the one that it trains on, those that its YAML names, and what was read of them."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ..config.loader import origin_of, project_of
from ..config.settings import DataSettings
from ..config.step_chain import Step
from ..errors import ConfigError, nearest, shortened
from .data_folder import DataFolder, FolderDataSet
from .dataset_roots import gives_xyxy
from .item_cache import ItemCache
from .preprocessing.item_steps import is_preprocessed, mark_preprocessed
from .protocols import Dataset
from .providers import (
    Declarations,
    ImageSteps,
    declared_dataset,
    imported,
    preprocessed_dataset,
    project_modules,
    transformers,
)
from .splits import item_labels
from .training_members import Positives

BUILT_IN = ("train", "validation", "holdout")
"""Names of parts of the experiment's own dataset, which an entry of ``datasets`` cannot have."""


@dataclass(frozen=True)
class ProjectPaths:
    """Where the project of an experiment lies.

    Attributes:
        config: The experiment's YAML.
        project: The project's folder; outside a project, the YAML's own.
        data: The folder that providers of datasets run in.
        asked: How the YAML names that folder, which must be there then.
    """

    config: Path
    project: Path
    data: Path
    asked: "str | None" = None

    @classmethod
    def of(cls, config: Path, base: Path, datasets_path: "str | None") -> "ProjectPaths":
        """Return the paths of an experiment.

        Args:
            config: The experiment's YAML.
            base: The folder that paths in the YAML are relative to.
            datasets_path: The property of that name.
        """
        project = project_of(config)
        if project is None:
            project = next((folder for folder in config.parents if (folder / "modules").is_dir()), base)
        data = project / "data" if datasets_path is None else (base / datasets_path).resolve()
        return cls(config, project, data, datasets_path)

    def data_folder(self) -> DataFolder:
        """Return the folder that datasets are made and read in; the current one where the project has none.

        Raises:
            ConfigError: The folder that the YAML names is none.
        """
        if self.asked is not None and not os.path.isdir(self.data):  # noqa: PTH112 - Path's raises on long names
            raise ConfigError(f"datasets_path {self.asked!r} is no folder: {self.data} was looked for.")
        return DataFolder(self.data if self.data.is_dir() else Path.cwd(), self.project)


class DatasetCatalog:
    """The datasets of one experiment and of its seeds, each made once, when it is first asked for.

    Args:
        settings: How they are declared.
        paths: Where they are made.
        given: The dataset to train on, in place of the declared one.
    """

    def __init__(self, settings: DataSettings, paths: ProjectPaths, given: "Dataset | None" = None) -> None:
        self.settings, self.paths, self.given = settings, paths, given
        self._main: Dataset | None = None
        self._gone_through: dict[int, tuple[Dataset, Dataset]] = {}
        self._named: dict[str, Dataset] = {}

    @property
    def known(self) -> "Dataset | None":
        """The dataset to train on where it was given or made already, else ``None``."""
        if self._main is None and self.given is not None:
            self._main = self.preprocessed(self.given)
        return self._main

    @property
    def is_declared(self) -> bool:
        """Whether the dataset to train on is one that any process can make."""
        return self.given is None and self.settings.dataset is not None

    def is_of(self, settings: DataSettings, paths: ProjectPaths) -> bool:
        """Say whether these are the datasets of such settings in such a place."""
        return (self.settings, self.paths) == (settings, paths)

    def main(self) -> Dataset:
        """Return the dataset to train on.

        Raises:
            ConfigError: There is none.
            UserError: Its provider cannot be found, or failed.
        """
        known = self.known
        if known is not None:
            return known
        if self.settings.dataset is None:
            raise ConfigError(f"{self.paths.config}: no dataset: give the property dataset, or call fit(dataset).")
        self._main = made = self.make()
        return made

    def named(self, name: str) -> Dataset:
        """Return an entry of ``datasets``.

        Raises:
            UserError: There is none of that name, or its provider failed.
        """
        if not isinstance(name, str):
            raise ConfigError(f"{shortened(name)} is no name of a dataset: give the name of a part, or of an entry.")
        if name not in self._named:
            self._named[name] = self.make(name)
        return self._named[name]

    def make(self, name: "str | None" = None) -> Dataset:
        """Return the declared dataset, or an entry of ``datasets``, made anew.

        Raises:
            UserError: The declaration names no provider, or the provider failed.
        """
        declaration, others = self.settings.dataset, self.settings.datasets
        if name is not None:
            if name not in others:
                known = [*others, *BUILT_IN]
                raise ConfigError(f"{self.paths.config}: there is no dataset {name!r}{nearest(name, known)}.")
            declaration = others[name]
        return self._made(_resolved(declaration, others), name)

    def declared(self, declaration: object, key: str) -> Dataset:
        """Return the dataset of another property than ``dataset``, made once; it may name an entry of ``datasets``.

        Args:
            declaration: As ``dataset`` has it.
            key: The property.

        Raises:
            UserError: It names no provider, or the provider failed.
        """
        name = f"{key} {declaration!r}"
        if name not in self._named:
            resolved = _resolved(declaration, self.settings.datasets)
            with self.paths.data_folder().entered():
                made: Any = declared_dataset(resolved, self._declarations(None), key)
            if self.settings.preprocessing is not None:
                mark_preprocessed(made)
            self._named[name] = FolderDataSet(made, self.paths.data_folder())
        return self._named[name]

    def function(self, key: str, name: str) -> Any:
        """Return the function or class of the project's modules that a property names.

        Raises:
            ConfigError: There is none.
        """
        found = self.find_function(name)
        if found is None:
            raise ConfigError(
                f"{self.paths.config}: {key} {name!r} is no function of the project's modules"
                f"{nearest(name, self.function_names())}: define it there, or name its module in imports."
            )
        return found

    def find_function(self, name: str) -> Any:
        """Return the function or class of this name in the project's modules; ``None`` where there is none."""
        found = (vars(module).get(name) for module in self._imported())
        return next((one for one in found if callable(one)), None)

    def function_names(self) -> list[str]:
        """Return the names of the functions and classes that the project's modules define themselves."""
        return [
            name
            for module in self._imported()
            for name, one in vars(module).items()
            if callable(one) and getattr(one, "__module__", None) == module.__name__
        ]

    def _imported(self) -> "list[ModuleType]":
        with self.paths.data_folder().entered():
            return imported(self.modules(), self.paths.config)

    def transformed(self, steps: "Sequence[Step]", dataset: Dataset, key: str) -> Dataset:
        """Return what a chain of transformers makes of a dataset.

        Raises:
            UserError: A step is no transformer, or failed.
        """
        folder = self.paths.data_folder()
        with folder.entered():
            made: Any = transformers(steps, self._declarations(None), key).around(dataset)
        return FolderDataSet(made, folder)

    @cached_property
    def labels(self) -> "ItemCache[set[int]]":
        """The labels in each item; an item is read for all folds, stages and seeds once."""
        return item_labels()

    @cached_property
    def positives(self) -> Positives:
        """Which items have objects; each is asked for all folds, stages and seeds once."""
        return Positives(self.labels)

    def modules(self) -> list[str]:
        """Return the names of the modules that providers and augmenters are looked for in."""
        return list(dict.fromkeys([*self.settings.imports, *project_modules(self.paths.project)]))

    def gives_xyxy(self) -> bool:
        """Say whether the dataset to train on gives boxes as ``x1, y1, x2, y2``, as musket_core's own does."""
        known = self.known
        return known is not None and gives_xyxy(known)

    def preprocessed(self, dataset: Dataset) -> Dataset:
        """Return a dataset of the user's with ``preprocessing`` around it, where it has not gone through it yet.

        Raises:
            UserError: A step is not known, or failed.
        """
        if self.settings.preprocessing is None or is_preprocessed(dataset):
            return dataset
        if id(dataset) not in self._gone_through:
            with self.paths.data_folder().entered():
                made = preprocessed_dataset(dataset, self._declarations(None))
            mark_preprocessed(made)
            self._gone_through[id(dataset)] = (dataset, made)  # while it is held, its id is its own
        return self._gone_through[id(dataset)][1]

    def image_steps(self) -> "ImageSteps | None":
        """Return what images of no dataset go through before they are predicted on, ``None`` for nothing.

        Raises:
            ConfigError: A step is not known, or is given wrong arguments.
        """
        if self.settings.preprocessing is None:
            return None
        return ImageSteps(self._declarations(None), self.paths.data_folder())

    def _declarations(self, name: "str | None") -> Declarations:
        """Return what the dataset, or an entry of ``datasets``, is read with."""
        config = self.paths.config
        return Declarations(
            imports=self.modules(),
            where=origin_of(config, "dataset") if name is None else origin_of(config, "datasets", name),
            chains=self.settings.declarations,
            preprocessing=self.settings.preprocessing,
            preprocessed_at=origin_of(config, "preprocessing"),
            cache=self.paths.project / ".cache",
            declared_at=functools.partial(origin_of, config, "declarations"),
        )

    def _made(self, declaration: object, name: "str | None") -> Dataset:
        folder = self.paths.data_folder()
        with folder.entered():
            key = "dataset" if name is None else f"datasets.{name}"
            made: Any = declared_dataset(declaration, self._declarations(name), key)
        if name is not None and not hasattr(made, "name"):
            made.name = name
        if self.settings.preprocessing is not None:
            mark_preprocessed(made)
        return FolderDataSet(made, folder)


def _resolved(declaration: object, others: Mapping[str, object]) -> object:
    """Return a declaration in place of the name of an entry of ``datasets``."""
    return others[declaration] if isinstance(declaration, str) and declaration in others else declaration
