"""A split file that is not as it was written: told as that, and deleting it, as the message says, helps."""

import shutil

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import DatasetError


def without(content, *starts):
    return b"".join(line for line in content.splitlines(keepends=True) if not line.startswith(starts))


DAMAGES = {
    "empty": lambda content: b"",
    "binary": lambda content: bytes(range(256)),
    "line ends of Windows": lambda content: content.replace(b"\n", b"\r\n"),
    "one long line": lambda content: content.replace(b"\n", b" "),
    "cut": lambda content: content[:-9],
    "no digest": lambda content: without(content, b"# content "),
    "positions alone": lambda content: without(content, b"# content ", b"# items "),
}


def split(path):
    cfg = generic.parse(str(path))
    cfg.setAllowResume(True)
    return [list(map(list, pair)) for pair in cfg.kfold().folds]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_split_of_a_trained_experiment(trained, tmp_path, damage):
    root = tmp_path / "project"
    shutil.copytree(trained.parents[2], root)
    path = root / "experiments" / trained.parent.name / "config.yaml"
    before = split(path)
    file = path.with_name("config.yaml.folds_split")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DatasetError, match="was edited or cut since it was written: put it back, or delete it"):
        split(path)
    file.unlink()
    assert split(path) == before
