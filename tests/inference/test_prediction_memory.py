"""What predicting holds at a time is bounded by ``inference_batch``, and memory that runs out is one sentence."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from musket_core import generic

from instance_segmentation_pipeline.cli import predict
from instance_segmentation_pipeline.detection.tta import views_of
from instance_segmentation_pipeline.errors import PredictionError
from instance_segmentation_pipeline.inference import detector as detectors
from instance_segmentation_pipeline.inference import predictor as predictors
from instance_segmentation_pipeline.inference.detector import Detector, Ensemble
from instance_segmentation_pipeline.inference.memory import bytes_of, telling_of_memory

META = ("img_id", "ori_shape", "img_shape", "scale_factor")
PIPELINE = [
    {"type": "Resize", "scale": (64, 64), "keep_ratio": True},
    {"type": "PackDetInputs", "meta_keys": META},
]


class Probe(torch.nn.Module):
    """Finds the brightest pixel of each image, and counts the images that it is given, and what is held of answers."""

    def __init__(self, room=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.room, self.most, self.forwards = room, 0, 0

    def data_preprocessor(self, batch, training):
        return {"inputs": torch.stack(batch["inputs"]).float(), "data_samples": batch["data_samples"]}

    def forward(self, inputs, data_samples, mode):
        assert mode == "predict"
        self.most, self.forwards = max(self.most, len(inputs)), self.forwards + 1
        if self.room is not None and len(inputs) * inputs[0].numel() > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free.")
        return [self.found(image, sample) for image, sample in zip(inputs, data_samples, strict=True)]

    @staticmethod
    def found(image, sample):
        row, column = np.unravel_index(int(image.sum(0).argmax()), image.shape[1:])
        x, y = (place / factor for place, factor in zip((column, row), sample.scale_factor, strict=True))
        found = InstanceData(
            bboxes=torch.tensor([[x - 4, y - 4, x + 4, y + 4]], dtype=torch.float32),
            scores=torch.tensor([0.5]),
            labels=torch.tensor([0]),
        )
        return SimpleNamespace(pred_instances=found, ori_shape=sample.ori_shape)


def detector(augmentation=None, batch_size=2, **options):
    return Detector(Probe(**options), PIPELINE, False, views=views_of(augmentation), batch_size=batch_size)


def images(count, height=64, width=64):
    made = []
    for number in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[8 + number, 12 + 2 * number] = 255
        made.append(image)
    return made


AUGMENTATIONS = {
    "none": None,
    "two views": "Horizontal",
    "eight views": "All",
    "eight views of three sizes": {"flips": "All", "scales": [0.5, 1.0, 2.0]},
}


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_a_net_is_given_so_many_images_at_most(augmentation, batch_size):
    model = detector(augmentation, batch_size)
    found = model.detect(images(7))
    assert model.net.most <= batch_size
    views = len(model.views)
    if views == 8:
        assert model.net.forwards <= 8 * -(-7 // batch_size) + 8  # batches are filled
    for number, one in enumerate(found):
        assert any(
            abs((box[0] + box[2]) / 2 - (12 + 2 * number)) < 3 and abs((box[1] + box[3]) / 2 - (8 + number)) < 3
            for box in one.bboxes
        )


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_answers_do_not_depend_on_how_many_are_given(augmentation):
    several = [*images(3), *images(2, 48, 80), *images(2, 80, 48)]
    once = detector(augmentation, 1).detect(several)
    for size in (2, 5, 100):
        for first, second in zip(once, detector(augmentation, size).detect(several), strict=True):
            np.testing.assert_array_equal(first.bboxes, second.bboxes)
            np.testing.assert_array_equal(first.scores, second.scores)


def test_views_are_shown_when_it_is_their_turn(monkeypatch):
    held = []
    real = Detector._forward

    def forward(self, shown):
        held.append(len(shown))
        return real(self, shown)

    monkeypatch.setattr(Detector, "_forward", forward)
    detector("All", 3).detect(images(5))
    assert max(held) == 3
    assert sum(held) == 40


def test_answers_of_a_batch_are_let_go_one_by_one(monkeypatch):
    """Dense masks of a whole batch are there once, not twice: each goes when it was made small."""
    kept = []
    real = detectors.to_prediction

    def small(instances, with_masks):
        kept.append(sum(sample.alive for sample in samples))
        samples[len(kept) - 1].alive = False
        return real(instances, with_masks)

    samples = []

    class Sample(SimpleNamespace):
        def __init__(self, sample):
            super().__init__(pred_instances=sample.pred_instances, ori_shape=sample.ori_shape)
            self.alive = True
            samples.append(self)

    monkeypatch.setattr(detectors, "to_prediction", small)
    monkeypatch.setattr(
        Probe, "found", staticmethod(lambda image, sample, real=Probe.found: Sample(real(image, sample)))
    )
    detector(batch_size=4).detect(images(4))
    assert kept == [4, 3, 2, 1]


def test_members_of_an_ensemble_get_the_same_bound():
    members = [detector("All", 2), detector(None, 2), detector("Vertical", 2)]
    assert len(Ensemble(members).detect(images(5))) == 5
    assert [member.net.most for member in members] == [2, 2, 2]


def test_what_is_held_of_members_answers_is_bounded(monkeypatch):
    members = [detector(None, 4), detector(None, 4)]
    given = []
    for member in members:
        monkeypatch.setattr(
            member, "detect", lambda images, real=member.detect: given.append(len(images)) or real(images)
        )
    assert len(Ensemble(members).detect(images(3) * 50)) == 150
    assert given == [64, 64, 64, 64, 22, 22]


class Moving(Probe):
    """Knows how many of its kind are on the device at the same time."""

    there, most_there = set(), 0

    def to(self, device):
        (Moving.there.discard if device == "cpu" else Moving.there.add)(id(self))
        Moving.most_there = max(Moving.most_there, len(Moving.there))
        return self

    def forward(self, *arguments, **options):
        assert id(self) in Moving.there
        return super().forward(*arguments, **options)


@pytest.mark.slow
@pytest.mark.parametrize(("room", "most"), [(float("inf"), 4), (2.5, 3), (1, 2), (0, 2)])
def test_nets_that_have_no_room_beside_the_others_come_to_answer(trained, monkeypatch, room, most):
    """Four nets: those that stay on the device, and one of the others at a time."""
    Moving.there, Moving.most_there = set(), 0
    monkeypatch.setattr(predictors, "room_for_nets", lambda device: room * bytes_of(Moving()))
    monkeypatch.setattr(predictors, "load_net", lambda config, weights, names, device: Moving().to(device))
    cfg = generic.parse(str(trained))
    model = cfg.predictor().detector(cfg.trained().choose([0, 1], [0, 1]), "cuda:0")
    model = Ensemble([dataclasses.replace(one, pipeline=PIPELINE, with_masks=False) for one in model.members])
    waiting = sum(member.visits is not None for member in model.members)
    found = model.detect(images(3))
    assert len(found) == 3
    assert Moving.most_there == most
    assert len(Moving.there) == 4 - waiting
    expected = Ensemble([detector(None, 1) for _ in range(4)]).detect(images(3))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.bboxes, other.bboxes)


# -- memory that runs out ----------------------------------------------------------------------------------------


def test_too_many_images_say_what_to_lower():
    with pytest.raises(PredictionError) as error:
        detector(batch_size=4, room=3 * 64 * 64 * 2).detect(images(4))
    text = str(error.value)
    assert text.startswith("the memory of cpu ran out while 4 images of 64 x 64 pixels, 64 x 64 to the net,")
    assert "lower inference_batch (4 images were predicted at a time)" in text
    assert "\n" not in text
    assert len(text) < 400
    assert error.value.images == 4


def test_one_image_that_is_too_much_says_what_to_lower():
    with pytest.raises(PredictionError, match=r"while an image of 64 x 64 .*: lower shape, or give a smaller image\.$"):
        detector(batch_size=4, room=10).detect(images(1))


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), "cuda:0"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate"), "cuda:0"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "cuda:0"),
        (MemoryError("Unable to allocate 8.94 GiB for an array"), "this machine"),
    ],
)
def test_every_kind_of_memory(error, where):
    told = pytest.raises(PredictionError, match=f"^the memory of {where} ran out while it was tried .*: lower it.$")
    with told, telling_of_memory("cuda:0", "it was tried", "lower it"):
        raise error


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="size mismatch"), telling_of_memory("cpu", "", ""):
        raise RuntimeError("size mismatch")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    for number, image in enumerate(images(5)):
        cv2.imwrite(str(path / f"{number}.png"), image)
    return path


def fail(rows):
    """Return what fails as CUDA does for the images that ``rows`` says so of."""

    def samples(self, items, real=Detector._samples):
        if rows(items):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return real(self, items)

    return samples


@pytest.mark.slow
def test_the_command_says_it_in_one_line(trained, folder, tmp_path, monkeypatch, capsys):
    root = tmp_path / "project" / "experiments" / "exp01"
    shutil.copytree(trained.parent / "weights", root / "weights")
    (root / "config.yaml").write_text(trained.read_text() + "inference_batch: 4\n")
    monkeypatch.setattr(Detector, "_samples", fail(lambda items: len(items) > 1))
    arguments = ["--project", str(tmp_path / "project"), "--name", "exp01", "--input", str(folder)]
    assert predict.main([*arguments, "--output", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if line.startswith("musket predict: ")]
    assert "the memory of cpu ran out while 4 images" in line
    assert "lower inference_batch" in line
    assert not any("Traceback" in line for line in lines)


@pytest.mark.slow
def test_an_image_that_is_too_large_alone_is_skipped_with_the_reason(trained, folder, tmp_path, monkeypatch):
    huge = np.full((300, 200, 3), 77, np.uint8)
    cv2.imwrite(str(folder / "2b.png"), huge)
    tall = fail(lambda items: any(item["data_samples"].ori_shape[0] == 300 for item in items))
    monkeypatch.setattr(Detector, "_samples", tall)
    cfg = generic.parse(str(trained))
    out = tmp_path / "out"
    assert cfg.predict_to_directory(str(folder), str(out), 0, 0, batch_size=4) == ["2b.png"]
    answer = json.loads((out / "predictions.json").read_text())
    assert [one["file_name"] for one in answer["images"]] == [f"{number}.png" for number in range(5)]
    (skipped,) = answer["info"]["skipped"]
    assert "the memory of cpu ran out while an image of 200 x 300 pixels" in skipped["reason"]


@pytest.mark.slow
def test_a_dataset_stops_and_leaves_no_store(trained, monkeypatch):
    from tests.support.datasets import shapes

    monkeypatch.setattr(Detector, "_samples", fail(lambda items: len(items) > 1))
    cfg = generic.parse(str(trained))
    path = cfg.files.root / "predictions"
    before = sorted(one.name for one in path.iterdir())
    with pytest.raises(PredictionError, match="lower inference_batch"):
        cfg.predict_all_to_dataset(shapes(6, seed=77), 0, 0, batch_size=3)
    assert sorted(one.name for one in path.iterdir()) == before


def test_a_net_that_has_no_room_on_the_device(monkeypatch, tmp_path):
    class Large(torch.nn.Module):
        def to(self, device):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    from mmengine.config import Config

    monkeypatch.setattr(detectors.MODELS, "build", lambda config: Large())
    monkeypatch.setattr(detectors, "complete", lambda model: model)
    monkeypatch.setattr(detectors, "load_trained", lambda *_: None)
    config = Config({"model": {}, "default_scope": "mmdet"})
    with pytest.raises(
        PredictionError, match=r"cuda:0 ran out while the net of best-3\.1\.weights was loaded.*: ask fewer"
    ):
        detectors.load_net(config, tmp_path / "best-3.1.weights", ["a"], "cuda:0")
