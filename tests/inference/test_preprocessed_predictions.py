"""What is predicted on goes through ``preprocessing``: datasets, parts and folders; and training reads what it draws."""

import cv2
import numpy as np
import pytest
import yaml
from musket_core import generic
from musket_core.datasets import DataSet, PredictionItem

from instance_segmentation_pipeline.inference.detector import Detector
from tests.support.datasets import shapes

pytestmark = pytest.mark.slow

MODULE = """
import numpy as np
from musket_core import datasets, preprocessing
from musket_core.datasets import PredictionItem


@preprocessing.dataset_preprocessor
def inverted(input):
    return 255 - input


@preprocessing.dataset_preprocessor
def picky(input: PredictionItem):
    if input.id == "2.png":
        raise ValueError("no such image")
    return input


@preprocessing.dataset_preprocessor
def halved(input: PredictionItem):
    labels, boxes, masks = input.y
    kept = [number for number, mask in enumerate(masks) if mask[::2, ::2].sum() > 4]
    masks = masks[kept][:, ::2, ::2]
    tight = np.zeros((len(kept), 4), np.float32)
    for number, mask in enumerate(masks):
        rows, columns = np.where(mask)
        tight[number] = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    return PredictionItem(input.id, input.x[::2, ::2].copy(), (labels[kept], tight, masks))


@preprocessing.dataset_transformer
def same(input):
    return datasets.SubDataSet(input, list(range(len(input))))
"""
CHAIN = "preprocessing: [picky, same, inverted, disk-cache]\n"


class Files(DataSet):
    """The images of a folder, as a dataset without targets."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        empty = (np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 64, 64), bool))
        return PredictionItem(f"image{item}", self.images[item], empty)


@pytest.fixture
def folder(tmp_path):
    """Write four images to a folder."""
    path = tmp_path / "images"
    path.mkdir()
    for number in range(4):
        cv2.imwrite(str(path / f"{number}.png"), shapes(4, 64, 3)[number].x[..., ::-1])
    return path


def test_folders_and_datasets_go_through_it(project, add_experiment, folder, capsys, monkeypatch):
    (project / "modules" / "steps.py").write_text(MODULE)
    path = add_experiment("exp01", CHAIN)
    cfg = generic.parse(str(path))
    cfg.fit()
    assert yaml.safe_load((path.parent / "summary.yaml").read_text())["completed"]
    shown = []
    monkeypatch.setattr(Detector, "detect", seeing(shown, Detector.detect))
    batches = list(cfg.predict_on_directory(str(folder)))
    assert [name for batch in batches for name in batch.data] == ["0.png", "1.png", "3.png"]
    assert "2.png item '2.png': the preprocessor picky failed" in capsys.readouterr().err
    pixels = [shapes(4, 64, 3)[number].x for number in (0, 1, 3)]
    images = [image for batch in batches for image in batch.images]
    assert all((image == x).all() for image, x in zip(images, pixels, strict=True))  # as they are in their files
    assert all((image == 255 - x).all() for image, x in zip(shown, pixels, strict=True))  # as the net is shown them
    (batch,) = cfg.predict_on_dataset(Files(pixels), batch_size=4)
    assert all((image == 255 - x).all() for image, x in zip(shown[3:], pixels, strict=True))
    assert [len(one[0]) for one in batch.results] == [len(one[0]) for each in batches for one in each.results]


def seeing(shown, detect):
    def seen(self, images):
        shown.extend(images)
        return detect(self, images)

    return seen


def test_a_folder_is_not_predicted_on_at_another_size(project, add_experiment, folder, musket, tmp_path):
    (project / "modules" / "steps.py").write_text(MODULE)
    path = add_experiment("exp01", "preprocessing: halved\n")
    generic.parse(str(path)).fit()
    out = tmp_path / "out"
    told = musket("predict", "--project", project, "--name", "exp01", "--input", folder, "--output", out)
    assert "makes an image of 32 x 32 of one of 64 x 64" in told.stdout + told.stderr
    assert "Traceback" not in told.stderr
    store = generic.parse(str(path)).predict_all_to_dataset(Files([shapes(1, 64, 3)[0].x]))
    assert store.detections(0).height == 32


DRAWN = """
import os

from musket_core import preprocessing


@preprocessing.dataset_preprocessor
def noted(input, by):
    with open(os.environ["NOTES"], "a") as file:
        file.write("x")
    return input // 2 + by


@preprocessing.dataset_preprocessor
def read(input):
    with open(os.environ["READS"], "a") as file:
        file.write("x")
    return input
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_training_alone_sees_what_an_augmentation_draws(project, add_experiment, tmp_path, monkeypatch, workers):
    notes, reads = tmp_path / "notes", tmp_path / "reads"
    monkeypatch.setenv("NOTES", str(notes))
    monkeypatch.setenv("READS", str(reads))
    (project / "modules" / "drawing.py").write_text(DRAWN)
    rows = []
    for name, weights in (("always", "1"), ("half", "0.5"), ("again", "0.5")):
        for file in (notes, reads):
            file.write_text("")
        chain = f"[read, cache, {{augmentation: {{body: [{{noted: 60}}], weights: [{weights}]}}}}]"
        extra = f"workersPerGpu: {workers}\nvalidationSplit: 0.34\npreprocessing: {chain}\n"
        cfg = generic.parse(str(add_experiment(name, extra, replace=[("epochs: 1", "epochs: 2")])))
        cfg.check()
        notes.write_text("")
        cfg.fit()
        train = len(cfg.kfold().indexes(0, True))
        assert train == 7
        drawn = len(notes.read_text())
        assert drawn >= 2 * train if weights == "1" else 0 < drawn < 2 * train + 8
        assert len(reads.read_text()) <= 2 * 12  # by the check here and by the fit, not by each epoch
        if name == "always":
            cfg.predict_all_to_dataset(cfg.get_dataset(), 0, 0)
            assert len(notes.read_text()) == drawn
        rows.append(cfg.files.stage(0, 0).metrics.read_text())
    assert rows[1] == rows[2] != rows[0]
