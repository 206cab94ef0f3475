"""The shapes that ``common.yaml`` has in Musket's public examples, each read and trained with; and what is wrong in one."""

import textwrap

import numpy as np
import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.experiment.stage_work import preprocessing_of

pytestmark = pytest.mark.slow

MODULE = """
import numpy as np
from musket_core import datasets, preprocessing
from shapes import Shapes


@datasets.dataset_provider
def getTrain(count=5):
    return Shapes(count, 64, 0)


@datasets.dataset_provider
def getTest(count=3):
    return Shapes(count, 64, 9)


@preprocessing.dataset_preprocessor
def inverted(input):
    return 255 - input


@preprocessing.dataset_preprocessor
def plus(input, by):
    return input + np.uint8(by)
"""
OWN = "  get_shapes: {count: 12, size: 64}\n"
FIVE = "  getTrain: []\n"
NONE = "dataset:\n" + OWN
COMMENTS = """
    # This file stores common configuration settings
    # Please note that you may override this settings in experiment configuration file
"""
WITH_DATASETS = """
    inference_batch: 32
    datasets:
        Test:
          getTest: []
        Train:
          getTrain: []
    dataset:
        getTrain: []
"""


@pytest.fixture
def experiment(project, add_experiment):
    """Return a function that writes common.yaml and an experiment, and gives back the latter's path."""
    (project / "modules" / "providers.py").write_text(textwrap.dedent(MODULE))

    def write(common, extra="", own=FIVE):
        (project / "common.yaml").write_text(textwrap.dedent(common))
        replace = [(NONE, "")] if own is None else [(OWN, own)]
        return add_experiment("exp01", textwrap.dedent(extra), replace=replace)

    return write


def first(cfg):
    return cfg.get_dataset()[0].x


def plain():
    from shapes import Shapes

    return Shapes(5, 64, 0)[0].x


SHAPES = {
    "nothing": ("", "", FIVE, lambda cfg: True),
    "comments": (COMMENTS, "", FIVE, lambda cfg: True),
    "a property": (f"{COMMENTS}    inference_batch: 32\n", "", FIVE, lambda cfg: cfg.inference_batch == 32),
    "a property that the experiment has too": (
        "inference_batch: 32\nthreshold: 0.7\n",
        "inference_batch: 2\n",
        FIVE,
        lambda cfg: (cfg.inference_batch, cfg.threshold) == (2, 0.7),
    ),
    "datasets alone": (
        "inference_batch: 32\n\ndatasets:\n    Test0:\n      getTest: []\n    Train0:\n      getTrain: []\n",
        "",
        FIVE,
        lambda cfg: len(cfg.get_dataset("Test0")) == 3,
    ),
    "datasets and the dataset": (
        WITH_DATASETS,
        "",
        None,
        lambda cfg: (len(cfg.get_dataset()), len(cfg.get_dataset("Test"))) == (5, 3),
    ),
    "a dataset that the experiment has too": (
        WITH_DATASETS,
        "",
        "  getTrain: [4]\n",
        lambda cfg: len(cfg.get_dataset()) == 4,
    ),
    "datasets beside the experiment's": (
        WITH_DATASETS,
        "datasets:\n  Test: {getTest: [7]}\n  More: {getTest: [2]}\n",
        None,
        lambda cfg: [len(cfg.get_dataset(name)) for name in ("Test", "Train", "More")] == [7, 5, 2],
    ),
    "imports": (
        f"imports: [musket_core.image_datasets]\n{textwrap.dedent(WITH_DATASETS)}",
        "",
        None,
        lambda cfg: cfg.imports == ["musket_core.image_datasets"],
    ),
    "a module": (
        "imports: musket_core.image_datasets\n",
        "",
        FIVE,
        lambda cfg: cfg.imports == ["musket_core.image_datasets"],
    ),
    "declarations that nobody names": (
        "declarations:\n  block: [inverted]\n",
        "",
        FIVE,
        lambda cfg: (first(cfg) == plain()).all(),
    ),
    "declarations that the experiment names": (
        "declarations:\n  block:\n    parameters: [by]\n    body:\n      - inverted\n      - plus: by\n",
        "preprocessing:\n  - block: [3]\n  - disk-cache:\n",
        FIVE,
        lambda cfg: (first(cfg) == 255 - plain() + np.uint8(3)).all(),
    ),
    "declarations beside the experiment's": (
        "declarations:\n  block: [inverted]\n  other: [inverted]\n",
        "declarations:\n  other: [block, block, plus: 1]\npreprocessing: other\n",
        FIVE,
        lambda cfg: (first(cfg) == plain() + 1).all(),
    ),
    "preprocessing": (
        "preprocessing:\n  - inverted\n  - cache\n",
        "",
        FIVE,
        lambda cfg: (first(cfg) == 255 - plain()).all(),
    ),
    "preprocessing that the experiment has too": (
        "preprocessing: inverted\n",
        "preprocessing: {plus: 9}\n",
        FIVE,
        lambda cfg: (first(cfg) == plain() + 9).all(),
    ),
    "augmentation": ("augmentation:\n  Fliplr: 0.5\n  Flipud: 0.5\n", "", FIVE, lambda cfg: bool(cfg.augmentation)),
    "test-time augmentation": (
        "testTimeAugmentation: Horizontal\n",
        "",
        FIVE,
        lambda cfg: bool(cfg.testTimeAugmentation),
    ),
    "a split": ("testSplit: 0.2\nfolds_count: 1\n", "", FIVE, lambda cfg: len(cfg.holdout()) == 1),
}


TRAINED = ("datasets and the dataset", "declarations that the experiment names", "augmentation", "a split")


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_read_and_can_be_trained(experiment, shape):
    """All that training needs is built, and items go through both pipelines; those that change items are trained."""
    common, extra, own, holds = SHAPES[shape]
    path = experiment(common, extra, own)
    cfg = generic.parse(str(path))
    assert holds(cfg)
    if shape not in TRAINED:
        cfg.check()
        return
    cfg.fit()
    summary = yaml.safe_load((path.parent / "summary.yaml").read_text())
    assert summary["completed"] is True


@pytest.mark.parametrize(
    ("common", "message"),
    [
        ("preprocessing: [plus, {a: 1, b: 2}]\n", r"preprocessing\[1\] has 2 names \(a, b\)"),
        ("preprocessing: 5\n", "preprocessing is 5, but it must be"),
        ("declarations: [inverted]\n", "declarations is .*, but it must be a mapping"),
        ("declarations:\n  one: [two]\n  two: [one]\npreprocessing: one\n", "declarations.one leads to itself"),
        ("declarations:\n  cache: [inverted]\n", "declarations.cache has the name of a step"),
        ("dataset: 5\n", "dataset is 5, but it must be"),
        ("datasets: [getTrain]\n", "datasets is .*, but it must be a mapping"),
        ("dataset:\n  - getTrain\n  - if(1:\n", r"not valid YAML|dataset\[1\]"),
    ],
)
def test_what_is_wrong_in_it_is_told_by_its_name(experiment, common, message):
    path = experiment(common, own=None if common.startswith("dataset:") else FIVE)
    with pytest.raises(ConfigError, match=rf"common\.yaml.*{message}"):
        generic.parse(str(path))


@pytest.mark.parametrize(
    ("common", "message"),
    [
        ("preprocessing: [invert]\n", r"preprocessing: 'invert' is no preprocessor \(did you mean 'inverted'\?\)"),
        ("preprocessing: {plus: {buy: 1}}\n", r"plus has no argument 'buy' \(did you mean 'by'\?\)"),
        ("dataset: {getTrian: []}\n", r"dataset 'getTrian' is no dataset provider \(did you mean 'getTrain'\?\)"),
        ("dataset: [getTrain, invert]\n", r"dataset\[1\]: 'invert' is no preprocessor"),
        ("dataset: {getTrain: [1, 2, 3, 4]}\n", "the dataset provider 'getTrain' failed"),
    ],
)
def test_what_its_datasets_lack_is_told_by_its_name(experiment, common, message):
    cfg = generic.parse(str(experiment(common, own=None if common.startswith("dataset:") else FIVE)))
    with pytest.raises(UserError, match=rf"common\.yaml: .*{message}"):
        cfg.get_dataset()


@pytest.mark.parametrize(
    ("common", "own", "message"),
    [
        (
            "declarations:\n  bad: 5\n",
            "declarations:\n  good: [inverted]\npreprocessing: good\n",
            "declarations.bad is 5",
        ),
        ("datasets:\n  Bad: [getTrain, 5]\n", "datasets:\n  Good: {getTrain: 3}\n", r"datasets.Bad\[1\] is 5"),
    ],
)
def test_entries_that_are_added_are_told_by_its_name(experiment, common, own, message):
    with pytest.raises(ConfigError, match=rf"common\.yaml: {message}"):
        generic.parse(str(experiment(common, own)))


@pytest.mark.parametrize("chain", ["[invertde]", "[{plus: {byy: 2}}]", "{body: [{plus: 1}], with: {byy: 2}}"])
@pytest.mark.parametrize("file", ["common", "config"])
def test_what_is_wrong_in_a_declared_chain_is_told_by_the_file_that_has_it(experiment, chain, file):
    bad, good = f"declarations:\n  bad: {chain}\n", "declarations:\n  good: [inverted]\n"
    common, own = (bad, good) if file == "common" else (good, bad)
    cfg = generic.parse(str(experiment(common, f"{own}preprocessing: good\ndatasets: {{Test: [getTrain, bad]}}\n")))
    with pytest.raises(ConfigError, match=rf"{file}\.yaml: declarations\.bad"):
        cfg.get_dataset("Test")


def test_declarations_may_be_for_other_properties(experiment):
    text = "declarations:\n  some: [getTrain: 3]\n  same: [pass]\nextra_train_data: some\npreprocessing: same\n"
    cfg = generic.parse(str(experiment("", text)))
    assert len(cfg.kfold().ds) == 8


def test_an_entry_of_datasets_is_told_by_the_file_that_has_it(experiment):
    cfg = generic.parse(str(experiment("datasets:\n  Test: {getTset: []}\n", "datasets:\n  Mine: {getTset: []}\n")))
    with pytest.raises(ConfigError, match=r"common\.yaml: .*getTset"):
        cfg.get_dataset("Test")
    with pytest.raises(ConfigError, match=r"config\.yaml: .*getTset"):
        cfg.get_dataset("Mine")


def test_stages_know_the_chain(experiment):
    cfg = generic.parse(str(experiment("declarations:\n  block: [inverted]\npreprocessing: [block, {plus: 2}]\n")))
    text = preprocessing_of(cfg.preprocessing, cfg.declarations)
    assert text == "inverted, plus 2"
