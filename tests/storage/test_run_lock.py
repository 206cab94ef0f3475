"""One run at a time in an experiment's folder: whoever comes second changes nothing there."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from musket_core.projects import Project

from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.storage.run_lock import NAME, Locked, only_run
from tests.support.folders import snapshot
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

HOLD = """
import sys, time
from pathlib import Path
from instance_segmentation_pipeline.storage.run_lock import only_run
with only_run(Path(sys.argv[1])):
    {more}
    print("held", flush=True)
    time.sleep(3600)
"""
FORK = """import os
    ready, begun = os.pipe()
    if os.fork() == 0:
        os.write(begun, b".")
        time.sleep(3600)
    os.read(ready, 1)"""


@pytest.fixture
def holding():
    """Return a function that starts a process which holds a folder's lock; all are killed at the end."""
    started = []

    def hold(folder, more="pass"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(more=more), str(folder)], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        finally:
            process.wait()
            process.stdout.close()


def holder(folder, **words):
    (folder / NAME).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), **words}))


def contend(folder, count, wrong):
    for _ in range(count):
        try:
            with only_run(folder):
                try:
                    os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    wrong.value += 1
                time.sleep(0.001)
                os.unlink(folder / "alone")
                if count % 3 == 0:
                    holder(folder, pid=4_194_303, started="1")  # as one that died left it
        except Locked:
            time.sleep(0.0005)


def test_never_two_however_many_begin_at_once(tmp_path):
    holder(tmp_path, pid=4_194_303, started="1")
    context = multiprocessing.get_context("fork")
    wrong = context.Value("i", 0)
    processes = [context.Process(target=contend, args=(tmp_path, 60, wrong)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert wrong.value == 0


@pytest.mark.parametrize("more", ["pass", FORK], ids=["alone", "with a child"])
def test_a_run_that_was_killed_does_not_bar_the_next(tmp_path, holding, more):
    process = holding(tmp_path, more)
    words = f"being trained by process {process.pid} on {socket.gethostname()}: wait for it, or stop it"
    with pytest.raises(Locked, match=words), only_run(tmp_path, break_lock=True):
        raise AssertionError
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with only_run(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert not (tmp_path / NAME).exists()


def test_another_machine_is_believed_until_somebody_says_that_it_is_gone(tmp_path):
    holder(tmp_path, host="elsewhere", pid=7)
    with pytest.raises(Locked, match="process 7 on elsewhere.*--break_lock true"), only_run(tmp_path):
        raise AssertionError
    with only_run(tmp_path, break_lock=True):
        pass
    with only_run(tmp_path):
        pass


def test_a_run_of_an_earlier_version_is_seen(tmp_path):
    words = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    holder(tmp_path, started=words[19])
    for break_lock in (False, True):
        with pytest.raises(Locked, match="wait for it, or stop it"), only_run(tmp_path, break_lock):
            raise AssertionError


@pytest.mark.parametrize("text", ["", "half a js", "[]", '{"pid": "x"}', "\0" * 50, '{"pid": 99999999999999999999}'])
def test_a_file_that_tells_nothing(tmp_path, text):
    (tmp_path / NAME).write_text(text if "{" not in text else text[:-1] + f', "host": "{socket.gethostname()}"}}')
    with only_run(tmp_path):
        pass


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / NAME).symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigError), only_run(tmp_path):
        raise AssertionError
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "dead link", "loop"])
def test_what_is_no_lock_is_told_with_what_to_do(tmp_path, kind):
    path = tmp_path / NAME
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"link": tmp_path, "dead link": tmp_path / "nowhere", "loop": path}[kind])
    with pytest.raises(ConfigError, match=r"fit.lock is no file, but .*: remove it"), only_run(tmp_path):
        raise AssertionError
    path.rmdir() if kind == "folder" else path.unlink()
    with only_run(tmp_path):
        assert path.is_file()


STATE = {"inProgress.yaml": "true\n", "error.yaml": "errors: []\n", "summary.yaml": "completed: true\n"}
STATE |= {"weights/.last-0.0.4194303.tmp.weights": "half", "predictions/a-s0-f0.sqlite": "SQLite format 3\0"}


@pytest.mark.parametrize(
    "flags", [[], ["--allow_resume", "true"], ["--only_report", "true"], ["--force_recalc", "true"], ["--folds", "0"]]
)
def test_a_second_command_changes_nothing(add_experiment, holding, musket, flags):
    path = add_experiment()
    for name, text in STATE.items():
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_text(text)
    holding(path.parent)
    before = snapshot(path.parent)
    done = musket("fit", "--project", path.parents[2], "--name", "exp01", *flags)
    assert done.returncode == 1
    assert "is being trained by process" in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(path.parent) == before


def test_state_files_are_kept_within_the_lock(add_experiment, monkeypatch):
    from instance_segmentation_pipeline.experiment.trainer import ExperimentTrainer

    path = add_experiment()
    seen = []

    def train(self, *arguments):
        seen.append({name for name in ("inProgress.yaml", NAME) if (path.parent / name).exists()})
        raise OSError("broken")

    monkeypatch.setattr(ExperimentTrainer, "train_folds", train)
    experiment = Project(str(path.parents[2])).byName("exp01")
    with pytest.raises(OSError, match="broken"):
        experiment.fit()
    assert seen == [{"inProgress.yaml", NAME}]
    names = set(snapshot(path.parent))
    assert "error.yaml" in names
    assert not {"inProgress.yaml", NAME} & names


def test_a_second_run_is_refused_and_a_stale_lock_is_not(add_experiment, tmp_path):
    words = rf"process {os.getpid()} on {socket.gethostname()}"
    with only_run(tmp_path), pytest.raises(ConfigError, match=words), only_run(tmp_path):
        raise AssertionError
    assert not (tmp_path / NAME).exists()
    gone = subprocess.Popen(["true"])
    gone.wait()
    for holder in ({"pid": gone.pid, "started": "1"}, {"pid": os.getpid(), "started": "another life"}):
        (tmp_path / NAME).write_text(json.dumps({"host": socket.gethostname(), **holder}))
        with only_run(tmp_path):
            pass
    (tmp_path / NAME).write_text("half a js")
    with only_run(tmp_path):
        pass
    (tmp_path / NAME).write_text(json.dumps({"pid": 1, "host": "another-host", "started": "1"}))
    with pytest.raises(ConfigError, match="process 1 on another-host"), only_run(tmp_path):
        raise AssertionError


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder here that even root cannot write to")
def test_a_folder_that_cannot_be_written_to():
    words = r"/sys/kernel cannot be written to \(.+\): see to the folder's rights"
    with pytest.raises(ConfigError, match=words), only_run(Path("/sys/kernel")):
        raise AssertionError
