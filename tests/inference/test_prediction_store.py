"""The prediction store: what goes in comes out, whole or not at all, and never for something else."""

import multiprocessing
import pickle
import sys

import numpy as np
import pytest
from musket_core.datasets import MeanDataSet, PredictionBlend, PredictionItem, WeightedBlend

from instance_segmentation_pipeline.detection.detections import from_musket_prediction, none_found
from instance_segmentation_pipeline.errors import DatasetError
from instance_segmentation_pipeline.inference.prediction_datasets import Blend
from instance_segmentation_pipeline.inference.prediction_store import PredictionStore, pack, unpack, writing
from tests.support.scenes import HEIGHT, WIDTH
from tests.support.stores import NONE, ONE, source, written


def same(first, second):
    assert first.labels.tolist() == second.labels.tolist()
    np.testing.assert_allclose(first.scores, second.scores)
    np.testing.assert_allclose(first.bboxes, second.bboxes)
    assert first.masks == second.masks
    assert (first.height, first.width) == (second.height, second.width)


@pytest.mark.parametrize("item", [ONE, NONE, none_found(5, 7, False)])
def test_packing_loses_nothing(item):
    same(unpack(pack(item)), item)


def test_items_carry_the_prediction_tuple(tmp_path):
    store = written(tmp_path / "a.sqlite")
    assert len(store) == 3
    item = store[0]
    labels, scores, bboxes, masks = item.prediction
    assert item.id == "item0"
    assert labels.tolist() == [1, 2]
    np.testing.assert_allclose(scores, [0.9, 0.4])
    np.testing.assert_allclose(bboxes[0], [3, 10, 21, 15])  # minY, minX, maxY, maxX
    assert masks.shape == (2, HEIGHT, WIDTH)
    assert masks.dtype == bool
    assert masks[0, 3:21, 10:15].all()
    assert store[1].prediction[3].shape == (0, HEIGHT, WIDTH)
    assert [entry.id for entry in store[0:2]] == ["item0", "item1"]
    same(store.detections(-1), ONE)


def test_tuples_can_be_appended(tmp_path):
    store = written(tmp_path / "a.sqlite", [ONE.to_musket(), NONE.to_musket()])
    same(store.detections(0), ONE)
    same(store.detections(1), NONE)
    same(from_musket_prediction(ONE.to_musket("xyxy"), HEIGHT, WIDTH, "xyxy"), ONE)


def test_a_store_of_something_else_is_not_current(tmp_path):
    path = tmp_path / "a.sqlite"
    assert not PredictionStore(source(), path, fingerprint="a").is_current()
    written(path)
    assert PredictionStore(source(), path, fingerprint="a").is_current()
    assert not PredictionStore(source(), path, fingerprint="b").is_current()
    assert not PredictionStore(source(4), path, fingerprint="a").is_current()


def test_an_unfinished_store_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "a.sqlite"
    written(path)
    before = path.read_bytes()
    store = PredictionStore(source(), path, fingerprint="b")
    with pytest.raises(KeyboardInterrupt), writing(store):
        store.append(ONE)
        raise KeyboardInterrupt
    with pytest.raises(DatasetError, match="1 predictions for 3 items"), writing(store):
        store.append(ONE)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_store_is_noticed(tmp_path, share):
    path = tmp_path / "a.sqlite"
    written(path, [ONE] * 60)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    store = PredictionStore(source(60), path, fingerprint="a")
    assert not store.is_current()
    with pytest.raises(DatasetError, match=r"a\.sqlite: the prediction of item 59 cannot be read"):
        store.detections(59)


def test_a_damaged_item_is_told(tmp_path):
    path = tmp_path / "a.sqlite"
    written(path)
    data = bytearray(path.read_bytes())
    place = data.rfind(pack(ONE)[:12])
    data[place + 20 : place + 40] = b"\0" * 20
    path.write_bytes(bytes(data))
    store = PredictionStore(source(), path, fingerprint="a")
    with pytest.raises(DatasetError, match="delete that file"):
        [store.detections(number) for number in range(3)]


@pytest.mark.slow
def test_our_modules_can_be_the_first_to_be_imported(run):
    for name in ("inference.prediction_store", "experiment.evaluator", "launch.ray_cluster", "tasks.builtin"):
        done = run(sys.executable, "-c", f"import instance_segmentation_pipeline.{name}")
        assert done.returncode == 0, done.stderr


def _length(store):
    return len(store.detections(0))


def test_other_processes_read_it_too(tmp_path):
    store = written(tmp_path / "a.sqlite")
    assert _length(store) == 2
    assert _length(pickle.loads(pickle.dumps(store))) == 2
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_length, [store, store]) == [2, 2]


def test_blends_fuse(tmp_path):
    first, second = written(tmp_path / "a.sqlite"), written(tmp_path / "b.sqlite", (NONE, NONE, ONE))
    blend = first.blend(second, 0.75)
    np.testing.assert_allclose(blend[0].prediction[1], [0.675, 0.3], rtol=1e-6)
    np.testing.assert_allclose(blend[2].prediction[1], [0.9, 0.4], rtol=1e-6)
    assert len(blend[1].prediction[0]) == 0
    np.testing.assert_allclose(blend.blend(second)[0].prediction[1], [0.3375, 0.15], rtol=1e-6)
    with pytest.raises(DatasetError, match=r"\[2, 3\] items"):
        Blend([first, written(tmp_path / "c.sqlite", (ONE, ONE))])


def test_muskets_own_blends_fuse_ours_and_average_others(tmp_path):
    first, second = written(tmp_path / "a.sqlite"), written(tmp_path / "b.sqlite", (NONE, NONE, ONE))
    for blend in (PredictionBlend([first, second]), MeanDataSet([first, second])):
        np.testing.assert_allclose(blend[0].prediction[1], [0.45, 0.2], rtol=1e-6)
        assert len(blend) == 3
    weighted = WeightedBlend([first, second], None, [0.75, 0.25])
    np.testing.assert_allclose(weighted[0].prediction[1], [0.675, 0.3], rtol=1e-6)
    np.testing.assert_allclose(PredictionBlend([weighted, first])[2].prediction[1], [0.9, 0.4], rtol=1e-6)
    plain = [_Plain(0.0), _Plain(1.0)]
    assert PredictionBlend(plain)[0].prediction == pytest.approx([0.5])


class _Plain:
    """A dataset of another kind of experiment: predictions are arrays."""

    def __init__(self, value):
        self.value = value

    def __len__(self):
        return 1

    def __getitem__(self, item):
        return PredictionItem("a", None, None, np.array([self.value]))
