"""Small inputs that stand for huge ones, and paths that are no files: refused at once, in one bounded line."""

import os
from pathlib import Path

import pytest
import yaml

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.config.loader import is_ours, read_config
from instance_segmentation_pipeline.data.splits import is_made_from
from instance_segmentation_pipeline.errors import ConfigError, DatasetError, TrainingError, UserError
from instance_segmentation_pipeline.launch.devices import devices_for, leases
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from instance_segmentation_pipeline.storage.regular_file import open_regular, read_text
from instance_segmentation_pipeline.storage.summary_file import is_completed, read_summary
from instance_segmentation_pipeline.storage.yaml_files import parse_yaml

pytestmark = pytest.mark.slow

HEADER = "#%Musket MMDetection 1.0\n"


def laughs(count=30, width=9):
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * width)}]" for number in range(1, count)]
    return "\n".join(lines) + "\n"


def merges(count=30):
    lines = ["a0: &a0 {k: 1}"]
    lines += [
        f"a{number}: &a{number} {{<<: [*a{number - 1}, *a{number - 1}, *a{number - 1}]}}" for number in range(1, count)
    ]
    return "\n".join(lines) + "\n"


BOMBS = {
    "billion laughs": laughs(),
    "laughs of mappings": "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 60)),
    "laughs as keys": "a: &a [1]\n? *a\n: *a\n",
    "laughs in a property": f"classes: &a [lol, lol]\n{laughs()}shape: [*a20, *a20]\n",
    "merges": merges(),
    "a list in itself": "classes: &a [*a]\n",
    "a mapping in itself": "classes: &a {b: {c: *a}}\n",
    "a key in itself": "classes: &a {? *a : 1}\n",
    "a long number": "classes: " + "9" * 5000 + "\n",
    "a longer one": "classes: -" + "9" * 500_000 + "\n",
    "hexadecimal": "classes: 0x" + "f" * 50_000 + "\n",
    "binary": "classes: 0b" + "1" * 50_000 + "\n",
    "base sixty": "classes: 1" + ":59" * 50_000 + "\n",
    "base sixty, a fraction": "lr: 1" + ":59" * 50_000 + ".5\n",
    "an exponent": "lr: 1.0e+" + "9" * 5000 + "\n",
    "digits in a list": "shape: [" + "9" * 5000 + ", 64]\n",
    "digits as a key": "9" * 5000 + ": 1\n",
    "digits in options": "configOptions: {model.a: " + "9" * 5000 + "}\n",
    "deep lists": "classes: " + "[" * 50_000 + "]" * 50_000 + "\n",
    "deep lists, open": "classes: " + "[" * 50_000,
    "deep mappings": "classes: " + "{a: " * 50_000 + "1" + "}" * 50_000 + "\n",
    "deep by lines": "".join("  " * level + "a:\n" for level in range(600)),
    "deep dashes": "classes:\n  " + "- " * 5000 + "1\n",
    "deep keys": "? " * 5000 + "1\n",
    "ten megabytes": "configPath: " + "x" * 10_000_000 + "\n",
    "many keys": "".join(f"key{number}: 1\n" for number in range(100_000)),
    "a long key": "k" * 500_000 + ": 1\n",
    "many documents": "---\na: 1\n" * 1000,
    "a date that is none": "classes: 2001-99-99\n",
    "a time that is none": "classes: 2001-01-01 99:99:99\n",
    "a class": "classes: !!python/object/apply:os.system ['touch owned']\n",
    "a module": "classes: !!python/module:os\n",
    "binary that is none": "classes: !!binary '!'\n",
    "a number that is none": "classes: !!int x\n",
    "a fraction that is none": "classes: !!float x\n",
    "a set of lists": "classes: !!set {[1]: null}\n",
    "a zero byte": "classes: \0\n",
    "a tab": "classes:\n\t- 1\n",
    "an unknown alias": "classes: *nothing\n",
    "a null key": "? \n: 1\n",
    "a list as key": "[1, 2]: 3\n",
}  # fmt: skip


def config_of(text):
    return f"{HEADER}configPath: x.py\nstages: [{{epochs: 1}}]\n{text}"


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_config_that_stands_for_more_is_one_sentence(project, add_experiment, capsys, text):
    """By ``fit``, as an experiment's file and as ``common.yaml``."""
    path = add_experiment(text=config_of(text))
    os.chdir(project)
    assert main(["fit", "--project", str(project), "--name", "exp01"]) == 1
    assert one_bounded_line(capsys.readouterr().err, "exp01: ")
    path.write_text(config_of(""))
    (project / "common.yaml").write_text(text)
    assert main(["fit", "--project", str(project), "--name", "exp01"]) == 1
    assert one_bounded_line(capsys.readouterr().err, "exp01: ")
    assert not (project / "owned").exists()


def one_bounded_line(err, begin):
    (line,) = [line for line in err.splitlines() if line.startswith(begin)]
    assert "Traceback" not in err
    assert "see " not in line, line  # that is what a defect says
    assert len(line) < 1300
    return line


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_other_yaml_is_read_within_the_same_bounds(tmp_path, text):
    """Summaries, splits, parameters of tasks: read, or one kind of error."""
    try:
        parse_yaml(text)
    except yaml.YAMLError as error:
        assert len(str(error)) < 10_000 or len(text) > 100_000
    (tmp_path / "summary.yaml").write_text(text)
    for read in (is_completed, read_summary):
        try:
            read(tmp_path / "summary.yaml")
        except ConfigError as error:
            assert len(str(error)) <= 1200


def test_parameters_of_a_task(project, add_experiment, capsys):
    add_experiment()
    for bomb in ("{a: " + "9" * 5000 + "}", "[" * 10_000, "{a: &a [*a]}"):
        assert main(["task", "--project", str(project), "--name", "exp01", "--parameters", bomb]) == 2
        assert len(capsys.readouterr().err) < 1500


def test_what_people_write_still_reads():
    text = "a: &a {lr: 1e-3, more: [1, 2]}\nb: {<<: *a, lr: 2}\nc: [*a, *a]\nlong: '" + "9" * 5000 + "'\n"
    assert parse_yaml(text)["b"] == {"lr": 2, "more": [1, 2]}
    assert parse_yaml(text)["long"] == "9" * 5000
    assert parse_yaml("[" * 60 + "1" + "]" * 60)
    assert parse_yaml("") is None
    assert parse_yaml("- " + "\n- ".join(str(number) for number in range(100_000)))[-1] == 99_999
    large = "[[" + ",\n".join(str(number) for number in range(1_000_000)) + "]]"
    assert len(parse_yaml(large)[0]) == 1_000_000


# -- numbers of processes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--num_workers", "--num_gpus", "--gpus_per_net"])
@pytest.mark.parametrize("value", ["100000000", "9" * 5000, "-1", "0", "1e9", "\uff10" * 3, "1" * 20, "\x1b[2J"])
def test_counts_on_the_command_line(project, add_experiment, capsys, flag, value):
    add_experiment()
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--project", str(project), flag, value])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert flag in err.splitlines()[-1]
    assert len(err.splitlines()[-1]) < 300
    assert "\x1b" not in err


def test_counts_of_the_library(monkeypatch):
    monkeypatch.setattr("instance_segmentation_pipeline.launch.devices.gpu_count", lambda: 0)
    for call in (
        lambda: devices_for(10**8),
        lambda: leases(10**8, 1, 10**8),
        lambda: leases(10**9, 10**8, 10),
    ):
        with pytest.raises(ConfigError, match="on a CPU: lower it"):
            call()
    assert len(leases(8, 2, 10**8)) == 4


@pytest.mark.parametrize(
    "line",
    [
        "num_seeds: 1000000",
        "folds_count: 1000000000",
        "workersPerGpu: 100000000",
        "imagesPerGpu: 1000000000000",
        "inference_batch: 1000000000000",
        "classes: 1000000000",
        "shape: [1000000000, 1000000000]",
        "random_state: 99999999999999999999",
        "seed: -1",
    ],
)
def test_counts_in_a_config(add_experiment, capsys, line):
    name = line.partition(":")[0]
    replace = [(old, "") for old in ("imagesPerGpu: 4\n", "classes: 3\n", "shape: [64, 64]\n") if old.startswith(name)]
    path = add_experiment(extra=line + "\n", replace=replace)
    assert main(["fit", "--project", str(path.parents[2]), "--name", "exp01"]) == 1
    assert f"{name} is " in one_bounded_line(capsys.readouterr().err, "exp01: ")


@pytest.mark.parametrize("epochs", ["10" * 50, "1000000000", ".inf", "1" * 5000])
def test_epochs(add_experiment, capsys, epochs):
    path = add_experiment(replace=[("epochs: 1", f"epochs: {epochs}")])
    assert main(["fit", "--project", str(path.parents[2]), "--name", "exp01"]) == 1
    assert one_bounded_line(capsys.readouterr().err, "exp01: ")


# -- no files ----------------------------------------------------------------------------------------------------------

KINDS = ["pipe", "folder", "device", "endless device", "dead link", "link loop", "socket", "too large"]


def put(path, kind):
    import socket

    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    elif kind == "dead link":
        path.symlink_to(path.with_name("nowhere"))
    elif kind == "link loop":
        path.symlink_to(path.name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            here = Path.cwd()
            os.chdir(path.parent)
            one.bind(path.name)
            os.chdir(here)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)


READERS = {
    "config": (lambda path: read_config(path), UserError),
    "common": (lambda path: read_config(made(path), path), UserError),
    "header": (lambda path: is_ours(path), None),
    "summary": (read_summary, UserError),
    "completed": (is_completed, UserError),
    "metrics": (read_rows, TrainingError),
    "split": (lambda path: is_made_from(path, "x"), DatasetError),
    "text": (read_text, OSError),
    "any": (open_regular, OSError),
}


def made(path):
    config = path.with_name("made.yaml")
    config.write_text(config_of(""))
    return config


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("read", "error"), READERS.values(), ids=READERS)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, kind, read, error):
    path = tmp_path / "file.yaml"
    put(path, kind)
    if kind in ("dead link", "link loop") and read is not READERS["config"][0]:
        return  # absent is not wrong
    if kind == "too large" and read in (READERS["split"][0], READERS["any"][0]):
        return  # the beginning is looked at
    if error is None:
        assert read(path) is False
        return
    with pytest.raises(error) as raised:
        read(path)
    assert len(str(raised.value)) < 1300


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless device"])
@pytest.mark.parametrize(
    "name", ["config.yaml", "common.yaml", "summary.yaml", "weights.pth", "config.yaml.folds_split"]
)
def test_the_command_does_not_wait_for_a_pipe(project, add_experiment, musket, kind, name):
    path = add_experiment(
        extra=f"weightsPath: {project / 'experiments' / 'exp01' / 'weights.pth'}\n" if "pth" in name else ""
    )
    put(project / name if name == "common.yaml" else path.with_name(name), kind)
    done = musket("fit", "--project", project, "--name", "exp01")
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "(see " not in done.stderr, done.stderr
    assert name in done.stderr or "no experiment" in done.stderr, done.stderr
    assert max(len(line) for line in done.stderr.splitlines()) < 1300


def test_a_file_is_read_as_ever(tmp_path):
    (tmp_path / "a").write_text("é\r\n")
    assert read_text(tmp_path / "a") == "é\n"
    with pytest.raises(OSError, match="it has 4 bytes, expected 3 at most"):
        read_text(tmp_path / "a", most=3)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "b")
    with pytest.raises(OSError):
        read_text(Path("a\0b"))
