"""``musket convert``: write a dataset, or predictions on one, as files of another format."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, UserError, shortened
from ..text import printable
from .argument_types import boolean, names, numbers_or_all, path, share, stages_or_word

if TYPE_CHECKING:
    from ..data.conversion import Conversion, Entries, Target

FORMATS = ("coco", "yolo", "labelme", "ids", "csv")
_YOLO_PARTS = {"train": "train", "validation": "val", "holdout": "test"}
SHOWN = 10
"""Images that were left out and are named; of further ones it is told how many they are."""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    convert = argparse.ArgumentParser(
        prog="musket convert",
        description="Write a dataset, or predictions on one, as files of another format. Nothing is overwritten.",
        epilog="What is converted: --input, a folder or file of annotations; or --project and --name, an experiment's.",
    )
    add = convert.add_argument
    add("--format", required=True, choices=FORMATS, help="format to write")
    add("--output", type=path, required=True, help="folder to write to; it is new, or empty")
    add("--input", type=path, help="folder or file of annotations; what they are is recognised")
    add("--input_format", help="provider that reads --input, such as coco_json, where several things lie there")
    add("--arguments", default="{}", help="arguments of that provider, such as '{images: photos}'")
    add("--project", type=path, help="root of the project; by default the one around the current folder")
    add("--name", type=names, help="experiment whose dataset or predictions are converted")
    add("--dataset", help="part or dataset: train, validation, holdout, an entry of datasets (default: the whole)")
    add("--predictions", type=boolean, default=False, help="what the experiment finds, not what is there (false)")
    add("--folds", type=numbers_or_all, help="folds that predict, such as 0,2 (default all that are trained)")
    add("--stages", type=stages_or_word, help="stages that predict: 0,1, last, all, average (default all)")
    add("--threshold", type=share, help="lowest score that is written (default: all where scores are kept)")
    add("--images", choices=("reference", "link", "copy"), help="what becomes of images (default: reference)")
    add("--polygons", type=boolean, default=False, help="polygons in COCO's JSON, not RLE (default false)")
    add("--overwrite", type=boolean, default=False, help="replace files of the same names (default false)")
    return convert


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Convert; return 0, or 1 when an image was left out, or 2 when nothing could be written."""
    options = parser().parse_args(arguments)
    from ..data.conversion import check_target, declaration

    try:
        _refuse(options)
        sources = dict(_from_files(options) if options.input is not None else _from_experiment(options))
        targets = {part: _target(options, part) for part in sources}
        for part, entries in sources.items():
            check_target(entries, targets[part])
        done = {part: _converted(entries, targets[part]) for part, entries in sources.items()}
        _join(options, sources)
    except UserError as error:
        print(f"musket convert: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for part, one in done.items():
        told = json.dumps(declaration(sources[part], targets[part]), ensure_ascii=False)
        print(printable(f"{targets[part].folder}: {one.images} images, {one.objects} objects"))  # noqa: T201
        print(printable(f"  dataset: {told}", 2000))  # noqa: T201
        _tell(one)
    return 1 if any(one.skipped for one in done.values()) else 0


def _refuse(options: argparse.Namespace) -> None:
    """Refuse flags that would mean nothing beside others, with the names of what does their job."""
    if options.input is not None:
        for flag in ("project", "name", "folds", "stages", "threshold"):
            if getattr(options, flag) is not None:
                raise ConfigError(f"--{flag} is for an experiment, and --input is files of annotations: give one.")
        if options.predictions:
            raise ConfigError("--predictions true is for an experiment: give --project and --name, not --input.")
    elif options.input_format is not None or options.arguments != "{}":
        raise ConfigError("--input_format and --arguments say what --input is: give --input.")
    if not options.predictions and (options.folds, options.stages, options.threshold) != (None, None, None):
        raise ConfigError("--folds, --stages and --threshold choose predictions: give --predictions true.")
    if options.polygons and options.format != "coco":
        raise ConfigError(f"--polygons true is for --format coco: {options.format} has one form of masks.")


def _from_files(options: argparse.Namespace) -> "Iterator[tuple[str, Entries]]":
    """Give what is recognised at a path, each part by its name; what has none is an empty one."""
    from ..data.conversion import annotated_entries

    if options.input_format is None:
        from ..data.recognition.sources import recognise

        if options.arguments != "{}":
            raise ConfigError("--arguments are those of a provider: give --input_format.")
        found = recognise(options.input)
        if len(found.sources) != 1:
            raise ConfigError(_several(options.input, found))
        datasets: Any = found.sources[0].datasets
    else:
        datasets = {"": _read(options)}
    if options.dataset is not None:
        if options.dataset not in datasets:
            there = ", ".join(part for part in datasets if part) or "no parts"
            raise ConfigError(f"--dataset {shortened(options.dataset)}: {options.input} has {there}.")
        datasets = {"": datasets[options.dataset]}
    for part, dataset in datasets.items():
        yield part, annotated_entries(dataset)


def _several(place: Path, found: Any) -> str:
    if not found.sources:
        problem = f": {found.problems[0]}" if found.problems else "."
        return f"--input {printable(place)} has no annotations that are recognised{problem}"
    listed = "; ".join(f"{one.provider} ({one.evidence})" for one in found.sources)
    return f"--input {printable(place)} has several: {listed}: give the folder or file of one."


def _read(options: argparse.Namespace) -> Any:
    """Return the dataset that a provider reads from a path, its first argument."""
    import inspect

    import yaml

    from ..data.annotation_files import PROVIDERS, check_arguments
    from ..errors import nearest
    from ..storage.yaml_files import parse_yaml

    name = options.input_format
    if name not in PROVIDERS:
        raise ConfigError(
            f"--input_format {shortened(name)} is no provider{nearest(name, PROVIDERS)}: it is one of "
            f"{', '.join(PROVIDERS)}."
        )
    try:
        given = parse_yaml(options.arguments)
    except yaml.YAMLError:
        given = None
    if not isinstance(given, dict):
        raise ConfigError(f"--arguments {shortened(options.arguments)} is no mapping such as '{{images: photos}}'.")
    first = next(iter(inspect.signature(PROVIDERS[name]).parameters))
    named = {first: str(options.input), **given}
    check_arguments(name, [], named)
    return PROVIDERS[name](**named)


def _from_experiment(options: argparse.Namespace) -> "Iterator[tuple[str, Entries]]":
    """Give the dataset of an experiment, or what it finds on one."""
    from ..data.conversion import dataset_entries, predicted_entries
    from ..data.formats.saving import KEEPS_SCORES
    from .project_lookup import chosen, prepare_experiment

    options.num_gpus = options.gpus_per_net = options.num_workers = 1
    options.cache = None
    experiments = chosen(options, lambda experiment: experiment.isCompleted() or not options.predictions)
    if len(experiments) != 1:
        told = ", ".join(experiment.name() for experiment in experiments) or "none"
        raise ConfigError(f"one experiment is to be converted, but {len(experiments)} are meant ({told}): give --name.")
    prepare_experiment(experiments[0], options)
    cfg = experiments[0].parse_config()
    if not options.predictions:
        dataset = cfg.get_dataset() if options.dataset is None else cfg.dataset_named(options.dataset)
        reader = cfg.parts.classes.reader(needs_masks=False)
        yield "", dataset_entries(dataset, reader, cfg.class_names())
        return
    store = cfg.predictions(options.dataset or "validation", options.folds, options.stages)
    threshold = options.threshold
    if threshold is None:
        threshold = 0.0 if options.format in KEEPS_SCORES else cfg.threshold
    reader = cfg.parts.classes.reader(needs_masks=False)
    yield (
        "",
        predicted_entries(
            store.parent, lambda position: store.detections(position).above(threshold), reader, cfg.class_names()
        ),
    )


def _target(options: argparse.Namespace, part: str) -> "Target":
    from ..data.conversion import Target

    images = options.images or ("link" if options.format == "yolo" else "reference")
    folder = (options.output / part if part else options.output).absolute()
    return Target(folder, options.format, images, options.predictions, options.polygons, options.overwrite)


def _converted(entries: "Entries", target: "Target") -> "Conversion":
    from tqdm import tqdm

    from ..data.conversion import convert

    return convert(entries, target, tqdm(range(entries.count), "converting", unit="image", disable=None, leave=False))


def _join(options: argparse.Namespace, sources: "dict[str, Entries]") -> None:
    """Write the ``data.yaml`` of all parts above those of each."""
    if options.format != "yolo" or "" in sources:
        return
    from ..data.formats.yolo_text import write_data_yaml

    parts = {_YOLO_PARTS[part]: f"{part}/images" for part in sources}
    write_data_yaml(options.output / "data.yaml", parts, next(iter(sources.values())).class_names)


def _tell(done: "Conversion") -> None:
    for remark in done.remarks:
        print(printable(f"musket convert: {remark}."), file=sys.stderr)  # noqa: T201
    if done.kept:
        print(f"musket convert: {done.kept} files that were there before are kept.", file=sys.stderr)  # noqa: T201
    if done.skipped:
        more = f"; and {len(done.skipped) - SHOWN} more" if len(done.skipped) > SHOWN else ""
        told = f"{len(done.skipped)} images are left out: {'; '.join(done.skipped[:SHOWN])}{more}"
        print(printable(f"musket convert: {told}.", 4000), file=sys.stderr)  # noqa: T201
