"""Asking trained folds and stages about the images of a folder."""

import errno
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..data.formats.coco_json import CocoWriter
from ..data.image_folder import Directory
from ..data.item_reader import ItemReader
from ..detection.detections import Detections
from ..errors import ConfigError, UserError
from ..storage.atomic import not_writable
from ..storage.file_names import file_name_of
from ..text import printable
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
            answers = answered(model, folder, batch)
            if answers:
                found = [one.found.to_musket(order) for one in answers]
                yield PredictedBatch([one.name for one in answers], [one.image for one in answers], found)

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

        Pictures show what has a score of ``threshold`` or more; ``storage.file_names`` makes their names. What is found
        is written image by image: ``predictions.jsonl`` has it until ``predictions.json`` is complete.

        Returns:
            The files that were skipped, since they are no readable image.

        Raises:
            ConfigError: ``tpath`` is ``spath``, or cannot be written to.
        """
        target = Path(tpath)
        folder = Directory(spath, without=target)
        if target.resolve() == folder.path.resolve():
            raise ConfigError(f"{printable(target)} is the folder with the images: give another to write to.")
        model = self._cached_model(fold, stage, ttflips, False)
        with (
            CocoWriter(target / "predictions.json", self.class_names()) as written,
            tqdm(total=len(folder), desc="predicting", unit="image", disable=None) as bar,
        ):
            written.skipped = folder.reasons
            for batch in folder.batches(self._batch_size(batch_size), limit):
                for one in answered(model, folder, batch):
                    written.add(one.name, one.found)
                    self._draw(one, target, folder)
                bar.update(len(batch))
        return folder.skipped

    def _draw(self, one: "Answer", target: Path, folder: Directory) -> None:
        from ..visualization.draw import draw_instances, write_jpeg

        shown = one.found.above(self.threshold)
        try:
            drawn = draw_instances(one.image, shown.instances(), self.class_names(), shown.scores)
            write_jpeg(target / f"{file_name_of(one.name)}.jpg", drawn)
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EISDIR):  # of this picture's own name
                raise ConfigError(not_writable(target, error)) from error
            folder.skip(one.name, error)
        except Exception as error:
            folder.skip(one.name, error)


class Answer(NamedTuple):
    """An image of a folder and what was found in it."""

    name: str
    image: np.ndarray
    found: Detections


def answered(model: Any, folder: Directory, batch: Sequence[tuple[str, np.ndarray]]) -> list[Answer]:
    """Return what a model finds in some images; one that it fails on is skipped, and costs the others nothing.

    Raises:
        UserError: What is wrong is not the image's fault.
    """
    try:
        found = model.detect([image for _, image in batch])
    except UserError:
        raise
    except Exception as error:
        if len(batch) > 1:
            return [answer for entry in batch for answer in answered(model, folder, [entry])]
        folder.skip(batch[0][0], error)
        return []
    return [Answer(name, image, one) for (name, image), one in zip(batch, found, strict=True)]


def hand_on(batches: Iterator[PredictedBatch], cb: Callable[[str, tuple, Any], Any], data: Any, bar: tqdm) -> None:
    """Call ``cb(name, prediction, data)`` for each image of some batches, and move a bar by it."""
    for batch in batches:
        for name, result in zip(batch.data, batch.results, strict=True):
            cb(name, result, data)
        bar.update(len(batch.data))
