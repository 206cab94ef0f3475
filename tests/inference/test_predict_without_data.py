"""An experiment that was copied alone, its config.yaml and weights, answers as it does beside its dataset."""

import json
import shutil

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.inference.trained_folds import TrainedFolds


@pytest.fixture
def bare(trained, tmp_path):
    """Return the config.yaml of a copy of the trained experiment that has nothing beside it but weights."""
    folder = tmp_path / "elsewhere" / "experiments" / "exp01"
    shutil.copytree(trained.parent / "weights", folder / "weights")
    text = trained.read_text().replace("get_shapes", "get_photos")  # the other is known to this process
    (folder / "config.yaml").write_text(text)
    return folder / "config.yaml"


@pytest.fixture
def images(trained, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(trained.parent / "examples" / "0" / "0", folder)
    return folder


def answer(path):
    return json.loads((path / "predictions.json").read_text())


def test_a_folder_is_predicted_as_beside_the_dataset(trained, bare, images, tmp_path, capsys):
    beside, alone = tmp_path / "beside", tmp_path / "alone"
    generic.parse(str(trained)).predict_to_directory(str(images), str(beside), "all", -1)
    capsys.readouterr()
    generic.parse(str(bare)).predict_to_directory(str(images), str(alone), "all", -1)
    assert "the weights tell classes and folds, the dataset is not here" in capsys.readouterr().out
    assert answer(alone) == answer(beside)
    assert [one["name"] for one in answer(alone)["categories"]] == ["disc", "square", "triangle"]
    assert sorted(one.name for one in bare.parent.iterdir()) == ["config.yaml", "weights"]


def test_the_command_predicts_alone(bare, images, tmp_path, musket):
    done = musket("predict", "--input", images, "--output", tmp_path / "out", cwd=bare.parent)
    assert done.returncode == 0, done.stderr
    assert len(answer(tmp_path / "out")["images"]) == len(list(images.iterdir()))


def test_nets_load_alone_and_items_are_still_asked_of_the_dataset(bare):
    cfg = generic.parse(str(bare))
    assert cfg.load_model([0, 1], 1) is not None
    assert cfg.createNetForInference(1).dataset_meta["classes"] == ("disc", "square", "triangle")
    assert cfg.reader().needs_masks
    assert cfg.reader().bbox_order == "yxyx"
    with pytest.raises(UserError, match="get_photos"):
        cfg.evaluate("holdout")
    with pytest.raises(UserError, match="get_photos"):
        cfg.check()


def test_without_weights_the_missing_dataset_is_the_error(bare):
    shutil.rmtree(bare.parent / "weights")
    with pytest.raises(UserError, match="get_photos"):
        generic.parse(str(bare)).load_model(0)


def test_what_weights_tell(trained, tmp_path):
    files = generic.parse(str(trained)).files
    folds = TrainedFolds([files])
    assert (folds.folds(), folds.class_names(), folds.bbox_order()) == ((0, 1), ("disc", "square", "triangle"), "yxyx")
