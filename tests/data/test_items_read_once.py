"""How often items are read: labels once for all folds and stages, ground truth once for a whole summary."""

import shutil
from collections import Counter

import pytest
import yaml
from musket_core import generic
from musket_core.datasets import CompositeDataSet, SubDataSet

from instance_segmentation_pipeline.data.item_cache import ItemCache, place_of
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.experiment import trainer
from instance_segmentation_pipeline.experiment.fold_trainer import FoldOutcome
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest, TrainRequest
from instance_segmentation_pipeline.experiment.stage_work import StageWork
from instance_segmentation_pipeline.launch.jobs import Outcome
from tests.support.datasets import Items, square

pytestmark = pytest.mark.slow

SAMPLING = "configOptions:\n  train_dataloader.dataset.oversample_thr: 0.5\n"
"""What makes a native config sample by classes."""


class Counted(Items):
    """A dataset that counts how often the target of each item is asked for."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.reads = Counter()

    def __getitem__(self, item):
        self.reads[item] += 1
        return super().__getitem__(item)

    def get_target(self, item):
        self.reads[item] += 1
        return self.pairs[item][1]


class Mirrored(SubDataSet):
    """A part that reads in a way of its own."""

    def __getitem__(self, item):
        return super().__getitem__(len(self) - 1 - item)


@pytest.fixture
def dataset():
    return Counted([square(label=1 + number % 3) for number in range(24)])


def parts(dataset):
    """Return parts and unions of a dataset, each with the positions of its items in it."""
    first, second = SubDataSet(dataset, [5, 3, 1]), SubDataSet(dataset, [0, 5])
    return [
        (dataset, list(range(24))),
        (first, [5, 3, 1]),
        (SubDataSet(first, [2, 0]), [1, 5]),
        (CompositeDataSet([first, second]), [5, 3, 1, 0, 5]),
        (CompositeDataSet([SubDataSet(dataset, []), second, CompositeDataSet([second, first])]), [0, 5, 0, 5, 5, 3, 1]),
        (SubDataSet(CompositeDataSet([first, second]), [4, 2]), [5, 1]),
        (Mirrored(dataset, [7, 8]), [8, 7]),
    ]


@pytest.mark.parametrize("number", range(7))
def test_items_of_parts_are_those_of_the_dataset(dataset, number):
    part, positions = parts(dataset)[number]
    for place, position in enumerate(positions):
        source, there = place_of(part, place)
        assert source[there].id == part[place].id == f"item{position}"
    assert (place_of(part, 0)[0] is dataset) == (type(part) is not Mirrored)


def test_each_item_is_read_once_by_whatever_part(dataset):
    read = Counter()

    def reading(source, position):
        read[source[position].id] += 1
        return source[position].id

    cache = ItemCache(reading)
    for part, positions in parts(dataset)[:-1]:
        assert cache.of(part, range(len(part))) == [f"item{position}" for position in positions]
    assert read == {f"item{position}": 1 for position in range(24)}


def test_datasets_of_the_same_place_in_memory_are_not_mixed_up():
    cache = ItemCache(lambda source, position: source.pairs[position])
    for number in range(50):
        assert cache.of(Items([number]), [0]) == [number]


@pytest.fixture
def untrained(monkeypatch):
    """Let stages end where training would begin; return the items that each was to train on."""
    trained = []

    def scheduled(self, items):
        trained.append((self.request.fold, self.number, list(items.train)))
        raise KeyboardInterrupt

    monkeypatch.setattr(StageWork, "_scheduled", scheduled)
    return trained


class Run:
    """Stands for musket_core's ``ExecutionConfig``."""

    def __init__(self, fold, stage):
        self.fold, self.stage, self.subsample = fold, stage, 1.0


@pytest.mark.parametrize(
    "extra", ["", "stratified: true\n", "testSplit: 0.25\n", "stratified: true\ntestSplit: 0.25\n"]
)
def test_labels_are_read_once_for_all_folds_and_stages(add_experiment, dataset, untrained, extra):
    text = f"folds_count: 3\n{extra}"
    path = add_experiment(
        extra=text,
        replace=[
            ("configOptions:\n", SAMPLING),
            ("stages:\n", "stages:\n  - epochs: 1\n  - epochs: 1\n"),
        ],
    )
    cfg = generic.parse(str(path))
    cfg.use_dataset(dataset)
    folds = cfg.kfold()
    marks = Counter(dict.fromkeys({round(step * 23 / 7) for step in range(8)}, 1))  # the split's fingerprint
    for fold in range(3):
        for number, stage in enumerate(cfg.stages):
            with pytest.raises(KeyboardInterrupt):
                stage.execute(folds, cfg.finished(), Run(fold, number))
    assert len(untrained) == 9
    used = {place_of(folds.ds, index)[1] for fold in range(3) for index in folds.indexes(fold, True)}
    if "stratified" in extra:
        used = set(range(24))
    assert {item: dataset.reads[item] - marks[item] for item in range(24)} == {
        item: int(item in used) for item in range(24)
    }


def test_labels_are_read_before_processes_part(add_experiment, dataset, monkeypatch):
    path = add_experiment(extra="folds_count: 2\n", replace=[("configOptions:\n", SAMPLING)])
    cfg = generic.parse(str(path))
    cfg.use_dataset(dataset)
    cfg.kfold()
    dataset.reads.clear()
    seen = []

    class Pool:
        def run(self, jobs, stop):
            seen.append(dict(dataset.reads))
            return [Outcome(job.label, FoldOutcome(FoldRequest(0), stopped=False)) for job in jobs]

    monkeypatch.setattr(trainer, "scheduler_for", lambda *_, **__: Pool())
    monkeypatch.setattr(trainer, "leases", lambda *_: [["cpu"], ["cpu"]])
    trainer.ExperimentTrainer(cfg).train_folds(TrainRequest())
    assert seen == [dict.fromkeys(range(24), 1)]


@pytest.fixture
def reads(monkeypatch):
    """Return how often the image and the target of each item are read together, as truths are."""
    counts = Counter()

    def read(self, source, index, real=ItemReader.read, **options):
        entry = real(self, source, index, **options)
        counts[entry[0]] += 1
        return entry

    monkeypatch.setattr(ItemReader, "read", read)
    return counts


def test_a_summary_reads_each_truth_once(trained, tmp_path, reads):
    """Two folds, two stages, a holdout: the numbers are those of the first time, where they are all there is."""
    root = tmp_path / "project"
    shutil.copytree(trained.parent.parent.parent, root)
    path = root / "experiments" / "exp01" / "config.yaml"
    before = yaml.safe_load((path.parent / "summary.yaml").read_text())
    cfg = generic.parse(str(path))
    cfg.check()
    cfg.kfold()
    (path.parent / "summary.yaml").unlink()
    reads.clear()
    cfg.generateReports()
    assert set(reads.values()) == {1}
    assert len(reads) == 12  # all items are in a validation part or held out
    assert yaml.safe_load((path.parent / "summary.yaml").read_text()) == before


def test_truths_asked_for_alone_are_read_anew(trained, tmp_path, reads):
    """A dataset that changes between two questions is seen to have changed."""
    cfg = generic.parse(str(trained))
    cfg.check()
    held = cfg.predictions("holdout", 0)
    reads.clear()
    assert [record["filename"] for record in cfg.truths(held)] == [record["filename"] for record in cfg.truths(held)]
    assert set(reads.values()) == {2}
    with cfg.truths_kept():
        assert cfg.truths(held)[0] is cfg.truths(held)[0]
    assert set(reads.values()) == {3}


def test_seeds_share_what_is_read(add_experiment):
    """What one keeps, all of an experiment use, and it is let go at the end, also after an error."""
    cfg = generic.parse(str(add_experiment(extra="num_seeds: 2\n")))
    first, second = cfg.seeds()
    held = cfg.get_dataset()
    with cfg.truths_kept() as truths, first.truths_kept() as same, second.truths_kept() as again:
        assert truths is same is again
        assert first.truths(held)[0] is second.truths(held)[0] is cfg.truths(held)[0]
    with pytest.raises(ValueError, match="x"), cfg.truths_kept():
        raise ValueError("x")
    assert not cfg.ground_truths.are_kept
    assert first.truths(held)[0] is not second.truths(held)[0]
