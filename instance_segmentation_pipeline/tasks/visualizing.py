"""Visualizers, analyzers and filters of a project, as tasks: pictures and tables below ``visualizations/``.

They are functions and classes of the project's modules marked with the decorators of ``musket_core.visualization``.
"""

import contextlib
import inspect
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from musket_core import model, visualization
from musket_core.datasets import PredictionItem

from ..detection.detections import Detections
from ..detection.matching import panoptic_quality
from ..errors import ConfigError, UserError, nearest, one_line, shortened
from ..inference.prediction_datasets import Predictions
from ..storage.atomic import write_atomically, write_text
from ..storage.file_names import file_name_of
from .item_tables import Groups, plain, write_table

FOLDER = "visualizations"
MOST_PICTURES = 100_000
FILTER_KEYS = ("filterKind", "filterArgs", "mode")

Marked = Any
"""A function or class of a project with a mark of ``musket_core.visualization``."""


def is_visualizer(value: Marked) -> bool:
    """Say whether a value is marked ``@dataset_visualizer``."""
    return callable(value) and getattr(value, "visualizer", None) is True


def is_analyzer(value: Marked) -> bool:
    """Say whether a value is marked ``@dataset_analizer`` or ``@prediction_analizer``."""
    return callable(value) and (_of_data(value) or getattr(value, "analizer", None) is True)


def is_filter(value: Marked) -> bool:
    """Say whether a value is marked ``@dataset_filter``."""
    return callable(value) and getattr(value, "data_filter", None) is True


def _of_data(value: Marked) -> bool:
    return getattr(value, "data_analizer", None) is True


def task_of(name: str, marked: Marked, filters: Mapping[str, Marked]) -> Callable[..., Any]:
    """Return the task that runs a visualizer or an analyzer; its parameters are the task's and those of the function.

    Args:
        name: Its name.
        marked: The visualizer, or the analyzer.
        filters: The project's filters, by name.
    """
    visualizes = is_visualizer(marked)

    def task(m: model.ConnectedModel, dataset: str = "validation", **arguments: Any) -> dict[str, Any]:
        count = arguments.pop("count", 16) if visualizes else None
        asked = arguments.pop("filters", None)
        source = source_of(m, dataset)
        kept = _kept(source, _filters(asked, filters))
        if visualizes:
            return {"dataset": dataset, **visualized(name, marked, source, kept, count, arguments)}
        return {"dataset": dataset, **analyzed(name, marked, source, kept, arguments)}

    own = _own_parameters(marked, visualizes)
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [("dataset", "validation"), *([("count", 16)] if visualizes else []), ("filters", None)]
    first = [inspect.Parameter("m", kinds, annotation=model.ConnectedModel)]
    first += [inspect.Parameter(key, kinds, default=value) for key, value in given]
    taken = {one.name for one in first}
    twice = next((one.name for one in own if one.name in taken), None)
    if twice is not None:
        raise ConfigError(f"{name}: its parameter {twice} has the name of one that each such task has: rename it.")
    task.__signature__ = inspect.Signature([*first, *own])  # type: ignore[attr-defined]
    task.__annotations__ = {"m": model.ConnectedModel}
    task.__name__, task.__module__ = name, getattr(marked, "__module__", __name__)
    task.folder = f"{FOLDER}/{name}"  # type: ignore[attr-defined]
    return task


def visualize_task(visualizers: Mapping[str, Marked], filters: Mapping[str, Marked]) -> Callable[..., Any]:
    """Return the task ``visualize``: all visualizers of a project, or, where it has none, instances as pictures."""

    def visualize(m: model.ConnectedModel, dataset: str = "validation", count: int = 16, filters: Any = None) -> Any:
        source = source_of(m, dataset)
        kept = _kept(source, _filters(filters, known))
        if not visualizers:
            return {"dataset": dataset, **pictures_of_instances(m, source, kept, count)}
        shown = {}
        for name, function in visualizers.items():
            folder = Path(name)
            folder.mkdir(exist_ok=True)
            with contextlib.chdir(folder):
                shown[name] = visualized(name, function, source, kept, count, {})
        return {"dataset": dataset, "visualizers": shown}

    known = filters
    visualize.__annotations__["m"] = model.ConnectedModel
    visualize.folder = FOLDER  # type: ignore[attr-defined]
    return visualize


def pictures_of_instances(m: Any, source: Any, kept: Sequence[int], count: Any) -> dict[str, Any]:
    """Draw items with their objects, truth beside prediction where there are predictions; ``index.csv`` counts them."""
    from ..visualization.draw import comparison, draw_instances, write_jpeg

    cfg = core_of(m)
    reader, names, rows = cfg.reader(), cfg.class_names(), []
    for number in spread(kept, count) if kept else []:
        item_id, image, truth = reader.read(source, number)
        target, row = Path(f"{file_name_of(item_id)}.jpg"), [item_id, len(truth)]
        if isinstance(source, Predictions):
            shown = source.detections(number).above(cfg.threshold)
            picture = comparison([(image, truth, shown.instances(), shown.scores)], names)
            row += [len(shown), round(panoptic_quality(_as_found(truth), shown), 6)]
        else:
            picture = draw_instances(image, truth, names)
        write_jpeg(target, picture)
        rows.append([*row, target.name])
    more = ["found", "panoptic quality"] if isinstance(source, Predictions) else []
    write_table(Path("index.csv"), ["id", "objects", *more, "file"], rows)
    return {"items": len(rows)}


def _as_found(truth: Any) -> Detections:
    masks = None if truth.masks is None else truth.masks.to_rles()
    return Detections(truth.height, truth.width, truth.labels, np.ones(len(truth), np.float32), truth.bboxes, masks)


def core_of(m: Any) -> Any:
    """Return the experiment that a connected model belongs to."""
    while hasattr(m, "wrapped"):
        m = m.wrapped
    return m


def _own_parameters(marked: Marked, visualizes: bool) -> list[inspect.Parameter]:
    """Return the parameters that ``--parameters`` can give: those behind what each item is given as."""
    function: Any = getattr(marked, "original", marked)
    if inspect.isclass(function):
        parameters = list(inspect.signature(function).parameters.values())
    else:
        uses_item = getattr(marked, "usePredictionItem", False)
        items = 1 if visualizes else (2 if uses_item else 1) + (0 if _of_data(marked) else 1)
        parameters = list(inspect.signature(function).parameters.values())[items:]
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [one.replace(kind=keyword, annotation=inspect.Parameter.empty) for one in parameters if one.kind in kinds]


def source_of(m: Any, dataset: str) -> Any:
    """Return the predictions on a dataset where the experiment is trained, else the dataset."""
    cfg = core_of(m)
    return m.predictions(dataset) if cfg.trained().folds() else cfg.dataset_named(dataset)


def spread(positions: Sequence[int], count: Any) -> list[int]:
    """Return so many positions, spread evenly over all.

    Raises:
        ConfigError: ``count`` is no whole number from 1.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PICTURES:
        raise ConfigError(f"count is {shortened(count)}, expected a whole number from 1 to {MOST_PICTURES}.")
    chosen = min(count, len(positions))
    return [positions[round(number * (len(positions) - 1) / max(chosen - 1, 1))] for number in range(chosen)]


# -- filters -------------------------------------------------------------------------------------------------


def _filters(asked: Any, known: Mapping[str, Marked]) -> list[Callable[[Any], bool]]:
    """Return what says of an item whether it is looked at.

    Raises:
        ConfigError: A filter is not known, or asked for in another form.
    """
    if asked is None:
        return []
    entries = asked if isinstance(asked, list) else [asked]
    chosen = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) - set(FILTER_KEYS) or not isinstance(entry.get("filterKind"), str):
            raise ConfigError(
                f"filters has {shortened(entry)}, expected {{filterKind: a filter's name, filterArgs: its argument, "
                "mode: normal or inverse}."
            )
        name, mode = entry["filterKind"], entry.get("mode", "normal")
        if name not in known:
            there = f"; there are: {', '.join(sorted(known))}" if known else ": the project has none"
            raise ConfigError(f"filterKind {shortened(name)} is no filter of the project{nearest(name, known)}{there}.")
        if mode not in ("normal", "inverse"):
            raise ConfigError(f"mode of the filter {name} is {shortened(mode)}, expected normal or inverse.")
        chosen.append(_filter(name, known[name], entry.get("filterArgs"), mode == "inverse"))
    return chosen


def _filter(name: str, function: Marked, argument: Any, inverse: bool) -> Callable[[Any], bool]:
    def keeps(item: Any) -> bool:
        return bool(_called(f"the filter {name}", item, function, item, argument)) != inverse

    return keeps


def _kept(source: Any, filters: Sequence[Callable[[Any], bool]]) -> list[int]:
    if not filters:
        return list(range(len(source)))
    return [number for number in range(len(source)) if all(keeps(source[number]) for keeps in filters)]


def _called(what: str, item: Any, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return function(*arguments, **named)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what} fails on item {shortened(getattr(item, 'id', item))}: {one_line(error)}.") from error


# -- visualizers ---------------------------------------------------------------------------------------------


def visualized(
    name: str, function: Marked, source: Any, kept: Sequence[int], count: Any, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Show items by a visualizer, in the current folder: pictures or pages, and ``index.csv`` with a row an item.

    Args:
        name: The visualizer's name.
        function: The visualizer; it gives the file of a picture, or the picture ``(height, width[, 3])`` (``viewer``
            ``image``), a text, or HTML.
        source: The items.
        kept: Positions of the items to choose from.
        count: How many are shown.
        arguments: For the visualizer.

    Raises:
        UserError: It fails, or gives no picture.
    """
    viewer, rows = getattr(function, "viewer", "text"), []
    for number in spread(kept, count) if kept else []:
        item = source[number]
        visualization.context().path = f"{Path.cwd()}/"
        given = _called(f"the visualizer {name}", item, function, item, **arguments)
        shown = _SHOWN[viewer](name, str(item.id), given) if viewer in _SHOWN else str(given)
        rows.append([str(item.id), shown])
    write_table(Path("index.csv"), ["id", "text" if viewer not in _SHOWN else "file"], rows)
    return {"items": len(rows), "viewer": viewer, **_caption(function)}


def _caption(function: Marked) -> dict[str, str]:
    caption = getattr(function, "name", None)
    return {"caption": caption} if isinstance(caption, str) else {}


def _picture(name: str, item_id: str, given: Any) -> str:
    if isinstance(given, np.ndarray):
        return _drawn(name, item_id, given)
    file = Path(given) if isinstance(given, (str, Path)) else None
    if file is None or not file.is_file():
        raise ConfigError(
            f"the visualizer {name} gave {shortened(given)} for item {shortened(item_id)}, expected the file of a "
            "picture that is there, or the picture as an array."
        )
    if file.resolve().parent == Path.cwd().resolve():
        return file.name
    target = Path(f"{file_name_of(item_id)}{file.suffix}")
    with write_atomically(target) as temporary:
        shutil.copyfile(file, temporary)
    return target.name


def _drawn(name: str, item_id: str, picture: Any) -> str:
    from ..visualization.draw import write_jpeg

    grey = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 1)
    whole = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2) if grey else picture
    if whole.ndim != 3 or whole.shape[2] != 3 or not whole.size or whole.dtype not in (np.uint8, np.bool_):
        raise ConfigError(
            f"the visualizer {name} gave an array {picture.dtype} {picture.shape} for item {shortened(item_id)}, "
            "expected uint8 (height, width, 3)."
        )
    target = Path(f"{file_name_of(item_id)}.jpg")
    write_jpeg(target, np.ascontiguousarray(whole * 255 if whole.dtype == np.bool_ else whole).astype(np.uint8))
    return target.name


def _page(name: str, item_id: str, given: Any) -> str:
    if not isinstance(given, str):
        raise ConfigError(
            f"the visualizer {name} gave {shortened(given)} for item {shortened(item_id)}, expected HTML as a text."
        )
    target = Path(f"{file_name_of(item_id)}.html")
    write_text(target, given)
    return target.name


_SHOWN = {"image": _picture, "html": _page}


# -- analyzers -----------------------------------------------------------------------------------------------


def analyzed(
    name: str, marked: Marked, source: Any, kept: Sequence[int], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Group items by an analyzer, in the current folder: ``groups.csv``, ``items.csv``, ``groups.png``.

    Args:
        name: The analyzer's name.
        marked: The analyzer: a function of a target (and a prediction) that gives a group, or one with a
            ``PredictionItem``, which gets position and item; or a class whose objects are called so, and have
            ``results()``.
        source: The items.
        kept: Positions of the items to look at.
        arguments: For the analyzer.

    Raises:
        UserError: It fails, or asks for predictions of an experiment that is not trained.
    """
    with_predictions = not _of_data(marked)
    if with_predictions and not isinstance(source, Predictions):
        raise ConfigError(
            f"the analyzer {name} compares predictions, but the experiment has no trained fold: train it."
        )
    what = f"the analyzer {name}"
    made = _called(what, "(being made)", marked, **arguments) if inspect.isclass(marked) else None
    groups = Groups()
    for number, item in _items(source, kept):
        if made is not None or getattr(marked, "usePredictionItem", False):
            given = (number, _bare(item), *([item] if with_predictions else []))
        else:
            given = (item.y, *([item.prediction] if with_predictions else []))
        group = _called(what, item, made or marked, *given, **({} if made is not None else arguments))
        groups.saw(number, str(item.id), None if made is not None else group)
    if made is not None:
        groups.take(_called(what, "(results)", made.results), name)
        hints = getattr(made, "visualizationHints", None)
        if callable(hints):
            groups.hints = plain(_called(what, "(visualizationHints)", hints))
    return {"items": len(kept), "groups": groups.write(Path(), name), **_caption(marked)}


def _items(source: Any, kept: Sequence[int]) -> Iterator[tuple[int, Any]]:
    return ((number, source[number]) for number in kept)


def _bare(item: Any) -> Any:
    """Return an item without what was found in it, as a dataset has it."""
    return PredictionItem(item.id, item.x, item.y)
