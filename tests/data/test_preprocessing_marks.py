"""What of a chain splits, prediction stores and resumes go by."""

import sys
import textwrap

import pytest
from musket_core import datasets as musket_datasets
from musket_core import generic

from instance_segmentation_pipeline.data.fingerprint import dataset_mark
from instance_segmentation_pipeline.data.splits import item_order
from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.experiment.stage_work import dataset_steps_of
from tests.data.test_preprocessing import MODULE, PROVIDER

SWAPPED = """

@preprocessing.dataset_transformer
def swapped(input, one, other):
    order = list(range(len(input)))
    order[one], order[other] = other, one
    return datasets.SubDataSet(input, order)
"""


@pytest.fixture
def parsed(project, add_experiment):
    """Return a function that writes an experiment with this chain, or writes it anew, and parses it."""
    (project / "modules" / "steps.py").write_text(textwrap.dedent(MODULE) + SWAPPED)

    def parse(extra, dataset=PROVIDER, epochs=1):
        path = project / "experiments" / "exp01" / "config.yaml"
        if not path.exists():
            add_experiment("exp01", "")
            parse.text = path.read_text()
        text = parse.text.replace(PROVIDER, dataset).replace("epochs: 1", f"epochs: {epochs}")
        path.write_text(text + textwrap.dedent(extra))
        return generic.parse(str(path))

    return parse


@pytest.mark.parametrize(
    ("before", "after", "is_kept"),
    [
        ("", "plus", True),
        ("plus", "[halve, {plus: 3}]", True),
        ("plus", "[cache, plus]", True),
        ("{augmentation: {body: [plus], weights: 0.5}}", "pass", True),
        ("", "{every: 2}", False),
        ("{every: 3}", "{every: 4}", False),
        ("{swapped: [1, 4]}", "{swapped: [7, 10]}", False),
        ("{swapped: [1, 4]}", "[{swapped: {one: 1, other: 4}}, plus]", False),
        ("{swapped: [1, 4]}", "[disk-cache, {swapped: [1, 4]}, plus]", True),
    ],
)
def test_a_split_is_of_the_items_that_there_are(parsed, before, after, is_kept):
    files = []
    for chain in (before, after):
        cfg = parsed(f"preprocessing: {chain}\n" if chain else "")
        cfg.kfold()
        files.append(cfg.files.folds_split.read_text().partition("\n")[0])
    assert (files[0] == files[1]) is is_kept


def test_the_order_of_items_is_known_through_chains_and_folders(parsed):
    class Listed(musket_datasets.DataSet):
        def __init__(self, names):
            super().__init__()
            self.names = names

        def __len__(self):
            return len(self.names)

        def __getitem__(self, item):
            raise AssertionError("no item is read")

    cfg = parsed("preprocessing: [plus, cache]\n")
    one, other = Listed(["a", "b", "c"]), Listed(["a", "c", "b"])
    assert item_order(cfg.preprocessed(one)) == item_order(one) != item_order(cfg.preprocessed(other))
    from instance_segmentation_pipeline.data.data_folder import FolderDataSet

    assert item_order(FolderDataSet(cfg.preprocessed(one), cfg.parts.datasets.paths.data_folder())) == item_order(one)


@pytest.mark.parametrize(
    ("before", "after", "is_kept"),
    [
        ("", "plus", False),
        ("plus", "{plus: 2}", False),
        ("[plus, {times: 2}]", "[{times: 2}, plus]", False),
        ("plus", "{plus: {by: 1}}", False),
        ("plus", "[cache, plus, {disk-cache: 5}, pass]", True),
        ("plus", "[plus, {augmentation: {body: [plus], weights: 1}}]", True),
        ("{every: 1}", "{every: 2}", False),
    ],
)
def test_predictions_are_of_the_pixels_and_targets_that_there_are(parsed, before, after, is_kept):
    marks = []
    for chain in (before, after):
        cfg = parsed(f"preprocessing: {chain}\n" if chain else "")
        marks.append(dataset_mark(cfg.get_dataset(), cfg.reader()))
    assert (marks[0] == marks[1]) is is_kept


def test_predictions_are_of_the_code_also_where_the_sample_does_not_tell(parsed, project):
    import linecache

    marks = []
    for limit in (100, 101):
        text = textwrap.dedent(MODULE) + (
            "\n\n@preprocessing.dataset_preprocessor\ndef rare(input: PredictionItem):\n"
            f"    if input.id == 'shape{limit}':\n        input.x[...] = 0\n    return input\n"
        )
        (project / "modules" / "steps.py").write_text(text)
        sys.modules.pop("steps", None)
        linecache.clearcache()
        cfg = parsed("preprocessing: rare\n")
        marks.append(dataset_mark(cfg.get_dataset(), cfg.reader()))
    assert marks[0] != marks[1]


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (PROVIDER, None),
        ("  - getTrain: [6]\n  - plus\n  - cache\n  - times: 3\n", "plus, times 3"),
        ("  train: [getTrain, plus]\n  validation: {getTrain: 3}\n", "plus"),
        ("  train: [getTrain, plus]\n  validation: [getTrain, {plus: 2}]\n", "plus; plus 2"),
        ("  some: [4]\n", "plus 4"),
    ],
)
def test_a_resume_knows_the_steps_of_a_dataset(parsed, dataset, told):
    declared = "declarations:\n  some: {parameters: [n], body: [getTrain, plus: n]}\n" if "some" in dataset else ""
    assert dataset_steps_of(parsed(declared, dataset).parts.settings.data) == told


@pytest.mark.slow
def test_a_resume_is_of_the_same_steps(parsed):
    parsed("preprocessing: [plus, {times: 1}]\n").fit()
    longer = parsed("declarations:\n  same: [{times: 1}]\npreprocessing: [plus, same, cache]\n", epochs=2)
    longer.setAllowResume(True)
    longer.fit()
    rows = longer.files.stage(0, 0).metrics.read_text().splitlines()
    assert len(rows) == 3
    other = parsed("preprocessing: [{plus: 2}, {times: 1}]\n", epochs=3)
    other.setAllowResume(True)
    with pytest.raises(WeightsError, match="preprocessing 'plus, times 1' there, 'plus 2, times 1' now"):
        other.fit()
