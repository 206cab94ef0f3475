"""Ctrl-C and SIGTERM at any moment of a command: its status, one line, and nothing left running."""

import itertools
import os
import re
import signal
import textwrap
import time

import pytest

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.errors import Stopped
from tests.support.commands import MUSKET, NUMBERS, guarded, lines_of, python
from tests.support.processes import PATIENCE, of_session, started, wait_until
from tests.support.warm import started_musket

pytestmark = pytest.mark.slow


EPOCH_ENDED = re.compile(r"fold \d stage \d epoch \d+/\d+: loss ")


SWALLOWING = {
    "plainly": "time.sleep(3600)",
    "by a bare except": """
        try:
            time.sleep(3600)
        except:
            pass
        time.sleep(3600)
    """,
    "many times": """
        for _ in range(5):
            try:
                time.sleep(3600)
            except BaseException:
                pass
        time.sleep(3600)
    """,
    "and made another error": """
        try:
            try:
                time.sleep(3600)
            except:
                raise SyntaxError("Failed to format the config file")
        except Exception as error:
            print("one experiment failed")
        time.sleep(3600)
    """,
    "while something is imported": """
        open("slow_module.py", "w").write("import time\\ntry:\\n    time.sleep(3600)\\nexcept:\\n    pass\\n")
        sys.path.insert(0, ".")
        import slow_module
        time.sleep(3600)
    """,
}


@pytest.mark.parametrize(("number", "how"), list(itertools.product(NUMBERS, SWALLOWING)))
def test_a_signal_always_ends_the_command(tmp_path, number, how):
    body = f"print('ready', flush=True)\n{textwrap.dedent(SWALLOWING[how])}"
    with started(*guarded(body), cwd=tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)  # into what follows, whichever of its moments that is
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert lines_of(err) == [f"musket try: stopped by {number.name}; try again."]


SHIM = "import pathlib, time\npathlib.Path({marker!r}).touch()\ntime.sleep(3600)\n"


@pytest.mark.parametrize("command", ["fit", "task", "predict", "analize", "models"])
def test_ctrl_c_while_a_command_starts(tmp_path, project, add_experiment, command):
    """The first heavy import of each command sleeps: the moment that a person means by the first second."""
    add_experiment()
    marker = tmp_path / "importing"
    for module in ("numpy", "yaml", "tqdm", "musket_core"):
        (tmp_path / "shims").mkdir(exist_ok=True)
        (tmp_path / "shims" / f"{module}.py").write_text(SHIM.format(marker=str(marker)))
    flags = {
        "predict": ["--project", project, "--input", tmp_path, "--output", tmp_path / "out"],
        "analize": ["--inputFolder", project],
        "models": [],
    }.get(command, ["--project", project])
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "shims")}
    with started(*MUSKET, command, *flags, env=environment) as process:
        wait_until(marker.exists, process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    (line,) = lines_of(err)
    assert line.startswith(f"musket {command}: stopped by SIGINT")


ENDLESS = [("  - epochs: 1\n", "  - epochs: 300\n")]


TWO_FOLDS = "workersPerGpu: 1\nfolds_count: 2\ntestSplit: 0.2\n"


@pytest.mark.parametrize("how", ["Ctrl-C", "nobody reads"])
def test_folds_side_by_side_with_workers_that_load_data(add_experiment, how):
    """A terminal sends Ctrl-C to every process; no one of them speaks but the first, and none is left."""
    path = add_experiment(extra=TWO_FOLDS, replace=ENDLESS)
    flags = ["--project", path.parents[2], "--num_gpus", 2, "--num_workers", 2]
    with started_musket("fit", *flags) as process:
        assert process.stdout.readline().startswith("exp01: ")
        if how == "nobody reads":
            process.stdout.close()
            assert process.wait(PATIENCE) == 141
            assert lines_of(process.stderr.read()) == []
        else:
            wait_until(lambda: list(path.parent.glob("weights/last-*")), process)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 130, err
            said = [line for line in lines_of(err) if not EPOCH_ENDED.match(line)]
            assert said == ["musket fit: stopped by SIGINT; --allow_resume true goes on."]
        assert not (path.parent / "inProgress.yaml").exists() and not (path.parent / "error.yaml").exists()
        wait_until(lambda: not of_session(process.pid))


def test_after_a_signal_no_other_experiment_trains(tmp_path, project, add_experiment, musket):
    """A library's bare ``except`` in the first experiment takes the signal; the second one is not begun."""
    (project / "modules" / "taking.py").write_text(
        textwrap.dedent("""
            import os, signal, time
            from pathlib import Path
            from musket_core.datasets import dataset_provider
            from shapes import get_shapes

            @dataset_provider
            def taking(count=12, size=64):
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(3600)
                except:
                    pass
                return get_shapes(count, size)

            @dataset_provider
            def noting(count=12, size=64):
                Path(__file__).with_name("begun").touch()
                return get_shapes(count, size)
        """)
    )
    add_experiment("a", replace=[("get_shapes:", "taking:")])
    add_experiment("b", replace=[("get_shapes:", "noting:")])
    done = musket("fit", "--project", project, "--name", "a,b", cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert lines_of(done.stderr)[-1] == "musket fit: stopped by SIGINT; --allow_resume true goes on."
    assert not (project / "modules" / "begun").exists()
    assert not list((project / "experiments").rglob("inProgress.yaml"))
    assert not list((project / "experiments").rglob("error.yaml"))


def test_ctrl_c_in_mmengines_config_writer_is_no_error(add_experiment, monkeypatch, capsys):
    """Its bare ``except`` raises a SyntaxError in place of the interruption."""
    import yapf.yapflib.yapf_api as writer

    def interrupted(*arguments, **options):
        raise Stopped(signal.SIGINT)

    path = add_experiment(extra="lr: 0.0078125\n")  # a text that was not laid out before
    monkeypatch.setattr(writer, "FormatCode", interrupted)
    assert main(["fit", "--project", str(path.parents[2])]) == 130
    assert "stopped by SIGINT" in capsys.readouterr().err
    assert not (path.parent / "error.yaml").exists() and not (path.parent / "inProgress.yaml").exists()


def test_what_asked_to_ignore_a_signal_keeps_it(run):
    done = run(
        *python("""
            import signal
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a command behind &, or nohup
            from instance_segmentation_pipeline.cli.guard import guard

            def run():
                signal.raise_signal(signal.SIGINT)
                return 0

            print(guard("musket try", run, whole_process=True))
        """)
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
