"""Projects with many finished experiments: what is not asked for is not read."""

import os

import pytest
from musket_core.experiment import Experiment
from musket_core.projects import Project

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.reporting import analysis
from instance_segmentation_pipeline.storage import summary_file
from instance_segmentation_pipeline.storage.experiment_search import config_files
from instance_segmentation_pipeline.storage.summary_file import is_completed

pytestmark = pytest.mark.slow

HEADS = [
    ("completed: true\n", True),
    ("completed: True\nfolds: [0]\n", True),
    ("completed: yes\n", True),
    ('"completed": "true"\n', True),
    ("cfgName: completed\ncompleted: true\n", True),
    ("folds: [0, 1]\nstages: [{completed: false}]\ncompleted: true\n", True),
    ("stages: {completed: true}\n", False),
    ("a: {completed: true}\ncompleted: false\n", False),
    ("- completed\n- true\n", False),
    ("- completed: true\n", False),
    ("completed: false\n", False),
    ("completed:\n", False),
    ("completed: 0\n", False),
    ("a: b\n", False),
    ("Error\n", False),
    ("", False),
    ("# nothing\n", False),
    ("completed: [true]\n", True),
]


@pytest.fixture
def read(monkeypatch):
    """Return the summaries that are read whole, in order."""
    paths = []

    def reading(path, real=summary_file.read_yaml):
        paths.append(path.parent.name)
        return real(path)

    monkeypatch.setattr(summary_file, "read_yaml", reading)
    return paths


@pytest.mark.parametrize(("text", "expected"), HEADS)
def test_the_word_completed(tmp_path, text, expected):
    """As reading all of it would tell, but for a value that is no scalar, which no summary has."""
    (tmp_path / "summary.yaml").write_text(text)
    assert is_completed(tmp_path / "summary.yaml") is (expected and "[true]" not in text)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{a: [", b"a: [\n", b"\t: 1\n"])
def test_a_summary_that_is_no_yaml_is_one_sentence(tmp_path, content):
    path = tmp_path / "summary.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"summary.yaml cannot be read .*--only_report true writes it anew\.$"):
        is_completed(path)


def test_numbers_after_the_word_are_not_read(tmp_path):
    """They claim a terabyte, which nobody could read."""
    path = tmp_path / "summary.yaml"
    with path.open("wb") as file:
        file.write(b"completed: true\nstages:\n" + b"- a\n" * 100_000)
        file.truncate(1 << 40)
    assert is_completed(path)


def test_choosing_reads_no_summary(project, finished, add_experiment, read, monkeypatch):
    for number in range(20):
        finished(f"e{number:02}", 0.5)
    add_experiment("todo")
    trained = []
    monkeypatch.setattr(Experiment, "fit", lambda self, reporter=None: trained.append(self.name()))
    monkeypatch.setattr("instance_segmentation_pipeline.cli.fit._report", lambda *_: None)
    assert main(["fit", "--project", str(project)]) == 0
    assert trained == ["todo"]
    assert read == []
    assert sum(one.isCompleted() for one in Project(str(project)).experiments()) == 20
    assert read == []


def test_each_summary_is_read_once(project, finished, add_experiment, read):
    for number in range(5):
        finished(f"e{number}", 0.5)
    add_experiment("unfinished")
    assert len(analysis.analyse(project).experiments) == 5
    assert read == [f"e{number}" for number in range(5)]


def test_data_is_not_searched(project, finished, monkeypatch):
    """A project's data, and what runs write, may be millions of files; experiments may have any name."""
    wanted = [finished(name, 0.5) / "config.yaml" for name in ("a", "data", "group/previous", "metrics/b")]
    for name in ("data/c", "data/d/experiments/e", "modules/f", ".venv/g", "experiments/a/previous/h"):
        (project / name).mkdir(parents=True)
        (project / name / "config.yaml").write_text("#%Musket MMDetection 1.0\n")
    (project / "experiments" / "loop").symlink_to(project)
    listed = []

    def walk(*arguments, real=os.walk):
        for entry in real(*arguments):
            listed.append(os.path.relpath(entry[0], project))
            yield entry

    monkeypatch.setattr(os, "walk", walk)
    assert sorted(config_files(project)) == sorted(wanted)
    assert sorted(config_files(project / "experiments")) == sorted(wanted)
    assert not {"data", "modules", ".venv", "experiments/a/previous", "experiments/a/metrics"} & set(listed)


def test_analysing_loads_no_torch(project, finished, run):
    finished("a", 0.5)
    code = (
        "import sys\nfrom instance_segmentation_pipeline.cli import main\n"
        f"assert main(['analize', '--inputFolder', {str(project)!r}, '--html', 'false']) == 0\n"
        "assert 'torch' not in sys.modules and 'musket_core' not in sys.modules"
    )
    done = run(os.sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
