"""``musket_core.experiment.Experiment`` for our dialect: a failure is an error, and nothing trained is lost.

Upstream's class swallows the exception of a failed experiment, writes ``summary.yaml: Error`` over what was
there and counts it as completed. Experiments of other dialects keep upstream's behaviour.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config.loader import is_ours, read_config
from ..errors import ConfigError, GroupLost, stop_behind
from ..launch.job_environment import leads
from ..storage.archive import forget_predictions
from ..storage.atomic import not_writable, write_yaml
from ..storage.experiment_files import ExperimentFiles, concrete_config
from ..storage.failure_file import write_failure
from ..storage.run_lock import Locked, only_run
from ..storage.summary_file import is_completed, read_summary

Upstream: Any = object
"""Stands for musket_core's class, which is being defined when this module is imported."""


def derive_experiment(upstream: type) -> type:
    """Return a subclass of musket_core's ``Experiment`` that knows experiments of ours."""
    return type("Experiment", (ExperimentOfOurs, upstream), {"__module__": upstream.__module__})


class ExperimentOfOurs(Upstream):
    """What ``musket_core.experiment.Experiment`` does for experiments of ours; it hands all others on."""

    _cfg: Any
    num_gpus: "int | None" = None
    """Devices to use at all; by default ``gpus``, as many as one net has."""
    num_workers = 1
    lease: Sequence[str] = ()
    """Devices that this process was given, in place of any of the machine's."""
    cluster: "str | None" = None
    cache: "Path | None" = None
    break_lock = False
    forgets_predictions = False
    """Whether ``onlyReports`` predicts anew."""

    @property
    def ours(self) -> bool:
        """Whether this experiment's YAML has our header."""
        return is_ours(self.files.config)

    @property
    def files(self) -> ExperimentFiles:
        """Names of the experiment's files."""
        return ExperimentFiles(concrete_config(Path(self.path)).absolute())

    def name(self) -> str:
        """Return the folder below ``experiments``, with ``/`` between its parts."""
        if self.project is None:
            return Path(self.path).name
        return Path(self.path).absolute().relative_to(Path(self.project.experimentsPath()).absolute()).as_posix()

    def config(self) -> Any:
        """Return the YAML's mapping, read with the safe loader."""
        if not self.ours:
            return super().config()
        if self._cfg is None:
            self._cfg = read_config(self.files.config)
        return self._cfg

    def metrics(self) -> Any:
        """Return the summary; an empty mapping where there is none."""
        if not self.ours:
            return super().metrics()
        return read_summary(self.files.summary) if self.files.summary.exists() else {}

    def isCompleted(self) -> bool:
        """Say whether the experiment finished; one that failed did not."""
        if not self.ours:
            return bool(super().isCompleted())
        return is_completed(self.files.summary)

    def parse_config(self) -> Any:
        """Return the experiment's ``PipelineConfig``."""
        if not self.ours:
            return super().parse_config()
        from musket_core import generic

        common = Path(self.project.commonPath()) if self.project is not None else None
        cfg = generic.parse(str(self.files.config), str(common) if common and os.path.lexists(common) else None)
        cfg.run = replace(
            cfg.run,
            gpus_per_net=max(self.gpus, cfg.run.gpus_per_net),  # more than 1 where torchrun started this process
            num_gpus=self.gpus if self.num_gpus is None else self.num_gpus,
            num_workers=1 if self.lease else self.num_workers,
            lease=tuple(self.lease),
            cluster=self.cluster,
            cache=self.cache,
            resume=self.allowResume,
            break_lock=self.break_lock,
        )
        return cfg

    def apply(self, all: bool = False) -> list[Any]:
        """Return the experiments of the seeds, those that are not finished or all, or this one."""
        if not self.ours:
            return list(super().apply(all))
        seeds = [self._of(member) for member in self.parse_config().seeds()]
        return [one for one in seeds if all or not one.isCompleted()] if seeds else [self]

    def _of(self, member: Any) -> Any:
        one = type(self)(str(member.files.root), self.allowResume, self.project)
        one.gpus, one.onlyReports, one.launchTasks = self.gpus, self.onlyReports, self.launchTasks
        return one

    def concrete(self, all: bool = False) -> list[Any]:
        """Return the best trial of a search that is finished, the experiments of the seeds, or this one."""
        if not self.ours:
            return list(super().concrete(all))
        best = self.metrics().get("best_trial") if self.hyperparameters() is not None else None
        if type(best) is int:
            return [type(self)(str(self.files.of_trial(best).root), self.allowResume, self.project)]
        return self.apply(True)

    def result(self, forseRecalc: bool = False, use_primary_metric: bool = False) -> Any:
        """Return the number that stands for the experiment, ``None`` while it is not finished."""
        if not self.ours:
            return super().result(forseRecalc, use_primary_metric)
        if forseRecalc:
            self.generateMetrics()
        return self.parse_config().result_of(self.metrics()) if self.isCompleted() else None

    def fit(self, reporter: Any = None) -> list[Any]:
        """Train the experiment here and now.

        Returns:
            An empty list: upstream returns tasks that are still to be run, and here none is left.

        Raises:
            Exception: What went wrong; ``error.yaml`` has the traceback.
        """
        if not self.ours:
            return list(super().fit(reporter))
        try:
            self._fit(reporter)
        except (Exception, SystemExit) as error:
            stop = stop_behind(error)
            if stop is not None:
                raise stop from None
            if not isinstance(error, GroupLost):
                self._record(error)
            raise
        return []

    def _fit(self, reporter: Any) -> None:
        if self.onlyReports:
            with self._locked(), self._in_progress():
                if self.forgets_predictions:
                    forget_predictions(self.files)
                self._write_metrics()
            return
        cfg = self.parse_config()
        cfg.run = replace(
            cfg.run,
            replace_finished=True,
            expires=time.monotonic() + self.time if self.time >= 0 else None,
            reporter=reporter,
            within_lock=self._in_progress if leads() else contextlib.nullcontext,
        )
        cfg.fit(foldsToExecute=self.folds)
        self.canceled_by_timer = cfg.canceled_by_timer

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return only_run(self.files.root, self.break_lock)

    @contextlib.contextmanager
    def _in_progress(self) -> Iterator[None]:
        """Say in the folder that this run, which holds its lock, is in progress, and forget an earlier failure."""
        files = self.files
        try:
            write_yaml(files.in_progress, True)
        except OSError as error:
            raise ConfigError(not_writable(files.root, error)) from error
        try:
            yield
            files.error.unlink(missing_ok=True)
        finally:
            files.in_progress.unlink(missing_ok=True)

    def _record(self, error: BaseException) -> None:
        """Write what went wrong, unless another run is at work in the folder."""
        if isinstance(error, Locked):
            return
        with contextlib.suppress(ConfigError, OSError), self._locked() if leads() else contextlib.nullcontext():
            write_failure(self.files.error, error)

    def generateMetrics(self) -> None:
        """Compute and write the summary of what is trained."""
        if not self.ours:
            super().generateMetrics()
            return
        with self._locked():
            self._write_metrics()

    def _write_metrics(self) -> None:
        cfg = self.parse_config()
        cfg.check()
        cfg.kfold()
        cfg.generateReports()
