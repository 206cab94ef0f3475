"""``cache`` and ``disk-cache``: what comes out of them is what went in, once, for all workers and processes."""

import multiprocessing
import os
import signal
import sqlite3
import time

import numpy as np
import pytest
from musket_core import generic
from musket_core.datasets import DataSet, PredictionItem

from instance_segmentation_pipeline.data.preprocessing.disk_store import DiskStore
from instance_segmentation_pipeline.data.preprocessing.shared_memory import SharedMemory
from instance_segmentation_pipeline.errors import ConfigError
from tests.support.datasets import Items, same_items, square
from tests.support.processes import PATIENCE, wait_until

PROVIDER = "  get_shapes: {count: 12, size: 64}\n"
MODULE = """
import os
from pathlib import Path

from musket_core import datasets, preprocessing
from shapes import Shapes

FACTOR = 2


class Counted(Shapes):
    def __getitem__(self, item):
        with open(os.environ["READS"], "a") as file:
            file.write(f"{item}\\n")
        return super().__getitem__(item)


@datasets.dataset_provider
def getCounted(count=8):
    return Counted(count, 64, 0)


def helper(x):
    return x + 1


@preprocessing.dataset_preprocessor
def grown(input):
    return helper(input) * FACTOR


@preprocessing.dataset_preprocessor
def unrelated(input):
    return input
"""


@pytest.fixture
def counted(project, add_experiment, tmp_path, monkeypatch):
    """Return a function that parses an experiment whose provider notes each reading, and one that tells how many."""
    reads = tmp_path / "reads.txt"
    reads.write_text("")
    monkeypatch.setenv("READS", str(reads))
    (project / "modules" / "counting.py").write_text(MODULE)
    numbers = iter(range(100))

    def parse(extra="", dataset="  getCounted: []\n"):
        return generic.parse(str(add_experiment(f"exp{next(numbers)}", extra, replace=[(PROVIDER, dataset)])))

    def count():
        found = len(reads.read_text().splitlines())
        reads.write_text("")
        return found

    return parse, count


def raw():
    from shapes import Shapes

    return Shapes(8, 64, 0)


# -- the steps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["cache", "disk-cache", "{cache: {megabytes: 5}}", "{disk-cache: [5]}"])
def test_each_item_is_read_once(counted, step):
    parse, count = counted
    dataset = parse(f"preprocessing: [grown, {step}]\n").get_dataset()
    count()
    first = [dataset[number] for number in range(8)]
    assert count() == 8
    again = [dataset[number] for number in range(8)]
    trained = [dataset.get_train_item(number) for number in range(8)]
    assert dataset.get_target(3)[0].tolist() == first[3].y[0].tolist()
    assert count() == 0
    for number in range(8):
        same_items(first[number], again[number])
        same_items(first[number], trained[number])
        assert (first[number].x == (raw()[number].x + 1) * 2).all()
    again[0].x[...] = 0
    same_items(dataset[0], first[0])
    assert (again[1].original().x == first[1].x).all()
    assert (again[1].rootItem().x == raw()[1].x).all()


def test_steps_behind_a_cache_are_not_kept(counted):
    parse, _ = counted
    dataset = parse("preprocessing: [cache, grown]\n").get_dataset()
    for _ in range(2):
        assert (dataset[2].x == (raw()[2].x + 1) * 2).all()


def test_memory_is_bounded(counted):
    parse, count = counted
    dataset = parse("preprocessing: {cache: 1}\n", "  getCounted: [100]\n").get_dataset()
    count()
    for _ in range(2):
        assert [dataset[number].id for number in range(100)] == [f"shape{number}" for number in range(100)]
    assert 100 < count() < 200


def test_what_training_sees_otherwise_is_not_kept(counted):
    class Shown(Items):
        def get_train_item(self, item):
            return PredictionItem("train", *self.pairs[item])

    parse, _ = counted
    dataset = parse("preprocessing: cache\n").preprocessed(Shown([square()] * 3))
    for _ in range(2):
        assert dataset[0].id == "item0"
        assert dataset.get_train_item(0).id == "train"


@pytest.mark.parametrize(("chain", "told"), [("[grown, cache]", True), ("[gone, cache]", False)])
def test_targets_are_told_without_images_where_that_can_be(counted, project, chain, told):
    class Told(Items):
        def get_target(self, item):
            return "told"

    parse, _ = counted
    with (project / "modules" / "counting.py").open("a") as file:
        file.write(
            "\n\n@preprocessing.dataset_preprocessor\n"
            "def gone(input: datasets.PredictionItem):\n"
            "    return datasets.PredictionItem(input.id, input.x, tuple(part[:0] for part in input.y))\n"
        )
    target = parse(f"preprocessing: {chain}\n").preprocessed(Told([square()] * 3)).get_target(1)
    assert target == "told" if told else len(target[0]) == 0


def test_a_cache_of_a_dataset_that_is_read_in_its_folder(counted):
    from instance_segmentation_pipeline.data.data_folder import FolderDataSet

    class Shown(Items):
        def get_train_item(self, item):
            return PredictionItem("train", *self.pairs[item])

    parse, _ = counted
    cfg = parse("preprocessing: [cache, disk-cache]\n")
    dataset = cfg.preprocessed(FolderDataSet(Shown([square()] * 3), cfg.parts.datasets.paths.data_folder()))
    for _ in range(2):
        assert dataset[1].id == "item1"
        assert dataset.get_train_item(1).id == "train"


def test_an_augmentation_behind_a_cache_draws_each_time(counted):
    parse, count = counted
    text = "preprocessing: [cache, {augmentation: {body: [grown], weights: [0.5]}}]\n"
    dataset = parse(text).get_dataset()
    count()
    seen = {int(dataset.get_train_item(0).x[0, 0, 0]) for _ in range(40)}
    assert len(seen) == 2
    assert count() == 1


def _read_all(dataset, results):
    results.put([int(dataset[number].x.astype(int).sum()) for number in range(len(dataset))])


@pytest.mark.parametrize("step", ["cache", "disk-cache"])
def test_forked_workers_share_what_they_read(counted, step):
    parse, count = counted
    dataset = parse(f"preprocessing: {step}\n").get_dataset()
    dataset[0]
    count()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    found = []
    for _ in range(3):
        process = context.Process(target=_read_all, args=(dataset, results))
        process.start()
        found.append(results.get(timeout=PATIENCE))
        process.join()
    _read_all(dataset, results)
    found.append(results.get(timeout=PATIENCE))
    assert all(one == found[0] for one in found)
    assert found[0][3] == int(raw()[3].x.astype(int).sum())
    assert count() == 7


# -- the file ------------------------------------------------------------------------------------------------


def test_the_file_is_used_by_later_runs(counted, project):
    parse, count = counted
    first = [item.x for item in parse("preprocessing: [grown, disk-cache]\n").get_dataset()]
    count()
    later = parse("preprocessing: [grown, disk-cache]\n").get_dataset()
    count()
    assert all((item.x == x).all() for item, x in zip(later, first, strict=True))
    assert count() == 0
    (file,) = (project / ".cache").iterdir()
    assert file.suffix == ".sqlite"


@pytest.mark.parametrize(
    ("old", "new", "is_kept"),
    [
        ("FACTOR = 2", "FACTOR = 3", False),
        ("return x + 1", "return x + 2", False),
        ("return helper(input) * FACTOR", "return helper(input)", False),
        ("return super().__getitem__(item)", "return super().__getitem__(0)", False),
        ("    return input\n", "    return input + 1\n", True),
        ("def helper(x):\n", "def helper(x):  # plus one\n", True),
    ],
)
def test_the_file_is_of_the_code_that_made_it(counted, project, old, new, is_kept):
    import sys

    parse, count = counted
    list(parse("preprocessing: [grown, disk-cache]\n").get_dataset())
    text = (project / "modules" / "counting.py").read_text()
    assert old in text
    (project / "modules" / "counting.py").write_text(text.replace(old, new))
    del sys.modules["counting"]
    import linecache

    linecache.clearcache()
    dataset = parse("preprocessing: [grown, disk-cache]\n").get_dataset()
    count()
    list(dataset)
    assert (count() == 0) is is_kept
    assert len(list((project / ".cache").iterdir())) == (1 if is_kept else 2)


@pytest.mark.parametrize("arguments", ["{getCounted: [7]}", "[getCounted, unrelated]"])
def test_the_file_is_of_the_data_and_steps(counted, project, arguments):
    parse, _ = counted
    for _ in range(2):
        list(parse("preprocessing: disk-cache\n").get_dataset())
        list(parse("preprocessing: disk-cache\n", f"  {arguments}\n").get_dataset())
    assert len(list((project / ".cache").iterdir())) == 2
    assert all(file.name.startswith("Counted-") for file in (project / ".cache").iterdir())


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "other", "rows", "trigger"])
def test_a_damaged_file_is_made_anew(counted, project, damage, capsys):
    parse, count = counted
    first = list(parse("preprocessing: disk-cache\n").get_dataset())
    (file,) = (project / ".cache").iterdir()
    if damage == "text":
        file.write_text("this is no database, but a text of some length that stands in its place" * 40)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        with sqlite3.connect(file) as connection:
            if damage == "other":
                connection.execute("UPDATE about SET value = 'x' WHERE name = 'key'")
            elif damage == "rows":
                connection.execute("UPDATE items SET data = x'0102' WHERE position < 3")
            else:
                connection.execute("CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END")
        connection.close()
    dataset = parse("preprocessing: disk-cache\n").get_dataset()
    for _ in range(2):
        count()
        for one, other in zip(dataset, first, strict=True):
            same_items(one, other)
    assert count() == 0
    told = capsys.readouterr().err
    assert ("cannot be read" in told) is (damage not in ("empty", "rows"))
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_file_takes_no_more(tmp_path, capsys):
    store = DiskStore(tmp_path / "a.sqlite", "k", 1 << 20)
    for position in range(10):
        store.put(position, bytes(300_000))
    assert 1 < len(store) < 5
    assert store.get(9) is None
    assert store.get(0) == bytes(300_000)
    assert capsys.readouterr().err.count("takes no more items") == 1


@pytest.mark.parametrize("in_the_way", ["folder", "link", "file above"])
def test_what_lies_in_the_way_is_told(tmp_path, in_the_way):
    path = tmp_path / "cache" / "a.sqlite"
    if in_the_way == "file above":
        path.parent.write_text("")
    else:
        path.parent.mkdir()
        path.mkdir() if in_the_way == "folder" else path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="disk-cache: .*cache"):
        DiskStore(path, "k")
    assert not (tmp_path / "elsewhere").exists()


class Slow(DataSet):
    """Items that tell their number in every pixel, and take a while."""

    def __len__(self):
        return 60

    def __getitem__(self, item):
        time.sleep(0.002)
        image = np.full((80, 80, 3), item, np.uint8)
        mask = np.zeros((2, 80, 80), bool)
        mask[0, : item + 1], mask[1, :, item + 1 :] = True, True
        return PredictionItem(item, image, (np.array([1, 2]), np.zeros((2, 4), np.float32), mask))


def _keep_reading(path, seed, read):
    from instance_segmentation_pipeline.data.preprocessing.caches import Cached

    dataset = Cached(Slow(), DiskStore(path, "key"), "disk-cache", "")
    order = np.random.default_rng(seed)
    while True:
        position = int(order.integers(60))
        assert dataset[position].x[0, 0, 0] == position
        read.value += 1
        if order.random() < 0.3:
            dataset.store.drop(int(order.integers(60)))


def test_two_processes_that_write_may_be_killed(tmp_path):
    path = tmp_path / "killed.sqlite"
    context = multiprocessing.get_context("fork")
    for round_ in range(6):
        counts = [context.Value("i", 0, lock=False) for _ in range(2)]
        given = [(path, 10 * round_ + number, read) for number, read in enumerate(counts)]
        writers = [context.Process(target=_keep_reading, args=arguments) for arguments in given]
        for writer in writers:
            writer.start()
        wait_until(lambda counts=counts, least=10 + round_: min(read.value for read in counts) >= least)
        assert all(writer.is_alive() for writer in writers)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    from instance_segmentation_pipeline.data.preprocessing.caches import Cached

    store = DiskStore(path, "key")
    assert len(store) > 5
    dataset, plain = Cached(Slow(), store, "disk-cache", ""), Slow()
    for _ in range(2):
        for number in range(60):
            same_items(dataset[number], plain[number])
    assert len(store) == 60


def test_a_writer_that_dies_leaves_memory_usable():
    memory = SharedMemory(4, 1 << 16)
    context = multiprocessing.get_context("fork")

    def die():
        with memory._locked():
            os.kill(os.getpid(), signal.SIGKILL)

    process = context.Process(target=die)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    memory.put(1, b"abc")
    assert memory.get(1) == b"abc"
    memory.drop(1)
    assert memory.get(1) is None
