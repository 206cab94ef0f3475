"""Images cut into cells: what is trained on, validated on, predicted and kept, by real runs."""

import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.cli import fit, predict
from instance_segmentation_pipeline.detection.tiles import Grid
from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.experiment.stage_work import StageWork
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.processes import wait_until
from tests.support.warm import started_musket
from tests.support.weights import weights_of

TILES = "tiles: {size: 64, overlap: 0.25, keep: 0.4}\nnativePipeline: false\nstorage_threshold: 0.0\n"
LARGE = [("get_shapes: {count: 12, size: 64}", "get_shapes: {count: 6, size: 100}")]


def stage(cfg, number=0):
    return StageWork(cfg, cfg.kfold(), FoldRequest(0), number)


@pytest.fixture
def cfg(add_experiment):
    return generic.parse(str(add_experiment(extra=TILES, replace=LARGE)))


def test_an_epoch_shows_each_cell_of_the_training_images_and_of_no_other(cfg):
    items = stage(cfg)._items()
    folds = cfg.kfold()
    train, validation = set(folds.indexes(0, True)), set(folds.indexes(0, False))
    assert not train & validation
    assert items.per_epoch() == len(items.train_cells) == 4 * len(train)
    assert set(items.train_cells.indices) == train
    assert set(items.validation_cells.indices) == validation
    assert items.validation == list(folds.indexes(0, False))
    assert f"schedule of items: {4 * len(train)} cells of {len(train)} images" in items.notes


def test_a_cell_is_its_part_of_the_image_and_of_its_objects(cfg):
    work = stage(cfg)
    items, finished = work._items(), cfg.finished()
    for training in (True, False):
        dataset = work._dataset(items, finished, training=training)
        cells = Grid(size=(64, 64), overlap=0.25).training(100, 100)
        for position in range(len(dataset)):
            read = dataset.read(position)
            index, cell = dataset.indices[position], cells[position % 4]
            whole_id, image, objects = dataset.reader.read(cfg.get_dataset(), index)
            assert read.item_id == whole_id
            np.testing.assert_array_equal(read.image, image[cell.top : cell.bottom, cell.left : cell.right])
            dense = objects.masks.to_dense()[:, cell.top : cell.bottom, cell.left : cell.right]
            shares = dense.sum(axis=(1, 2)) / objects.masks.areas()
            np.testing.assert_array_equal(read.instances.masks.to_dense(), dense[shares >= 0.4])
            assert (read.place["whole"] is not None) == (not training and position % 4 == 0)
        sample = dataset[0]
        assert sample["inputs"].shape == (3, 64, 64)


def test_negatives_and_the_size_of_an_epoch_count_cells(cfg):
    everything = stage(cfg)._items()
    positive = int(everything.train_cells.positive.sum())
    assert 0 < positive < len(everything.train_cells)
    cfg.stages[0].negatives = "none"
    alone = stage(cfg)._items()
    assert alone.per_epoch() == len(alone.train_cells) == positive
    assert alone.train_cells.positive.all()
    cfg.stages[0].negatives = 0.5
    some = stage(cfg)._items()
    assert some.per_epoch() == positive + min(round(positive / 2), len(everything.train_cells) - positive)
    cfg.stages[0].negatives = None
    cfg.maxEpochSize = 2
    assert stage(cfg)._items().per_epoch() == 8


def test_crops_are_cells_by_number_and_predicting_ones_overlap(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="crops: 3\n", replace=LARGE)))
    items = stage(cfg)._items()
    assert len(items.train_cells) == 9 * len(items.train)
    dataset = stage(cfg)._dataset(items, cfg.finished(), training=True)
    assert sum(dataset.read(position).image.shape[1] for position in range(3)) == 100
    shown = stage(cfg)._dataset(items, cfg.finished(), training=False)
    assert sum(shown.read(position).image.shape[1] for position in range(3)) > 100


def test_an_image_that_is_smaller_than_a_cell_is_the_cell(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="tiles: {size: 640}\n", replace=LARGE)))
    items = stage(cfg)._items()
    assert len(items.train_cells) == len(items.train)
    assert stage(cfg)._dataset(items, cfg.finished(), training=True).read(0).image.shape == (100, 100, 3)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    """An experiment with cells, trained for two epochs, with a holdout."""
    import shutil

    from tests.support.project import FAST, SHAPES, SMALL_CONFIG

    root = tmp_path_factory.mktemp("tiled")
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "experiments" / "exp01" / "config.yaml"
    path.parent.mkdir(parents=True)
    extra = TILES + "testSplit: 0.2\nvalidationSplit: 0.4\nmaxEpochSize: 2\n"
    text = FAST.format(config=SMALL_CONFIG, extra=extra).replace("count: 12, size: 64", "count: 8, size: 100")
    text = text.replace("stages:", "  model.test_cfg.score_thr: 0.0\n  model.test_cfg.max_per_img: 9\nstages:")
    path.write_text(text.replace("  - epochs: 1\n", "  - epochs: 2\n"))
    assert fit.main(["--project", str(root), "--name", "exp01"]) == 0
    return path


slow = pytest.mark.slow


@slow
def test_epochs_measure_whole_images_as_the_evaluation_does(tiled):
    cfg = generic.parse(str(tiled))
    rows = read_rows(cfg.files.stage(0, 0).metrics)
    assert len(rows) == 2
    best = max(rows, key=lambda row: row["val_coco_segm_mAP"])
    metrics = cfg.evaluate("validation", 0, 0)
    assert metrics["coco_segm_mAP"] == pytest.approx(best["val_coco_segm_mAP"], abs=1e-6)
    assert all(np.isfinite(row["val_loss"]) for row in rows)


@slow
def test_predictions_are_of_whole_images_and_made_anew_for_other_cells(tiled):
    cfg = generic.parse(str(tiled))
    found = cfg.predictions("holdout")
    assert found.is_current()
    for number in range(len(found)):
        one = found.detections(number)
        assert (one.height, one.width) == (100, 100)
        assert all(mask["size"] == [100, 100] for mask in one.masks)
    assert sum(len(found.detections(number)) for number in range(len(found)))
    before = found.fingerprint
    cfg.tiles = {"size": 80}
    other = cfg.predictor().stores([_question(cfg, found)])[0]
    assert other.fingerprint != before
    cfg.tiles = None
    whole = cfg.predictor().stores([_question(cfg, found)])[0]
    assert "cells" not in whole.fingerprint
    assert "cells" in before


def _question(cfg, found):
    from instance_segmentation_pipeline.inference.predictor import Question
    from instance_segmentation_pipeline.inference.trained_folds import Choice

    return Question(found.parent, Choice((0,), (0,)), cfg.files.config.parent / "other.sqlite")


@slow
@pytest.mark.parametrize("more", [(), ("--tta", "Horizontal")], ids=["plain", "views"])
def test_folders_are_predicted_by_cells_too(tiled, tmp_path, more):
    import json

    import cv2

    images = tmp_path / "images"
    images.mkdir()
    cfg = generic.parse(str(tiled))
    for number, (height, width) in enumerate([(100, 100), (40, 50), (64, 300)]):
        image = np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)
        cv2.imwrite(str(images / f"{number}.png"), image)
    project = str(tiled.parents[2])
    command = [
        "--project",
        project,
        "--name",
        "exp01",
        "--input",
        str(images),
        "--output",
        str(tmp_path / "out"),
        *more,
    ]
    assert predict.main(command) == 0
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(one["width"], one["height"]) for one in written["images"]] == [(100, 100), (50, 40), (300, 64)]
    assert all(one["segmentation"]["size"][0] in (100, 40, 64) for one in written["annotations"])
    assert cfg.load_model().grid == Grid(size=(64, 64), overlap=0.25, keep=0.4)


@slow
def test_a_resume_with_other_cells_is_refused(tiled):
    cfg = generic.parse(str(tiled))
    stage(cfg).check()
    for value in ({"size": 64, "overlap": 0.25, "keep": 0.5}, None):
        cfg.tiles = value
        with pytest.raises(WeightsError, match="tiles"):
            stage(cfg).check()


@slow
def test_a_killed_run_ends_with_the_same_bits(add_experiment):
    stages = ("  - epochs: 1\n", "  - {epochs: 3, negatives: 1}\n")
    extra = TILES + "augmentation: {Fliplr: 0.5}\nmaxEpochSize: 2\n"
    paths = [add_experiment(name, extra=extra, replace=[*LARGE, stages]) for name in ("whole", "killed")]
    flags = ["--project", str(paths[0].parents[2]), "--name"]
    assert fit.main([*flags, "whole"]) == 0
    with started_musket("fit", *flags, "killed") as process:
        wait_until((paths[1].parent / "weights" / "last-0.0.weights").exists, process)
    assert fit.main([*flags, "killed", "--allow_resume", "true"]) == 0
    whole, killed = (weights_of(generic.parse(str(path)).files.stage(0, 0).last_weights) for path in paths)
    assert whole == killed


@slow
def test_two_processes_share_the_cells(add_experiment):
    path = add_experiment("group", extra=TILES, replace=[*LARGE, ("imagesPerGpu: 4", "imagesPerGpu: 2")])
    assert fit.main(["--project", str(path.parents[2]), "--name", "group", "--gpus_per_net", "2"]) == 0
    cfg = generic.parse(str(path))
    (row,) = read_rows(cfg.files.stage(0, 0).metrics)
    assert cfg.evaluate("validation", 0, 0)["coco_segm_mAP"] == pytest.approx(row["val_coco_segm_mAP"], abs=1e-6)
