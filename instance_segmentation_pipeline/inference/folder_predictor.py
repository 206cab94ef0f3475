"""Asking trained folds and stages about the images of a folder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..data.formats.coco_json import to_coco
from ..data.image_folder import Directory
from ..data.item_reader import ItemReader
from ..storage.experiment_files import write_text
from .detector import PredictedBatch


class FolderPredicting:
    """The part of ``PipelineConfig`` that predicts on folders; the methods' names and defaults are musket_core's."""

    imagesPerGpu: int
    inference_batch: "int | None"
    threshold: float
    class_names: Callable[[], tuple[str, ...]]
    reader: Callable[[], ItemReader]
    _cached_model: Callable[..., Any]

    def _batch_size(self, asked: "int | None") -> int:
        """Return how many images are predicted at a time."""
        return asked or self.inference_batch or self.imagesPerGpu

    def predict_on_directory(
        self,
        path: str,
        fold: Any = 0,
        stage: Any = 0,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
    ) -> Iterator[PredictedBatch]:
        """Predict on the images in a folder, a batch at a time; ``data`` has their file names.

        Files that are no readable image are skipped, and named at the end; ``directories.Directory`` counts them.
        """
        return self._on_directory(Directory(path), fold, stage, limit, batch_size, ttflips)

    def _on_directory(
        self, folder: Directory, fold: Any, stage: Any, limit: int, batch_size: "int | None", ttflips: Any
    ) -> Iterator[PredictedBatch]:
        model = self._cached_model(fold, stage, ttflips, False)
        order = self.reader().bbox_order
        for batch in folder.batches(self._batch_size(batch_size), limit):
            images = [image for _, image in batch]
            yield PredictedBatch([name for name, _ in batch], images, model.predict(images, order))

    def predict_in_directory(
        self,
        spath: str,
        fold: Any,
        stage: Any,
        cb: Callable[[str, tuple, Any], Any],
        data: Any,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
    ) -> list[str]:
        """Call ``cb(file name, prediction, data)`` for each image of a folder; return the files that were skipped."""
        folder = Directory(spath)
        with tqdm(total=len(folder), desc="predicting", unit="image", disable=None) as bar:
            hand_on(self._on_directory(folder, fold, stage, limit, batch_size, ttflips), cb, data, bar)
        return folder.skipped

    def predict_to_directory(
        self,
        spath: str,
        tpath: str,
        fold: Any = 0,
        stage: Any = 0,
        limit: int = -1,
        batch_size: "int | None" = None,
        ttflips: Any = False,
    ) -> list[str]:
        """Predict on the images in a folder; write ``predictions.json`` (COCO) and a picture of each to another.

        Pictures show what has a score of ``threshold`` or more.

        Returns:
            The files that were skipped, since they are no readable image.
        """
        from ..visualization.draw import draw_instances, write_jpeg

        folder, target = Directory(spath), Path(tpath)
        entries: list[tuple] = []
        with tqdm(total=len(folder), desc="predicting", unit="image", disable=None) as bar:
            model = self._cached_model(fold, stage, ttflips, False)
            for batch in folder.batches(self._batch_size(batch_size), limit):
                answers = model.detect([image for _, image in batch])
                for (name, image), found in zip(batch, answers, strict=True):
                    entries.append((name, found))
                    shown = found.above(self.threshold)
                    drawn = draw_instances(image, shown.instances(), self.class_names(), shown.scores)
                    write_jpeg(target / f"{name}.jpg", drawn)
                bar.update(len(batch))
        write_text(target / "predictions.json", json.dumps(to_coco(entries, self.class_names())))
        return folder.skipped


def hand_on(batches: Iterator[PredictedBatch], cb: Callable[[str, tuple, Any], Any], data: Any, bar: tqdm) -> None:
    """Call ``cb(name, prediction, data)`` for each image of some batches, and move a bar by it."""
    for batch in batches:
        for name, result in zip(batch.data, batch.results, strict=True):
            cb(name, result, data)
        bar.update(len(batch.data))
