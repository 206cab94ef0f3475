"""An experiment that was copied alone, its config.yaml and weights, answers as it does beside its dataset.

The weights tell classes, folds and boxes. The project's modules are imported where items of its dataset are asked for,
and nowhere else: a provider that fails is then an error, and no reason to do without it.
"""

import json
import shutil

import pytest
from musket_core import generic

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.inference.trained_folds import TrainedFolds
from tests.support.datasets import shapes


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


def test_a_folder_is_predicted_as_beside_the_dataset(trained, bare, images, tmp_path):
    beside, alone = tmp_path / "beside", tmp_path / "alone"
    with_dataset = generic.parse(str(trained))
    with_dataset.get_dataset()
    with_dataset.predict_to_directory(str(images), str(beside), "all", -1)
    generic.parse(str(bare)).predict_to_directory(str(images), str(alone), "all", -1)
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
    for ask in (lambda cfg: cfg.class_names(), lambda cfg: cfg.reader(), lambda cfg: cfg.predictions("validation")):
        with pytest.raises(UserError, match="get_photos"):
            ask(generic.parse(str(bare)))
    with pytest.raises(UserError, match=r"fold 0 stage 1 is not trained, .*best-0.1.weights does not exist"):
        generic.parse(str(bare)).load_model(0)


@pytest.fixture
def broken(trained, tmp_path):
    """Return the config.yaml of a copy of the trained project whose module fails when it is imported."""
    root = tmp_path / "broken"
    folder = root / "experiments" / "exp01"
    shutil.copytree(trained.parent, folder)
    (root / "modules").mkdir()
    text = "from pathlib import Path\nPath(__file__).with_name('was_imported').touch()\nraise OSError('disk is gone')\n"
    (root / "modules" / "photos.py").write_text(text)
    (folder / "config.yaml").write_text(trained.read_text().replace("get_shapes", "get_photos"))
    return folder / "config.yaml"


QUESTIONS = {
    "a folder": lambda cfg, images, out: cfg.predict_to_directory(str(images), str(out), "all", -1),
    "batches of a folder": lambda cfg, images, out: list(cfg.predict_on_directory(str(images), [0, 1], 1)),
    "a net": lambda cfg, images, out: cfg.createNetForInference(1),
    "an ensemble": lambda cfg, images, out: cfg.load_model([0, 1], [0, 1]),
    "a dataset of the caller's": lambda cfg, images, out: cfg.predict_all_to_array(shapes(3), 0, 1),
    "its store": lambda cfg, images, out: cfg.predictions(shapes(3), [0, 1], 1),
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_modules_are_not_imported_where_no_item_of_theirs_is_asked_for(broken, images, tmp_path, what):
    QUESTIONS[what](generic.parse(str(broken)), images, tmp_path / "out")
    assert not (broken.parents[2] / "modules" / "was_imported").exists()


def test_the_command_imports_no_module(broken, images, tmp_path, musket):
    done = musket("predict", "--input", images, "--output", tmp_path / "out", cwd=broken.parent)
    assert done.returncode == 0, done.stderr
    assert "disk is gone" not in done.stdout + done.stderr
    assert not (broken.parents[2] / "modules" / "was_imported").exists()


@pytest.mark.parametrize("name", ["validation", "validation0", "train", "holdout"])
def test_a_provider_that_fails_is_the_error_where_its_items_are_asked_for(broken, name):
    cfg = generic.parse(str(broken))
    assert cfg.class_names() == ("disc", "square", "triangle")
    for ask in (cfg.predictions, cfg.evaluate, lambda name: list(cfg.predict_on_dataset(name))):
        with pytest.raises(UserError, match="disk is gone"):
            ask(name)


def test_names_that_the_weights_do_not_have_are_refused(bare):
    bare.write_text(bare.read_text().replace("classes: 3\n", "classes: 4\n"))
    with pytest.raises(UserError, match=r"classes is 4, but the weights in .*weights have 3 CLASSES \(disc, square"):
        generic.parse(str(bare)).load_model(0)


def test_what_was_set_after_a_first_question_takes_effect(bare):
    cfg = generic.parse(str(bare))
    assert cfg.finished() is cfg.finished()
    before = cfg.finished()
    cfg.shape = [96, 96]
    assert cfg.finished().val_pipeline != before.val_pipeline
    cfg.configOptions["model.test_cfg.max_per_img"] = 7
    assert cfg.finished().config.model.test_cfg.max_per_img == 7


def test_what_weights_tell(trained, tmp_path):
    files = generic.parse(str(trained)).files
    folds = TrainedFolds([files])
    assert (folds.folds(), folds.class_names(), folds.bbox_order()) == ((0, 1), ("disc", "square", "triangle"), "yxyx")
