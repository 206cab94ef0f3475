"""Experiments below a folder, however links lead: found once each, and the search ends."""

import argparse

import pytest

from instance_segmentation_pipeline.cli.project_lookup import _experiments, chosen, project_at
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.storage.experiment_search import config_files


@pytest.fixture
def root(tmp_path):
    """Return a project with the experiments ``b`` and ``group/c``."""
    root = tmp_path / "project"
    for name in ("b", "group/c"):
        made(root / "experiments" / name)
    return root


def made(folder):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("#%Musket MMDetection 1.0\n")


def found(root):
    """Return the names of the experiments that the two searches find, which are the same."""
    top = root / "experiments"
    names = [path.parent.relative_to(top).as_posix() for path in config_files(top)]
    assert names == [path.parent.relative_to(top).as_posix() for path in config_files(root)]
    assert names == [experiment.name() for experiment in _experiments(project_at(root))]
    return names


LINKS = {
    "circle": ("experiments/again", "experiments"),
    "circle below": ("experiments/group/up", "experiments/group"),
    "to the project": ("experiments/top", "."),
    "to what holds the project": ("experiments/above", ".."),
    "to the root": ("experiments/root", "/"),
    "to itself": ("experiments/self", "experiments/self"),
    "to nothing": ("experiments/gone", "nowhere"),
    "to an experiment": ("experiments/a", "experiments/b"),
    "in an experiment": ("experiments/b/again", "experiments/b"),
}


@pytest.mark.parametrize("place, target", LINKS.values(), ids=LINKS)
def test_links_end(root, place, target):
    (root / place).symlink_to(root / target)
    assert found(root) == ["b", "group/c"]


def test_experiments_elsewhere_are_found_once(root, tmp_path):
    made(tmp_path / "elsewhere" / "d")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    for name in ("first", "second"):
        (root / "experiments" / name).symlink_to(tmp_path / "elsewhere")
    assert found(root) == ["b", "first/d", "group/c"]


def test_a_link_is_a_name_that_can_be_given(root):
    (root / "experiments" / "latest").symlink_to("b")
    (root / "experiments" / "gone").symlink_to("nowhere")
    options = argparse.Namespace(project=root, name=["latest"], cache=None)
    assert [experiment.name() for experiment in chosen(options, bool)] == ["latest"]
    for name in ("gone", "../experiments/b", str(root / "experiments" / "b")):
        options.name = [name]
        with pytest.raises(ConfigError, match="is no experiment of"):
            chosen(options, bool)
