"""Attributes of a config: what is set acts on the next call, whatever was asked before, or is refused."""

import dataclasses
import shutil

import numpy as np
import pytest
from musket_core import generic
from musket_core.generic_config import GenericImageTaskConfig

from instance_segmentation_pipeline.config.schema import PROPERTIES
from instance_segmentation_pipeline.config.search_templates import SEARCH_KEYS
from instance_segmentation_pipeline.config.settings import KEYS, ExperimentSettings, field_of
from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.experiment.attributes import OTHERS, PROPERTY_NAMES
from instance_segmentation_pipeline.experiment.pipeline_config import PipelineConfig
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.experiment.run_options import RunAttribute, RunOptions
from instance_segmentation_pipeline.experiment.stage_work import StageWork
from instance_segmentation_pipeline.launch.deadline import Deadline
from tests.support.datasets import Items, square

CONFIG = "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py"


def settings_of(cfg):
    return cfg.parts.settings


def native(cfg, key):
    node = cfg.finished().config
    for part in key.split("."):
        node = node[int(part)] if part.isdigit() else node[part]
    return node


def _by_number(dataset):
    return [number % 2 for number in range(len(dataset))]


def items_of_an_epoch(cfg):
    work = StageWork(cfg, cfg.kfold(), FoldRequest(0), 0)
    return work._items().per_epoch()


def with_block(cfg):
    cfg.preprocessing = ["block"]
    return len(cfg.get_dataset())


ACTS = {
    "classes": (2, lambda cfg: len(cfg.class_names())),
    "configPath": (CONFIG, lambda cfg: cfg.finished().config.filename),
    "stages": ([{"epochs": 3, "lr": 0.1}], lambda cfg: [(stage.epochs, stage.lr) for stage in cfg.stages]),
    "shape": ([32, 96], lambda cfg: str(cfg.finished().val_pipeline)),
    "multiscaleMode": ("range", lambda cfg: str(cfg.finished().train_pipeline)),
    "manualResize": (True, lambda cfg: str(cfg.finished().train_pipeline)),
    "augmentation": ({"Fliplr": 1.0}, lambda cfg: repr(cfg.item_augmenters.augmentation)),
    "transforms": ({"Invert": 1.0}, lambda cfg: repr(cfg.item_augmenters.transforms)),
    "pretrained": (True, lambda cfg: str(cfg.finished().decisions)),
    "nativePipeline": (False, lambda cfg: str(cfg.finished().train_pipeline)),
    "configOptions": ({}, lambda cfg: native(cfg, "model.backbone.widen_factor")),
    "imagesPerGpu": (3, lambda cfg: native(cfg, "train_dataloader.batch_size")),
    "workersPerGpu": (2, lambda cfg: native(cfg, "train_dataloader.num_workers")),
    "inference_batch": (7, lambda cfg: native(cfg, "val_dataloader.batch_size")),
    "amp": (True, lambda cfg: str(cfg.finished().decisions)),
    "channelsLast": (False, lambda cfg: stage_job(cfg).config.channels_last),
    "ema": ({"momentum": 0.1}, lambda cfg: str(stage_job(cfg).config.custom_hooks)),
    "lr": (0.123, lambda cfg: native(cfg, "optim_wrapper.optimizer.lr")),
    "batch": (6, lambda cfg: (setattr(cfg, "imagesPerGpu", None), native(cfg, "train_dataloader.batch_size"))[1]),
    "loss": ({"loss_mask": 7}, lambda cfg: native(cfg, "model.bbox_head.loss_mask.loss_weight")),
    "freeze_encoder": (True, lambda cfg: settings_of(cfg).frozen_encoders),
    "callbacks": ({"CyclicLR": None}, lambda cfg: cfg.callback_plan(0).owner_note),
    "clipnorm": (3, lambda cfg: native(cfg, "optim_wrapper").get("clip_grad")),
    "clipvalue": (3, lambda cfg: native(cfg, "optim_wrapper").get("clip_grad")),
    "accumulation": (3, lambda cfg: native(cfg, "optim_wrapper").get("accumulative_counts")),
    "optimizer": ("SGD", lambda cfg: native(cfg, "optim_wrapper.optimizer.type")),
    "trustWeights": (True, lambda cfg: cfg.finished().config.trust_weights),
    "bboxOrder": ("xyxy", lambda cfg: cfg.reader().bbox_order),
    "bboxSource": ("masks", lambda cfg: cfg.reader().bbox_source),
    "dataset": ({"get_shapes": {"count": 9, "size": 64}}, lambda cfg: len(cfg.get_dataset())),
    "datasets": ({"further": {"get_shapes": {"count": 5, "size": 64}}}, lambda cfg: len(cfg.get_dataset("further"))),
    "folds_count": (3, lambda cfg: len(cfg.kfold().folds)),
    "validationSplit": (0.5, lambda cfg: len(cfg.validation(0))),
    "testSplit": (0.25, lambda cfg: len(cfg.kfold().ds)),
    "testSplitSeed": (5, lambda cfg: settings_of(cfg).split.test_split_seed),
    "random_state": (5, lambda cfg: list(cfg.validation(0).indexes)),
    "stratified": (True, lambda cfg: cfg.kfold() and cfg.files.folds_split.read_text().split("\n")[0]),
    "groupFunc": (_by_number, lambda cfg: (setattr(cfg, "stratified", True), cfg.kfold().folds)[1]),
    "pretrain_transform": ("none", lambda cfg: cfg.kfold()),
    "extra_train_data": ({"get_shapes": [5, 64]}, lambda cfg: len(cfg.kfold().ds)),
    "dataset_augmenter": ("none", lambda cfg: cfg.kfold()),
    "maxDetections": (30, lambda cfg: (native(cfg, "model.test_cfg.max_per_img"), cfg.evaluator().most)),
    "metrics": (["segm_F1"], lambda cfg: cfg.metric_selection().each_epoch),
    "trackers": ("mlflow", lambda cfg: settings_of(cfg).tracking.trackers),
    "description": ("a", lambda cfg: settings_of(cfg).tracking.description),
    "tags": (["a"], lambda cfg: settings_of(cfg).tracking.tags),
    "dumpPredictionsToCSV": (True, lambda cfg: settings_of(cfg).showing.dump_predictions_to_csv),
    "verbose": (2, lambda cfg: cfg._asking(None, None).bars),
    "logAll": (True, lambda cfg: settings_of(cfg).logs_batches(0)),
    "showDataExamples": (True, lambda cfg: cfg.parts.settings.items.show_data_examples),
    "maxEpochSize": (1, items_of_an_epoch),
    "crops": (2, items_of_an_epoch),
    "tiles": ({"size": 32}, items_of_an_epoch),
    "steps_per_epoch": (1, items_of_an_epoch),
    "num_seeds": (2, lambda cfg: len(cfg.members())),
    "weightsPath": ("none.pth", lambda cfg: str(cfg.initial_weights()[0])),
    "preprocessing": (["nothing_of_that_name"], lambda cfg: len(cfg.get_dataset())),
    "declarations": ({"block": ["pass"]}, with_block),
}
"""Properties: a value, and what shows it."""

SOON = {"resetHeads", "datasets_path", "imports", "seed", "preprocessing", "declarations"}
"""Those whose effect takes a project or weights of its own to show; that they are compared is tested for all."""


def asked(look, cfg):
    try:
        return look(cfg)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", sorted(ACTS))
def test_a_property_set_after_a_first_use_acts(add_experiment, name):
    """What was made before (config, classes, folds, datasets, seeds) is not what the next call gives."""
    value, look = ACTS[name]
    cfg = generic.parse(str(add_experiment()))
    cfg.check()
    cfg.kfold()
    before = asked(look, cfg)
    setattr(cfg, name, value)
    assert asked(look, cfg) != before
    setattr(cfg, name, None if name not in ("classes", "configPath", "stages") else value)


@pytest.mark.parametrize("name", sorted(PROPERTY_NAMES - set(SEARCH_KEYS)))
def test_every_property_is_part_of_the_settings(add_experiment, name):
    """A property that a table gains stands in a group of settings, and is compared before each call."""
    groups = [field for field in dataclasses.fields(ExperimentSettings) if field.name != "stages"]
    fields = {one.name for group in groups for one in dataclasses.fields(group.type)}
    assert name == "stages" or field_of(name) in fields
    assert KEYS[field_of(name)] == name


def test_all_properties_have_a_test_of_their_effect():
    assert set(ACTS) | set(ACTS_ON_TRAINED) | set(SEARCHED) == {entry.name for entry in PROPERTIES}


SEARCHED = {
    "hyperparameters": {"rate": {"enum": [0.001, 0.01]}},
    "max_evals": 7,
    "pruning": "median",
}
"""Properties of a search, read from the config when it searches: a trial has none of them in its settings."""


@pytest.mark.parametrize("name", sorted(SEARCHED))
def test_a_property_of_a_search_set_after_a_first_use_acts(add_experiment, name):
    extra = "lr: rate\nmax_evals: 3\nhyperparameters: {rate: [0.001, 0.01]}\n"
    cfg = generic.parse(str(add_experiment(extra=extra)))
    before = cfg.search_plan()
    setattr(cfg, name, SEARCHED[name])
    assert cfg.search_plan() != before
    assert set(SEARCHED) == set(SEARCH_KEYS)


@pytest.mark.parametrize("name", sorted(SEARCHED))
def test_a_property_of_a_search_does_not_pass_on_an_experiment_without_one(add_experiment, name):
    cfg = generic.parse(str(add_experiment()))
    with pytest.raises(ConfigError, match="hyperparameters"):
        setattr(cfg, name, SEARCHED[name])
        cfg.check()


@pytest.mark.parametrize(
    ("change", "look"),
    [
        (lambda cfg: cfg.stages[0].__dict__.update(epochs=4), lambda cfg: settings_of(cfg).stages[0].epochs),
        (lambda cfg: cfg.configOptions.update({"model.neck.out_channels": 16}), lambda cfg: native(cfg, "model.neck.out_channels")),
        (lambda cfg: cfg.dataset["get_shapes"].update(count=10), lambda cfg: len(cfg.get_dataset())),
        (lambda cfg: cfg.shape.__setitem__(0, 96), lambda cfg: str(cfg.finished().val_pipeline)),
    ],
)  # fmt: skip
def test_a_change_inside_a_value_acts(add_experiment, change, look):
    cfg = generic.parse(str(add_experiment()))
    cfg.check()
    before = look(cfg)
    change(cfg)
    assert look(cfg) != before


def test_what_no_attribute_has_changed_for_is_made_once(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.check()
    parts, prepared = cfg.parts, cfg.finished()
    cfg.kfold()
    cfg.threshold = 0.75
    assert cfg.parts is not parts
    assert cfg.finished() is prepared
    assert cfg.get_dataset() is parts.datasets.main()


def test_a_dataset_that_was_given_stays_until_another_is_declared(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    given = Items([square() for _ in range(6)])
    cfg.check(given)
    cfg.folds_count = 2
    cfg.bboxOrder = "yxyx"
    assert cfg.get_dataset() is given
    assert len(cfg.kfold().folds) == 2
    cfg.dataset = {"get_shapes": {"count": 9, "size": 64}}
    assert len(cfg.get_dataset()) == 9


def test_a_second_dataset_brings_its_own_classes_and_folds(add_experiment):
    """Classes, prepared config, folds of the first dataset are not those of the second."""
    first, second = (Items([square() for _ in range(8)]) for _ in range(2))
    first.meta, second.meta = lambda: {"CLASSES": ["a", "b"]}, lambda: {"CLASSES": ["c", "d", "e"]}
    first.folds = [([0, 1, 2], [3]), ([3, 1, 2], [0]), ([0, 3, 2], [1])]
    cfg = generic.parse(str(add_experiment(replace=[("classes: 3\n", "")])))
    cfg.check(first)
    assert (cfg.class_names(), len(cfg.kfold().folds), cfg.fold_count()) == (("a", "b"), 3, 3)
    assert native(cfg, "model.bbox_head.num_classes") == 2
    cfg.check(second)
    assert (cfg.class_names(), len(cfg.kfold().folds), cfg.fold_count()) == (("c", "d", "e"), 1, 1)
    assert native(cfg, "model.bbox_head.num_classes") == 3
    assert cfg.folds_count == 1


@pytest.mark.parametrize("held", [[1, 2], (1, 2), np.array([1, 2]), range(1, 3)])
def test_a_holdout_set_after_the_folds_acts(add_experiment, held):
    cfg = generic.parse(str(add_experiment()))
    cfg.check()
    assert not cfg.hasHoldout()
    cfg.kfold()
    cfg.setHoldout(held)
    assert cfg.hasHoldout()
    assert list(cfg.holdout().indexes) == [1, 2]
    assert len(cfg.kfold().ds) == 10
    cfg.holdoutArr = None
    assert not cfg.hasHoldout()
    assert len(cfg.kfold().ds) == 12


RUN = {
    "gpus": 3,
    "num_gpus": 4,
    "num_workers": 2,
    "lease": ("cpu", "cpu"),
    "cluster": "auto",
    "resume": True,
    "refit": True,
    "break_lock": True,
    "expires": 1.0,
    "_reporter": "reporter",
    "cache": "folder",
    "joined": None,
    "within_lock": None,
}


def test_all_of_a_run_are_known():
    assert set(RUN) == {name for name, value in vars(PipelineConfig).items() if isinstance(value, RunAttribute)}
    fields = {field.name for field in dataclasses.fields(RunOptions)}
    assert {value.field for value in vars(PipelineConfig).values() if isinstance(value, RunAttribute)} == fields - {
        "is_part"
    }


@pytest.mark.parametrize("name", sorted(RUN))
def test_seeds_are_asked_for_the_same_run(add_experiment, name):
    """Nothing is copied from one config to another: what is set before or after the seeds are made holds for all."""
    cfg = generic.parse(str(add_experiment(extra="num_seeds: 2\n")))
    members = cfg.members()
    setattr(cfg, name, RUN[name])
    for member in (*members, *cfg.members()):
        assert getattr(member, name) == getattr(cfg, name)
    assert members == cfg.members()
    assert cfg.parts.run == cfg.run


def test_devices_follow_gpus(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    assert cfg.run.devices() in (["cpu"], ["cuda:0"])
    cfg.lease = ["cpu", "cpu"]
    cfg.gpus = 2
    assert (cfg.device, cfg.executor().devices) == ("cpu", ["cpu", "cpu"])
    cfg.lease, cfg.gpus = [], 1
    assert type(cfg.executor()).__name__ == "InProcessExecutor"


def test_seeds_go_by_what_was_set(add_experiment):
    """Attributes that were set, holdout included, reach the seeds and their YAML; those of the YAML stay."""
    cfg = generic.parse(str(add_experiment(extra="num_seeds: 2\nthreshold: 0.4\n")))
    assert [member.threshold for member in cfg.members()] == [0.4, 0.4]
    cfg.lr = 0.0125
    cfg.setHoldout([0, 1])
    first, second = cfg.members()
    assert (first.lr, second.seed, first.threshold) == (0.0125, 1, 0.4)
    assert list(second.holdout().indexes) == [0, 1]
    written = generic.parse(str(second.files.config))
    assert (written.lr, written.seed, written.num_seeds) == (0.0125, 1, None)
    assert first.get_dataset() is cfg.get_dataset() is second.get_dataset()


WRONG = {
    "classes": "three",
    "shape": [1, 2, 3, 4],
    "stages": [{"epochs": 0}],
    "testSplit": 1.5,
    "testTimeAugmentation": "Sideways",
    "fusion": "average",
    "gpus": "two",
    "num_gpus": 1.5,
    "cluster": 5,
    "cache": 7,
    "expires": "soon",
    "check": 1,
    "device": "cuda:7",
    "files": None,
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_value_is_refused_where_it_is_set(add_experiment, name):
    cfg = generic.parse(str(add_experiment()))
    before = getattr(cfg, name)
    with pytest.raises(ConfigError, match=r"\w+ .*(must be|expected|cannot)"):
        setattr(cfg, name, WRONG[name])
    assert getattr(cfg, name) == before


UPSTREAM = sorted(vars(GenericImageTaskConfig()))
"""What musket_core itself sets when it makes a config."""


@pytest.mark.parametrize("name", [name for name in UPSTREAM if not name.startswith("_")])
def test_an_attribute_of_musket_acts_or_is_refused(add_experiment, name):
    cfg = generic.parse(str(add_experiment()))
    there = getattr(PipelineConfig, name, None)
    if name in PROPERTY_NAMES or name in OTHERS or there is not None or hasattr(PipelineConfig, name):
        setattr(cfg, name, getattr(cfg, name))
        return
    with pytest.raises(ConfigError, match=rf"^{name} is "):
        setattr(cfg, name, getattr(cfg, name))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("testTimeAugmentatoin", "did you mean .testTimeAugmentation"),
        ("clases", "did you mean .classes"),
        ("dropout", "the one that configPath names"),
        ("gpu", "did you mean .gpus"),
    ],
)
def test_an_unknown_attribute_is_refused_with_a_pointer(add_experiment, name, words):
    cfg = generic.parse(str(add_experiment()))
    with pytest.raises(ConfigError, match=words):
        setattr(cfg, name, 1)


def test_a_method_can_be_replaced(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    cfg.class_names = lambda: ("a",)
    assert cfg.class_names() == ("a",)


def stage_job(cfg, number=0):
    """Return the job that would train a stage of fold 0."""
    return StageWork(cfg, cfg.kfold(), FoldRequest(0), number).job(None, Deadline())


ACTS_ON_TRAINED = {
    "threshold": (0.9, lambda cfg: stage_job(cfg).threshold),
    "seed": (7, lambda cfg: stage_job(cfg).seed),
    "storage_threshold": (0.01, lambda cfg: cfg.predictions("holdout", 0, 0).fingerprint),
    "fusion": ("nms", lambda cfg: cfg.load_model([0, 1]).fusion),
    "fusionIou": (0.9, lambda cfg: cfg.load_model([0, 1]).fusion),
    "testTimeAugmentation": ("Horizontal", lambda cfg: len(cfg.load_model(0).views)),
    "primary_metric": ("coco_bbox_mAP_50", lambda cfg: (str(cfg.primary()), stage_job(cfg).primary_metric)),
    "primary_metric_mode": ("min", lambda cfg: cfg.primary().mode),
    "final_metrics": (["coco_bbox_mAP"], lambda cfg: sorted(cfg.evaluate("holdout", 0, 0))),
    "experiment_result": ("coco_bbox_mAP", lambda cfg: cfg.wanted_metrics()),
    "resetHeads": (False, lambda cfg: cfg.initial_weights()[1].reset),
    "datasets_path": (".", lambda cfg: cfg.get_default_dataset_folder()),
    "imports": (["shapes_of_others"], lambda cfg: cfg.parts.datasets.modules()),
}
"""Properties whose effect takes trained weights, or another project, to show."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ACTS_ON_TRAINED))
def test_a_property_set_on_a_trained_experiment_acts(trained, tmp_path, name):
    root = tmp_path / "project"
    shutil.copytree(trained.parents[2], root)
    cfg = generic.parse(str(root / "experiments" / "exp01" / "config.yaml"))
    if name == "resetHeads":
        cfg.weightsPath = "weights/best-0.0.weights"
    if name == "experiment_result":
        cfg.final_metrics = ["coco_segm_mAP"]
    value, look = ACTS_ON_TRAINED[name]
    cfg.check()
    before = look(cfg)
    setattr(cfg, name, value)
    assert look(cfg) != before
