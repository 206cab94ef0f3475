"""``Search``: the trials of an experiment with ``hyperparameters``, in turn or side by side, and what comes of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config.search_plan import SearchPlan
from ..errors import ConfigError, TrainingError
from ..experiment.run_arguments import TrainRequest
from ..experiment.run_options import RunOptions
from ..experiment.run_preparation import check_folds
from ..launch.deadline import Deadline
from ..launch.devices import gpu_count, leases
from ..launch.executors import Executor
from ..launch.jobs import Job, Outcome
from ..launch.scheduler import scheduler_for
from ..storage.archive import archive, finish
from ..storage.experiment_files import trial_folder
from ..storage.leftovers import remove_leftovers
from ..storage.run_lock import only_run
from ..storage.run_manifest import OF_SEARCHES, RunManifest
from ..storage.search_record import DONE, FAILED, RUNNING, TrialRecord, read_trials, write_trials
from ..storage.summary_file import read_summary
from ..text import printable
from .proposals import Proposals
from .search_progress import SearchProgress
from .search_resuming import check_request, check_trials
from .search_summary import write_best, write_search_summary
from .trial import Trial

if TYPE_CHECKING:
    from .search_config import SearchConfig


class Search:
    """A search; it owns the list of its trials while it runs.

    Args:
        config: The experiment's config.
    """

    def __init__(self, config: "SearchConfig") -> None:
        self.config, self.files = config, config.search_files
        self._trials: list[TrialRecord] = []

    def run(self, request: TrainRequest) -> None:
        """Make the trials, and write what comes of them, unless time ended the search.

        Raises:
            UserError: What is wrong, in one sentence; nothing trained before is touched by it.
        """
        config, run = self.config, self.config.run
        plan = config.search_plan()
        self._check_run(run)
        with contextlib.ExitStack() as stack:
            stack.enter_context(only_run(self.files.root, run.break_lock))
            stack.enter_context(run.within_lock())
            remove_leftovers(self.files)
            config.parts.datasets.main()
            finish(self.files)
            config.check()
            check_folds(config, request.folds)
            self._make_room(plan, request)
            stop = run.deadline()
            self._make_trials(plan, request, stop)
            config.canceled_by_timer = any(trial.state == RUNNING for trial in self._trials) or (
                len(self._trials) < plan.max_evals
            )
            if not config.canceled_by_timer:
                self._finish(plan, request.subsample)

    def report(self, subsample: float) -> None:
        """Measure the completed trials anew, and write what comes of them; the lock is the caller's.

        Raises:
            ConfigError: No trial is completed.
        """
        plan, self._trials = self.config.search_plan(), read_trials(self.files.scores)
        for number, trial in enumerate(self._trials):
            if trial.state == DONE:
                files = self.files.of_trial(number)
                one = self.config.trial_config(files, plan.properties(trial.parameters))
                one.run = replace(self.config.run, resume=True)
                with only_run(files.root, self.config.run.break_lock):
                    one.generateReports(None, read_summary(files.summary).get("subsample", subsample))
                self._trials[number] = replace(trial, score=one.result_of(read_summary(files.summary)))
        if not any(trial.state == DONE for trial in self._trials):
            raise ConfigError(f"{self.files.root}: no trial of the search is completed: train it first.")
        write_trials(self.files.scores, self._trials)
        self._finish(plan, subsample)

    def _check_run(self, run: RunOptions) -> None:
        if run.joined is not None:
            raise ConfigError(
                "torchrun's processes train one net together, and a search starts its trials itself: run it without "
                "torchrun, with --gpus_per_net and --num_gpus."
            )
        if run.cluster is not None:
            raise ConfigError("the trials of a search train on this machine: leave --cluster out.")
        if self.files.summary.exists() and not (run.replace_finished or run.resume):
            raise ConfigError(
                f"{self.files.root} is finished, it has a summary.yaml: fit it again with the command musket fit, "
                "which keeps the old run, or delete that file."
            )

    def _make_room(self, plan: SearchPlan, request: TrainRequest) -> None:
        """Take up the trials that there are, or put an earlier run aside; claim names; fix the split of all trials."""
        config, manifest = self.config, RunManifest(self.files)
        names = [*map(trial_folder, range(plan.max_evals)), *OF_SEARCHES, self.files.summary.name]
        self._trials = read_trials(self.files.scores) if config.run.resume else []
        manifest.check(names)
        if self._trials:
            check_trials(self._trials, plan, self.files)
            folds = range(len(config.kfold().folds)) if request.folds is None else request.folds
            check_request(self._trials, self.files, folds, request.subsample)
        else:
            archived = archive(self.files)
            if archived is not None:
                print(f"  what an earlier run trained is kept in {printable(archived)}")  # noqa: T201
            config.parts.folds.forget()
        RunManifest(self.files).claim(names)
        config.kfold()

    def _make_trials(self, plan: SearchPlan, request: TrainRequest, stop: Deadline) -> None:
        config, run = self.config, self.config.run
        goal = config.goal()
        proposals = Proposals(plan.space, int(config.random_state), lower_is_better=goal.lower_is_better)
        count = max(run.num_gpus, run.gpus_per_net)
        slots = [list(run.lease)] if run.lease else leases(count, run.gpus_per_net, run.num_workers)
        progress = SearchProgress(plan.max_evals, goal, len(slots))
        begun: list[int] = []

        def jobs() -> Iterator[Job]:
            for record in [one for one in self._trials if one.state in (RUNNING, FAILED)]:
                yield self._job(record.again(), plan, request, len(slots) > 1, begun)
                stop.begin()
            while len(self._trials) < plan.max_evals and not stop():
                number = len(self._trials)
                record = TrialRecord(number, proposals.next(number, self._trials))
                yield self._job(record, plan, request, len(slots) > 1, begun)
                stop.begin()

        def ended(place: int, outcome: Outcome) -> None:
            number = begun[place]
            record: TrialRecord = outcome.result or self._trials[number].ended(FAILED, None, 0.0, outcome.error)
            self._note(record)
            write_best(self.files, self._trials, goal)
            progress.show(record, self._trials)

        scheduler = scheduler_for(slots, plan.max_evals, apart=gpu_count() > 0, once=True)
        scheduler.run(jobs(), stop, ended)

    def _job(self, record: TrialRecord, plan: SearchPlan, request: TrainRequest, leased: bool, begun: list[int]) -> Job:
        """Note that a trial begins, and return the job that trains it."""
        completed = [one.number for one in self._trials if one.state == DONE and one.number != record.number]
        self._note(record)
        begun.append(record.number)
        properties = plan.properties(record.parameters)
        trial = Trial(record, properties, self.files, request, plan.pruning, completed)

        def train(executor: Executor, _: Deadline) -> TrialRecord:
            run = self.config.run
            if leased:
                run = replace(run, lease=tuple(executor.devices), num_workers=1)
            return trial.train(self.config, run)

        return Job(f"trial {record.number}", train)

    def _note(self, record: TrialRecord) -> None:
        """Keep what is known of a trial, on disk."""
        self._trials[record.number : record.number + 1] = [record]
        write_trials(self.files.scores, self._trials)

    def _finish(self, plan: SearchPlan, subsample: float) -> None:
        failed = [trial for trial in self._trials if trial.state == FAILED]
        if not any(trial.state == DONE for trial in self._trials):
            first = f"trial {failed[0].number}: {failed[0].error}" if failed else "all ended early"
            raise TrainingError(
                f"none of the {len(self._trials)} trials was completed, {len(failed)} failed; {first} (error.yaml in "
                "its folder has more; --allow_resume true tries those that failed again)"
            )
        write_best(self.files, self._trials, self.config.goal())
        write_search_summary(self.files, self._trials, self.config.goal(), plan, subsample)
