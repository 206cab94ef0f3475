"""``musket lr_find``: the loss over a rising learning rate, as a picture, and the rate that it speaks for."""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.values import RATES
from ..errors import ConfigError, UserError, sentence, shortened
from ..text import printable
from .argument_types import fold_numbers, path, positive
from .project_lookup import add_common, chosen, prepare_experiment


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    find = argparse.ArgumentParser(
        prog="musket lr_find",
        description="Train a copy of a net while the learning rate rises, draw the loss, and suggest a rate. "
        "Nothing that is trained is touched.",
    )
    add_common(find, "the only one of the project")
    add = find.add_argument
    add("--fold", type=_number, default=0, help="fold to train on (default 0)")
    add("--stage", type=_number, default=0, help="stage; one behind the first starts from its weights (default 0)")
    add("--subsample", type=_share, default=1.0, help="share of the fold's training items to use (default 1)")
    add("--start_lr", type=_rate, default=1e-6, help="rate of the first batch (default 1e-6)")
    add("--end_lr", type=_rate, default=1.0, help="rate that the last batch comes close to (default 1)")
    add("--epochs", type=positive, default=5, help="epochs over which the rate rises (default 5)")
    add("--output", type=path, help="picture to write (default: lr_find.png in the experiment); a CSV lies beside it")
    return find


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Look for a rate; return 0, or 1 where the sweep speaks for none, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    try:
        experiment = _experiment(options)
        output = (options.output or experiment.files.root / "lr_find.png").absolute()
        _check_output(output)
        finder = experiment.parse_config().lr_find(
            foldsToExecute=[options.fold],
            stage=options.stage,
            subsample=options.subsample,
            start_lr=options.start_lr,
            end_lr=options.end_lr,
            epochs=options.epochs,
        )
    except UserError as error:
        return _say(f"musket lr_find: {error}", 2)
    title = f"{experiment.name()}: fold {options.fold}, stage {options.stage}"
    try:
        return _report(finder, output, title)
    except (UserError, OSError) as error:
        return _say(f"musket lr_find: {sentence(error)}", 1)


def _experiment(options: argparse.Namespace) -> Any:
    experiments = chosen(options, lambda one: True)
    if len(experiments) != 1:
        names = ", ".join(one.name() for one in experiments) or "none"
        raise ConfigError(f"one experiment is looked at, but {len(experiments)} are meant ({names}): give --name.")
    prepare_experiment(experiments[0], options)
    return experiments[0]


def _check_output(output: Path) -> None:
    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output {output} is to be a picture: give a name that ends in .png.")
    if output.is_dir() or not output.parent.is_dir():
        raise ConfigError(f"--output {output} is a folder, or in none that is there: give the picture to write.")


def _report(finder: Any, output: Path, title: str) -> int:
    """Write picture and CSV, and print the suggestion; they are written where there is none, too."""
    from ..storage.atomic import write_text
    from ..tuning.rate_suggestion import suggested_rate
    from ..visualization.plots import write_figure
    from ..visualization.rate_plot import rate_figure

    suggestion, problem = None, ""
    try:
        suggestion = suggested_rate(finder.lrs, finder.losses)
    except ConfigError as error:
        problem = str(error)
    marks: dict[str, float] = {}
    if suggestion is not None:
        marks = {
            "steepest descent": suggestion.steepest or 0.0,
            "a tenth of divergence": suggestion.below_divergence or 0.0,
        }
        marks = {name: rate for name, rate in marks.items() if rate}
    smoothed = [] if suggestion is None else [float(loss) for loss in suggestion.smoothed]
    write_figure(output, rate_figure(finder.lrs, finder.losses, smoothed, marks, title))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["lr", "loss"])
    writer.writerows(zip(finder.lrs, finder.losses, strict=True))
    write_text(output.with_suffix(".csv"), buffer.getvalue())
    print(printable(f"{title}: {len(finder.lrs)} batches, rates {finder.lrs[0]:.2g} to {finder.lrs[-1]:.2g}"))  # noqa: T201
    for name, rate in marks.items():
        print(f"  {name}: {rate:.3g}")  # noqa: T201
    if suggestion is not None:
        print(f"suggestion: lr: {suggestion.rate:.3g} ({suggestion.reason})")  # noqa: T201
    print(f"  picture {printable(output)}")  # noqa: T201
    return _say(f"musket lr_find: no suggestion: {problem}", 1) if problem else 0


def _number(text: str) -> int:
    numbers = fold_numbers(text)
    if len(numbers) != 1:
        raise argparse.ArgumentTypeError(f"{shortened(text)} names several numbers: give one")
    return numbers[0]


def _rate(text: str) -> float:
    try:
        return RATES(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no learning rate: give {RATES}") from None


def _share(text: str) -> float:
    try:
        share = float(text) if len(text) < 60 else 0.0
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no number above 0 to 1")
    return share


def _say(message: str, status: int) -> int:
    print(printable(message), file=sys.stderr, flush=True)  # noqa: T201
    return status
