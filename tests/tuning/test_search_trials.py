"""What a search does with its trials, which are played here: order, kills, failures, the median rule, resuming, files."""

import signal
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from musket_core import generic
from musket_core.experiment import Experiment

from instance_segmentation_pipeline.errors import ConfigError, TrainingError
from instance_segmentation_pipeline.launch import devices
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.storage.search_record import read_trials
from instance_segmentation_pipeline.tuning.search_config import SearchConfig
from tests.support.played_trials import EPOCHS, METRIC, SPACE, Play, fitted, load, play_trials, told

REAL = SearchConfig.trial_config


@pytest.fixture(autouse=True)
def played(monkeypatch):
    play_trials(monkeypatch)


@pytest.fixture
def search(add_experiment):
    def make(name="s", extra="max_evals: 8\n"):
        text = SPACE + extra
        return add_experiment(name, text, replace=[("- epochs: 1", f"- epochs: {EPOCHS}")])

    return make


def test_search_writes_what_musket_writes(search):
    path = search()
    experiment = fitted(path)
    trials = told(path)
    assert [trial.number for trial in trials] == list(range(8))
    assert {trial.state for trial in trials} == {"done"}
    best = max(trials, key=lambda trial: trial.score)
    assert load(path.parent / "best.params.yaml") == best.parameters
    summary = load(path.parent / "summary.yaml")
    assert summary["completed"] is True and summary["best_trial"] == best.number
    scores = [trial.score for trial in trials]
    assert [summary[key] for key in ("max", "min")] == pytest.approx([max(scores), min(scores)], abs=1e-6)
    assert experiment.isCompleted() and [one.path for one in experiment.concrete()] == [
        str(path.parent / f"trial{best.number}")
    ]
    assert (path.parent / "reports" / "search.png").stat().st_size > 1000
    for trial in trials:
        folder = path.parent / f"trial{trial.number}"
        own = load(folder / "config.yaml")
        assert (own["lr"], own["optimizer"]) == (trial.parameters["rate"], trial.parameters["opt"])
        assert not {"hyperparameters", "max_evals"} & set(own)
        assert (folder / "config.yaml.folds_split").read_bytes() == (
            path.parent / "config.yaml.folds_split"
        ).read_bytes()


def test_finished_search_answers_as_its_best_trial(search):
    path = search()
    fitted(path)
    best = load(path.parent / "summary.yaml")["best_trial"]
    cfg = generic.parse(str(path))
    assert cfg.files.root == path.parent / f"trial{best}"
    assert cfg.lr == load(cfg.files.config)["lr"] and cfg.optimizer == load(cfg.files.config)["optimizer"]


def test_script_searches_as_the_command_does(search):
    first, second = search("first"), search("second")
    fitted(first)
    cfg = generic.parse(str(second))
    cfg.fit(cfg.get_dataset())
    assert told(first) == told(second)
    assert cfg.files.root.name == f"trial{load(second.parent / 'summary.yaml')['best_trial']}"
    with pytest.raises(ConfigError, match="is finished"):
        generic.parse(str(second)).fit()


def test_attributes_act_on_all_trials(search):
    path = search(extra="max_evals: 3\n")
    cfg = generic.parse(str(path))
    cfg.clipnorm, cfg.max_evals = 3.0, 2
    cfg.fit()
    assert [load(one.config)["clipnorm"] for one in cfg.search_files.trials()] == [3.0, 3.0]
    cfg = generic.parse(str(path))
    cfg.resume, cfg.lr = True, 0.1
    with pytest.raises(ConfigError, match="hyperparameters.rate is used by nothing"):
        cfg.fit()


@pytest.mark.parametrize("extra", ["max_evals: 22\n", "max_evals: 22\npruning: {epochs: 1, trials: 3}\n"])
@pytest.mark.parametrize("kills", [{(0, 0), (3, 1)}, {(5, 1), (21, 1)}])
def test_search_that_is_killed_twice_ends_as_one_that_is_not(search, extra, kills):
    whole, cut = search("whole", extra), search("cut", extra)
    fitted(whole)
    expected, Play.kills = sorted(Play.trained), set(kills)
    Play.trained = []
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            fitted(cut, resume=resume)
        assert not (cut.parent / "summary.yaml").exists()
    fitted(cut, resume=True)
    assert sorted(Play.trained) == expected  # no epoch twice, and none more
    assert told(cut) == told(whole)
    assert load(cut.parent / "summary.yaml") == load(whole.parent / "summary.yaml")
    assert (cut.parent / "best.params.yaml").read_bytes() == (whole.parent / "best.params.yaml").read_bytes()


def test_trial_ends_where_the_median_rule_says(search):
    path = search(extra="max_evals: 20\npruning: {epochs: 1, trials: 4}\n")
    fitted(path)
    trials = told(path)
    columns = [
        [row[METRIC] for row in read_rows(path.parent / f"trial{n}" / "metrics/metrics-0.0.csv")] for n in range(20)
    ]
    for number, trial in enumerate(trials):
        completed = [columns[other] for other in range(number) if trials[other].state == "done"]
        ends = None
        for epoch in range(1, EPOCHS - 1):
            by_hand = len(completed) >= 4 and max(columns[number][: epoch + 1]) < median(
                one[epoch] for one in completed
            )
            ends = epoch if by_hand and ends is None else ends
        assert (trial.state == "pruned") == (ends is not None), number
        assert len(columns[number]) == (EPOCHS if ends is None else ends + 1)
    assert 0 < sum(trial.state == "pruned" for trial in trials) < 16
    assert load(path.parent / "summary.yaml")["trials"]["pruned"] == sum(trial.state == "pruned" for trial in trials)


def test_one_that_fails_is_recorded_and_tried_again(search):
    path = search()
    Play.fails = {2, 3}
    fitted(path)
    trials = told(path)
    assert [trial.number for trial in trials if trial.state == "failed"] == [2, 3]
    assert trials[2].error == "trial 2 was to fail"
    assert load(path.parent / "trial2" / "error.yaml")["errors"][0]["value"] == "trial 2 was to fail"
    Play.fails = set()
    Play.trained = []
    fitted(path, resume=True)
    assert {number for number, _ in Play.trained} == {2, 3}
    assert {trial.state for trial in told(path)} == {"done"}
    assert not (path.parent / "trial2" / "error.yaml").exists()


def test_search_whose_trials_all_fail_fails_and_loses_nothing(search):
    path = search(extra="max_evals: 3\n")
    Play.fails = {0, 1, 2}
    with pytest.raises(
        TrainingError, match="none of the 3 trials was completed, 3 failed; trial 0: trial 0 was to fail"
    ):
        fitted(path)
    assert [trial.state for trial in told(path)] == ["failed"] * 3
    assert not (path.parent / "summary.yaml").exists() and (path.parent / "error.yaml").exists()
    Play.fails = set()
    fitted(path, resume=True)
    assert (path.parent / "summary.yaml").exists() and not (path.parent / "error.yaml").exists()


def test_command_returns_1_where_all_trials_fail(search, capsys):
    from instance_segmentation_pipeline.cli import main

    path = search(extra="max_evals: 2\n")
    Play.fails = {0, 1}
    assert main(["fit", "--project", str(path.parents[2]), "--name", "s"]) == 1
    assert "none of the 2 trials was completed" in capsys.readouterr().err


def test_fresh_run_puts_a_whole_search_aside(search):
    path = search(extra="max_evals: 4\n")
    fitted(path)
    before = told(path)
    (path.parent / "trial1" / "notes.txt").write_text("mine")
    (path.parent / "trial9").mkdir()
    path.write_text(path.read_text().replace("max_evals: 4", "max_evals: 2"))
    fitted(path)
    (kept,) = (path.parent / "previous").iterdir()
    assert {one.name for one in kept.iterdir() if one.is_dir()} == {"trial0", "trial1", "trial2", "trial3", "reports"}
    assert [replace(trial, seconds=0.0) for trial in read_trials(kept / "hyperopt.scores")] == before
    assert (kept / "trial1" / "notes.txt").read_text() == "mine"
    assert (kept / "best.params.yaml").exists() and (kept / "summary.yaml").exists()
    assert sorted(one.name for one in path.parent.glob("trial*")) == ["trial0", "trial1", "trial9"]


def test_folder_of_somebody_else_is_not_taken_for_a_trial(search):
    path = search(extra="max_evals: 4\n")
    (path.parent / "trial2").mkdir()
    with pytest.raises(ConfigError, match="trial2 would be written by this run"):
        fitted(path)
    assert not (path.parent / "trial0").exists()


def test_more_trials_may_be_asked_for(search):
    path, other = search(extra="max_evals: 3\n"), search("other", "max_evals: 6\n")
    fitted(path)
    path.write_text(path.read_text().replace("max_evals: 3", "max_evals: 6"))
    fitted(path, resume=True)
    fitted(other)
    assert told(path) == told(other)


CHANGES = [
    ("max_evals: 4", "max_evals: 2", "more than max_evals 2"),
    ("[0.0001, 0.1]", "[0.0001, 0.00011]", "no value of hyperparameters.rate any more"),
    ("[SGD, AdamW]", "[RMSprop, Adam]", "no value of hyperparameters.opt any more"),
    ("lr: rate", "lr: rate / 2", "trial 0 was begun with lr"),
    ("classes: 3", "classes: 4", "trial 0 was begun with classes 3, and it would be 4 now"),
    ("lr: rate\n", "lr: rate\nclipnorm: 5\n", "trial 0 was begun with clipnorm None"),
    (
        "  opt: {enum: [SGD, AdamW]}\n",
        "  opt: {enum: [SGD, AdamW]}\n  more: [0.1, 0.9]\n",
        "has the hyperparameters opt, rate",
    ),
]


@pytest.mark.parametrize(("old", "new", "words"), CHANGES, ids=[words for *_, words in CHANGES])
def test_search_of_another_config_is_not_gone_on_with(search, old, new, words):
    path = search(extra="max_evals: 4\n")
    fitted(path)
    before = (path.parent / "hyperopt.scores").read_bytes()
    text = path.read_text()
    assert old in text
    text = text.replace(old, new) + ("threshold: more\n" if "more:" in new else "")
    text = text.replace("max_evals: 4\nthreshold", "max_evals: 4\nvalidationSplit: 0.2\nthreshold")
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        fitted(path, resume=True)
    assert (path.parent / "hyperopt.scores").read_bytes() == before
    assert len(list(path.parent.glob("trial*"))) == 4


DAMAGED = [
    "{}",
    "5",
    "text",
    "[5]",
    "[null]",
    "- {num: 1, parameters: {}, state: done, score: 1}",
    "- {num: 0, parameters: [], state: done, score: 1}",
    "- {num: 0, parameters: {}, state: done}",
    "- {num: 0, parameters: {}, state: over, score: 1}",
    "- {num: 0, parameters: {}, state: done, score: high}",
    "- {num: 0, parameters: {}, state: done, score: .nan}",
    "- {num: true, parameters: {}, state: done, score: 1}",
    "- {num: 0, parameters: {5: 1}, state: done, score: 1}",
    "- {num: 0, score: 1, parameters: {}}",
    "- {num: 0",
    "!!python/object:os.system []",
    "- {num: 0, parameters: {}, state: done, score: 1, seconds: long}",
    "- {num: 0, parameters: {}, state: done, score: 1}",
]


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_record_is_named_and_nothing_is_moved(search, text):
    path = search(extra="max_evals: 4\n")
    (path.parent / "hyperopt.scores").write_text(text)
    (path.parent / ".musket-run.json").write_text('{"format": 1, "files": ["hyperopt.scores"]}')
    with pytest.raises(ConfigError, match="hyperopt.scores|hyperparameters"):
        fitted(path, resume=True)
    assert (path.parent / "hyperopt.scores").read_text() == text


def test_time_cuts_the_trial_that_runs(search):
    path = search()
    experiment = fitted(path, time=0)
    assert experiment.canceled_by_timer and not experiment.isCompleted()
    assert Play.trained == [(0, 0)] and told(path)[0].state == "running"
    fitted(path, resume=True, time=0)
    assert Play.trained == [(0, 0), (0, 1)]
    fitted(path, resume=True)
    other = search("other")
    fitted(other)
    assert told(path) == told(other)


def test_reports_are_made_anew_without_training(search):
    path = search()
    fitted(path)
    before, Play.trained = told(path), []
    fitted(path, onlyReports=True)
    assert Play.trained == []
    assert [trial.score for trial in told(path)] == pytest.approx([trial.score + 10 for trial in before])
    assert load(path.parent / "summary.yaml")["completed"] is True


def test_reports_of_a_search_without_a_completed_trial_are_refused(search):
    path = search()
    with pytest.raises(ConfigError, match="no trial of the search is completed"):
        fitted(path, onlyReports=True)


def test_trials_train_side_by_side(search, monkeypatch):
    path = search(extra="max_evals: 6\n")
    monkeypatch.setattr(devices, "gpu_count", lambda: 0)
    Play.fails = {4}
    fitted(path, num_gpus=2, num_workers=2)
    trials = told(path)
    assert [trial.state for trial in trials] == ["done"] * 4 + ["failed", "done"]
    assert Play.trained == []  # it was other processes that trained
    assert (
        load(path.parent / "summary.yaml")["best_trial"]
        == max((trial for trial in trials if trial.state == "done"), key=lambda trial: trial.score).number
    )


def test_process_of_a_trial_that_is_killed_costs_that_trial_alone(search, monkeypatch):
    path = search(extra="max_evals: 3\n")
    usual = Play.fit

    def fit(self, *arguments):
        if self.files.trial == 1:
            signal.raise_signal(signal.SIGKILL)
        usual(self, *arguments)

    monkeypatch.setattr(Play, "fit", fit)
    fitted(path, num_gpus=2, num_workers=2)
    trials = told(path)
    assert [trial.state for trial in trials] == ["done", "failed", "done"]
    assert "SIGKILL" in trials[1].error


@pytest.mark.parametrize(
    ("options", "words"), [({"cluster": "auto"}, "--cluster"), ({"folds": [7]}, "fold 7 was asked for")]
)
def test_what_a_search_cannot_do_is_refused(search, options, words):
    path = search()
    with pytest.raises(ConfigError, match=words):
        fitted(path, **options)
    assert not (path.parent / "trial0").exists()


def test_start_from_stage_is_refused(add_experiment):
    path = add_experiment("s", SPACE, replace=[("  - epochs: 1\n", "  - epochs: 1\n  - epochs: 1\n")])
    with pytest.raises(ConfigError, match="start_from_stage"):
        generic.parse(str(path)).fit(start_from_stage=1)


def test_musket_cores_own_optimize_searches_too(search):
    from musket_core import hyper

    path = search()
    best = hyper.optimize(Experiment(str(path.parent)), None, None)
    assert best == load(Path(path.parent) / "best.params.yaml")


def test_split_changed_by_a_parameter_is_refused(add_experiment, monkeypatch):
    monkeypatch.setattr(Play, "kfold", lambda play: REAL(play.search, play.files, play.properties).kfold())
    path = add_experiment(
        "s", "hyperparameters: {n: {enum: [12, 13]}}\nmax_evals: 10\n", replace=[("count: 12", "count: n")]
    )
    fitted(path)
    trials = told(path)
    assert {trial.parameters["n"] for trial in trials if trial.state == "done"} == {12}
    assert all("other items" in trial.error for trial in trials if trial.parameters["n"] == 13)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hyperopt.scores", "[5]"),
        ("summary.yaml", "completed: true\nbest_trial: 99\n"),
        ("summary.yaml", "completed: true\nbest_trial: first\n"),
        ("trial{best}/config.yaml", "#%Musket MMDetection 1.0\nclases: 3\n"),
        ("trial{best}/config.yaml", "]"),
    ],
)
def test_damaged_search_is_begun_anew(search, name, text):
    path = search(extra="max_evals: 2\n")
    fitted(path)
    best = load(path.parent / "summary.yaml")["best_trial"]
    (path.parent / name.format(best=best)).write_text(text)
    fitted(path)
    assert len(told(path)) == 2 and len(list((path.parent / "previous").iterdir())) == 1


def test_search_of_another_space_is_begun_anew_and_answers_with_what_was_trained(search):
    path = search(extra="max_evals: 2\n")
    fitted(path)
    trained = load(path.parent / f"trial{load(path.parent / 'summary.yaml')['best_trial']}" / "config.yaml")
    path.write_text(path.read_text().replace("rate", "speed"))
    assert generic.parse(str(path)).lr == trained["lr"]
    fitted(path)
    assert set(told(path)[0].parameters) == {"speed", "opt"}
