"""``musket analize`` (or ``analyze``): compare the finished experiments of a project.

``python -m musket_core.analize`` is the same program.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, UserError
from ..storage.atomic import not_writable
from ..text import printable
from .argument_types import boolean, path

if TYPE_CHECKING:
    from ..reporting.analysis import Analysis, Finished
    from ..reporting.picture_folder import Drawing


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    analize = argparse.ArgumentParser(
        prog="musket analize",
        description="Compare the finished experiments of a project: a table, report.csv and report.html.",
    )
    add = analize.add_argument
    add("--inputFolder", type=path, default=Path(), help="folder to search for experiments (default: this one)")
    add(
        "--output",
        type=path,
        help="CSV to write (default: report.csv in inputFolder); report.html is written beside it",
    )
    add("--onlyMetric", default="", help="report this metric only, and sort by it")
    add("--sortBy", default="", help="metric to sort by (default: mask AP, else box AP)")
    add("--html", type=boolean, default=True, help="write report.html and its pictures (default true)")
    add("--embed", type=boolean, default=False, help="put the pictures into report.html itself (default false)")
    return analize


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Analyse; return 0, or 1 when something had to be skipped, or 2 when there is nothing to analyse."""
    options = parser().parse_args(arguments)
    from ..reporting.analysis import analyse, table_rows, write_csv
    from ..reporting.page import main_metrics
    from ..visualization.text_table import table

    output = options.output or options.inputFolder / "report.csv"
    try:
        _check_output(output)
        analysis = analyse(options.inputFolder, options.sortBy, options.onlyMetric)
        write_csv(output, analysis)
    except UserError as error:
        print(f"musket analize: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        print(f"musket analize: --output: {printable(not_writable(output.parent, error))}", file=sys.stderr)  # noqa: T201
        return 2
    print(table(table_rows(analysis, main_metrics(analysis), ".3f")))  # noqa: T201
    for search in analysis.searches:
        print(f"\n{printable(search.title)}\n{table(search.rows())}\n")  # noqa: T201
    print(printable(f"{len(analysis.experiments)} experiments, sorted by {analysis.sorted_by}: {output}"))  # noqa: T201
    if options.html:
        page = output.with_suffix(".html")
        _write_page(page, analysis, f"Experiments of {options.inputFolder.absolute().name}", options.embed)
        print(f"  page {printable(page)}")  # noqa: T201
    for line in analysis.skipped:
        print(printable(f"musket analize: {line}"), file=sys.stderr)  # noqa: T201
    return 1 if analysis.skipped else 0


def _check_output(output: Path) -> None:
    if output.suffix.lower() in (".html", ".htm"):
        raise ConfigError(
            f"--output {output} is the CSV, beside which the page is written: give a name ending in .csv."
        )
    if output.name in ("", "..") or output.is_dir():
        raise ConfigError(f"--output {output} is a folder: give the CSV to write, such as {output / 'report.csv'}.")
    if output.exists() and not output.is_file():
        raise ConfigError(f"--output {output} is a pipe, a device or a socket: give the CSV to write.")


def _write_page(path: Path, analysis: "Analysis", title: str, embed: bool) -> None:
    from tqdm import tqdm

    from ..reporting.page import write_page
    from ..reporting.pictures import ReportPictures

    bar = tqdm(analysis.experiments, "drawing", unit="experiment", leave=False, disable=None)
    pictures = ReportPictures(path.with_name(f"{path.stem}_files"), _draw)
    write_page(path, analysis, bar, pictures, title, embed)


def _draw(one: "Finished") -> "list[Drawing]":
    """Draw what an experiment finds on its validation parts."""
    from musket_core.experiment import Experiment

    from ..config.loader import project_of
    from ..reporting.report_figures import validation_pictures

    root = project_of(one.files.config)
    project = None if root is None else _project_at(root)
    cfg = Experiment(str(one.files.root), project=project).parse_config()
    return validation_pictures(cfg.validation_view(one.folds))


@lru_cache(maxsize=1)
def _project_at(root: Path) -> Any:
    from .project_lookup import project_at

    return project_at(root)
