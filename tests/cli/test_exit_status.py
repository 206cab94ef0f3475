"""Whatever ends a command: the right status, one line on stderr, and no traceback. Real processes where it matters."""

import builtins
import itertools
import re
import signal
import stat
import subprocess
import sys

import pytest

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.cli.guard import guard
from instance_segmentation_pipeline.data.class_names import known_class_names
from instance_segmentation_pipeline.data.dataset_length import length_of
from instance_segmentation_pipeline.errors import ConfigError, DatasetError, Stopped
from tests.support.commands import FULL, NUMBERS, lines_of
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize(("place", "code"), list(itertools.product(LEAVING, ["0", "3", "'bye'"])))
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
    (failure,) = run_all(experiments, {"leave": lambda: sys.exit(0)}, {}, [["cpu"]])
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
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=PATIENCE
            )
        assert done.returncode == 1
        assert lines_of(done.stderr)[0].startswith(f"musket {program}: <stdout> cannot be written")


def test_a_wrong_flag_is_2_where_a_package_has_replaced_the_exit(monkeypatch):
    """As wandb does, whose own function stands in the place of ``sys.exit``."""
    before = sys.exit

    def replaced(code=None):
        before(code)

    monkeypatch.setattr(sys, "exit", replaced)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--no_such_flag"])
    assert end.value.code == 2
