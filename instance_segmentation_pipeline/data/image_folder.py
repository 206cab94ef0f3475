"""Images of a folder, read one by one; files that are no readable image are named, counted and left out."""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import DatasetError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class Directory:
    """The images of a folder, in the order of their names.

    Attributes:
        skipped: Names of the files that could not be read, so far.

    Raises:
        DatasetError: There is no such folder, or no image in it.
    """

    def __init__(self, path: "str | Path") -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise DatasetError(f"{self.path} is no folder: give one with images.")
        self.files = sorted(file for file in self.path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not self.files:
            kinds = ", ".join(sorted(SUFFIXES))
            raise DatasetError(f"{self.path} has no image: expected files that end in {kinds}.")
        self.skipped: list[str] = []

    def __len__(self) -> int:
        return len(self.files)

    def images(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield file name and image ``(height, width, 3)`` uint8 RGB; rotated as the camera says."""
        for file in self.files:
            data = np.frombuffer(file.read_bytes(), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
            if image is None:
                self.skipped.append(file.name)
                continue
            yield file.name, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def batches(self, size: int, limit: int = -1) -> Iterator[list[tuple[str, np.ndarray]]]:
        """Yield lists of up to ``size`` images, ``limit`` in all; at the end say on stderr what was skipped."""
        batch: list[tuple[str, np.ndarray]] = []
        for number, entry in enumerate(self.images()):
            if number == limit:
                break
            batch.append(entry)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch
        if self.skipped:
            count = len(self.skipped)
            names = ", ".join(self.skipped[:10]) + (", …" if count > 10 else "")
            message = f"{count} of {len(self)} files in {self.path} cannot be read as images: {names}"
            print(message, file=sys.stderr)  # noqa: T201
