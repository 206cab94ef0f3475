"""Every number that a user gives: what is out of the range of its use is one sentence before anything starts."""

import math
import subprocess
import sys

import pytest

from instance_segmentation_pipeline.cli.fit import parser
from instance_segmentation_pipeline.config.schema import PROPERTIES, STAGE_PROPERTIES, check_properties
from instance_segmentation_pipeline.config.values import Integer, Number
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.launch.job_environment import job_environment, patience
from tests.support.processes import PATIENCE

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}
NUMERIC = [(entry, "") for entry in PROPERTIES if isinstance(entry.check, (Integer, Number))]
NUMERIC += [(entry, "stages[0].") for entry in STAGE_PROPERTIES if isinstance(entry.check, (Integer, Number))]

NEVER = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "text nan": "nan",
    "text inf": "inf",
    "text -inf": "-Infinity",
    "negative": -1,
    "huge": 10**30,
    "huge float": 1e300,
    "of 5000 digits": 10**5000,
    "text of 5000 digits": "9" * 5000,
    "true": True,
    "false": False,
    "text": "many",
    "empty text": "",
    "list": [1],
    "mapping": {"a": 1},
    "nested": [[[[]]]] * 1000,
    "bytes": b"1",
    "complex": 1j,
}


def _given(entry, prefix, value):
    search = {"hyperparameters": {"rate": [0.001, 0.01]}, "lr": "rate"} if entry.name == "max_evals" else {}
    if prefix:
        return {**LEAST, "stages": [{"epochs": 1, entry.name: value}]}
    return {**LEAST, **search, entry.name: value}


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize(("entry", "prefix"), NUMERIC, ids=[f"{prefix}{entry.name}" for entry, prefix in NUMERIC])
def test_no_number_takes(entry, prefix, kind):
    with pytest.raises(ConfigError) as caught:
        check_properties(_given(entry, prefix, NEVER[kind]))
    message = str(caught.value)
    assert message.startswith(f"{prefix}{entry.name} is ")
    assert message.endswith(f"but it must be {entry.check}.")
    assert "\n" not in message
    assert len(message) < 250


@pytest.mark.parametrize(("entry", "prefix"), NUMERIC, ids=[f"{prefix}{entry.name}" for entry, prefix in NUMERIC])
def test_the_ends_of_the_range(entry, prefix):
    """The ends are taken where they belong to the range; what lies just outside never is."""
    check = entry.check
    step = 1 if isinstance(check, Integer) else 1e-6
    inside = [check.low + step, check.high - step]
    inside += [check.low] if not getattr(check, "above", False) else []
    inside += [check.high] if not getattr(check, "below", False) else []
    for value in inside:
        checked = check_properties(_given(entry, prefix, value))
        found = checked["stages"][0][entry.name] if prefix else checked[entry.name]
        assert found == value
    outside = [check.low - step, check.high + step]
    outside += [check.low] if getattr(check, "above", False) else []
    outside += [check.high] if getattr(check, "below", False) else []
    for value in outside:
        with pytest.raises(ConfigError):
            check_properties(_given(entry, prefix, value))


def test_the_table_has_all_numbers():
    names = {prefix + entry.name for entry, prefix in NUMERIC}
    assert {"lr", "stages[0].lr", "stages[0].epochs", "random_state", "testSplitSeed", "seed", "num_seeds"} <= names
    assert {"batch", "accumulation", "clipnorm", "clipvalue"} <= names
    assert {"crops", "max_evals", "maxDetections", "verbose"} <= names
    assert len(names) == 27


@pytest.mark.parametrize("kind", [kind for kind in NEVER if kind not in ("true", "false")])
def test_sides_of_the_shape(kind):
    for shape in ([NEVER[kind], 64], [64, NEVER[kind]]):
        with pytest.raises(ConfigError, match=r"^shape(\[\d\])? is "):
            check_properties({**LEAST, "shape": shape})


@pytest.mark.parametrize("shape", [[0, 64], [64, 40_000], [True, 64], [], [64] * 4, [[64, 64], [64]], [[64], 64], [[]]])
def test_shapes_that_are_none(shape):
    with pytest.raises(ConfigError, match=r"but it must be \[height, width\], each a whole number from 1 to 32767"):
        check_properties({**LEAST, "shape": shape})


@pytest.mark.parametrize("shape", [[64, 64, 3.5], [64, 64, True], [64, 64, 1], [64, 64, 4], [[64, 64], [64, 64, 4]]])
def test_channels_that_images_do_not_have(shape):
    with pytest.raises(ConfigError, match="but images have 3 channels: leave the third number out"):
        check_properties({**LEAST, "shape": shape})


SCALES = [math.nan, math.inf, -math.inf, "nan", "inf", 0, -1, 1e300, 10**400, True, "many", [1], None, 1e-9, 100]


@pytest.mark.parametrize("scale", SCALES, ids=range(len(SCALES)))
def test_scales_of_views(scale):
    with pytest.raises(ConfigError, match="^testTimeAugmentation is ") as caught:
        check_properties({**LEAST, "testTimeAugmentation": {"flips": "All", "scales": [1.0, scale]}})
    assert len(str(caught.value)) < 250


def test_too_many_scales():
    with pytest.raises(ConfigError, match="testTimeAugmentation"):
        check_properties({**LEAST, "testTimeAugmentation": {"scales": [1.0] * 1000}})


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1, 0, "nan", True, [1], 1e9, 10**5000], ids=range(9))
def test_the_optimizer_s_own_learning_rate(rate):
    with pytest.raises(ConfigError, match=r"^optimizer.lr is .*must be a number above 0 to 1000"):
        check_properties({**LEAST, "optimizer": {"type": "SGD", "lr": rate}})
    assert check_properties({**LEAST, "optimizer": {"type": "SGD", "lr": "1e-3"}})["optimizer"]["lr"] == 0.001


def test_num_seeds_beside_seed():
    with pytest.raises(ConfigError, match="num_seeds trains with seeds of its own"):
        check_properties({**LEAST, "num_seeds": 2, "seed": 1})


@pytest.mark.parametrize("text", ["random_state: " + "9" * 5000, "lr: 1" + "0" * 5000, "lr: .nan", "lr: .inf"])
def test_numbers_of_a_real_file(add_experiment, text):
    from musket_core import generic

    with pytest.raises(ConfigError) as caught:
        generic.parse(str(add_experiment(extra=text + "\n")))
    assert len(str(caught.value)) < 700


# -- flags and environment -----------------------------------------------------------------------------------

FLAGS = [
    ("--num_gpus", ["0", "-1", "1.5", "nan", "inf", "", "many", "9" * 5000, "²", "1e3", "100000000000"]),
    ("--gpus_per_net", ["0", "-1", "1.5", "nan", "", "²"]),
    ("--num_workers", ["0", "-1", "1.5", "nan", "", "9" * 5000]),
    ("--time", ["-2", "1.5", "nan", "inf", "", "soon", "9" * 5000, "-1.0"]),
    ("--folds", ["", ",", ",,", "0,", ",0", "-1", "0,0", "0,00", "1.5", "a", "0;1", "²", "9" * 5000, "0,,1"]),
    ("--name", ["", ",,", " ", "a,", ",a", "a,,b", "a,a", "a, a"]),
]


@pytest.mark.parametrize(("flag", "value"), [(flag, value) for flag, values in FLAGS for value in values])
def test_flags_that_mean_nothing(flag, value, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args([f"{flag}={value}"])
    assert caught.value.code == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(f"musket fit: error: argument {flag}: ")
    assert len(line) < 200


def test_flags_that_mean_something():
    options = parser().parse_args(["--time=0", "--folds= 2, 0", "--name=a, b/c"])
    assert (options.time, options.folds, options.name) == (0, [2, 0], ["a", "b/c"])
    assert parser().parse_args(["--time", "-1"]).time == -1


@pytest.mark.slow
def test_no_time_at_all_ends_after_the_first_epoch(project, add_experiment):
    from musket_core.projects import Project

    path = add_experiment(replace=[("epochs: 1", "epochs: 3")])
    experiment = Project(str(project)).byName("exp01")
    experiment.time = 0
    experiment.fit()
    assert experiment.canceled_by_timer
    assert not experiment.isCompleted()
    assert len((path.parent / "metrics" / "metrics-0.0.csv").read_text().splitlines()) == 2


@pytest.mark.slow
def test_no_time_at_all_ends_between_folds_too(project, add_experiment):
    from musket_core.projects import Project

    path = add_experiment(extra="folds_count: 2\n")
    for trained in (1, 2):
        experiment = Project(str(project)).byName("exp01")
        experiment.time, experiment.allowResume = 0, trained > 1
        experiment.fit()
        assert len(list((path.parent / "metrics").glob("*.csv"))) == trained
        assert experiment.isCompleted() == (trained == 2)


@pytest.mark.parametrize("value", ["abc", "nan", "inf", "-1", "0", "1e9", "1,5"])
def test_an_environment_variable_that_is_no_number(monkeypatch, value):
    monkeypatch.setenv("MUSKET_MMDETECTION_GROUP_TIMEOUT", value)
    with pytest.raises(ConfigError, match="the environment variable MUSKET_MMDETECTION_GROUP_TIMEOUT is '"):
        patience()


@pytest.mark.slow
def test_importing_reads_no_environment(monkeypatch):
    code = "import instance_segmentation_pipeline.launch.process_group, instance_segmentation_pipeline.launch.torchrun"
    environment = {"MUSKET_MMDETECTION_GROUP_TIMEOUT": "abc", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=PATIENCE)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT"])
def test_what_torchrun_would_never_say(monkeypatch, name):
    for key in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.setenv(key, "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setenv(name, "first")
    with pytest.raises(ConfigError, match=f"the environment variable {name} is 'first', expected a number"):
        job_environment()
