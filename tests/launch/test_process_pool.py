"""Folds and experiments side by side: the same results, failures apart, and one display."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest
import yaml

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import TrainingError
from instance_segmentation_pipeline.launch.jobs import Job, raise_failures
from instance_segmentation_pipeline.launch.process_pool import ProcessPool
from instance_segmentation_pipeline.storage import run_lock as lock
from tests.support.processes import PATIENCE, PROGRAM, single_threaded

pytestmark = pytest.mark.slow


def test_folds_side_by_side_end_like_folds_in_turn(add_experiment):
    summaries = []
    for name, workers in (("turn", 1), ("side", 2)):
        path = add_experiment(name, extra="folds_count: 3\nlr: 0.001\n")
        assert (
            fit.main(
                ["--project", str(path.parents[2]), "--name", name, "--num_gpus", "2", "--num_workers", str(workers)]
            )
            == 0
        )
        summaries.append(yaml.safe_load((path.parent / "summary.yaml").read_text()))
        assert not (path.parent / lock.NAME).exists()
    assert summaries[0]["folds"] == summaries[1]["folds"] == [0, 1, 2]
    assert summaries[0]["stages"][0].keys() == summaries[1]["stages"][0].keys()
    first, second = (summary["stages"][0]["loss"]["mean"] for summary in summaries)
    assert second == pytest.approx(first, rel=1e-3)  # one thread or two


def test_experiments_side_by_side(add_experiment, capfd):
    """One of three fails; its words are told, and the others finish."""
    for name, count in (("a", 12), ("b", 1), ("c", 12)):
        path = add_experiment(name, replace=[("count: 12", f"count: {count}")])
    assert fit.main(["--project", str(path.parents[2]), "--num_gpus", "2", "--num_workers", "2"]) == 1
    out, err = capfd.readouterr()
    assert "b: the dataset has 1 items to train on" in err
    assert "musket fit: 1 of 3 experiments failed: b." in err
    for name in ("a", "c"):
        assert f"{name}: done in" in out
        assert (path.parents[1] / name / "summary.yaml").exists()


def test_one_that_fails_leaves_the_others_alone():
    def fails(executor, stop):
        raise ValueError("not this one")

    def killed(executor, stop):
        os.kill(os.getpid(), signal.SIGKILL)

    jobs = [Job("a", lambda executor, stop: executor.devices), Job("b", fails), Job("c", killed)]
    outcomes = ProcessPool([["cpu"], ["cpu"]]).run([*jobs, Job("d", lambda executor, stop: "fine")])
    assert [outcome.label for outcome in outcomes] == ["a", "b", "c", "d"]
    assert (outcomes[0].result, outcomes[3].result) == (["cpu"], "fine")
    assert outcomes[1].error == "ValueError: not this one"
    assert "killed by SIGKILL" in outcomes[2].error
    with pytest.raises(TrainingError, match=r"b: ValueError: not this one \(and c failed too\)"):
        raise_failures(outcomes)


class Shown:
    """A display that remembers."""

    def __init__(self):
        self.words = []

    def begin(self, send):
        send("line", f"begun by {os.getpid()}")

    def show(self, slot, kind, value):
        self.words.append((slot, kind, value))

    def end(self, slot):
        self.words.append((slot, "end", None))


def test_what_jobs_show_is_shown_by_one_process():
    shown = Shown()
    ProcessPool([["cpu"], ["cpu"]], shown).run([Job(name, lambda executor, stop: 1) for name in "abc"])
    assert len({words for _, kind, words in shown.words if kind == "line"}) == 3
    assert [kind for _, kind, _ in shown.words].count("end") == 3
    assert {slot for slot, _, _ in shown.words} == {0, 1}


def test_folds_side_by_side_on_a_terminal(add_experiment):
    """Both folds move a bar of their own, and what both say is said once."""
    path = add_experiment(extra="folds_count: 2\n", replace=[("  - epochs: 1\n", "  - epochs: 3\n")])
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 150, 0, 0))
    command = [PROGRAM, "fit", "--project", path.parents[2], "--num_gpus", 2]
    process = subprocess.Popen(
        [str(part) for part in (*command, "--num_workers", 2)],
        stdout=follower,
        stderr=follower,
        env=single_threaded(),
    )
    os.close(follower)
    pieces = []
    with contextlib.suppress(OSError):  # Linux says so when the other side is closed
        while piece := os.read(leader, 4096):
            pieces.append(piece)
    os.close(leader)
    text = b"".join(pieces).decode()
    assert process.wait(PATIENCE) == 0, text
    assert text.count("classes: 3 in model.bbox_head") == 1
    for fold in (0, 1):
        assert re.search(rf"fold {fold} stage 0 epoch \d/3 iteration \d/\d loss \d", text)
        assert f"fold {fold} stage 0 epoch 3/3: loss" in text
    assert "\x1b[A" in text  # bars below each other
