"""``recognise``: what annotations a folder or a file has, each with the provider that reads it and what tells it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import DatasetError, UserError
from ..annotated_images import AnnotatedImages
from ..annotation_files import PROVIDERS
from .folder_tree import Listing, tree_of

PATHS = frozenset(
    {"annotations", "images", "masks", "class_masks", "root", "folder", "labels", "data", "table", "classes", "only"}
    | {"file"}
)
"""Arguments of providers that are paths where they are texts."""
Finder = Callable[[Path, Sequence[Listing]], Iterator["Candidate"]]


@dataclass(frozen=True)
class Candidate:
    """What seems to be annotations of a format.

    Attributes:
        provider: The provider that reads it.
        parts: By ``train``, ``validation`` and ``holdout``, or by an empty text for all, arguments of the provider,
            their paths absolute.
        evidence: What tells it, to stand after "because".
        notes: What is not sure, and is to be looked at, a sentence each.
    """

    provider: str
    parts: "Mapping[str, dict[str, Any]]"
    evidence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Annotations of a format that a provider has read.

    Attributes:
        root: The folder that was looked into.
        provider: The provider that reads it (``annotation_files.PROVIDERS``).
        parts: As those of ``Candidate``.
        evidence: What tells it.
        datasets: The dataset of each part.
        notes: What is not sure.
    """

    root: Path
    provider: str
    parts: "Mapping[str, dict[str, Any]]"
    evidence: str
    datasets: "Mapping[str, AnnotatedImages]"
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in label order; those of all parts are the same."""
        return next(iter(self.datasets.values())).class_names

    @property
    def images(self) -> "dict[str, int]":
        """How many images each part has."""
        return {part: len(dataset) for part, dataset in self.datasets.items()}

    @property
    def objects(self) -> "int | None":
        """How many objects there are, ``None`` where only each image's own file tells."""
        counts = [dataset.object_count() for dataset in self.datasets.values()]
        return None if None in counts else sum(count for count in counts if count is not None)

    def declaration(self) -> "dict[str, Any]":
        """Return what the YAML has for ``dataset``, with paths relative to ``root`` (``datasets_path``)."""
        declared = {
            part: {self.provider: {key: self._relative(key, value) for key, value in arguments.items()}}
            for part, arguments in self.parts.items()
        }
        return declared[""] if set(declared) == {""} else declared

    def _relative(self, key: str, value: Any) -> Any:
        if not isinstance(value, str) or key not in PATHS:
            return value
        path = Path(value)
        inside = path == self.root or self.root in path.parents
        return path.relative_to(self.root).as_posix() if inside else str(path)


@dataclass(frozen=True)
class Recognition:
    """What was found.

    Attributes:
        sources: What can be read, the surest first.
        problems: What seems to be annotations and cannot be read, a sentence each.
        images: How many images there are, of which nothing may tell the objects.
    """

    sources: "tuple[Source, ...]" = ()
    problems: "tuple[str, ...]" = ()
    images: int = 0


def recognise(path: Path) -> Recognition:
    """Look for annotations in a folder, or take a file for some.

    Nothing is written, and of images no more than a few masks are opened.

    Args:
        path: The folder, or one file: a JSON of COCO, a ``data.yaml``, a table, an XML of CVAT.

    Raises:
        DatasetError: It is not there, or cannot be listed.
    """
    from . import annotation_sources, mask_sources

    place = path.expanduser().absolute()
    if place.is_file():
        root = place.parent
        tree = [replace(one, files=[place] if one.path == root else one.images()) for one in tree_of(root)]
    else:
        root, tree = place, tree_of(place)
    finders = annotation_sources.FINDERS if place.is_file() else (*annotation_sources.FINDERS, *mask_sources.FINDERS)
    sources: list[Source] = []
    problems: list[str] = []
    for finder in finders:
        for candidate in _candidates(finder, root, tree, problems):
            try:
                sources.append(_read(root, candidate))
            except UserError as error:
                problems.append(str(error))
    images = sum(len(one.images()) for one in tree)
    return Recognition(tuple(_distinct(sources)), tuple(dict.fromkeys(problems)), images)


def _candidates(finder: Finder, root: Path, tree: "Sequence[Listing]", problems: "list[str]") -> Iterator[Candidate]:
    try:
        yield from finder(root, tree)
    except UserError as error:
        problems.append(str(error))


def _read(root: Path, candidate: Candidate) -> Source:
    datasets = {part: PROVIDERS[candidate.provider](**arguments) for part, arguments in candidate.parts.items()}
    names = {dataset.class_names for dataset in datasets.values()}
    if len(names) > 1:
        raise DatasetError(f"{root}: its parts have different classes: {' and '.join(map(str, sorted(names)[:2]))}.")
    return Source(root, candidate.provider, candidate.parts, candidate.evidence, datasets, candidate.notes)


def _distinct(sources: "list[Source]") -> "list[Source]":
    """Leave out pairs of folders whose images another source is of: VOC's, and those of a folder an image, are such."""
    kept: list[Source] = []
    for source in sources:
        files = {file for dataset in source.datasets.values() for file in dataset.files}
        known = {file for other in kept for dataset in other.datasets.values() for file in dataset.files}
        if source.provider != "id_masks" or not files <= known:
            kept.append(source)
    return kept
