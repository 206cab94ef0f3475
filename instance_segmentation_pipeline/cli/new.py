"""``musket new``: a project with a first experiment, made of a folder of annotated images."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, UserError
from ..text import printable
from .argument_types import names, path, positive

if TYPE_CHECKING:
    from ..data.recognition.sources import Source

MOST_FOLDS = 100
MOST_BYTES = 200


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    new = argparse.ArgumentParser(
        prog="musket new",
        description="Make a project with a first experiment of annotated images: COCO, VOC, LabelMe, YOLO, masks, a "
        "table of run lengths. Nothing is copied, nothing that is there is changed.",
    )
    add = new.add_argument
    add("project", type=path, help="folder to make")
    add("--from", type=path, required=True, help="folder, or file, with the annotations")
    add("--name", type=_experiment_name, default="first", help="name of the experiment (default first)")
    add("--model", help="config of musket models (default: one that suits machine and images)")
    add("--folds", type=_folds, help="nets, each validated on another part (default 1)")
    add("--classes", type=names, help="class names in label order, separated by commas (default: those of the data)")
    return new


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Make the project; return 0, or 2 when there is nothing to make it of."""
    options = parser().parse_args(arguments)
    try:
        _make(options)
    except UserError as error:
        print(printable(f"musket new: {error}"), file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _make(options: argparse.Namespace) -> None:
    from ..scaffold.choice import plan
    from ..scaffold.config_text import config_text
    from ..scaffold.machine import Machine
    from ..scaffold.model_choice import model_of, most_detections
    from ..scaffold.source_choice import format_of, source_of
    from ..scaffold.survey import survey
    from ..scaffold.writing import check_project, write_experiment

    project = options.project.absolute()
    check_project(project)
    model = None if options.model is None else model_of(options.model)
    source = source_of(vars(options)["from"], options.classes)
    if options.folds is not None and "validation" in source.parts:
        raise ConfigError("--folds: the data bring a validation part, so that no folds are drawn: leave it out.")
    found = survey(source.datasets, source.objects)
    count = found.images.get("train", found.total)
    if "validation" not in source.parts and count < max(2, options.folds or 0):
        what_to_do = f"give more images, or --folds {count} at most" if count > 1 else "give more images"
        raise ConfigError(
            f"{count} images are too few for {options.folds or 1} folds: some are trained on, others validated: "
            f"{what_to_do}."
        )
    machine = Machine.this()
    chosen = plan(found, machine, model, options.folds)
    data = _data_path(source, project, options.name)
    text = config_text(chosen, found, source.declaration(), data, most_detections(chosen))
    written = write_experiment(project, options.name, text)
    minutes = "" if machine.gpus else f", {_about(chosen.minutes)} a net"
    for line in (
        f"{format_of(source)}: {source.evidence}",
        *(f"  {line}" for line in found.lines()),
        *(f"  note: {note}" for note in source.notes),
        f"made {written}, for {machine}",
        f"  {chosen.model}, shape {chosen.side} x {chosen.side}, {chosen.epochs} epochs{minutes}",
        "next:",
        *(f"  {command}" for command in _commands(options, source)),
    ):
        print(printable(line))  # noqa: T201


def _data_path(source: "Source", project: Path, name: str) -> Path:
    """Return ``datasets_path``: relative where the data lie within the project, which may be moved."""
    if project == source.root or project in source.root.parents:
        return Path(os.path.relpath(source.root, project / "experiments" / name))
    return source.root


def _commands(options: argparse.Namespace, source: "Source") -> list[str]:
    project = shlex.quote(str(options.project))
    folder = Path(next(iter(source.datasets.values())).files[0]).parent
    images = shlex.quote(min(str(folder), os.path.relpath(folder), key=len))
    output = shlex.quote(str(options.project / "predictions"))
    return [
        f"musket check --project {project}",
        f"musket fit --project {project}",
        f"musket predict --project {project} --input {images} --output {output}",
    ]


def _about(minutes: float) -> str:
    whole = max(1, round(minutes))
    return f"about {whole} minute{'' if whole == 1 else 's'}"


def _experiment_name(text: str) -> str:
    has_other = any(letter in "/\\," or not letter.isprintable() for letter in text)
    if not text.strip() or text.startswith(".") or has_other or len(os.fsencode(text)) > MOST_BYTES:
        raise argparse.ArgumentTypeError("it is no name of a folder: give letters, digits, - and _")
    return text


def _folds(text: str) -> int:
    count = positive(text)
    if count > MOST_FOLDS:
        raise argparse.ArgumentTypeError(f"{count} is no whole number from 1 to {MOST_FOLDS}")
    return count
