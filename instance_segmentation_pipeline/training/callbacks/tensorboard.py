"""``TensorBoard``: event files of a stage's numbers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigError, one_line
from ...storage.metrics_csv import Row
from .base import StageCallback


class TensorBoard(StageCallback):
    """Writes the rows of the metrics CSV by epoch, and where asked the losses of iterations and the weights.

    A stage that is gone on with has event files of each start, and TensorBoard shows the numbers once.

    Args:
        arguments: Those of ``config.callback_table``.
        folder: Where the stage's event files go; those of iterations go into ``batches`` in it.
    """

    name = "TensorBoard"
    everywhere = False

    def __init__(self, arguments: Mapping[str, Any], folder: Path) -> None:
        frequency = arguments["update_freq"]
        self.every: int | None = {"epoch": None, "batch": 1}.get(frequency, frequency)
        self.histograms: int = arguments["histogram_freq"]
        self.folder = folder
        self.follows_batches = self.every is not None
        self._epochs: Any = None
        self._batches: Any = None

    def on_epoch_begin(self, epoch: int) -> None:
        """Open the files; what an earlier start wrote of this epoch and later ones does not count."""
        if self._epochs is None:
            self._epochs = self._writer(self.folder, epoch)
            if self.every is not None:
                self._batches = self._writer(self.folder / "batches", self.stage.iteration)

    def on_batch_end(self, batch: int, losses: Callable[[], dict[str, float]]) -> None:
        """Write the losses of an iteration."""
        iteration = self.stage.iteration
        if self.every is not None and iteration % self.every == 0:
            for name, value in {**losses(), "lr": self.stage.rates.now}.items():
                self._batches.add_scalar(name, value, iteration)

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """Write the epoch's row."""
        for name, value in row.items():
            if name != "epoch":
                self._epochs.add_scalar(name, value, epoch)
        if self.histograms and epoch % self.histograms == 0 and self.stage.net is not None:
            for name, parameter in self.stage.net.named_parameters():
                self._epochs.add_histogram(f"weights/{name}", parameter.detach().cpu(), epoch)
        for writer in filter(None, (self._epochs, self._batches)):
            writer.flush()

    def on_train_end(self) -> None:
        """Close the files."""
        for writer in filter(None, (self._epochs, self._batches)):
            writer.close()
        self._epochs = self._batches = None

    def _writer(self, folder: Path, step: int) -> Any:
        from torch.utils.tensorboard.writer import SummaryWriter

        try:
            return SummaryWriter(str(folder), purge_step=step)
        except OSError as error:
            raise ConfigError(
                f"{self.name}: {folder} cannot be written ({one_line(error)[:160]}): correct log_dir."
            ) from error
