"""``musket fit``: arguments, exit status, messages. Real processes where that is the point."""

import sys

import pytest
import yaml

from instance_segmentation_pipeline.cli import analize, fit, main, predict, task
from instance_segmentation_pipeline.cli.argument_types import project_around

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), ("False", False), ("0", False)]
)
def test_booleans_mean_what_they_say(text, value):
    assert fit.parser().parse_args(["--allow_resume", text]).allow_resume is value


@pytest.mark.parametrize(
    "arguments",
    [
        ["--num_gpus", "0"],
        ["--num_workers", "0"],
        ["--gpus_per_net", "-1"],
        ["--allow_resume", "maybe"],
        ["--folds", "a"],
    ],
)
def test_bad_arguments_end_at_once(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("empty", ["", "  "])
@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (fit, "--project"),
        (task, "--cache"),
        (predict, "--input"),
        (predict, "--output"),
        (analize, "--inputFolder"),
        (analize, "--output"),
    ],
)
def test_an_empty_path_is_none(command, flag, empty, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([flag, empty])
    assert ended.value.code == 2
    assert f"{flag}: it is empty" in capsys.readouterr().err


def test_every_documented_flag_is_parsed():
    line = (
        "--project p --name a,b --num_gpus=1 --gpus_per_net=1 --num_workers=1 --cache c --allow_resume true "
        "--force_recalc false --launch_tasks 0 --only_report 1 --folds 0,2 --time 60"
    )
    options = fit.parser().parse_args(line.split())
    assert (options.name, options.folds, options.only_report, options.time) == (["a", "b"], [0, 2], True, 60)


def test_help_imports_nothing_heavy(run):
    code = (
        "import sys\nfrom instance_segmentation_pipeline.cli import main\n"
        "try:\n    main(['fit', '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'torch', 'numpy', 'keras', 'yaml', 'mmengine', 'musket_core'} & set(sys.modules)))"
    )
    done = run(sys.executable, "-c", code)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
    assert "--gpus_per_net" in done.stdout


def test_musket_core_fit_is_the_same_program(run, musket):
    first, second = run(sys.executable, "-m", "musket_core.fit", "--help"), musket("fit", "--help")
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout


def test_an_unknown_command(capsys):
    assert main(["fitt"]) == 2
    assert "'fitt' is no command" in capsys.readouterr().err


def test_unknown_names_and_projects(project, add_experiment, tmp_path, capsys):
    add_experiment("exp01")
    assert fit.main(["--project", str(project), "--name", "exp02"]) == 2
    assert "'exp02' is no experiment of" in capsys.readouterr().err
    assert fit.main(["--project", str(tmp_path / "nowhere")]) == 2
    assert "is no project: it has no folder experiments" in capsys.readouterr().err


def test_the_project_around_a_folder(project, add_experiment):
    folder = add_experiment("group/exp01").parent
    assert project_around(folder) == (project, ["group/exp01"])
    assert project_around(folder.parent) == (project, [])
    assert project_around(project) == (project, [])
    assert project_around(project / "modules") == (project, [])


def test_from_inside_an_experiment_without_flags(add_experiment, monkeypatch, capsys):
    folder = add_experiment("exp01").parent
    add_experiment("exp02")
    monkeypatch.chdir(folder)
    assert fit.main([]) == 0
    out = capsys.readouterr().out
    assert "exp01: done in" in out
    assert "exp02" not in out
    assert (folder / "summary.yaml").exists()


def test_one_failure_does_not_stop_the_others_and_is_told(project, add_experiment, musket):
    """Relative project, names with spaces, a data folder, and exit status 1."""
    (project / "data").mkdir()
    bad = add_experiment("bad", replace=[("classes: 3", "classes: 2")])
    good = add_experiment("good", extra="imports: [shapes]\n")
    done = musket("fit", "--project", project.name, "--name", "bad, good", "--cache", "c", cwd=project.parent)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith(("bad:", "musket fit:"))]
    assert errors[0].startswith("bad: ")
    assert "classes is 2, but the dataset names 3 CLASSES" in errors[0]
    assert errors[1] == "musket fit: 1 of 2 experiments failed: bad."
    assert "Traceback" not in done.stderr
    (record,) = yaml.safe_load((bad.parent / "error.yaml").read_text())["errors"]
    assert "Traceback" in record["trace"]
    assert not (bad.parent / "summary.yaml").exists()
    assert not (bad.parent / "inProgress.yaml").exists()
    assert (good.parent / "summary.yaml").exists()
    assert "coco_segm_mAP" in done.stdout
    assert (project.parent / "c").is_dir()
    again = musket("fit", "--project", project.name, cwd=project.parent)
    assert again.returncode == 1
    assert "good" not in again.stdout


def test_a_file_of_another_dialect_is_not_trained(project, add_experiment, capsys):
    add_experiment(text="#%Musket Segmentation 1.0\nclasses: 1\n")
    assert fit.main(["--project", str(project)]) == 1
    assert "does not begin with #%Musket MMDetection 1.0" in capsys.readouterr().err


def test_only_report_and_folds(project, add_experiment, capsys):
    path = add_experiment(extra="folds_count: 2\n")
    arguments = ["--project", str(project), "--name", "exp01"]
    assert fit.main([*arguments, "--folds", "1"]) == 0
    assert yaml.safe_load((path.parent / "summary.yaml").read_text())["folds"] == [1]
    weights = path.parent / "weights" / "best-1.0.weights"
    before = weights.stat().st_mtime_ns
    (path.parent / "summary.yaml").unlink()
    assert fit.main([*arguments, "--only_report", "true"]) == 0
    assert weights.stat().st_mtime_ns == before
    assert yaml.safe_load((path.parent / "summary.yaml").read_text())["folds"] == [1]
    capsys.readouterr()
    assert fit.main([*arguments, "--folds", "5"]) == 1
    assert "fold 5 was asked for, but there are folds 0 to 1" in capsys.readouterr().err


def test_tasks_run_after_training(project, add_experiment):
    (project / "modules" / "tasks_here.py").write_text(
        "from musket_core import tasks, model\n\n@tasks.task\ndef measure2(m: model.ConnectedModel):\n"
        "    open('measured.txt', 'w').write(type(m).__name__)\n"
    )
    path = add_experiment()
    assert fit.main(["--project", str(project), "--launch_tasks", "true"]) == 0
    assert (path.parent / "measure2" / "measured.txt").read_text() == "PipelineConfig"
