"""From a path, or an experiment's name, to a PipelineConfig."""

import numpy as np
import pytest
from musket_core import generic
from musket_core.context import context
from musket_core.generic_config import GenericImageTaskConfig
from musket_core.projects import Project

from instance_segmentation_pipeline.detection.instances import any_masks
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from instance_segmentation_pipeline.experiment.pipeline_config import PipelineConfig
from tests.support.datasets import Items, shapes, square


def test_a_file_becomes_our_config(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    assert type(cfg) is PipelineConfig
    assert isinstance(cfg, GenericImageTaskConfig)
    assert cfg.classes == 3
    assert [stage.epochs for stage in cfg.stages] == [1]


@pytest.mark.parametrize("header", ["#%Musket MMDetection 1.0", "#%Musket MMDetection", "#%musket mmdetection 1.0  "])
def test_headers(add_experiment, header):
    path = add_experiment(replace=[("#%Musket MMDetection 1.0", header)])
    assert type(generic.parse(str(path))) is PipelineConfig


def test_a_relative_path_stays_right_after_a_change_of_folder(add_experiment, monkeypatch, tmp_path):
    path = add_experiment()
    monkeypatch.chdir(path.parent)
    cfg = generic.parse("config.yaml")
    monkeypatch.chdir(tmp_path)
    assert cfg.path == str(path)
    assert cfg.directory() == str(path.parent)


def test_an_experiment_by_name_with_common_yaml(add_experiment, project):
    add_experiment("exp01")
    (project / "common.yaml").write_text("testSplitSeed: 7\nclasses: 9\ndatasets:\n  other: {get_shapes: [5]}\n")
    context.projectPath = str(project)
    cfg = generic.parse("exp01")
    assert (cfg.testSplitSeed, cfg.classes) == (7, 3)
    assert len(cfg.get_dataset("other")) == 5


def test_an_empty_common_yaml_is_fine(add_experiment, project):
    (project / "common.yaml").write_text("")
    assert generic.parse(str(add_experiment())).classes == 3


def test_through_project_and_experiment(add_experiment, project):
    add_experiment("a/b")
    (project / "common.yaml").write_text("random_state: 5\n")
    experiment = Project(str(project)).byName("a/b")
    assert experiment.name() == "a/b"
    assert experiment.parse_config().random_state == 5
    assert experiment.result() is None


def test_a_folder_called_experiments_above_does_not_mislead(tmp_path, add_experiment, project):
    add_experiment()
    elsewhere = tmp_path / "experiments" / "here"
    elsewhere.parent.mkdir()
    project.rename(elsewhere)
    cfg = generic.parse(str(elsewhere / "experiments" / "exp01" / "config.yaml"))
    assert cfg.get_project_path() == str(elsewhere)
    assert len(cfg.get_dataset()) == 12


def test_the_project_is_found_without_modules(tmp_path):
    """Upstream looks for a folder ``modules`` upwards for ever."""
    path = tmp_path / "config.yaml"
    path.write_text("#%Musket MMDetection 1.0\nconfigPath: c.py\nstages: [{epochs: 1}]\n")
    assert generic.parse(str(path)).get_project_path() == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [", "is not valid YAML"),
        ("- 1", "must be a mapping of properties, but it is a list"),
        ("classes: 3\nclasses: 4", "'classes' is given twice (line 3)"),
        ("confgPath: a", "confgPath is not a property of the MMDetection dialect (did you mean 'configPath'?)"),
        ("classes: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_bad_yaml_names_the_file(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text("#%Musket MMDetection 1.0\n" + text + "\n")
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_name_that_is_nothing(project):
    context.projectPath = str(project)
    with pytest.raises(ConfigError, match="nowhere is neither a file nor an experiment"):
        generic.parse("nowhere")


def provider(project, text):
    (project / "modules" / "own.py").write_text(
        "from musket_core.datasets import DataSet, dataset_provider\nfrom shapes import Shapes\n" + text
    )


def test_a_provider_without_arguments(add_experiment, project):
    provider(project, "@dataset_provider\ndef getTrain2():\n    return Shapes(7, 32, 0)\n")
    path = add_experiment(replace=[("get_shapes: {count: 12, size: 64}", "getTrain2:")])
    assert len(generic.parse(str(path)).get_dataset()) == 7


@pytest.mark.parametrize("arguments", ["[9, 32]", "{count: 9}", "9", "{args: [9]}"])
def test_ways_to_give_arguments(add_experiment, arguments):
    path = add_experiment(replace=[("{count: 12, size: 64}", arguments)])
    assert len(generic.parse(str(path)).get_dataset()) == 9


def test_an_error_in_a_provider_keeps_its_words(add_experiment, project):
    provider(project, "@dataset_provider()\ndef broken():\n    raise OSError('disc unplugged')\n")
    path = add_experiment(replace=[("get_shapes: {count: 12, size: 64}", "broken:")])
    with pytest.raises(DatasetError, match="'broken' failed: OSError: disc unplugged"):
        generic.parse(str(path)).get_dataset()


def test_an_unknown_provider_names_the_nearest(add_experiment):
    path = add_experiment(replace=[("get_shapes: {count", "get_shape: {count")])
    with pytest.raises(ConfigError, match=r"'get_shape' is no dataset provider \(did you mean 'get_shapes'\?\)"):
        generic.parse(str(path)).get_dataset()


def test_train_validation_and_holdout_datasets(add_experiment):
    parts = "train: {get_shapes: [6]}\n  validation: {get_shapes: [4]}\n  holdout: {get_shapes: [3]}"
    cfg = generic.parse(str(add_experiment(replace=[("get_shapes: {count: 12, size: 64}", parts)])))
    cfg.get_dataset()
    assert (len(cfg.train(0)), len(cfg.validation(0)), len(cfg.holdout())) == (6, 4, 3)


def test_two_projects_with_modules_of_the_same_name(add_experiment, project, tmp_path):
    (project / "modules" / "data.py").write_text("def which():\n    return [1]\n")
    other = tmp_path / "other"
    (other / "modules").mkdir(parents=True)
    (other / "modules" / "data.py").write_text("def which():\n    return [1, 2]\n")
    path = add_experiment(replace=[("get_shapes: {count: 12, size: 64}", "which:")])
    there = other / "experiments" / "exp01" / "config.yaml"
    there.parent.mkdir(parents=True)
    there.write_text(path.read_text())
    sizes = [len(generic.parse(str(where)).get_dataset()) for where in (path, there, path)]
    assert sizes == [1, 2, 1]


def test_providers_run_in_the_data_folder_and_nothing_else_does(add_experiment, project, monkeypatch):
    (project / "data").mkdir()
    (project / "data" / "count.txt").write_text("5")
    provider(
        project, "@dataset_provider()\ndef from_data():\n    return Shapes(int(open('count.txt').read()), 32, 0)\n"
    )
    add_experiment(replace=[("get_shapes: {count: 12, size: 64}", "from_data:")])
    monkeypatch.chdir(project)
    cfg = generic.parse("experiments/exp01/config.yaml")
    assert len(cfg.get_dataset()) == 5
    import os

    assert os.getcwd() == str(project)


# -- folds and holdout ---------------------------------------------------------------------------------------


def test_holdout_and_folds_are_disjoint_and_fixed(add_experiment):
    path = add_experiment(extra="folds_count: 2\ntestSplit: 0.25\n")
    first, second = generic.parse(str(path)), generic.parse(str(path))
    ids = [{item.id for item in part} for part in (first.train(0), first.validation(0), first.holdout())]
    assert [len(part) for part in ids] == [4, 5, 3] or [len(part) for part in ids] == [5, 4, 3]
    assert len(set.union(*ids)) == 12
    assert {item.id for item in second.validation(0)} == ids[1]


def test_changed_folds_count_makes_new_folds(add_experiment):
    path = add_experiment(extra="folds_count: 2\n")
    assert len(generic.parse(str(path)).kfold().folds) == 2
    path.write_text(path.read_text().replace("folds_count: 2", "folds_count: 3"))
    assert len(generic.parse(str(path)).kfold().folds) == 3


def test_set_holdout_leaves_it_out_of_training(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.setHoldout([11, 3])
    cfg.get_dataset()
    held = {item.id for item in cfg.holdout()}
    assert held == {"shape3", "shape11"}
    assert not held & {item.id for item in cfg.train(0)}
    assert len(cfg.train(0)) + len(cfg.validation(0)) == 10


def test_asking_for_folds_creates_nothing(add_experiment):
    path = add_experiment()
    assert generic.parse(str(path))._folds() == []
    assert not (path.parent / "weights").exists()


# -- checks before training ----------------------------------------------------------------------------------


def checked(path, dataset):
    generic.parse(str(path)).check(dataset)


def test_a_sound_experiment_passes(add_experiment):
    checked(add_experiment(), shapes())


def test_an_empty_dataset(add_experiment):
    with pytest.raises(DatasetError, match="the dataset is empty"):
        checked(add_experiment(), Items([]))


def test_swapped_boxes_name_the_key(add_experiment):
    image, (labels, bboxes, masks) = square()
    dataset = Items([(image, (labels, bboxes[:, [1, 0, 3, 2]], masks))] * 4)
    with pytest.raises(DatasetError, match="'item0'.*only when read as xyxy.*set bboxOrder: xyxy"):
        checked(add_experiment(), dataset)
    checked(add_experiment("right", extra="bboxOrder: xyxy\n"), dataset)
    checked(add_experiment("masks", extra="bboxSource: masks\n"), dataset)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((40, 60), np.uint8), r"x has shape \(40, 60\), expected \(height, width, 3\)"),
        (np.zeros((40, 60, 3), np.float32), "x has dtype float32, expected uint8"),
        (None, "x is nothing, expected an image array"),
    ],
)
def test_bad_images(add_experiment, image, message):
    with pytest.raises(DatasetError, match=message):
        checked(add_experiment(), Items([(image, square()[1])] * 3))


def test_an_item_that_cannot_be_read(add_experiment):
    class Corrupt(Items):
        def __getitem__(self, item):
            if item == 2:
                raise OSError("image file is truncated")
            return super().__getitem__(item)

    with pytest.raises(DatasetError, match="item 2 of the dataset cannot be read: OSError: image file is truncated"):
        checked(add_experiment(), Corrupt([square()] * 4))


def test_classes_must_agree_with_the_dataset(add_experiment):
    with pytest.raises(ConfigError, match=r"classes is 2, but the dataset names 3 CLASSES \(disc, square, triangle\)"):
        checked(add_experiment(replace=[("classes: 3", "classes: 2")]), shapes())


def test_class_names_of_the_dataset_are_enough(add_experiment):
    cfg = generic.parse(str(add_experiment(replace=[("classes: 3\n", "")])))
    cfg.check()
    assert cfg.class_names() == ("disc", "square", "triangle")


@pytest.mark.parametrize("key", ["primary_metric", "experiment_result"])
def test_an_unknown_metric_is_told_before_training(add_experiment, key):
    with pytest.raises(ConfigError, match=f"{key} 'coco_segm_map' is not known .did you mean 'coco_segm_mAP'"):
        checked(add_experiment(extra=f"{key}: coco_segm_map\n"), shapes())


def test_missing_weights(add_experiment):
    with pytest.raises(Exception, match=r"weightsPath 'w.pth' does not exist: .*exp01/w.pth was looked for"):
        checked(add_experiment(extra="weightsPath: w.pth\n"), shapes())


def test_weights_that_need_a_network_say_how_to_go_without(add_experiment, monkeypatch):
    import urllib.request

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    path = add_experiment(replace=[("pretrained: false", "pretrained: true")])
    with pytest.raises(Exception, match=r"could not be downloaded \(no route to host\): set pretrained: false"):
        checked(path, shapes())


def test_no_device_is_refused(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.gpus = 0
    with pytest.raises(ConfigError, match="gpus_per_net is 0"):
        cfg.check()


# -- musket_core's own dataset -------------------------------------------------------------------------------


@pytest.fixture
def instance_dataset(tmp_path, monkeypatch):
    """Return a function that builds musket_core's InstanceSegmentationDataSet over two small images."""
    import imageio
    from musket_core.image_datasets import InstanceSegmentationDataSet

    monkeypatch.setattr(context, "projectPath", None, raising=False)

    def make(cells):
        folder = tmp_path / "images"
        folder.mkdir()
        for name in ("a", "b"):
            imageio.imwrite(folder / f"{name}.png", np.full((40, 50, 3), 90, np.uint8))
        rows = ["image,rle,class", *(f"{image},{rle},{name}" for image, rle, name in cells)]
        (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
        return InstanceSegmentationDataSet(str(folder), str(tmp_path / "data.csv"), "image", "rle", "class")

    return make


RLE = " ".join(f"{(30 + column) * 40 + 12} 6" for column in range(8))
"""Rows 11 to 16, columns 30 to 37 of a 40 x 50 image: column by column, counted from 1."""


def test_upstream_instances_have_tight_boxes_and_class_names(instance_dataset, add_experiment):
    dataset = instance_dataset([("a", RLE, "cat"), ("a", RLE, "dog"), ("b", "-1", "cat")])
    items = {item.id: item for item in (dataset[0], dataset[1])}
    labels, bboxes, masks = items["a"].y
    masks = any_masks(masks).to_dense()
    assert labels.tolist() == [1, 2]
    assert masks.shape == (2, 40, 50)
    rows, columns = np.where(masks[0])
    assert bboxes[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert bboxes[0].tolist()[2] - bboxes[0].tolist()[0] == 8
    assert items["b"].y[1].shape == (0, 4)
    assert len(items["b"].y[2]) == 0
    cfg = generic.parse(str(add_experiment(replace=[("classes: 3", "classes: 2")])))
    cfg.check(dataset)
    assert cfg.reader().bbox_order == "xyxy"
    assert cfg.class_names() == ("cat", "dog")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("callbacks: {EarlyStopping: {patience: few}}", "callbacks.EarlyStopping.patience is 'few'"),
        ("backbone: resnet34", "backbone is a Musket property"),
        ("clases: 3", "clases is not a property of the MMDetection dialect (did you mean 'classes'?)"),
        ("folds_count: many", "folds_count is 'many', but it must be a whole number"),
        ("stages: [{epochs: 0}]", "stages[0].epochs is 0"),
        ("a: b: c", "is not valid YAML"),
    ],
)
def test_what_is_wrong_in_common_yaml_is_told_with_its_name(add_experiment, project, line, message):
    path = add_experiment(replace=[("stages:\n  - epochs: 1\n", "")])
    (project / "common.yaml").write_text(line + "\n")
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path))
    assert str(caught.value).startswith(str(project / "common.yaml"))
    assert message in str(caught.value)
    assert str(path) not in str(caught.value)


def test_what_is_wrong_in_an_experiment_is_told_with_its_name_beside_a_common_yaml(add_experiment, project):
    path = add_experiment(replace=[("stages:\n  - epochs: 1\n", "")])
    (project / "common.yaml").write_text("folds_count: 2\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: stages is missing"):
        generic.parse(str(path))
