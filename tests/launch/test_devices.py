"""Several processes for one net, folds side by side, resuming and sudden death: real processes on the CPU."""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from musket_core import generic

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import ConfigError, TrainingError, WeightsError
from instance_segmentation_pipeline.launch.devices import devices_for, leases
from instance_segmentation_pipeline.launch.process_group import run_group
from instance_segmentation_pipeline.launch.process_pool import ProcessPool
from instance_segmentation_pipeline.launch.scheduler import Job, raise_failures
from instance_segmentation_pipeline.models.checkpoints import last_checkpoint, read_checkpoint
from instance_segmentation_pipeline.storage import run_lock as lock
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.storage.zip_files import is_whole
from tests.support.datasets import Items, shapes

pytestmark = pytest.mark.slow


def weights_of(path):
    """Return one digest of all tensors of a checkpoint's model."""
    state = read_checkpoint(path)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return digest.hexdigest()


def program(path, *extra):
    """Return a process that trains an experiment of a project, in a session of its own."""
    root = path.parents[2]
    command = [Path(sys.executable).parent / "musket", "fit", "--project", root, "--name", path.parent.name, *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


# -- one net on several processes ------------------------------------------------------------------------------


def test_two_processes_equal_one_with_twice_the_batch(add_experiment):
    """The same items in the same steps: gradients are averaged, and each of five items is validated once."""
    norms = "".join(
        f"  model.{part}.norm_cfg: {{type: GN, num_groups: 4}}\n" for part in ("backbone", "neck", "bbox_head")
    )
    results = {}
    for gpus, batch in ((1, 4), (2, 2)):
        path = add_experiment(
            f"on{gpus}",
            extra="nativePipeline: false\noptimizer: {type: SGD, lr: 0.001}\n",
            replace=[("imagesPerGpu: 4", f"imagesPerGpu: {batch}"), ("stages:", f"{norms}stages:")],
        )
        cfg = generic.parse(str(path))
        cfg.gpus = gpus
        cfg.fit(shapes(25))
        results[gpus] = cfg.files.stage(0, 0)
    rows = [read_rows(results[gpus].metrics)[0] for gpus in (1, 2)]
    for name in rows[0]:
        if "loss" not in name or name == "loss":
            np.testing.assert_allclose(rows[1][name], rows[0][name], rtol=1e-4, atol=1e-4, err_msg=name)
    states = [read_checkpoint(results[gpus].last_weights)["state_dict"] for gpus in (1, 2)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert results[2].example(0).exists()
    assert (results[2].root / "summary.yaml").exists()


def test_a_process_whose_images_are_all_empty_does_not_hang(add_experiment):
    """Every other image has no object, and a batch is one image: one process has nothing to learn from."""
    empty = (np.zeros((64, 64, 3), np.uint8), (np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 64, 64), bool)))
    items = shapes(12)
    pairs = [(items[number].x, items[number].y) if number < 6 else empty for number in range(12)]
    path = add_experiment(
        replace=[("imagesPerGpu: 4", "imagesPerGpu: 1"), ("classes: 3\n", "classes: 3\nlr: 0.0001\n")]
    )
    cfg = generic.parse(str(path))
    cfg.gpus = 2
    cfg.fit(Items(pairs))
    assert np.isfinite(read_rows(cfg.files.stage(0, 0).metrics)[0]["loss"])


def _ranks(device):
    total = torch.tensor([float(torch.distributed.get_rank() + 1)])
    torch.distributed.all_reduce(total)
    return [device, torch.distributed.get_world_size(), float(total)]


def test_a_group_starts_from_any_function(tmp_path):
    held = open(tmp_path / "not_picklable", "w")  # noqa: SIM115 - stays open on purpose
    assert run_group(lambda device: [*_ranks(device), held.name], ["cpu", "cpu"]) == ["cpu", 2, 3.0, held.name]
    held.close()


def _killed(device):
    if torch.distributed.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


def _raises(device):
    if torch.distributed.get_rank() == 1:
        raise ValueError("the second one's words")
    torch.distributed.barrier()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_killed, "was killed by SIGKILL|died without a word"),
        (_raises, "process 1 failed: ValueError: the second one's words"),
    ],
)
def test_one_death_ends_the_group_with_its_words(function, words):
    began = time.monotonic()
    with pytest.raises(TrainingError, match=words):
        run_group(function, ["cpu", "cpu"])
    assert time.monotonic() - began < 40


def test_an_item_that_fails_in_a_group_is_named(add_experiment, capfd):
    path = add_experiment()
    dataset = shapes(12)
    original = type(dataset).__getitem__

    class Torn(type(dataset)):
        def __getitem__(self, item):
            if item == 7 and torch.distributed.is_initialized():
                raise OSError("the disk is gone")
            return original(self, item)

    dataset.__class__ = Torn
    cfg = generic.parse(str(path))
    cfg.gpus = 2
    with pytest.raises(TrainingError, match="item 7 of the dataset cannot be read: OSError: the disk is gone"):
        cfg.fit(dataset)


# -- side by side ----------------------------------------------------------------------------------------------


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
    command = [Path(sys.executable).parent / "musket", "fit", "--project", path.parents[2], "--num_gpus", 2]
    process = subprocess.Popen(
        [str(part) for part in (*command, "--num_workers", 2)],
        stdout=follower,
        stderr=follower,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    os.close(follower)
    pieces = []
    with contextlib.suppress(OSError):  # Linux says so when the other side is closed
        while piece := os.read(leader, 4096):
            pieces.append(piece)
    os.close(leader)
    text = b"".join(pieces).decode()
    assert process.wait(120) == 0, text
    assert text.count("classes: 3 in model.bbox_head") == 1
    for fold in (0, 1):
        assert re.search(rf"fold {fold} stage 0 epoch \d/3 iteration \d/\d loss \d", text)
        assert f"fold {fold} stage 0 epoch 3/3: loss" in text
    assert "\x1b[A" in text  # bars below each other


def test_leases():
    assert leases(4, 2, 1) == [["cpu", "cpu"]]
    assert leases(4, 2, 8) == [["cpu", "cpu"], ["cpu", "cpu"]]
    assert leases(1, 1, 3) == [["cpu"]]
    with pytest.raises(ConfigError, match="num_gpus is 1, less than gpus_per_net 2"):
        leases(1, 2, 1)
    with pytest.raises(ConfigError, match="gpus_per_net is 0"):
        devices_for(0)


# -- resuming --------------------------------------------------------------------------------------------------

STAGES = ("  - epochs: 1\n", "  - epochs: 3\n  - epochs: 1\n")


def test_a_resumed_run_ends_with_the_same_bits(add_experiment):
    """Stopped by time after the first epoch, then gone on with: weights and CSV are those of an uninterrupted run."""
    whole = add_experiment("whole", replace=[STAGES])
    assert fit.main(["--project", str(whole.parents[2]), "--name", "whole"]) == 0
    cut = add_experiment("cut", replace=[STAGES])
    cfg = generic.parse(str(cut))
    cfg.expires = 0.0
    cfg.fit()
    files = cfg.files.stage(0, 0)
    assert len(read_rows(files.metrics)) == 1
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert fit.main(["--project", str(whole.parents[2]), "--name", "cut", "--allow_resume", "true"]) == 0
    expected = generic.parse(str(whole)).files
    for stage in (0, 1):
        one, two = expected.stage(0, stage), cfg.files.stage(0, stage)
        assert one.metrics.read_text() == two.metrics.read_text()
        for name in ("best_weights", "last_weights"):
            assert weights_of(getattr(one, name)) == weights_of(getattr(two, name)), (stage, name)


def test_five_sudden_deaths_cost_nothing(add_experiment):
    """SIGKILL for the whole session at random moments; what is resumed ends with the same weights."""
    whole = add_experiment("whole", replace=[STAGES])
    began = time.monotonic()
    process = program(whole)
    assert process.wait(200) == 0
    lasted = time.monotonic() - began
    files = generic.parse(str(whole)).files
    wanted = [weights_of(files.stage(0, stage).last_weights) for stage in (0, 1)]
    random = np.random.default_rng(5)
    path = add_experiment("killed", replace=[STAGES])
    for share in random.uniform(0.35, 0.9, 5):
        process = program(path, "--allow_resume", "true")
        try:
            process.wait(lasted * share)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    process = program(path, "--allow_resume", "true")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    files = generic.parse(str(path)).files
    assert [weights_of(files.stage(0, stage).last_weights) for stage in (0, 1)] == wanted
    assert not list(path.parent.rglob(".*.tmp*"))
    assert not (path.parent / lock.NAME).exists()


def test_a_signal_stops_cleanly(add_experiment):
    path = add_experiment(replace=[("  - epochs: 1\n", "  - epochs: 200\n")])
    process = program(path)
    deadline = time.monotonic() + 90
    while not (path.parent / "weights" / "last-0.0.weights").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped by SIGTERM; --allow_resume true goes on" in err
    assert "Traceback" not in err
    assert not (path.parent / lock.NAME).exists()
    assert not (path.parent / "inProgress.yaml").exists()
    assert is_whole(path.parent / "weights" / "last-0.0.weights")
    group = subprocess.run(["pgrep", "-s", str(process.pid)], capture_output=True, text=True)
    assert group.stdout.strip() == ""


def test_a_damaged_checkpoint_gives_way_to_the_one_before(add_experiment, capsys):
    path = add_experiment(replace=[("  - epochs: 1\n", "  - epochs: 2\n")])
    assert fit.main(["--project", str(path.parents[2]), "--name", "exp01"]) == 0
    files = generic.parse(str(path)).files.stage(0, 0)
    wanted = weights_of(files.last_weights)
    data = bytearray(files.last_weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    files.last_weights.write_bytes(bytes(data))
    assert not is_whole(files.last_weights)
    assert last_checkpoint(files) == files.previous_weights
    (path.parent / "summary.yaml").unlink()
    assert fit.main(["--project", str(path.parents[2]), "--name", "exp01", "--allow_resume", "true"]) == 0
    assert weights_of(files.last_weights) == wanted
    files.previous_weights.unlink(missing_ok=True)
    files.last_weights.write_bytes(b"torn")
    with pytest.raises(WeightsError, match="is damaged"):
        last_checkpoint(files)


# -- the lock --------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_a_stale_lock_is_not(add_experiment, tmp_path):
    words = rf"process {os.getpid()} on {socket.gethostname()}"
    with lock.only_run(tmp_path), pytest.raises(ConfigError, match=words), lock.only_run(tmp_path):
        raise AssertionError
    assert not (tmp_path / lock.NAME).exists()
    gone = subprocess.Popen(["true"])
    gone.wait()
    for holder in ({"pid": gone.pid, "started": "1"}, {"pid": os.getpid(), "started": "another life"}):
        (tmp_path / lock.NAME).write_text(json.dumps({"host": socket.gethostname(), **holder}))
        with lock.only_run(tmp_path):
            pass
    (tmp_path / lock.NAME).write_text("half a js")
    with lock.only_run(tmp_path):
        pass
    (tmp_path / lock.NAME).write_text(json.dumps({"pid": 1, "host": "another-host", "started": "1"}))
    with pytest.raises(ConfigError, match="process 1 on another-host"), lock.only_run(tmp_path):
        raise AssertionError


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder here that even root cannot write to")
def test_a_folder_that_cannot_be_written_to():
    words = r"/sys/kernel cannot be written to \(.+\): see to the folder's rights"
    with pytest.raises(ConfigError, match=words), lock.only_run(Path("/sys/kernel")):
        raise AssertionError


def test_a_full_disk_is_one_sentence_and_costs_nothing(add_experiment):
    """No file may grow beyond 100 kB: a checkpoint cannot be written."""
    path = add_experiment(replace=[("  - epochs: 1\n", "  - epochs: 2\n")])
    limited = "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\nsys.dont_write_bytecode = True\n"
    limited += "from instance_segmentation_pipeline.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    arguments = ["fit", "--project", str(path.parents[2]), "--name", "exp01", "--allow_resume", "true"]
    done = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "best-0.0.weights cannot be written" in done.stderr
    assert not list((path.parent / "weights").glob("*weights"))
    assert fit.main(arguments[1:]) == 0
