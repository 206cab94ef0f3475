"""The pictures of finished experiments for a page: what was drawn before and has not changed is not drawn again.

Learning curves depend on their CSV. All others stand for what the weights find, and depend on
summary, config, ``common.yaml``, splits and weights; a dataset that changed since is seen after the experiment was
measured anew. Code that draws differently draws all anew.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from ..config.loader import common_of
from ..errors import one_line
from ..storage.digests import digest, digest_of_file
from ..storage.metrics_csv import read_rows
from .analysis import Finished
from .picture_folder import Drawing, Picture, PictureFolder, remove_others

DRAWN_BY = ("reporting/report_figures.py", "visualization/draw.py", "visualization/plots.py", "detection/matching.py")
"""Sources whose change draws all pictures anew."""


class ReportPictures:
    """The pictures of all experiments of a page.

    Args:
        folder: Where they are kept, beside the page.
        draw: Draws what an experiment finds on its validation parts.
    """

    def __init__(self, folder: Path, draw: Callable[[Finished], Iterable[Drawing]]) -> None:
        self.folder = folder
        self._draw = draw
        self._used: list[Path] = []

    def folder_of(self, one: Finished) -> Path:
        """Return the folder of an experiment's pictures: its name as any file system takes it, and a digest."""
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", one.name)[:40]
        return self.folder / f"{readable}-{digest(one.name)}"

    def of(self, one: Finished) -> tuple[list[Picture], list[str]]:
        """Return the pictures of an experiment, and a sentence on each part that cannot be shown."""
        folder = PictureFolder(self.folder_of(one))
        self._used.append(folder.path)
        pictures: list[Picture] = []
        notes: list[str] = []
        for part, key, draw in self._parts(one):
            try:
                pictures += folder.pictures(part, key(), draw)
            except Exception as error:
                notes.append(f"No pictures of {part.replace('_', ' ')}: {one_line(error)}")
        folder.close()
        return pictures, notes

    def close(self) -> None:
        """Remove the pictures of experiments that were not asked for."""
        remove_others(self.folder, self._used)

    def _parts(self, one: Finished) -> Iterable[tuple[str, Callable[[], str], Callable[[], Iterable[Drawing]]]]:
        """Yield name, digest and drawing of the parts of an experiment."""
        for place, (label, files) in enumerate(one.trained):
            for fold in one.folds:
                for stage in range(one.stages):
                    path = files.stage(fold, stage).metrics
                    title = f"{label}fold {fold} stage {stage}"
                    seed = f"_seed_{place}" if label else ""
                    yield (
                        f"learning{seed}_fold_{fold}_stage_{stage}",
                        _learning_digest(path, title),
                        _curves(path, title),
                    )
        yield "validation", lambda: validation_digest(one), lambda: self._draw(one)


def validation_digest(one: Finished) -> str:
    """Return what stands for all that pictures of the validation parts depend on: contents, and times of weights."""
    texts = [one.files.summary, one.files.config, common_of(one.files.config)]
    weights = []
    for _, files in one.trained:
        texts += [files.config, files.folds_split, files.holdout_split]
        for fold in one.folds:
            weights += [files.stage(fold, stage).best_weights for stage in range(one.stages)]
    contents = [digest_of_file(path) if path is not None and path.exists() else "" for path in texts]
    states = [path.stat() if path.exists() else None for path in weights]
    times = [[state.st_size, state.st_mtime_ns] if state is not None else [] for state in states]
    return digest(drawing_digest(), contents, times)


@lru_cache(maxsize=1)
def drawing_digest() -> str:
    """Return what stands for the code that draws."""
    package = Path(__file__).parent.parent
    mark = hashlib.sha256()
    for name in DRAWN_BY:
        mark.update((package / name).read_bytes())
    return mark.hexdigest()


def _learning_digest(path: Path, title: str) -> Callable[[], str]:
    return lambda: digest(drawing_digest(), title, digest_of_file(path) if path.exists() else "")


def _curves(path: Path, title: str) -> Callable[[], Iterable[Drawing]]:
    def draw() -> Iterable[Drawing]:
        from .report_figures import learning_pictures

        return learning_pictures(read_rows(path), title)

    return draw
