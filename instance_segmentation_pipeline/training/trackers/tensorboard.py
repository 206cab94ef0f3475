"""``TensorBoardTracker``: event files in the experiment's folder, written anew from what is kept when a run goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .base import RunFacts


class TensorBoardTracker:
    """Writes event files through MMEngine's ``TensorboardVisBackend``.

    A run that is gone on with is written anew, whole: event files hold nothing that the metrics CSV and the pictures do
    not, and so nothing is twice in them, whoever reads them.

    Args:
        folder: Where the event files of the run go.
    """

    forgets = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._backend: Any = None

    def open(self, facts: RunFacts, known: "str | None") -> str:
        """Begin anew."""
        from mmengine.visualization import TensorboardVisBackend

        for path in self.folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._backend = TensorboardVisBackend(str(self.folder))
        writer = self._backend.experiment
        lines = [facts.description, *(f"{name}: {value}" for name, value in facts.tags.items())]
        writer.add_text("description", "\n\n".join(filter(None, [f"{facts.experiment}, {facts.name}", *lines])))
        rows = "".join(f"| {key} | {value} |\n" for key, value in facts.parameters.items())
        writer.add_text("parameters", f"| parameter | value |\n|---|---|\n{rows}")
        return self.folder.name

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars."""
        self._backend.add_scalars(dict(values), step)

    def picture(self, name: str, path: Path, step: int) -> None:
        """Write an image."""
        from PIL import Image

        with Image.open(path) as image:
            self._backend.add_image(name, np.asarray(image.convert("RGB")), step)

    def report(self, name: str, path: Path) -> None:
        """Write an image."""
        self.picture(name, path, 0)

    def flush(self) -> None:
        """Have all on disk."""
        self._backend.experiment.flush()

    def close(self, finished: bool) -> None:
        """Close the file."""
        self._backend.close()
