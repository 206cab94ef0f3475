"""``musket check``: everything that can be known of an experiment before it is trained."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, UserError, sentence
from ..text import printable
from .argument_types import boolean, names, path, positive
from .project_lookup import chosen, prepare_experiment

PAGE = "check.html"


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    check = argparse.ArgumentParser(
        prog="musket check",
        description="Tell what can be known of experiments before they are trained: every item is read, and one step "
        "trained. Status 1 for what would fail, or learn something else than is meant.",
        epilog="Inside an experiment's folder --project and --name are not needed.",
    )
    add = check.add_argument
    add("--project", type=path, help="root of the project; by default the one around the current folder")
    add("--name", type=names, help="experiments, separated by commas; by default all")
    add("--output", type=path, help=f"file of the page (default: {PAGE} in the experiment's folder)")
    add("--step", type=boolean, default=True, help="train one step, to measure memory and time (default true)")
    add("--num_workers", type=positive, help="processes that read items (default: as many as there are cores)")
    add("--cache", type=path, help="folder for temporary data and downloaded weights")
    return check


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Check; return 0, or 1 when an experiment would fail, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    try:
        experiments = chosen(options, lambda _: True)
        if options.output is not None and len(experiments) > 1:
            raise ConfigError(f"--output names one page, and {len(experiments)} experiments are meant: give --name.")
        from ..checking.page import check_output

        pages = {one.name(): options.output or Path(one.files.root) / PAGE for one in experiments}
        for page in pages.values():
            check_output(page)
    except UserError as error:
        print(printable(f"musket check: {error}"), file=sys.stderr)  # noqa: T201
        return 2
    passed_over = 1 if getattr(options, "passed_over", None) else 0
    if len(experiments) == 1:
        return max(passed_over, _check(experiments[0], options, pages[experiments[0].name()]))
    return max([passed_over, *(_apart(one, options, pages[one.name()]) for one in experiments)])


def _apart(experiment: Any, options: argparse.Namespace, page: Path) -> int:
    """Check one of several experiments in a process of its own: each forks others, before it computes."""
    from ..checking.forked import Forked

    worker = Forked(lambda send: send(_check(experiment, options, page)))
    try:
        return int(worker.answer())
    except EOFError:
        name, how = printable(experiment.name()), worker.end()
        print(f"{name}: the process that checked it was {how}: often memory ran out.", file=sys.stderr)  # noqa: T201
        return 1


def _check(experiment: Any, options: argparse.Namespace, page: Path) -> int:
    """Check one experiment, say what was found, and write its page; return the status."""
    from ..checking.experiment_check import check_experiment
    from ..checking.findings import FAULT, count_of
    from ..checking.page import write_check_page
    from ..checking.told import lines_of, summary_of

    name = printable(experiment.name())
    print(f"{name}: {printable(experiment.files.root)}", flush=True)  # noqa: T201
    workers = options.num_workers or len(os.sched_getaffinity(0))
    devices = argparse.Namespace(gpus_per_net=1, num_gpus=1, num_workers=1, cache=options.cache)
    try:
        prepare_experiment(experiment, devices)
        cfg = experiment.parse_config()
        checked = check_experiment(cfg, workers, with_step=options.step)
        for line in lines_of(checked.sections):
            print(line)  # noqa: T201
        write_check_page(page, f"{experiment.name()} before training", checked)
    except UserError as error:
        print(f"{name}: {printable(error)}", file=sys.stderr)  # noqa: T201
        return 1
    except (Exception, SystemExit) as error:
        print(f"{name}: the check failed: {sentence(error)}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{name}: {summary_of(checked.sections)}; page {printable(page)}")  # noqa: T201
    return 1 if count_of(checked.sections, FAULT) else 0
