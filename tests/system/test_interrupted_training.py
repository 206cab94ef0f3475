"""Training that ends too soon, by time, signal, sudden death or a full disk, and what is resumed of it."""

import contextlib
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoints import last_checkpoint, read_meta
from instance_segmentation_pipeline.storage import run_lock as lock
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.storage.zip_files import is_whole
from instance_segmentation_pipeline.training.hooks.checkpoint import WeightsKeeper
from tests.support.processes import PATIENCE, of_session, wait_until
from tests.support.warm import started_musket
from tests.support.weights import weights_of

pytestmark = pytest.mark.slow


def training(path, *extra):
    """Start a process that trains an experiment of a project, in a session of its own."""
    flags = ["--project", path.parents[2], "--name", path.parent.name, *extra]
    return started_musket("fit", *flags)


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


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_end_between_the_last_and_the_best_weights(add_experiment, monkeypatch, epoch):
    """Weights that were the best, but not yet kept as that, are, when the run goes on: also in the only epoch."""
    replace = [("  - epochs: 1\n", "  - epochs: 3\n")]
    whole = add_experiment("whole", "primary_metric: val_loss\nchannelsLast: false\n", replace=replace)
    generic.parse(str(whole)).fit()
    cut = add_experiment("cut", "primary_metric: val_loss\nchannelsLast: false\n", replace=replace)
    save = WeightsKeeper._save

    def save_no_best(runner, path, meta, complete):
        if not complete and meta["epoch"] == epoch:
            raise KeyboardInterrupt
        save(runner, path, meta, complete)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(WeightsKeeper, "_save", staticmethod(save_no_best))
        generic.parse(str(cut)).fit()
    cfg = generic.parse(str(cut))
    cfg.setAllowResume(True)
    cfg.fit()
    one, two = (generic.parse(str(path)).files.stage(0, 0) for path in (whole, cut))
    assert read_meta(one.best_weights)["epoch"] == read_meta(two.best_weights)["epoch"] == 3
    for name in ("best_weights", "last_weights"):
        assert weights_of(getattr(one, name)) == weights_of(getattr(two, name))


def test_five_sudden_deaths_cost_nothing(add_experiment):
    """SIGKILL for the whole session at random moments; what is resumed ends with the same weights."""
    whole = add_experiment("whole", replace=[STAGES])
    began = time.monotonic()
    with training(whole) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    lasted = time.monotonic() - began
    files = generic.parse(str(whole)).files
    wanted = [weights_of(files.stage(0, stage).last_weights) for stage in (0, 1)]
    random = np.random.default_rng(5)
    path = add_experiment("killed", replace=[STAGES])
    for share in random.uniform(0.35, 0.9, 5):
        with training(path, "--allow_resume", "true") as process, contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(lasted * share)
    with training(path, "--allow_resume", "true") as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    files = generic.parse(str(path)).files
    assert [weights_of(files.stage(0, stage).last_weights) for stage in (0, 1)] == wanted
    assert not list(path.parent.rglob(".*.tmp*"))
    assert not (path.parent / lock.NAME).exists()


def test_a_signal_stops_cleanly(add_experiment):
    path = add_experiment(replace=[("  - epochs: 1\n", "  - epochs: 200\n")])
    with training(path) as process:
        wait_until((path.parent / "weights" / "last-0.0.weights").exists, process)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
        wait_until(lambda: not of_session(process.pid))
    assert process.returncode == 143
    assert "stopped by SIGTERM; --allow_resume true goes on" in err
    assert "Traceback" not in err
    assert not (path.parent / lock.NAME).exists()
    assert not (path.parent / "inProgress.yaml").exists()
    assert is_whole(path.parent / "weights" / "last-0.0.weights")


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


def test_a_full_disk_is_one_sentence_and_costs_nothing(add_experiment):
    """No file may grow beyond 100 kB: a checkpoint cannot be written."""
    path = add_experiment(replace=[("  - epochs: 1\n", "  - epochs: 2\n")])
    limited = "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\nsys.dont_write_bytecode = True\n"
    limited += "from instance_segmentation_pipeline.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    arguments = ["fit", "--project", str(path.parents[2]), "--name", "exp01", "--allow_resume", "true"]
    done = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "last-0.0.weights cannot be written" in done.stderr
    assert not list((path.parent / "weights").glob("*weights"))
    assert fit.main(arguments[1:]) == 0
