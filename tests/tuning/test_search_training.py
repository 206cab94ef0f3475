"""A search with real trainings: killed twice it ends with the same bits, and its best trial answers for it."""

import shutil
import signal

import pytest
import torch
import yaml
from musket_core import generic

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.storage.search_record import read_trials
from tests.support.processes import wait_until
from tests.support.project import FAST, SHAPES, SMALL_CONFIG
from tests.support.warm import started_musket

EXTRA = """\
primary_metric: loss
hyperparameters:
  rate: {loguniform: [0.0001, 0.01]}
  flip: {enum: [0, 0.5]}
max_evals: 2
lr: rate
augmentation: {Fliplr: flip}
"""


def write(project, name):
    path = project / "experiments" / name / "config.yaml"
    path.parent.mkdir(parents=True)
    text = FAST.format(config=SMALL_CONFIG, extra=EXTRA).replace("- epochs: 1", "- epochs: 2")
    path.write_text(text.replace("count: 12", "count: 6"))
    return path


def kill_when(project, name, sign):
    """Run the search in a process of its own, and kill it when a file is there."""
    with started_musket("fit", "--project", project, "--name", name, "--allow_resume", "true") as process:
        wait_until(sign.exists, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return the YAML of a search that ran through, and of one that was killed in its first and second trial."""
    project = tmp_path_factory.mktemp("search")
    shutil.copytree(SHAPES / "modules", project / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    whole, cut = write(project, "whole"), write(project, "cut")
    assert main(["fit", "--project", str(project), "--name", "whole"]) == 0
    kill_when(project, "cut", cut.parent / "trial0" / "weights" / "last-0.0.weights")
    kill_when(project, "cut", cut.parent / "trial1" / "metrics" / "metrics-0.0.csv")
    assert main(["fit", "--project", str(project), "--name", "cut", "--allow_resume", "true"]) == 0
    return whole, cut


def test_search_that_is_killed_twice_ends_with_the_same_bits(searched):
    whole, cut = searched
    first, second = (
        [(t.number, t.parameters, t.state, t.score) for t in read_trials(one.parent / "hyperopt.scores")]
        for one in searched
    )
    assert first == second and [entry[2] for entry in first] == ["done", "done"]
    assert yaml.safe_load((whole.parent / "summary.yaml").read_text()) == yaml.safe_load(
        (cut.parent / "summary.yaml").read_text()
    )
    for number in range(2):
        name = f"trial{number}/weights/last-0.0.weights"
        one, other = (torch.load(path.parent / name, weights_only=False)["state_dict"] for path in searched)
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_best_has_the_lowest_loss(searched):
    trials = read_trials(searched[0].parent / "hyperopt.scores")
    best = min(trials, key=lambda trial: trial.score)
    assert yaml.safe_load((searched[0].parent / "best.params.yaml").read_text()) == best.parameters


def test_finished_search_answers_with_the_weights_of_its_best_trial(searched):
    best = yaml.safe_load((searched[0].parent / "summary.yaml").read_text())["best_trial"]
    cfg = generic.parse(str(searched[0]))
    alone = generic.parse(str(searched[0].parent / f"trial{best}" / "config.yaml"))
    image = cfg.get_dataset()[0].x
    found, expected = (one.load_model(0).detect([image])[0] for one in (cfg, alone))
    assert (found.scores == expected.scores).all() and (found.bboxes == expected.bboxes).all()


def test_analysis_shows_the_search_and_its_trials(searched, capsys):
    project = searched[0].parents[2]
    assert main(["analize", "--inputFolder", str(project)]) == 0
    out = capsys.readouterr().out
    assert "search whole: 2 trials; best: trial" in out and "whole/trial1" in out
    page = (project / "report.html").read_text()
    assert page.count("data:image/png") == 2 and "search cut" in page
