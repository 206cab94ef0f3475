"""How often the records of a checkpoint are compared with their checksums: once while the file is the same."""

import zipfile

import pytest
import torch

from instance_segmentation_pipeline.models.checkpoints import last_checkpoint, read_checkpoint
from instance_segmentation_pipeline.storage.experiment_files import StageFiles


@pytest.fixture
def tested(monkeypatch):
    """Return the names of the files whose checksums are computed."""
    names = []

    def testzip(self, real=zipfile.ZipFile.testzip):
        names.append(self.filename.rpartition("/")[2])
        return real(self)

    monkeypatch.setattr(zipfile.ZipFile, "testzip", testzip)
    return names


def save(path, value):
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": {"a": torch.full((3,), value)}, "meta": {"epoch": 1}}, path)


def test_a_resumed_stage_reads_each_checkpoint_once(tmp_path, tested):
    """Whether there is something to go on from is asked by stage, finished stage, trainer and reader."""
    files = StageFiles(tmp_path, 0, 0)
    save(files.last_weights, 1.0)
    for _ in range(3):
        assert last_checkpoint(files) == files.last_weights
        assert read_checkpoint(files.last_weights)["meta"]["epoch"] == 1
    assert tested == ["last-0.0.weights"]


def test_a_checkpoint_that_was_written_anew_is_compared_anew(tmp_path, tested):
    files = StageFiles(tmp_path, 0, 0)
    save(files.last_weights, 1.0)
    last_checkpoint(files)
    files.last_weights.rename(files.previous_weights)
    save(files.last_weights, 2.0)
    data = bytearray(files.last_weights.read_bytes())
    place = data.index(torch.full((3,), 2.0).numpy().tobytes())
    data[place] ^= 1
    files.last_weights.write_bytes(data)
    for _ in range(2):
        assert last_checkpoint(files) == files.previous_weights
    assert tested == ["last-0.0.weights", "last-0.0.weights", "last-0.0.previous"]
