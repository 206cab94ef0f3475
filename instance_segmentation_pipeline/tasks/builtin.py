"""Tasks that every project has: ``python -m musket_core.task --project P --name E --task export_predictions``.

Each writes into the task's folder below the experiment's, which is the current one while it runs.
"""

import json
from pathlib import Path
from typing import Any

from musket_core import model, tasks

from ..data.formats.coco_json import to_coco
from ..detection.detections import truth_of
from ..detection.matching import confusion
from ..errors import ConfigError, shortened
from ..storage.atomic import write_text
from ..storage.file_names import file_name_of


@tasks.task
def export_predictions(m: model.ConnectedModel, dataset: str = "validation") -> dict[str, Any]:
    """Write predictions on a dataset as COCO JSON: ``<dataset>.json``, and ``<dataset>-truth.json``."""
    cfg, found = core(m), m.predictions(dataset)
    there = cfg.truths(found)
    entries = [(record["filename"], found.detections(number)) for number, record in enumerate(there)]
    truth = [(record["filename"], truth_of(record)) for record in there]
    write_text(Path(f"{dataset}.json"), json.dumps(to_coco(entries, cfg.class_names())))
    write_text(Path(f"{dataset}-truth.json"), json.dumps(to_coco(truth, cfg.class_names(), scored=False)))
    return {"dataset": dataset, "images": len(entries), "objects": sum(len(one) for _, one in entries)}


@tasks.task
def draw_dataset(
    m: model.ConnectedModel, dataset: str = "validation", count: int = 16, augmented: int = 0
) -> dict[str, Any]:
    """Draw ``count`` items of a dataset, ground truth beside prediction, where the experiment is trained.

    With ``augmented``, each item is drawn beside that many of what ``augmentation`` and ``transforms`` make of it.
    """
    from ..visualization.draw import comparison, draw_instances, write_jpeg

    cfg = core(m)
    if augmented:
        return _draw_augmented(cfg, dataset, count, augmented)
    if cfg.trained().folds():
        found = m.predictions(dataset)
        for number in _spread(len(found), count):
            item_id, image, truth = cfg.reader().read(found, number)
            shown = found.detections(number).above(cfg.threshold)
            rows = [(image, truth, shown.instances(), shown.scores)]
            write_jpeg(Path(f"{file_name_of(item_id)}.jpg"), comparison(rows, cfg.class_names()))
        return {"dataset": dataset, "pictures": min(count, len(found))}
    source = cfg.dataset_named(dataset)
    for number in _spread(len(source), count):
        item_id, image, truth = cfg.reader().read(source, number)
        write_jpeg(Path(f"{file_name_of(item_id)}.jpg"), draw_instances(image, truth, cfg.class_names()))
    return {"dataset": dataset, "pictures": min(count, len(source))}


def _draw_augmented(cfg: Any, dataset: str, count: int, times: int) -> dict[str, Any]:
    from ..visualization.draw import draw_instances, grid, write_jpeg

    if not isinstance(times, int) or not 0 < times <= 100:
        raise ConfigError(f"draw_dataset: augmented is {shortened(times)}, expected a whole number from 1 to 100.")
    augmenters = cfg.item_augmenters
    if augmenters.augmentation is None and augmenters.transforms is None:
        raise ConfigError(f"{cfg.path} has no augmentation and no transforms: draw_dataset without augmented draws it.")
    augmenters.check_files()
    source, names = cfg.dataset_named("validation0" if dataset == "validation" else dataset), cfg.class_names()
    for number in _spread(len(source), count):
        item_id, image, truth = cfg.reader().read(source, number)
        pictures = [draw_instances(image, truth, names)]
        for seed in range(number * times, (number + 1) * times):
            _, read, there = cfg.reader().read(source, number, training=True)
            made, objects = augmenters.training_item(read, there, item_id, seed)
            pictures.append(draw_instances(made, objects, names))
        write_jpeg(Path(f"{file_name_of(item_id)}.jpg"), grid(pictures, min(4, times + 1)))
    return {"dataset": dataset, "pictures": min(count, len(source)), "augmented": times}


@tasks.task
def confusion_matrix(
    m: model.ConnectedModel, dataset: str = "validation", threshold: "float | None" = None
) -> dict[str, Any]:
    """Count which class is taken for which, by mask IoU, as ``confusion.png`` and ``confusion.csv``.

    ``threshold`` is the lowest score that counts, by default the experiment's.
    """
    from ..visualization.plots import confusion_figure, write_confusion_csv, write_figure

    cfg, found = core(m), m.predictions(dataset)
    there = [truth_of(record) for record in cfg.truths(found)]
    names, limit = list(cfg.class_names()), cfg.threshold if threshold is None else threshold
    table = confusion(there, [found.detections(number) for number in range(len(found))], len(names), limit)
    write_confusion_csv(Path("confusion.csv"), table, names)
    write_figure(Path("confusion.png"), confusion_figure(table, names, f"{dataset}, scores from {limit:g}"))
    correct = int(table.diagonal()[:-1].sum())
    return {"dataset": dataset, "threshold": limit, "objects": int(table[:-1].sum()), "correct": correct}


def core(m: Any) -> Any:
    """Return the experiment that a connected model belongs to."""
    while hasattr(m, "wrapped"):
        m = m.wrapped
    return m


def _spread(total: int, count: int) -> list[int]:
    count = min(count, total)
    return [round(number * (total - 1) / max(count - 1, 1)) for number in range(count)]
