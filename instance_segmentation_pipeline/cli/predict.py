"""``musket predict``: find objects in the images of a folder with a trained experiment."""

import argparse
import sys
from collections.abc import Sequence

from ..data.image_folder import NAMED
from ..errors import ConfigError, UserError
from ..inference.output_formats import FORMATS
from ..text import printable
from .argument_types import formats_of, numbers_or_all, path, stages_or_word
from .project_lookup import add_common, chosen, prepare_experiment


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    predict = argparse.ArgumentParser(
        prog="musket predict",
        description="Find objects in the images of a folder: predictions.json (COCO) and a picture of each image.",
    )
    add_common(predict, "the only one that is finished")
    add = predict.add_argument
    add("--input", type=path, required=True, help="folder with images")
    add("--output", type=path, required=True, help="folder to write to")
    add("--folds", type=numbers_or_all, default="all", help="folds to ask, such as 0,2 (default all that are trained)")
    add("--stages", type=stages_or_word, default="last", help="stages to ask: 0,1, last, all, average (default last)")
    add(
        "--tta",
        help="test-time augmentation: Horizontal, Vertical, Horizontal_and_vertical, All, or a function of the project",
    )
    add("--recursive", action="store_true", help="look into the folders below, too")
    add(
        "--format",
        type=formats_of,
        default=(),
        metavar="NAMES",
        help=f"further formats, such as yolo,png: of {', '.join(FORMATS)}; each in a folder of its name",
    )
    add("--html", action="store_true", help="write index.html, a page of the pictures")
    return predict


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Predict; return 0, or 1 when a file was no readable image, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    try:
        experiments = chosen(options, lambda experiment: experiment.isCompleted())
        if len(experiments) != 1:
            names = ", ".join(experiment.name() for experiment in experiments) or "none"
            raise ConfigError(f"one experiment is to predict, but {len(experiments)} are meant ({names}): give --name.")
        prepare_experiment(experiments[0], options)
        cfg = experiments[0].parse_config()
        folders = str(options.input.absolute()), str(options.output.absolute())
        skipped = cfg.predict_to_directory(
            *folders,
            options.folds,
            options.stages,
            ttflips=options.tta,
            recursive=options.recursive,
            formats=options.format,
            page=options.html,
        )
    except UserError as error:
        print(f"musket predict: {error}", file=sys.stderr)  # noqa: T201
        return 2
    more = " (all that cannot be used: its info.skipped)" if len(skipped) > NAMED else ""
    print(f"predictions {printable(options.output / 'predictions.json')}{more}")  # noqa: T201
    return 1 if skipped else 0
