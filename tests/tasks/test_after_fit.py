"""Functions marked ``@after_fit``: each runs once, in the project; failures are told and cost the others nothing."""

import re
import sys
from pathlib import Path

import pytest

from instance_segmentation_pipeline.tasks.after_fit import run_after_fit

MODULE = """
from pathlib import Path
from musket_core import fit_callbacks
from musket_core.fit_callbacks import after_fit, get_after_fit_callbacks

def note(word):
    with open("said.txt", "a") as file:
        file.write(word + "\\n")

@after_fit
def first():
    note("first " + str(Path.cwd().name))

@fit_callbacks.after_fit
def second(word="second"):
    note(word)

assert first in get_after_fit_callbacks()
"""


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "mine"
    (root / "modules").mkdir(parents=True)
    yield root
    for name in ("callbacks_of_test", "other_of_test"):
        sys.modules.pop(name, None)
    sys.path[:] = [entry for entry in sys.path if str(tmp_path) not in entry]


def test_each_runs_once_in_the_projects_folder(project):
    (project / "modules" / "callbacks_of_test.py").write_text(MODULE)
    (project / "modules" / "other_of_test.py").write_text("from callbacks_of_test import first\n")
    here = Path.cwd()
    assert run_after_fit(project) == []
    assert (project / "said.txt").read_text() == "first mine\nsecond\n"
    assert Path.cwd() == here


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", r"sys.exit\(3\) was called"),
        ("raise ValueError('ends with a stop.')", "ValueError: ends with a stop; what was trained is kept."),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
    ],
)
def test_one_that_fails_costs_the_others_nothing(project, body, words):
    failing = f"\n@after_fit\ndef third():\n    {body}\n\n@after_fit\ndef fourth():\n    note('fourth')\n"
    (project / "modules" / "callbacks_of_test.py").write_text(MODULE + failing)
    (failure,) = run_after_fit(project)
    assert failure.startswith("after_fit: callbacks_of_test.third failed: ")
    assert re.search(words, failure)
    assert (project / "said.txt").read_text().splitlines()[-1] == "fourth"


def test_one_that_wants_arguments_is_told(project):
    (project / "modules" / "callbacks_of_test.py").write_text(MODULE + "\n@after_fit\ndef third(cfg):\n    pass\n")
    (failure,) = run_after_fit(project)
    assert "it is called without arguments (missing a required argument: 'cfg')" in failure


def test_a_module_that_cannot_be_imported_is_told(project):
    (project / "modules" / "callbacks_of_test.py").write_text("1 / 0\n")
    (failure,) = run_after_fit(project)
    assert "the module 'callbacks_of_test' cannot be imported" in failure


def test_a_project_without_any(project):
    assert run_after_fit(project) == []
