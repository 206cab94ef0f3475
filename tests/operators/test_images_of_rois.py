"""A RoI of an image that is not in the batch is an error that names both, never another image or foreign memory."""

import pytest
import torch

from tests.support.operators_in_torch import operators_in_torch


@pytest.fixture(autouse=True)
def ours():
    with operators_in_torch() as operators:
        yield operators


def pooled(kind, rois, images=2, size=8):
    from mmcv.ops import deform_roi_pool, roi_align, roi_pool

    feature = torch.arange(images * 2 * size * size).float().reshape(images, 2, size, size)
    if kind == "roi_pool":
        return roi_pool(feature, rois, (2, 2), 1.0)
    if kind == "deform_roi_pool":
        return deform_roi_pool(feature, rois, feature.new_zeros(0), (2, 2), 1.0)
    return roi_align(feature, rois, (2, 2), 1.0, 0, kind, True)


KINDS = ("avg", "max", "roi_pool", "deform_roi_pool")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 400])  # few read the map by windows, many by rows
@pytest.mark.parametrize("image", [-1.0, 2.0, 1e9, float("nan")])
def test_another_image(kind, count, image):
    rois = torch.tensor([[1.0, 0, 0, 4, 4]]).repeat(count, 1)
    rois[-1, 0] = image
    with pytest.raises(RuntimeError, match=rf"RoI {count - 1} is of image (-1|2|1e\+09|nan), expected 0 to 1"):
        pooled(kind, rois)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", [0, 1])
def test_each_image_of_the_batch(kind, image):
    rois = torch.tensor([[float(image), 1, 1, 5, 5]])
    found = pooled(kind, rois)
    assert (found - pooled(kind, torch.tensor([[0.0, 1, 1, 5, 5]]))).unique().tolist() == [128.0 * image]
