"""What folds train on beside the dataset: extra data, augmenters of folds, transformers; and how folds are grouped."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from musket_core import generic, generic_config

from instance_segmentation_pipeline.errors import ConfigError, DatasetError, UserError, WeightsError
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.experiment.stage import DetectionStage
from instance_segmentation_pipeline.experiment.stage_work import StageWork
from instance_segmentation_pipeline.training.stage_settings import META_KEY, differences, resumption
from tests.support.datasets import Items, square

MODULE = """
import random

from musket_core import preprocessing
from musket_core.datasets import CompositeDataSet, DataSet, SubDataSet, dataset_provider
from shapes import Shapes


@dataset_provider
def get_more(count=5):
    return Shapes(count, 64, 9)


class Renamed(Shapes):
    def meta(self):
        return {"CLASSES": ["a", "b", "c"]}


@dataset_provider
def get_renamed():
    return Renamed(4, 64, 0)


@dataset_provider
def get_empty():
    return Shapes(0, 64, 0)


def by_quarter(dataset):
    return [number % 4 for number in range(len(dataset))]


def too_few(dataset):
    return [0]


def unhashable(dataset):
    return [[number] for number in range(len(dataset))]


def failing(*arguments, **named):
    raise ValueError("on purpose")


def halved(folds, share=0.5):
    folds.folds = [(random.sample(list(train), int(len(train) * share)), part) for train, part in folds.folds]
    return folds


class Repeated:
    def __init__(self, times):
        self.times = times

    def __call__(self, folds):
        folds.folds = [(list(train) * self.times, part) for train, part in folds.folds]
        return folds


def with_more(folds):
    folds.addToTrain(Shapes(3, 64, 4))
    return folds


def other_validation(folds):
    folds.folds = [(train, part[1:]) for train, part in folds.folds]
    return folds


def outside(folds):
    folds.folds = [([10000], part) for _, part in folds.folds]
    return folds


def emptied(folds):
    folds.folds = [([], part) for _, part in folds.folds]
    return folds


def fewer_folds(folds):
    folds.folds = folds.folds[:0]
    return folds


def nothing(folds):
    return None


@preprocessing.dataset_transformer
def doubled(dataset, times=2):
    return CompositeDataSet([dataset] * times)


@preprocessing.dataset_transformer
def no_items(dataset):
    return SubDataSet(dataset, [])


@preprocessing.dataset_preprocessor
def brighter(input):
    return input
"""


@pytest.fixture
def config(project, add_experiment):
    """Return a function that reads an experiment of a project with functions of its own."""
    (project / "modules" / "functions.py").write_text(MODULE)

    def add(extra="", name="exp01", replace=()):
        return generic.parse(str(add_experiment(name, extra=extra, replace=replace)))

    return add


def parts(cfg):
    folds = cfg.kfold()
    return [
        (list(folds.indexes(number, True)), list(folds.indexes(number, False))) for number in range(len(folds.folds))
    ]


@pytest.mark.parametrize("declared", ["get_more", "{get_more: [5]}", "more", "[get_more: {count: 5}]"])
def test_extra_data_is_added_to_the_training_parts_alone(config, declared):
    plain = config("folds_count: 3\n", "plain")
    cfg = config(f"folds_count: 3\ndatasets: {{more: {{get_more: [5]}}}}\nextra_train_data: {declared}\n")
    expected = [(train + list(range(12, 17)), part) for train, part in parts(plain)]
    assert parts(cfg) == expected
    folds = cfg.kfold()
    assert len(folds.ds) == 17
    assert len(folds.validated) == 12
    assert (folds.ds[12].x == cfg.parts.training.extra()[0].x).all()
    assert len(cfg.validation(foldNum=0)) == 4
    assert cfg.files.folds_split.read_text() == plain.files.folds_split.read_text()


def test_extra_data_of_the_registry(config, monkeypatch):
    monkeypatch.setitem(generic_config.extra_train, "mine", Items([square()] * 3))
    cfg = config("extra_train_data: mine\n")
    assert len(cfg.kfold().ds) == 15


def test_augmenters_of_folds(config, monkeypatch):
    plain = parts(config(name="plain"))
    ((train, part),) = plain
    ((halved, other),) = parts(config("dataset_augmenter: halved\n", "halved"))
    assert set(halved) < set(train)
    assert len(halved) == len(train) // 2
    assert other == part
    assert parts(config("dataset_augmenter: halved\n", "again")) == [(halved, part)]
    ((quarter, _),) = parts(config("dataset_augmenter: {name: halved, share: 0.25}\n", "quarter"))
    assert len(quarter) == len(train) // 4
    assert parts(config("dataset_augmenter: {name: Repeated, times: 3}\n", "repeated")) == [(train * 3, part)]
    assert parts(config("dataset_augmenter: with_more\n", "more")) == [([*train, 12, 13, 14], part)]
    monkeypatch.setitem(generic_config.dataset_augmenters, "first", lambda count: lambda folds: _first(folds, count))
    assert parts(config("dataset_augmenter: {name: first, count: 4}\n", "first")) == [(train[:4], part)]


def _first(folds, count):
    folds.folds = [(train[:count], part) for train, part in folds.folds]
    return folds


def test_extra_data_goes_before_the_augmenter(config):
    ((train, _),) = parts(config("extra_train_data: get_more\ndataset_augmenter: {name: Repeated, times: 2}\n"))
    assert len(train) == 2 * (len(parts(config(name="plain"))[0][0]) + 5)


def test_what_training_data_is_made_of_before_it_is_parted(config):
    cfg = config("pretrain_transform: doubled\ntestSplit: 0.25\n")
    cfg.check()
    ((train, part),) = parts(cfg)
    assert len(train) + len(part) == 2 * 9
    assert len(cfg.holdout()) == 3
    again = config("pretrain_transform: [doubled: {times: 3}]\n", "three")
    assert sum(map(len, parts(again)[0])) == 36
    assert len(config("pretrain_transform: doubled\nstratified: true\n", "classes").kfold().ds) == 24


def test_a_changed_transformer_makes_new_folds(config):
    cfg = config("pretrain_transform: doubled\n")
    cfg.kfold()
    before = cfg.files.folds_split.read_text()
    cfg.pretrain_transform = [{"doubled": {"times": 3}}]
    cfg.kfold()
    assert cfg.files.folds_split.read_text() != before


@pytest.mark.parametrize("by_name", [True, False])
def test_folds_are_grouped_by_a_function(config, by_name):
    cfg = config(f"stratified: true\nfolds_count: 3\n{'groupFunc: by_quarter' if by_name else ''}\n")
    if not by_name:
        cfg.groupFunc = lambda dataset: ["abcd"[number % 4] for number in range(len(dataset))]
    for _, part in parts(cfg):
        assert sorted(item % 4 for item in part) == [0, 1, 2, 3]


def test_seeds_have_a_function_too_and_its_name_is_in_their_yaml(config):
    """What YAML cannot hold is told with its property before anything is written; paths are texts there."""
    cfg = config("stratified: true\nfolds_count: 3\nnum_seeds: 2\n")
    cfg.groupFunc = by_half = lambda dataset: [number % 2 for number in range(len(dataset))]
    by_half.__name__ = "by_half"
    cfg.callbacks = {"Counts": {"file": Path("/tmp/counts")}}
    for member in cfg.members():
        assert [number % 2 for number in cfg.groupFunc(range(4))] == member.groupFunc(range(4))
        written = yaml.safe_load(member.files.config.read_text())
        assert written["groupFunc"] == "by_half"
        assert written["callbacks"] == {"Counts": {"file": "/tmp/counts"}}
        assert member.callbacks == {"Counts": {"file": Path("/tmp/counts")}}
    cfg.callbacks = {"Counts": {"file": object()}}
    with pytest.raises(ConfigError, match="each seed has a YAML of its own, which cannot hold callbacks"):
        cfg.members()


NO_DATASETS = ["x", b"x", 1.5, {"a": 1}, {0}, ["a"], [1.5], [], object(), dict, True, [0, 9], (0, 1), 9, -1, [None]]


@pytest.mark.parametrize("given", NO_DATASETS, ids=lambda given: "object" if type(given) is object else repr(given))
def test_what_is_no_dataset_and_no_fold_is_one_sentence(config, given):
    cfg = config("folds_count: 2\ntestSplit: 0.2\n")
    for method in (cfg.train, cfg.validation, cfg.kfold, cfg.holdout, cfg.train_without_holdout, cfg.get_dataset):
        with pytest.raises(UserError) as error:
            method(given)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300


def test_the_number_of_a_fold_may_stand_in_a_list_or_be_of_numpy(config):
    cfg = config("folds_count: 2\n")
    for fold in ([1], (1,), np.int64(1), [np.int64(1)]):
        assert cfg.train(fold).indexes == cfg.train(None, 1).indexes == cfg.train(1).indexes


def test_an_item_without_an_id_is_told_where_the_split_is_made(config):
    class Nameless(Items):
        def __getitem__(self, number):
            return object()

    with pytest.raises(DatasetError, match="the id of item 0 of the dataset cannot be read: AttributeError"):
        config("folds_count: 2\n").train(Nameless([square(1)] * 6))


def test_the_items_that_are_held_out_may_be_declared_beside_the_dataset(config):
    cfg = config("holdout: {get_more: [4]}\n")
    assert cfg.hasHoldout()
    assert len(cfg.holdout()) == 4
    assert len(cfg.train_without_holdout()) == 12
    assert cfg.class_names() == ("disc", "square", "triangle")
    named = config("datasets: {more: {get_more: [4]}}\nholdout: more\n", "named")
    assert len(named.holdout()) == 4
    parted = (
        "  get_shapes: {count: 12, size: 64}\n",
        "  train: {get_shapes: {count: 8, size: 64}}\n  validation: {get_more: [3]}\n",
    )
    third = config("holdout: get_more\n", "parted", [parted])
    assert [len(part) for part in (*parts(third)[0], third.holdout())] == [8, 3, 5]


def test_a_stratified_split_beside_a_declared_holdout(config):
    cfg = config("holdout: {get_more: [4]}\nstratified: true\nfolds_count: 2\n")
    cfg.check()
    assert [len(part) for _, part in parts(cfg)] == [6, 6]


RESUMED = {
    "extra_train_data": ("extra_train_data: get_more\n", "extra_train_data: {get_more: [3]}\n"),
    "dataset_augmenter": ("dataset_augmenter: with_more\n", "dataset_augmenter: halved\n"),
}


@pytest.mark.parametrize("key", RESUMED)
def test_a_resume_names_what_was_changed(config, key):
    before, now = (config(extra, name) for name, extra in zip(("before", "now"), RESUMED[key], strict=True))
    trained, asked = (StageWork(cfg, cfg.kfold(), FoldRequest(0), 0).settings for cfg in (before, now))
    changed = differences(trained, asked)
    assert changed[0][0] == key
    meta = {META_KEY: trained, "epoch": 1}
    with pytest.raises(WeightsError, match=f"trained with other settings: {key} ") as caught:
        resumption(meta, asked, before.files.stage(0, 0).last_weights, True)
    assert "train anew without --allow_resume" in str(caught.value)


def test_a_run_on_extra_data_trains_and_is_gone_on_with(config):
    cfg = config("extra_train_data: get_more\ndataset_augmenter: {name: Repeated, times: 2}\n", "run")
    cfg.fit()
    assert len(cfg.predictions("validation0")) == len(cfg.validation(foldNum=0))
    again = generic.parse(cfg.path)
    again.setAllowResume(True)
    again.fit()


WRONG = [
    ("extra_train_data: get_mor", ConfigError, "'get_mor' is no dataset provider (did you mean 'get_more'?)"),
    ("extra_train_data: get_empty", UserError, "extra_train_data is empty"),
    ("extra_train_data: get_renamed", UserError, "extra_train_data names the classes ['a', 'b', 'c'], and the dataset"),
    ("extra_train_data: failing", UserError, "the dataset provider 'failing' failed: ValueError: on purpose"),
    (
        "dataset_augmenter: halve",
        ConfigError,
        "dataset_augmenter 'halve' is no function of the project's modules (did you",
    ),
    ("dataset_augmenter: failing", UserError, "dataset_augmenter failing failed: ValueError: on purpose"),
    ("dataset_augmenter: {name: halved, part: 1}", UserError, "dataset_augmenter halved failed: TypeError"),
    ("dataset_augmenter: other_validation", UserError, "changed the validation part of fold 0"),
    ("dataset_augmenter: outside", UserError, "the training part of fold 0 has the position 10000 of 12 items"),
    ("dataset_augmenter: emptied", UserError, "the training part of fold 0 is [], expected a list of positions"),
    ("dataset_augmenter: fewer_folds", UserError, "gave 0 folds of 1"),
    ("dataset_augmenter: nothing", UserError, "gave a NoneType, expected the folds"),
    ("pretrain_transform: double", ConfigError, "'double' is no preprocessor (did you mean 'doubled'?)"),
    ("pretrain_transform: brighter", ConfigError, "brighter changes single items, which prediction would not"),
    ("pretrain_transform: no_items", UserError, "left none of 12 items"),
    ("pretrain_transform: [doubled: {tims: 3}]", ConfigError, "tims"),
    (
        "stratified: true\ngroupFunc: by_quarte",
        ConfigError,
        "groupFunc 'by_quarte' is no function of the project's modules",
    ),
    ("stratified: true\ngroupFunc: too_few", UserError, "groupFunc too_few gave 1 classes for 12 items"),
    ("stratified: true\ngroupFunc: unhashable", UserError, "groupFunc unhashable gave [0] for item 0"),
    ("stratified: true\ngroupFunc: failing", UserError, "groupFunc failing failed: ValueError: on purpose"),
    ("holdout: get_mor", ConfigError, "'get_mor' is no dataset provider"),
    ("holdout: get_renamed\n", UserError, "parts of the dataset name different classes"),
]


@pytest.mark.parametrize(("extra", "kind", "message"), WRONG, ids=[extra.replace("\n", " ") for extra, _, _ in WRONG])
def test_what_is_wrong_is_told_before_anything_is_trained(config, extra, kind, message, monkeypatch):
    monkeypatch.setattr(DetectionStage, "execute", lambda *_: pytest.fail("it trains"))
    cfg = config(f"{extra}\n")
    with pytest.raises(kind) as caught:
        cfg.fit()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900
