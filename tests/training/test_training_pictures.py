"""What the net is shown, as a picture: of real runs, and exact to the pixel behind the data preprocessor."""

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.structures import InstanceData
from musket_core import generic
from PIL import Image

from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.models.compact_masks import CompactMasks
from instance_segmentation_pipeline.storage.run_manifest import RunManifest
from instance_segmentation_pipeline.training.hooks.training_pictures import objects_of, unnormalised
from tests.support.weights import weights_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", [{"bgr_to_rgb": True}, {"rgb_to_bgr": True}, {}])
@pytest.mark.parametrize("norm", [{}, {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}])
def test_normalisation_is_undone_to_the_pixel(how, norm):
    preprocessor = DetDataPreprocessor(**norm, **how)
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    bgr = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))
    given = preprocessor.cast_data({"inputs": [bgr], "data_samples": None})
    out = super(DetDataPreprocessor, preprocessor).forward(given, True)["inputs"][0]
    assert (unnormalised(out, preprocessor) == image).all()


@pytest.mark.parametrize("with_masks", [True, False])
def test_objects_lie_on_the_padded_image(with_masks):
    dense = np.zeros((2, 20, 30), np.uint8)
    dense[0, 2:9, 3:11] = dense[1, 10:20, 20:30] = 1
    found = InstanceData(bboxes=torch.tensor([[3.0, 2, 11, 9], [20, 10, 30, 20]]), labels=torch.tensor([1, 0]))
    if with_masks:
        found.masks = CompactMasks(MaskCrops.from_dense(dense))
    objects = objects_of(found, 32, 32)
    assert objects.labels.tolist() == [1, 0]
    assert objects.bboxes.tolist() == [[3, 2, 11, 9], [20, 10, 30, 20]]
    if with_masks:
        assert (objects.masks.to_dense() == np.pad(dense, ((0, 0), (0, 12), (0, 2)))).all()
    else:
        assert objects.masks is None


def test_the_first_epoch_of_each_stage_is_drawn(add_experiment):
    stages = ("  - epochs: 1\n", "  - epochs: 2\n  - epochs: 1\n")
    plain = generic.parse(str(add_experiment("plain", replace=[stages])))
    plain.fit()
    assert not list(plain.files.root.rglob("train_*.jpg"))
    cfg = generic.parse(str(add_experiment("drawn", extra="showDataExamples: true\n", replace=[stages])))
    cfg.fit()
    for stage in (0, 1):
        path = cfg.files.stage(0, stage).training_example(0)
        with Image.open(path) as picture:
            width, height = picture.size
            pixels = np.asarray(picture)
        assert width > height > 600  # 10 images: three rows of four
        assert pixels.std() > 20
        assert f"examples/0/{stage}/train_0.jpg" in RunManifest(cfg.files).claimed
        one, other = (part.files.stage(0, stage).last_weights for part in (plain, cfg))
        assert weights_of(one) == weights_of(other)
    assert len(list(cfg.files.root.rglob("train_*.jpg"))) == 2


def test_a_second_run_puts_the_pictures_aside(add_experiment):
    path = add_experiment("again", extra="showDataExamples: true\n")
    cfg = generic.parse(str(path))
    cfg.fit()
    cfg = generic.parse(str(path))
    cfg.refit = True
    cfg.fit()
    kept = [one.relative_to(cfg.files.root).parts[0] for one in cfg.files.root.rglob("train_0.jpg")]
    assert sorted(kept) == ["examples", "previous"]
