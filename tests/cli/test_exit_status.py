"""Whatever ends a command: the right status, one line on stderr, and no traceback. Real processes where it matters."""

import builtins
import itertools
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.cli.guard import guard
from instance_segmentation_pipeline.data.class_names import known_class_names
from instance_segmentation_pipeline.data.dataset_length import length_of
from instance_segmentation_pipeline.errors import ConfigError, DatasetError, Stopped

pytestmark = pytest.mark.slow

MUSKET = (sys.executable, "-m", "instance_segmentation_pipeline.cli")
FULL = Path("/dev/full")


def python(code):
    return (sys.executable, "-c", textwrap.dedent(code))


def guarded(body):
    """Return a command that runs ``body``, the inside of a function, as ``musket fit`` is run."""
    return python(
        "from instance_segmentation_pipeline.cli.guard import guard\nimport os, signal, sys, time\n"
        f"def run():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n    return 0\n"
        "raise SystemExit(guard('musket try', run, hint='; try again', whole_process=True))"
    )


EPOCH_ENDED = re.compile(r"fold \d stage \d epoch \d+/\d+: loss ")


def lines_of(err):
    assert "Traceback" not in err and "Exception ignored" not in err, err
    return err.strip().splitlines()


COMMANDS = [["models"], ["fit", "--help"], ["analize", "--help"], ["--help"], ["--version"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nobody_reads_the_output(command):
    """As in ``musket models | head``: the reader is gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*MUSKET, *command], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_output_cannot_be_written(command):
    with FULL.open("w") as full:
        done = subprocess.run([*MUSKET, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = lines_of(done.stderr)
    assert line.endswith("<stdout> cannot be written: No space left on device.")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_not_even_the_message_can_be_written():
    with FULL.open("w") as full:
        assert subprocess.run([*MUSKET, "no_command"], stderr=full, timeout=60).returncode == 1
        assert subprocess.run([*MUSKET, "models"], stdout=full, stderr=full, timeout=60).returncode == 1


def test_what_is_lost_is_no_error_of_an_experiment(run):
    """``except Exception`` on the way, around each experiment, does not take it for one that failed."""
    body = """
        reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)
        for number in range(3):
            try:
                print("epoch", flush=True)
            except Exception as error:
                print("failed", error, file=sys.stderr)
    """
    done = run(*guarded(body))
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", b"gr\\xf6\\xdfe \\u2713"), ("latin-1", b"gr\xf6\xdfe \\u2713")]
)
def test_a_terminal_that_lacks_the_characters(encoding, written):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = guarded("print('gr\\u00f6\\u00dfe \\u2713')")
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, b"", written)


NUMBERS = [signal.SIGINT, signal.SIGTERM]
SWALLOWING = {
    "plainly": "time.sleep(9)",
    "by a bare except": """
        try:
            time.sleep(9)
        except:
            pass
        time.sleep(9)
    """,
    "many times": """
        for _ in range(5):
            try:
                time.sleep(9)
            except BaseException:
                pass
        time.sleep(9)
    """,
    "and made another error": """
        try:
            try:
                time.sleep(9)
            except:
                raise SyntaxError("Failed to format the config file")
        except Exception as error:
            print("one experiment failed")
        time.sleep(9)
    """,
    "while something is imported": """
        open("slow_module.py", "w").write("import time\\ntry:\\n    time.sleep(9)\\nexcept:\\n    pass\\n")
        sys.path.insert(0, ".")
        import slow_module
        time.sleep(9)
    """,
}


@pytest.mark.parametrize(("number", "how"), itertools.product(NUMBERS, SWALLOWING))
def test_a_signal_always_ends_the_command(tmp_path, number, how):
    body = f"print('ready', flush=True)\n{textwrap.dedent(SWALLOWING[how])}"
    process = subprocess.Popen(
        guarded(body), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert lines_of(err) == [f"musket try: stopped by {number.name}; try again."]


SHIM = "import pathlib, time\npathlib.Path({marker!r}).touch()\ntime.sleep(9)\n"


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
    process = subprocess.Popen(
        [*MUSKET, command, *(str(flag) for flag in flags)],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "shims")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    (line,) = lines_of(err)
    assert line.startswith(f"musket {command}: stopped by SIGINT")


ENDLESS = [("  - epochs: 1\n", "  - epochs: 300\n")]
TWO_FOLDS = "workersPerGpu: 1\nfolds_count: 2\ntestSplit: 0.2\n"


@pytest.mark.parametrize("how", ["Ctrl-C", "nobody reads"])
def test_folds_side_by_side_with_workers_that_load_data(add_experiment, how):
    """A terminal sends Ctrl-C to every process; no one of them speaks but the first, and none is left."""
    path = add_experiment(extra=TWO_FOLDS, replace=ENDLESS)
    flags = ["--project", str(path.parents[2]), "--num_gpus", "2", "--num_workers", "2"]
    command = [*MUSKET, "fit", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline().startswith("exp01: ")
    if how == "nobody reads":
        process.stdout.close()
        assert process.wait(200) == 141
        err = process.stderr.read()
        assert lines_of(err) == []
    else:
        deadline = time.monotonic() + 100
        while not list(path.parent.glob("weights/last-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        said = [line for line in lines_of(err) if not EPOCH_ENDED.match(line)]
        assert said == ["musket fit: stopped by SIGINT; --allow_resume true goes on."]
    assert not (path.parent / "inProgress.yaml").exists() and not (path.parent / "error.yaml").exists()
    deadline = time.monotonic() + 10
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(process.pid) == []


def alive(session):
    """Return the processes of a session that are no zombies."""
    states = subprocess.run(["ps", "-o", "stat=", "-s", str(session)], capture_output=True, text=True).stdout.split()
    return [state for state in states if not state.startswith("Z")]


def test_after_a_signal_no_other_experiment_trains(tmp_path, project, add_experiment):
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
                    time.sleep(9)
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
    done = subprocess.run(
        [*MUSKET, "fit", "--project", str(project), "--name", "a,b"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
    )
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

    path = add_experiment()
    monkeypatch.setattr(writer, "FormatCode", interrupted)
    assert main(["fit", "--project", str(path.parents[2])]) == 130
    assert "stopped by SIGINT" in capsys.readouterr().err
    assert not (path.parent / "error.yaml").exists() and not (path.parent / "inProgress.yaml").exists()


LEAVING = {
    "module": ("import sys\nsys.exit({code})\n", "get_shapes: {count: 12, size: 64}", ["imports: [leaving]"]),
    "provider": (
        "{head}\n@dataset_provider\ndef leave():\n    sys.exit({code})\n",
        "leave: {}",
        ["imports: [leaving]"],
    ),
    "item": (
        "{head}\nclass Leaving(DataSet):\n    name = 'leaving'\n    def __len__(self):\n        return 8\n"
        "    def __getitem__(self, index):\n        sys.exit({code})\n"
        "@dataset_provider\ndef leave():\n    return Leaving()\n",
        "leave: {}",
        ["imports: [leaving]"],
    ),
}
HEAD = "import sys\nfrom musket_core.datasets import DataSet, dataset_provider\n"


@pytest.mark.parametrize(("place", "code"), itertools.product(LEAVING, ["0", "3", "'bye'"]))
def test_sys_exit_in_the_users_code(project, add_experiment, capsys, monkeypatch, place, code):
    module, dataset, lines = LEAVING[place]
    monkeypatch.delitem(sys.modules, "leaving", raising=False)
    (project / "modules" / "leaving.py").write_text(module.replace("{head}", HEAD).replace("{code}", code))
    add_experiment(extra="\n".join(lines), replace=[("get_shapes: {count: 12, size: 64}", dataset)])
    assert main(["fit", "--project", str(project)]) == 1
    err = capsys.readouterr().err
    assert f"sys.exit({code}) was called" in err
    assert len(lines_of(err)) == 2 and "1 of 1 experiments failed" in err


def test_sys_exit_in_an_mmdetection_config(project, add_experiment, tmp_path, capsys):
    (tmp_path / "leaving.py").write_text("import sys\nmodel = dict(type='MaskRCNN')\nsys.exit(0)\n")
    path = add_experiment()
    text = re.sub(r"configPath: .*", f"configPath: {tmp_path / 'leaving.py'}", path.read_text())
    path.write_text(text)
    assert main(["fit", "--project", str(project)]) == 1
    assert "sys.exit(0) was called" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["__len__", "meta"])
def test_sys_exit_in_what_a_dataset_tells_of_itself(method):
    dataset = type("Leaving", (), {"__len__": lambda self: 3, method: lambda self: sys.exit(0)})()
    with pytest.raises(
        DatasetError, match=rf"{method.strip('_')}\(\) of the dataset Leaving .*sys.exit\(0\) was called"
    ):
        (length_of if method == "__len__" else known_class_names)(dataset)


def test_an_error_of_any_size_is_written_short(project, add_experiment, capsys):
    path = add_experiment(replace=[("get_shapes: {count: 12, size: 64}", "large: {}")], extra="imports: [large]\n")
    fails = "    raise ValueError('z' * 3_000_000)\n"
    (project / "modules" / "large.py").write_text(f"{HEAD}@dataset_provider\ndef large():\n{fails}")
    assert main(["fit", "--project", str(project)]) == 1
    assert "ValueError: zzz" in capsys.readouterr().err
    assert 100 < path.with_name("error.yaml").stat().st_size < 200_000


def test_sys_exit_in_a_task(add_experiment, project, capsys):
    from instance_segmentation_pipeline.cli.project_lookup import project_at
    from instance_segmentation_pipeline.tasks.runner import run_all

    add_experiment()
    experiments = list(project_at(project).experiments())
    (failure,) = run_all(experiments, {"leave": lambda: sys.exit(0)}, {})
    assert failure == "exp01: task leave failed: sys.exit(0) was called"


class Mute(Exception):
    def __str__(self):
        raise ZeroDivisionError


def _without_module():
    """Return what a config of MMDetection may raise: it is run without a ``__name__``."""
    names = {}
    exec("class Odd(BaseException): pass", {"__builtins__": {"BaseException": BaseException, **vars(builtins)}}, names)
    return names["Odd"]("x")


ENDS = {
    "nothing": (None, 0, ""),
    "sys.exit(0)": (SystemExit(0), 1, "musket try: sys.exit(0) was called"),
    "a sentence": (ConfigError("lr: is no number."), 1, "musket try: lr: is no number."),
    "a defect": (KeyError("x"), 1, "musket try: KeyError: 'x' (traceback in "),
    "a defect of many lines": (ValueError("a\nb\n" * 500), 1, "musket try: ValueError: a"),
    "memory": (MemoryError(), 1, "musket try: MemoryError"),
    "recursion": (RecursionError("deep"), 1, "musket try: RecursionError: deep"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "musket try: stopped by SIGINT; go on."),
    "SIGTERM": (Stopped(signal.SIGTERM), 143, "musket try: stopped by SIGTERM; go on."),
    "a class without a module": (_without_module(), 1, "musket try: Odd: x"),
    "a text of a million letters": (ValueError("y" * 10**6), 1, "musket try: ValueError: yyy"),
    "a text that fails": (Mute(), 1, "musket try: Mute: <Mute whose str() raises ZeroDivisionError>"),
    "a generator's end": (GeneratorExit(), 1, "musket try: GeneratorExit"),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_is_one_line_and_a_status(capsys, monkeypatch, tmp_path, end):
    error, status, words = ENDS[end]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run():
        if error is not None:
            raise error
        return 0

    handlers = [signal.getsignal(number) for number in NUMBERS]
    assert guard("musket try", run, hint="; go on") == status
    assert [signal.getsignal(number) for number in NUMBERS] == handlers
    lines = lines_of(capsys.readouterr().err)
    assert len(lines) == (1 if words else 0) and "".join(lines).startswith(words)
    assert all(len(line) < 1500 for line in lines)


def test_the_log_of_a_defect(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("instance_segmentation_pipeline.cli.models.parser", lambda: 1 / 0)
    assert main(["models"]) == 1
    (log,) = tmp_path.glob("musket-*.log")
    assert f"musket models: ZeroDivisionError: division by zero (traceback in {log})" in capsys.readouterr().err
    assert "Traceback" in log.read_text() and stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_defect_without_a_place_for_its_log(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr("instance_segmentation_pipeline.cli.models.parser", lambda: 1 / 0)
    assert main(["models"]) == 1
    assert capsys.readouterr().err == "musket models: ZeroDivisionError: division by zero\n"


@pytest.mark.parametrize("program", ["fit", "task", "analize"])
def test_upstreams_programs_end_the_same_way(run, program, tmp_path):
    done = run(sys.executable, "-m", f"musket_core.{program}", "--nonsense", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    if FULL.exists():
        with FULL.open("w") as full:
            command = [sys.executable, "-m", f"musket_core.{program}", "--help"]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == 1
        assert lines_of(done.stderr)[0].startswith(f"musket {program}: <stdout> cannot be written")


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
