"""Packed detections, and masks in shared memory, come out as they went in; damaged bytes never do by accident."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instance_segmentation_pipeline.detection.mask_crops import MaskCrops
from instance_segmentation_pipeline.inference.prediction_store import pack, unpack
from tests.support.strategies import detections


@given(detections())
def test_detections_come_out_bit_by_bit(found):
    again = unpack(pack(found))
    assert (again.height, again.width, again.masks) == (found.height, found.width, found.masks)
    for name in ("labels", "scores", "bboxes"):
        one, two = getattr(found, name), getattr(again, name)
        assert (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    assert pack(again) == pack(found)


@given(detections(), st.data())
def test_what_is_cut_is_refused(found, data):
    packed = pack(found)
    with pytest.raises(ValueError):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(detections())
def test_crops_come_out_of_their_packing(found):
    masks = MaskCrops.from_rles(found.masks or [], found.height, found.width)
    again = MaskCrops.unpacked(*masks.packed())
    assert (again.height, again.width, len(again)) == (masks.height, masks.width, len(masks))
    np.testing.assert_array_equal(again.to_dense(), masks.to_dense())
    np.testing.assert_array_equal(again.boxes, masks.boxes)
    assert again.to_rles() == masks.to_rles() == (found.masks or [])
