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


def test_meta_is_read_once_and_without_tensors(tmp_path, monkeypatch):
    from instance_segmentation_pipeline.errors import WeightsError
    from instance_segmentation_pipeline.models import checkpoint_reader
    from instance_segmentation_pipeline.models.checkpoints import read_meta

    path, loads = tmp_path / "a.pth", []
    real = torch.load
    monkeypatch.setattr(checkpoint_reader.torch, "load", lambda *a, **k: loads.append(k["mmap"]) or real(*a, **k))
    meta = {"epoch": 3, "rows": [{"epoch": 0}], "random_states": [torch.ones(3)]}
    torch.save({"state_dict": {"a": torch.ones(1000)}, "meta": meta}, path)
    for _ in range(3):
        assert read_meta(path) == {"epoch": 3, "rows": [{"epoch": 0}]}
    assert loads == [True]
    torch.save({"state_dict": {"a": torch.ones(1001)}, "meta": {"epoch": 4}}, path)
    assert read_meta(path) == {"epoch": 4}
    assert loads == [True, True]
    with pytest.raises(WeightsError, match="does not exist"):
        read_meta(tmp_path / "b.pth")


@pytest.mark.slow
def test_resuming_reads_the_last_checkpoint_once(trained, tmp_path, monkeypatch):
    """Its tensors, that is; what it tells of itself was read before anything was decided."""
    import shutil

    from musket_core import generic

    from instance_segmentation_pipeline.models import checkpoint_reader

    shutil.copytree(trained.parents[2], tmp_path / "project")
    cfg = generic.parse(str(tmp_path / "project" / "experiments" / "exp01" / "config.yaml"))
    cfg.files.summary.unlink()
    text = cfg.files.config.read_text()
    assert text.count("  - epochs: 1\n    lr: 0.0005\n") == 1
    cfg.files.config.write_text(text.replace("  - epochs: 1\n    lr: 0.0005\n", "  - epochs: 2\n    lr: 0.0005\n"))
    loads = []
    real = torch.load

    def load(path, *arguments, **options):
        if not options["mmap"]:
            loads.append(str(path).rpartition("/")[2])
        return real(path, *arguments, **options)

    monkeypatch.setattr(checkpoint_reader.torch, "load", load)
    cfg = generic.parse(str(cfg.files.config))
    cfg.setAllowResume(True)
    cfg.fit(foldsToExecute=[0])
    assert [name for name in loads if name.startswith("last")] == ["last-0.1.weights"]
