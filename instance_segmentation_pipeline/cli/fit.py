"""``musket fit``: train the experiments of a project. ``python -m musket_core.fit`` is the same program."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError, one_line, sentence
from ..launch.job_environment import job_environment, leads
from ..text import printable
from .argument_types import boolean, fold_numbers, seconds
from .project_lookup import add_common, chosen, prepare_experiment


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    fit = argparse.ArgumentParser(
        prog="musket fit",
        description="Train the experiments of a project, and write their metrics, pictures and summaries.",
        epilog="Inside an experiment's folder --project and --name are not needed.",
    )
    add_common(fit, "all that are not finished")
    add = fit.add_argument
    add("--folds", type=fold_numbers, help="folds to train, such as 0,2 (default all)")
    add("--allow_resume", type=boolean, default=False, help="go on where an earlier run stopped (default false)")
    add("--force_recalc", type=boolean, default=False, help="predict and compute summaries anew, without training")
    add("--only_report", type=boolean, default=False, help="only compute the summaries of what is trained")
    add("--break_lock", type=boolean, default=False, help="take the lock of a machine that is gone (default false)")
    add("--launch_tasks", type=boolean, default=False, help="run the project's tasks after training (default false)")
    add("--cluster", help="Ray cluster to train the folds on: auto, or its address (default: this machine)")
    add("--time", type=seconds, default=-1, help="seconds until training ends, at the end of an epoch (-1: never)")
    return fit


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Train; return 0, or 1 when an experiment failed or could not be read, or 2 when nothing could be started."""
    options = parser().parse_args(arguments)
    if options.gpus_per_net > 1 or job_environment() is not None:
        # read when torch is loaded, which is later; else each process says that all parameters are used
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        slots = _slots(options)
        experiments = chosen(options, lambda one: options.only_report or options.force_recalc or not one.isCompleted())
    except UserError as error:
        return _say(f"musket fit: {error}", 2)
    with contextlib.ExitStack() as stack:
        if not leads():  # the first process speaks for all
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        return _train(experiments, options, slots)


def _train(experiments: Sequence[Any], options: argparse.Namespace, slots: list[list[str]]) -> int:
    """Train experiments, then run their tasks; return the status."""
    if not experiments and not getattr(options, "passed_over", None):
        print("musket fit: nothing to train, all experiments are finished: --name trains one anew.")  # noqa: T201
        return 0
    failed = _fit_all(experiments, options, slots)
    after = _after_fit(experiments) if leads() and len(failed) < len(experiments) else 0
    if failed:
        count = len(experiments)
        return _say(f"musket fit: {len(failed)} of {count} experiments failed: {', '.join(failed)}.", 1)
    passed_over = 1 if getattr(options, "passed_over", None) else after
    if options.launch_tasks and leads():
        return max(_run_tasks(experiments, options), passed_over)
    return passed_over


def _slots(options: argparse.Namespace) -> list[list[str]]:
    """Return the devices of each net that trains at the same time.

    Empty, and nothing heavy is loaded, where experiments are trained in turn by this process in any case.
    """
    if options.cluster or job_environment() is not None or (options.num_gpus == 1 and options.gpus_per_net == 1):
        return []
    from ..launch.devices import leases

    return leases(max(options.num_gpus, options.gpus_per_net), options.gpus_per_net, options.num_workers)


def _fit_all(experiments: Sequence[Any], options: argparse.Namespace, slots: list[list[str]]) -> list[str]:
    """Train experiments, side by side where there are several and devices for them; return the names that failed."""
    if job_environment() is not None:
        return next(([experiment.name()] for experiment in experiments if not _fit(experiment, options)), [])
    if len(experiments) == 1 or not slots:
        return [experiment.name() for experiment in experiments if not _fit(experiment, options)]
    from ..launch.devices import gpu_count
    from ..launch.jobs import Job
    from ..launch.scheduler import scheduler_for

    def job(experiment: Any) -> Job:
        def train(executor: Any, _: Any) -> bool:
            if len(slots) > 1:  # else each has all devices, one after the other
                experiment.lease = executor.devices
            return _fit(experiment, options)

        return Job(experiment.name(), train)

    # with GPUs, also one after the other: a process that has used CUDA for predictions cannot fork another group
    jobs = [job(experiment) for experiment in experiments]
    outcomes = scheduler_for(slots, len(jobs), apart=gpu_count() > 0).run(jobs)
    for outcome in outcomes:
        if outcome.error:
            _say(f"{outcome.label}: {outcome.error}", 1)
    return [outcome.label for outcome in outcomes if not outcome.result]


def _fit(experiment: Any, options: argparse.Namespace) -> bool:
    """Train one experiment; say what went wrong, and whether it went well."""
    experiment.allowResume = options.allow_resume
    experiment.onlyReports = options.only_report or options.force_recalc
    experiment.folds = options.folds
    experiment.break_lock = options.break_lock
    experiment.forgets_predictions = options.force_recalc
    experiment.time = options.time
    experiment.cluster = options.cluster
    began = time.monotonic()
    print(printable(f"{experiment.name()}: {experiment.files.root}"), flush=True)  # noqa: T201
    try:
        prepare_experiment(experiment, options)
        experiment.fit()
    except UserError as error:
        _say(f"{experiment.name()}: {error}", 1)
        return False
    except (Exception, SystemExit) as error:
        _say(f"{experiment.name()}: {one_line(error)} (see {experiment.files.error})", 1)
        return False
    try:
        if leads():
            _report(experiment, time.monotonic() - began)
    except (Exception, SystemExit) as error:
        _say(f"{experiment.name()}: what was trained is kept, but cannot be shown: {sentence(error)}", 1)
        return False
    return True


def _report(experiment: Any, seconds: float) -> None:
    from ..reporting.fit_table import experiment_table, last_pictures
    from ..visualization.terminal import duration

    summary, is_completed = experiment.metrics(), experiment.isCompleted()
    if not is_completed and (not summary or getattr(experiment, "canceled_by_timer", False)):
        print(f"{printable(experiment.name())}: time is over; --allow_resume true goes on.")  # noqa: T201
        return
    cfg = experiment.parse_config()
    result = cfg.result_of(summary)
    print(experiment_table(experiment.files, summary, cfg.primary()))  # noqa: T201
    print(f"{printable(experiment.name())}: done in {duration(seconds)}, result {result:.4f}")  # noqa: T201
    if "best_trial" in summary:
        print(f"  best: trial {summary['best_trial']}, {printable(_parameters(experiment.files))}")  # noqa: T201
    print(f"  summary {printable(experiment.files.summary)}")  # noqa: T201
    if not is_completed:
        print("  not all folds are trained: --allow_resume true without --folds trains the others")  # noqa: T201
    for picture in last_pictures(experiment.files, summary):
        print(f"  picture {printable(picture)}")  # noqa: T201


def _parameters(files: Any) -> str:
    """Return the parameters of the best trial of a search in one line."""
    from ..storage.yaml_files import read_yaml
    from ..text import short

    return ", ".join(f"{name} {short(value, 60)}" for name, value in read_yaml(files.best_parameters).items())


def _after_fit(experiments: Sequence[Any]) -> int:
    """Run the project's functions marked ``@after_fit``, once."""
    from ..tasks.after_fit import run_after_fit

    failures = run_after_fit(Path(experiments[0].project.path))
    return _say("\n".join(failures), 1) if failures else 0


def _run_tasks(experiments: Sequence[Any], options: argparse.Namespace) -> int:
    """Run the project's tasks on each experiment, as ``musket task --task all`` does."""
    from ..launch.devices import leases
    from ..tasks.runner import choose_tasks, run_all

    try:
        slots = leases(options.num_gpus, 1, options.num_workers)
        tasks = choose_tasks(Path(experiments[0].project.path), ["all"]) if experiments else {}
    except UserError as error:
        return _say(f"musket fit: {error}", 1)
    failures = run_all(experiments, tasks, {}, slots)
    return _say("\n".join(failures), 1) if failures else 0


def _say(message: str, status: int) -> int:
    print("\n".join(printable(line) for line in message.split("\n")), file=sys.stderr, flush=True)  # noqa: T201
    return status
