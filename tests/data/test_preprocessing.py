"""``preprocessing``, ``declarations`` and a ``dataset`` that is a list: what items become, in which order."""

import textwrap

import numpy as np
import pytest
from musket_core import generic
from musket_core.datasets import PredictionItem

from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from tests.support.datasets import Items, square

MODULE = """
from __future__ import annotations

import numpy as np
from musket_core import datasets, preprocessing
from musket_core.datasets import DataSet, PredictionItem
from shapes import Shapes

SEEN = []


@preprocessing.dataset_preprocessor
def plus(input, by=1):
    return input + np.uint8(by)


@preprocessing.dataset_preprocessor
def times(image, factor):
    return image * np.uint8(factor)


@preprocessing.dataset_preprocessor
def halve(input: PredictionItem):
    labels, boxes, masks = input.y
    kept = [number for number, mask in enumerate(masks) if mask[::2, ::2].any()]
    masks = masks[kept][:, ::2, ::2]
    tight = np.zeros((len(masks), 4), np.float32)
    for number, mask in enumerate(masks):
        rows, columns = np.where(mask)
        tight[number] = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    return PredictionItem(input.id, np.ascontiguousarray(input.x[::2, ::2]), (labels[kept], tight, masks))


@preprocessing.dataset_preprocessor
def halve_image(input):
    return np.ascontiguousarray(input[::2, ::2])


@preprocessing.dataset_preprocessor
class Brighter:
    def __init__(self, by):
        self.by = by

    def __call__(self, input):
        return np.clip(input.astype(int) + self.by, 0, 255).astype(np.uint8)


@preprocessing.dataset_transformer
def every(input, nth):
    return datasets.SubDataSet(input, list(range(0, len(input), nth)))


@preprocessing.dataset_preprocessor
def floats(input):
    return input / 255.0


@preprocessing.dataset_preprocessor
def fails(input):
    raise ValueError("no such pixel")


@preprocessing.dataset_preprocessor
def pair(input):
    return [input, input]


@preprocessing.dataset_preprocessor
def nothing(input: PredictionItem):
    return None


@preprocessing.dataset_transformer
def emptied(input):
    return datasets.SubDataSet(input, [])


@preprocessing.dataset_transformer
def lost(input):
    return None


def unmarked(input):
    return input


@datasets.dataset_provider
def getTrain(count=6):
    return Shapes(count, 64, 0)
"""
PROVIDER = "  get_shapes: {count: 12, size: 64}\n"


@pytest.fixture
def parsed(project, add_experiment):
    """Return a function that writes an experiment with these lines, and parses it."""
    (project / "modules" / "steps.py").write_text(textwrap.dedent(MODULE))

    def parse(extra="", dataset=PROVIDER, common=None, name="exp01"):
        if common is not None:
            (project / "common.yaml").write_text(textwrap.dedent(common))
        return generic.parse(str(add_experiment(name, textwrap.dedent(extra), replace=[(PROVIDER, dataset)])))

    return parse


def raw(count=12):
    from shapes import Shapes

    return Shapes(count, 64, 0)


@pytest.mark.parametrize(
    ("chain", "change"),
    [
        ("plus", lambda x: x + 1),
        ("{plus: 3}", lambda x: x + 3),
        ("{plus: [3]}", lambda x: x + 3),
        ("{plus: {by: 3}}", lambda x: x + 3),
        ("{plus: {args: [3]}}", lambda x: x + 3),
        ("[plus, {times: 2}]", lambda x: (x + 1) * 2),
        ("[{times: 2}, plus]", lambda x: x * 2 + 1),
        ("[{Brighter: 200}]", lambda x: np.minimum(x.astype(int) + 200, 255)),
        ("[pass]", lambda x: x),
        ("[plus, pass, plus]", lambda x: x + 2),
        ("[{seq: [plus, plus]}, plus]", lambda x: x + 3),
        ("[{seq-preprocessor: [{plus: 4}]}]", lambda x: x + 4),
        ("[{repeat(3): plus}]", lambda x: x + 3),
        ("[{repeat(0): plus}, plus]", lambda x: x + 1),
        ("[{repeat(3): [{plus: _}]}]", lambda x: x + 6),
        ("[{if(1 > 2): plus}, {if(True): {plus: 7}}]", lambda x: x + 7),
        ("[{if(not 0): [plus, plus]}]", lambda x: x + 2),
    ],
)
def test_a_chain_changes_every_image(parsed, chain, change):
    dataset = parsed(f"preprocessing: {chain}\n").get_dataset()
    assert len(dataset) == 12
    for number in (0, 5, -1):
        before, after = raw()[number % 12], dataset[number]
        assert (after.x == change(before.x)).all()
        assert after.x.dtype == np.uint8
        assert (after.y[2] == before.y[2]).all()
        assert after.id == before.id
    assert [item.id for item in dataset[2:4]] == ["shape2", "shape3"]


DECLARED = """
declarations:
  lighter:
    parameters: [count, step, twice]
    body:
      - plus: [count/2]
      - plus: step
      - if(twice):
          plus: [step]
  both:
    - lighter: [10, 3, true]
    - lighter: {count: 4, step: 1, twice: false}
  around: {body: [plus], with: {by: 20}}
preprocessing: [both, around]
"""


def test_declared_chains_have_parameters(parsed):
    dataset = parsed(DECLARED).get_dataset()
    assert (dataset[3].x == raw()[3].x + 5 + 3 + 3 + 2 + 1 + 20).all()


def test_what_is_given_to_steps_may_wait_for_a_condition(parsed):
    text = "declarations:\n  one: {body: [if(1 > 2): [times: []], plus], with: {factor: 3}}\npreprocessing: one\n"
    assert (parsed(text).get_dataset()[0].x == raw()[0].x + 1).all()


def test_a_name_stands_for_a_declared_chain(parsed):
    dataset = parsed("declarations:\n  two: [plus, plus]\npreprocessing: two\n").get_dataset()
    assert (dataset[0].x == raw()[0].x + 2).all()


def test_a_dataset_may_be_a_list_and_go_through_preprocessing_too(parsed):
    dataset = parsed("preprocessing: {times: 2}\n", "  - get_shapes: {count: 12, size: 64}\n  - plus\n").get_dataset()
    assert (dataset[1].x == (raw()[1].x + 1) * 2).all()


def test_a_dataset_may_be_a_declared_list(parsed):
    text = "declarations:\n  some:\n    parameters: [many]\n    body: [getTrain: many, plus]\n"
    dataset = parsed(text, "  some: [4]\n").get_dataset()
    assert len(dataset) == 4
    assert (dataset[1].x == raw()[1].x + 1).all()


def test_parts_and_named_datasets_go_through_it(parsed):
    cfg = parsed(
        "preprocessing: plus\ndatasets:\n  test: [getTrain, {plus: 9}]\n  other: {getTrain: 3}\n",
        "  train: {getTrain: 5}\n  validation: [{getTrain: 4}, {every: 2}]\n",
    )
    dataset = cfg.get_dataset()
    assert len(dataset) == 7
    assert [len(part) for part in cfg.kfold().folds[0]] == [5, 2]
    assert (dataset[6].x == raw()[2].x + 1).all()
    assert (cfg.get_dataset("test")[0].x == raw()[0].x + 10).all()
    assert (cfg.get_dataset("other")[0].x == raw()[0].x + 1).all()


def test_a_dataset_that_is_given_goes_through_it_once(parsed):
    cfg = parsed("preprocessing: plus\n")
    given = Items([square()] * 6)
    cfg.check(given)
    cfg.check(given)
    assert (cfg.get_dataset()[0].x == given[0].x + 1).all()
    assert (cfg.validation(None, 0)[0].x == given[0].x + 1).all()
    assert cfg.preprocessed(cfg.validation(None, 0))[0].x.max() == 201


def test_a_chain_can_be_handed_to_processes_that_are_not_forked(parsed):
    import pickle

    chain = "[{plus: 2}, {Brighter: 1}, {every: 2}, cache, disk-cache, {augmentation: {body: [plus], weights: 1}}]"
    dataset = parsed(f"preprocessing: {chain}\n").get_dataset()
    copied = pickle.loads(pickle.dumps(dataset))
    assert len(copied) == 6
    for _ in range(2):
        assert (copied[2].x == dataset[2].x).all()
        assert (copied[2].x == raw()[4].x + 3).all()
        assert (copied.get_train_item(2).x == dataset[2].x + 1).all()


def test_it_may_be_set_in_python(parsed):
    cfg = parsed("")
    assert (cfg.get_dataset()[0].x == raw()[0].x).all()
    cfg.preprocessing = ["plus", {"times": 2}]
    assert (cfg.get_dataset()[0].x == (raw()[0].x + 1) * 2).all()
    cfg.declarations = {"more": [{"plus": 9}]}
    cfg.preprocessing = "more"
    assert (cfg.get_dataset()[0].x == raw()[0].x + 9).all()
    with pytest.raises(ConfigError, match="preprocessing is 5"):
        cfg.preprocessing = 5


@pytest.mark.parametrize("extra", ["{getTrain: 3}", "more", "registered", "[getTrain: 3, pass]"])
def test_further_training_data_goes_through_it(parsed, extra, monkeypatch):
    from musket_core import generic_config

    monkeypatch.setitem(generic_config.extra_train, "registered", raw(3))
    cfg = parsed(f"preprocessing: plus\ndatasets:\n  more: {{getTrain: 3}}\nextra_train_data: {extra}\n")
    folds = cfg.kfold()
    assert len(folds.ds) == 15
    assert set(range(12, 15)) <= set(folds.indexes(0, True))
    assert (folds.ds[13].x == raw()[1].x + 1).all()


def test_a_preprocessor_of_items_changes_images_and_masks_together(parsed):
    cfg = parsed("preprocessing: [halve, plus]\n")
    dataset = cfg.get_dataset()
    assert dataset[4].x.shape == (32, 32, 3)
    assert dataset[4].y[2].shape[1:] == (32, 32)
    cfg.check()
    assert dataset.root().meta() == {"CLASSES": ["disc", "square", "triangle"]}


def test_a_transformer_changes_which_items_there_are(parsed):
    cfg = parsed("preprocessing: [{every: 3}, plus]\n")
    assert [item.id for item in cfg.get_dataset()] == ["shape0", "shape3", "shape6", "shape9"]
    assert cfg.class_names() == ("disc", "square", "triangle")


AUGMENTED = "preprocessing:\n  - augmentation: {body: [{plus: 50}, {seq: [{times: 2}]}], weights: [0.5, 1], seed: 5}\n  - plus\n"


def test_an_augmentation_is_for_training_alone(parsed):
    dataset = parsed(AUGMENTED).get_dataset()
    before = raw()[2].x
    dark = int(before[0, 0, 0])
    assert (dataset[2].x == before + 1).all()
    np.random.seed(3)  # noqa: NPY002
    drawn = [dataset.get_train_item(2).x for _ in range(12)]
    kinds = {int(image[0, 0, 0]) for image in drawn}
    assert kinds == {((dark + 50) * 2 + 1) % 256, (dark * 2 + 1) % 256}
    np.random.seed(3)  # noqa: NPY002
    assert all((dataset.get_train_item(2).x == image).all() for image in drawn)


def test_another_seed_draws_otherwise(parsed):
    draws = []
    for seed in (1, 2):
        text = f"preprocessing: {{augmentation: {{body: [plus], weights: 0.5, seed: {seed}}}}}\n"
        dataset = parsed(text, name=f"seed{seed}").get_dataset()
        np.random.seed(0)  # noqa: NPY002
        draws.append([int(dataset.get_train_item(0).x[0, 0, 0]) for _ in range(24)])
    assert draws[0] != draws[1]


def test_a_dataset_that_trains_on_other_items_still_does(parsed):
    class Shown(Items):
        def get_train_item(self, item):
            image, y = self.pairs[item]
            return PredictionItem(f"train{item}", image + 100, y)

    dataset = parsed("preprocessing: plus\n").preprocessed(Shown([square()] * 3))
    assert dataset.get_train_item(1).id == "train1"
    assert dataset.get_train_item(1).x[0, 0, 0] == 101
    assert dataset[1].x[0, 0, 0] == 1


def test_what_training_asks_of_items_is_asked_through_a_chain(parsed):
    class Told(Items):
        def isPositive(self, item):
            return item == 2

        def sample_weight(self, item):
            return item + 1.0

        def get_stratify_class(self, item):
            return f"class {item}"

    for chain, has_positives in (("[plus, {every: 2}, cache]", True), ("[halve, {every: 2}]", False)):
        cfg = parsed(f"preprocessing: {chain}\n", name="weighted" if has_positives else "changed")
        dataset = cfg.preprocessed(Told([square()] * 6))
        assert [dataset.sample_weight(number) for number in range(3)] == [1, 3, 5]
        assert [dataset.get_stratify_class(number) for number in range(3)] == ["class 0", "class 2", "class 4"]
        assert hasattr(dataset, "isPositive") is has_positives
        if has_positives:
            assert [dataset.isPositive(number) for number in range(3)] == [False, True, False]
    plain = parsed("preprocessing: [{every: 2}]\n", name="plain").get_dataset()
    assert not hasattr(plain, "isPositive")
    assert not hasattr(plain, "sample_weight")


def test_items_know_what_they_were_made_of(parsed):
    item = parsed("preprocessing: [plus, {times: 2}]\n").get_dataset()[0]
    assert (item.original().x == raw()[0].x + 1).all()
    assert (item.rootItem().x == raw()[0].x).all()


@pytest.mark.parametrize("chain", ["[halve, plus]", "[{every: 2}, cache]", "pass"])
def test_folds_may_be_stratified(parsed, chain):
    cfg = parsed(f"stratified: true\nfolds_count: 2\npreprocessing: {chain}\n")
    validated = sorted(index for _, validation in cfg.kfold().folds for index in validation)
    assert validated == list(range(len(cfg.get_dataset())))


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("halve_image", r"item 'shape0': the preprocessor halve_image gave an image of 32 x 32 .* masks of 64 x 64"),
        ("floats", r"dtype float64, expected uint8 .* comes from the preprocessing \(floats\)"),
        ("[plus, fails]", "the preprocessor fails failed: ValueError: no such pixel"),
        ("pair", "the preprocessor pair gave a list as x, expected one image"),
        ("nothing", "the preprocessor nothing gave a NoneType, expected a PredictionItem"),
        ("emptied", "preprocessing: the transformer emptied left none of 12 items"),
        ("lost", "preprocessing: the transformer lost gave a NoneType, expected a dataset"),
    ],
)
def test_what_a_step_must_not_do(parsed, chain, message):
    with pytest.raises(DatasetError, match=message):
        parsed(f"preprocessing: {chain}\n").check()


def test_an_image_without_masks_must_keep_its_size_too(parsed):
    image, (labels, boxes, _) = square()
    with pytest.raises(DatasetError, match="made an image of 20 x 30 .* of one of 40 x 60, but its boxes stay"):
        parsed("preprocessing: halve_image\n").preprocessed(Items([(image, (labels, boxes))]))[0]


def test_a_transformer_must_bring_folds_that_fit(parsed):
    cfg = parsed("preprocessing: {every: 2}\n")
    given = Items([square()] * 6)
    given.folds = [([0, 1, 2, 3], [4, 5])]
    with pytest.raises(DatasetError, match="makes 3 items of 6, so that folds of the dataset no longer fits"):
        cfg.preprocessed(given)


def test_names_that_are_not_there(parsed):
    with pytest.raises(
        ConfigError, match=r"config.yaml: preprocessing\[1\]: 'pluss' is no preprocessor \(did you mean 'plus'\?\)"
    ):
        parsed("preprocessing: [plus, pluss]\n").get_dataset()
