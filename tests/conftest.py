"""Fixtures: a scratch copy of the shapes project, and ways to run the command line in a real process."""

import os
import shutil
import subprocess

import hypothesis
import pytest

from tests.support.processes import PATIENCE, PROGRAM
from tests.support.project import FAST, SHAPES, SMALL_CONFIG, TWO_BY_TWO, TWO_STAGES
from tests.support.warm import run_musket

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many workers as the smallest machine has cores


# Drawn examples are the same in every run, and none has to be fast; HYPOTHESIS_PROFILE=search looks for new ones.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def _stay_in_place():
    """Bring the working directory back after each test."""
    before = os.getcwd()
    yield
    os.chdir(before)


@pytest.fixture
def project(tmp_path):
    """Return a scratch Musket project with the shapes dataset and no experiments."""
    root = tmp_path / "project"
    (root / "experiments").mkdir(parents=True)
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def add_experiment(project):
    """Return a function that writes an experiment to the scratch project and returns its config.yaml."""

    def add(name="exp01", extra="", text=None, replace=()):
        folder = project / "experiments" / name
        folder.mkdir(parents=True)
        content = FAST.format(config=SMALL_CONFIG, extra=extra) if text is None else text
        for old, new in replace:
            assert old in content
            content = content.replace(old, new)
        (folder / "config.yaml").write_text(content)
        return folder / "config.yaml"

    return add


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A project whose experiment was trained once: two folds, two stages, a holdout."""
    from musket_core.projects import Project

    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "experiments" / "exp01" / "config.yaml"
    path.parent.mkdir(parents=True)
    text = FAST.format(config=SMALL_CONFIG, extra=TWO_BY_TWO)
    path.write_text(text.replace(*TWO_STAGES[0]))
    assert Project(str(root)).byName("exp01").fit() == []
    return path


@pytest.fixture
def run():
    """Return a function that runs a command and gives back the completed process, output as text."""

    def call(*command, cwd=None, env=None, timeout=PATIENCE):
        environment = {"OMP_NUM_THREADS": "2", **os.environ, **(env or {})}
        return subprocess.run(
            [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
        )

    return call


@pytest.fixture
def musket(run):
    """Return a function that runs the ``musket`` command of this environment; with ``env``, from a new interpreter."""

    def call(*arguments, env=None, timeout=PATIENCE, **options):
        if env is not None:
            return run(PROGRAM, *arguments, env=env, timeout=timeout, **options)
        return run_musket(*arguments, timeout=timeout, **options)

    return call


TRAINS = {"trained", "musket"}
"""Fixtures that train, or start the whole program: tests that use them are slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what trains as slow, and skip what needs a GPU where there is none."""
    import torch

    for item in items:
        if TRAINS & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="this machine has no CUDA device"))
