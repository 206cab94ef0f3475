"""Declared datasets are read in their data folder, whoever asks; given ones where the caller stands."""

import copy
import os
import pickle
import shutil
import threading

import cv2
import pytest
import torch
from musket_core import generic
from musket_core.datasets import CompositeDataSet, DataSet, PredictionItem, SubDataSet
from musket_core.projects import Project

from instance_segmentation_pipeline.data.data_folder import DataFolder, FolderDataSet
from tests.support.datasets import shapes
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

MODULE = '''
import os, pickle
from pathlib import Path
import cv2
from musket_core.datasets import CompositeDataSet, DataSet, PredictionItem, SubDataSet, dataset_provider

class Lazy(DataSet):
    """Opens its files by names relative to the data folder, when an item is asked for."""

    def __init__(self, count):
        super().__init__()
        self.files = sorted(str(path) for path in Path("images").glob("*.png"))[:count]

    def __len__(self):
        assert Path("images").is_dir()
        return len(self.files)

    def meta(self):
        return {"CLASSES": Path("classes.txt").read_text().split()}

    def get_target(self, item):
        return pickle.loads(Path(self.files[item] + ".pkl").read_bytes())

    def __getitem__(self, item):
        image = cv2.imread(self.files[item])
        assert image is not None, os.getcwd()
        return PredictionItem(self.files[item], image[:, :, ::-1].copy(), self.get_target(item))

class Wandering(Lazy):
    """Goes elsewhere while it reads."""

    def __getitem__(self, item):
        os.chdir("images")
        os.chdir("..")
        found = super().__getitem__(item)
        os.chdir("/")
        return found

class LazyItem(PredictionItem):
    def __init__(self, inner, item):
        self.id, self.inner, self.item, self.prediction = str(item), inner, item, None

    x = property(lambda self: self.inner[self.item].x)
    y = property(lambda self: self.inner[self.item].y)

class LazyItems(Lazy):
    """Opens its files when image or target of an item are asked for."""

    def __getitem__(self, item):
        return LazyItem(Lazy(len(self.files)), item)

@dataset_provider
def lazy(count):
    return Lazy(count)

@dataset_provider
def wandering(count):
    return Wandering(count)

@dataset_provider
def lazy_items(count):
    return LazyItems(count)

@dataset_provider
def composed(count):
    return CompositeDataSet([SubDataSet(Lazy(count), list(range(0, count, 2))), SubDataSet(Lazy(count), list(range(1, count, 2)))])
'''
PROVIDERS = ["lazy", "wandering", "lazy_items", "composed"]


@pytest.fixture
def lazy_project(project):
    """A project whose data are files, read when items are asked for."""
    (project / "modules" / "lazy.py").write_text(MODULE)
    images = project / "data" / "images"
    images.mkdir(parents=True)
    (project / "data" / "classes.txt").write_text("disc square triangle")
    source = shapes(12)
    for number in range(12):
        item = source[number]
        cv2.imwrite(str(images / f"{number:02}.png"), item.x[:, :, ::-1])
        (images / f"{number:02}.png.pkl").write_bytes(pickle.dumps(item.y))
    return project


def experiment(add_experiment, provider, name="exp01", extra=""):
    return add_experiment(
        name, extra=extra, replace=[("get_shapes: {count: 12, size: 64}", f"{provider}: {{count: 12}}")]
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_reading_from_anywhere(lazy_project, add_experiment, provider, tmp_path):
    path = experiment(add_experiment, provider, extra="folds_count: 2\ntestSplit: 0.2\n")
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    cfg = generic.parse(str(path))
    cfg.check()
    dataset = cfg.get_dataset()
    assert len(dataset) == len(list(dataset)) == 12
    assert provider == "composed" or cfg.class_names() == ("disc", "square", "triangle")
    assert dataset[-1].id == dataset[11].id
    assert [one.id for one in dataset[2:4]] == [dataset[2].id, dataset[3].id]
    for part in (cfg.validation(None, 0), cfg.train(None, 1), cfg.holdout()):
        assert all(item.x.shape == (64, 64, 3) for item in part)
        assert len(part.get_target(0)) == 3
    with pytest.raises(IndexError):
        dataset[12]
    assert os.getcwd() == str(tmp_path / "elsewhere")


def test_commands_and_predictions(lazy_project, add_experiment, musket, tmp_path):
    path = experiment(add_experiment, "lazy", extra="datasets:\n  few:\n    lazy: {count: 3}\n")
    options = ["--project", lazy_project, "--name", "exp01"]
    assert musket("fit", *options, cwd=tmp_path).returncode == 0
    for command in (
        ["fit", *options, "--force_recalc", "true"],
        ["task", *options, "--task", "export_predictions,draw_dataset,confusion_matrix"],
        ["task", *options, "--task", "draw_dataset", "--parameters", "{dataset: few}"],
        ["predict", *options, "--input", lazy_project / "data" / "images", "--output", tmp_path / "out"],
    ):
        done = musket(*command, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        assert (done.returncode, done.stderr if done.returncode else "") in ((0, ""), (1, done.stderr)), done.stderr
        assert done.returncode == 0 or "predict" in command, done.stderr
    os.chdir(tmp_path)
    cfg = generic.parse(str(path))
    assert [item.x.shape for item in cfg.predictions("validation")] == [(64, 64, 3)] * 3
    assert len(list(cfg.predictions("few"))) == 3


def test_a_given_dataset_is_read_where_the_caller_stands(lazy_project, add_experiment, trained, tmp_path):
    path = experiment(add_experiment, "lazy")
    shutil.copytree(trained.parent / "weights", path.parent / "weights")
    (tmp_path / "mine").mkdir()
    os.chdir(tmp_path / "mine")
    for number in range(2):
        shutil.copy(lazy_project / "data" / "images" / f"{number:02}.png", f"own{number}.png")

    class Mine(DataSet):
        def __len__(self):
            return 2

        def __getitem__(self, item):
            image = cv2.imread(f"own{item}.png")
            assert image is not None, os.getcwd()
            return PredictionItem(f"own{item}", image, None)

    cfg = generic.parse(str(path))
    assert [item.id for item in cfg.predictions(Mine(), 0, 0)] == ["own0", "own1"]
    assert len(list(cfg.predict_on_dataset(Mine(), 0, 0))) == 1


class Here(DataSet):
    """Items that tell the current folder."""

    label = "shared"

    def __init__(self, count=4):
        super().__init__()
        self.count, self.folds = count, [([0], [1])]

    @property
    def where(self):
        return os.getcwd()

    def __len__(self):
        return self.count

    def __getitem__(self, item):
        if not 0 <= item < self.count:
            raise LookupError(item)
        return PredictionItem(item, os.getcwd(), None)

    def isPositive(self, item):
        return os.getcwd()


@pytest.fixture
def here(tmp_path):
    for name in ("data", "other"):
        (tmp_path / name).mkdir()
    os.chdir(tmp_path)
    return FolderDataSet(Here(), DataFolder(tmp_path / "data", tmp_path))


def test_a_wrapped_dataset_is_what_it_was(here, tmp_path):
    data = str(tmp_path / "data")
    assert isinstance(here, Here)
    assert isinstance(here, DataSet)
    assert here.__class__ is Here
    assert (here.count, here.label, here.folds) == (4, "shared", [([0], [1])])
    assert here.where == here.isPositive(0) == here[0].x == data
    assert here.root() is here
    assert SubDataSet(here, [1]).root() is here
    assert CompositeDataSet([here, here])[5].x == data
    here.name = "mine"
    assert (here.name, str(here)) == ("mine", "mine")
    del here.name
    assert not hasattr(here, "name")
    assert not hasattr(here, "__dataframe__")
    with pytest.raises(AttributeError, match="nothing"):
        here.nothing  # noqa: B018
    with pytest.raises(IndexError):
        here[4]
    for twin in (pickle.loads(pickle.dumps(here)), copy.copy(here), copy.deepcopy(here)):
        assert (twin[0].x, len(twin), isinstance(twin, Here)) == (data, 4, True)
    with pytest.raises(TypeError):
        here["a"]


def test_threads_do_not_meet_in_a_folder(here, tmp_path):
    other = FolderDataSet(Here(200), DataFolder(tmp_path / "other", tmp_path))
    wrong = []

    def read(dataset, folder):
        for number in range(200):
            found = dataset[number % len(dataset)].x
            if found != str(tmp_path / folder):
                wrong.append((found, folder))

    threads = [threading.Thread(target=read, args=pair) for pair in ((here, "data"), (other, "other")) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert os.getcwd() == str(tmp_path)


def test_processes_that_begin_while_a_thread_reads(here, tmp_path):
    going, done = threading.Event(), threading.Event()

    def hold():
        with DataFolder(tmp_path / "other", tmp_path).entered():
            going.set()
            done.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert going.wait(PATIENCE)

    class Indexed(torch.utils.data.Dataset):
        def __len__(self):
            return len(here._inner)

        def __getitem__(self, item):
            return here[item].x

    try:
        loader = torch.utils.data.DataLoader(Indexed(), num_workers=2, batch_size=None, multiprocessing_context="fork")
        assert list(loader) == [str(tmp_path / "data")] * 4
    finally:
        done.set()
        thread.join()


def test_within_each_other(here, tmp_path):
    class Outer(Here):
        def __getitem__(self, item):
            inner = here[item].x
            return PredictionItem(item, (os.getcwd(), inner), None)

    outer = FolderDataSet(Outer(), DataFolder(tmp_path / "other", tmp_path))
    assert outer[0].x == (str(tmp_path / "other"), str(tmp_path / "data"))
    assert os.getcwd() == str(tmp_path)


def test_an_error_leaves_the_folder(here, tmp_path):
    class Failing(Here):
        def __getitem__(self, item):
            raise OSError("broken")

    failing = FolderDataSet(Failing(), DataFolder(tmp_path / "other", tmp_path))
    with pytest.raises(OSError, match="broken"):
        failing[0]
    assert os.getcwd() == str(tmp_path)


def test_a_task_reads_in_the_data_folder(lazy_project, add_experiment):
    from instance_segmentation_pipeline.tasks.runner import choose_tasks, run_task

    path = experiment(add_experiment, "lazy")
    one = Project(str(lazy_project)).byName("exp01")
    tasks = choose_tasks(lazy_project, ["draw_dataset"])
    run_task("draw_dataset", tasks["draw_dataset"], one, {"dataset": "validation0"})
    assert len(list((path.parent / "draw_dataset").glob("*.jpg"))) == 3
