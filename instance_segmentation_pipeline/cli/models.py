"""``musket models``: the catalogue of MMDetection's zoo, and the configs of this package."""

import argparse
import sys
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    models = argparse.ArgumentParser(
        prog="musket models",
        description="List the configs of MMDetection's zoo, with what was published of them on COCO, and our own.",
        epilog="Write a config as configPath: mmdet::<config>, its weights as weightsPath: mmdet::<config>; those that "
        "are listed as musket::<config> are configs of this package, for configPath, without published weights.",
    )
    models.add_argument("--architecture", help="only those of an architecture, such as 'Mask R-CNN' or rtmdet")
    models.add_argument("--search", help="only those whose name holds all of these words")
    models.add_argument("--masks", action="store_true", help="only those with a published mask AP")
    models.add_argument("--urls", action="store_true", help="print the URL of the weights, too")
    return models


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Print the table; return 0, or 1 when nothing matches."""
    options = parser().parse_args(arguments)
    from ..visualization.text_table import table
    from ..zoo.catalogue import catalogue
    from ..zoo.own_configs import own_entries

    wanted = _plain(options.architecture or "")
    words = (options.search or "").lower().split()
    rows = [["config", "architecture", "backbone", "box AP", "mask AP", "GB", *(["weights"] if options.urls else [])]]
    for entry in (*catalogue(), *own_entries()):
        if wanted and wanted not in (_plain(entry.architecture), _plain(entry.config.partition("/")[0])):
            continue
        if not all(word in entry.config.lower() for word in words) or (options.masks and entry.mask_ap is None):
            continue
        numbers = ("-" if value is None else f"{value:g}" for value in (entry.box_ap, entry.mask_ap, entry.memory))
        urls = [entry.weights or "-"] if options.urls else []
        rows.append([entry.config, entry.architecture, entry.backbone, *numbers, *urls])
    if len(rows) == 1:
        print("musket models: nothing matches.", file=sys.stderr)  # noqa: T201
        return 1
    print(table(rows))  # noqa: T201
    print(f"{len(rows) - 1} configs")  # noqa: T201
    return 0


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
