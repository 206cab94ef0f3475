"""Entries of a folder of images that are links: they are read, or named and left out."""

import numpy as np
import pytest

from instance_segmentation_pipeline.data.image_folder import Directory
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.visualization.draw import write_jpeg


@pytest.fixture
def folder(tmp_path):
    """Return a folder with an image, and links that lead to no image."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_jpeg(folder / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "x.jpg").symlink_to("y.jpg")
    (folder / "y.jpg").symlink_to("x.jpg")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (folder / "folder.jpg").symlink_to(folder)
    (folder / "linked.jpg").symlink_to("a.jpg")
    (folder / "again").symlink_to(folder)
    return folder


def test_links_are_read_or_named(folder):
    images = Directory(folder)
    assert [name for name, _ in images.images()] == ["a.jpg", "linked.jpg"]
    assert sorted(images.skipped) == ["folder.jpg", "gone.jpg", "self.jpg", "x.jpg", "y.jpg"]


@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_a_folder_that_is_such_a_link(tmp_path, target):
    (tmp_path / "loop").symlink_to(tmp_path / target)
    with pytest.raises(DatasetError, match="loop"):
        Directory(tmp_path / "loop")
