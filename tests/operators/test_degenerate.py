"""The operators in PyTorch on what is rare: nothing, no area, outside, ties, NaN, half precision, odd memory, workers."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from instance_segmentation_pipeline.operators.nms import _fixed_point
from instance_segmentation_pipeline.operators.nms import nms as suppress
from tests.support.operators_in_torch import operators_in_torch
from tests.support.processes import PATIENCE, single_threaded

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def ours():
    with operators_in_torch() as operators:
        yield operators


def test_no_boxes():
    from mmcv.ops import batched_nms, deform_roi_pool, nms, nms_match, roi_align, roi_pool, soft_nms

    none, scores = torch.zeros(0, 4), torch.zeros(0)
    for suppression in (nms, soft_nms):
        dets, index = suppression(none, scores, 0.5)
        assert dets.shape == (0, 5)
        assert index.shape == (0,)
        assert index.dtype == torch.long
    assert nms_match(torch.zeros(0, 5), 0.5) == []
    dets, index = batched_nms(torch.zeros(1, 4), torch.ones(1), torch.zeros(1), {"type": "nms", "iou_threshold": 0.5})
    assert dets.tolist() == [[0, 0, 0, 0, 1]]
    feature = torch.ones(1, 20, 9, 9, requires_grad=True)
    for pooling in (roi_align, roi_pool, lambda x, rois, bins: deform_roi_pool(x, rois, None, bins)):
        output = pooling(feature, torch.zeros(0, 5), (3, 3))
        assert output.shape == (0, 20, 3, 3)
        (slope,) = torch.autograd.grad(output.sum(), feature)
        assert slope.abs().sum() == 0


def test_boxes_of_no_area_suppress_nothing_and_stay():
    from mmcv.ops import nms

    boxes = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 3], [0, 0, 8, 8], [9, 9, 2, 2], [0, 0, 8, 8]])
    _, index = nms(boxes, torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), 0.5)
    assert index.tolist() == [0, 1, 2, 3]


def test_equal_scores_and_equal_boxes_keep_one_of_each():
    from mmcv.ops import nms, nms_match, soft_nms

    boxes = torch.tensor([[0.0, 0, 8, 8], [20, 20, 30, 30]]).repeat_interleave(50, 0)
    scores = torch.full((100,), 0.5)
    dets, index = nms(boxes, scores, 0.5)
    assert sorted(dets[:, 0].tolist()) == [0, 20]
    assert index.tolist() == [int(i) for i in scores.sort(0, descending=True).indices if i in index]
    groups = nms_match(torch.cat((boxes, scores[:, None]), 1), 0.5)
    assert [len(group) for group in groups] == [50, 50]
    dets, index = soft_nms(boxes, scores, 0.5, method="naive", min_score=0.1)
    assert sorted(dets[:, 0].tolist()) == [0, 20]
    assert len(set(index.tolist())) == 2


def test_a_box_with_nan_hurts_no_other():
    from mmcv.ops import nms, roi_align

    nan = float("nan")
    boxes = torch.tensor([[0.0, 0, 8, 8], [nan, nan, nan, nan], [0, 0, 8, 8], [50, 50, 60, 60]])
    _, index = nms(boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), 0.5)
    assert index.tolist() == [0, 1, 3]
    feature = torch.ones(1, 20, 9, 9)
    rois = torch.tensor([[0, 0, 0, 8, 8], [0, nan, nan, nan, nan]])
    output = roi_align(feature, rois, (2, 2), 1.0, 0, "avg", False)
    assert (output[0] == 1).all()
    assert torch.isfinite(output).all()


def test_a_roi_that_ends_before_it_begins_is_refused_where_it_is_aligned():
    from mmcv.ops import roi_align

    feature, rois = torch.ones(1, 2, 9, 9), torch.tensor([[0.0, 5, 5, 2, 2]])
    with pytest.raises(RuntimeError, match="negative size"):
        roi_align(feature, rois, (2, 2), 1.0, 0, "avg", True)
    assert torch.isfinite(roi_align(feature, rois, (2, 2), 1.0, 0, "avg", False)).all()


@pytest.mark.parametrize("channels", [2, 20], ids=["crops", "rows"])
def test_rois_outside_read_and_learn_nothing(channels):
    from mmcv.ops import roi_align

    feature = torch.ones(1, channels, 9, 9, requires_grad=True)
    output = roi_align(feature, torch.tensor([[0.0, 40, 40, 60, 60], [0, -60, -60, -40, -40]]), (3, 3))
    assert output.abs().sum() == 0
    assert torch.autograd.grad(output.sum(), feature)[0].abs().sum() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_an_offset_that_is_no_place_reads_zero(bad):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    x = torch.ones(1, 2, 6, 6, requires_grad=True)
    weight = torch.ones(1, 2, 3, 3, requires_grad=True)
    offset = torch.zeros(1, 18, 4, 4)
    offset[0, 6, 1, 1] = bad  # y of the fourth of nine positions
    offset.requires_grad_()
    for output in (
        deform_conv2d(x, offset, weight, 1, 0, 1, 1, 1),
        modulated_deform_conv2d(x, offset, torch.ones(1, 9, 4, 4), weight, None, 1, 0, 1, 1, 1),
    ):
        expected = torch.full((1, 1, 4, 4), 18.0)
        expected[0, 0, 1, 1] = 16
        torch.testing.assert_close(output.detach(), expected)
        for slope in torch.autograd.grad(output.sum(), (x, weight, offset)):
            assert torch.isfinite(slope).all()


def test_an_input_that_does_not_fit_its_weight_is_refused():
    from mmcv.ops import modulated_deform_conv2d

    with pytest.raises(RuntimeError, match="do not fit together"):
        modulated_deform_conv2d(
            torch.ones(1, 3, 6, 6), torch.zeros(1, 18, 4, 4), torch.ones(1, 9, 4, 4), torch.ones(1, 2, 3, 3)
        )


def calls(dtype):
    """Every operator that half precision reaches under autocast, on inputs of a dtype."""
    from mmcv.ops import carafe, deform_conv2d, modulated_deform_conv2d, roi_align, sigmoid_focal_loss
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    random = np.random.RandomState(2)

    def made(*shape):
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32)).to(dtype).requires_grad_()

    x, weight, offset, mask = made(1, 4, 6, 6), made(2, 4, 3, 3), made(1, 18, 6, 6), made(1, 9, 6, 6)
    rois = torch.tensor([[0.0, 1, 1, 5, 5], [0, 0, 2, 4, 3]])
    value, at, shares = made(1, 12, 2, 4), made(1, 3, 2, 1, 2, 2), made(1, 3, 2, 1, 2)
    levels, starts, kernels = torch.tensor([[3, 4]]), torch.tensor([0]), made(1, 9, 12, 12)
    return {
        "deform_conv": (lambda: deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1), (x, offset, weight)),
        "modulated": (
            lambda: modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1, 1, 1, 1),
            (x, offset, mask, weight),
        ),
        "roi_align": (lambda: roi_align(x, rois.to(dtype), (2, 2)), (x,)),
        "roi_align largest": (lambda: roi_align(x, rois.to(dtype), (2, 2), 1.0, 2, "max"), (x,)),
        "attention": (
            lambda: MultiScaleDeformableAttnFunction.apply(value, levels, starts, at, shares, 64),
            (value, at, shares),
        ),
        "carafe": (lambda: carafe(x, kernels, 3, 1, 2), (x, kernels)),
        "focal loss": (lambda: sigmoid_focal_loss(x[0, 0], torch.arange(6), 2.0, 0.25, None, "none"), (x,)),
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(calls(torch.float32)))
def test_half_precision_is_computed_in_single_and_rounded_once(name, dtype):
    torch.manual_seed(1)
    call, inputs = calls(dtype)[name]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = call()
    assert half.dtype == dtype
    slopes = torch.autograd.grad(half.float().sum(), inputs)
    single_call, single_inputs = calls(torch.float32)[name]
    with torch.no_grad():
        for one, other in zip(single_inputs, inputs, strict=True):
            one.copy_(other)
    single = single_call()
    ulp = torch.finfo(dtype).eps
    torch.testing.assert_close(half.float(), single, rtol=ulp, atol=ulp)
    for slope, one in zip(slopes, inputs, strict=True):
        assert slope.dtype == one.dtype
        assert torch.isfinite(slope).all()


def test_any_memory_layout():
    from mmcv.ops import deform_conv2d, nms, roi_align

    random = np.random.RandomState(1)
    x = torch.from_numpy(random.standard_normal((2, 20, 6, 7)).astype(np.float32))
    offset, weight = torch.randn(2, 18, 6, 7), torch.randn(4, 20, 3, 3)
    rois = torch.tensor([[0.0, 0, 0, 5, 5], [1, 1, 1, 6, 4], [1, 0, 2, 3, 5]])

    def odd(t):
        return t.transpose(0, -1).contiguous().transpose(0, -1)

    for one, other in (
        (roi_align(x, rois, (2, 2)), roi_align(odd(x), odd(rois), (2, 2))),
        (roi_align(x[:, :2], rois, (2, 2)), roi_align(odd(x[:, :2]), rois, (2, 2))),
        (
            deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1),
            deform_conv2d(odd(x), odd(offset), odd(weight), 1, 1, 1, 1, 1),
        ),
    ):
        torch.testing.assert_close(one, other)
    boxes, scores = torch.rand(60, 4) * 20, torch.rand(120)[::2]
    boxes[:, 2:] += boxes[:, :2]
    assert nms(boxes, scores, 0.4)[1].tolist() == nms(odd(boxes), scores.clone(), 0.4)[1].tolist()


def test_boxes_that_carry_gradients_are_suppressed_too():
    from mmcv.ops import nms, soft_nms

    boxes = torch.tensor([[0.0, 0, 8, 8], [1, 1, 8, 8]], requires_grad=True)
    scores = torch.tensor([0.9, 0.8], requires_grad=True)
    assert nms(boxes, scores, 0.5)[1].tolist() == [0]
    assert soft_nms(boxes, scores, 0.5)[1].tolist() == [0, 1]


@pytest.mark.parametrize("spread", [30, 300, 3000])
def test_an_accelerators_way_keeps_the_same_boxes(spread):
    random = np.random.RandomState(spread)
    corner = random.uniform(0, spread, (900, 2))
    boxes = torch.from_numpy(np.concatenate((corner, corner + random.uniform(2, 40, (900, 2))), 1).astype(np.float32))
    scores = torch.from_numpy(random.permutation(900).astype(np.float32))
    order = scores.sort(0, descending=True).indices
    for offset in (0, 1):
        fixed = order[_fixed_point(boxes[order], 0.5, offset)]
        assert fixed.tolist() == suppress(boxes, scores, 0.5, offset).tolist()


def work(queue):
    with operators_in_torch():
        from mmcv.ops import nms, roi_align

        torch.set_num_threads(1)
        feature = torch.arange(2 * 20 * 81, dtype=torch.float32).view(2, 20, 9, 9).requires_grad_()
        rois = torch.tensor([[0.0, 0, 0, 5, 5], [1, 1, 1, 6, 4]])
        output = roi_align(feature, rois, (2, 2))
        (slope,) = torch.autograd.grad(output.sum(), feature)
        boxes = torch.tensor([[0.0, 0, 8, 8], [1, 1, 8, 8], [20, 20, 30, 30]])
        kept = nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)[1]
        queue.put((output.sum().item(), slope.sum().item(), kept.tolist()))


def compare_with_a_worker(method):
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    work(queue)
    expected = queue.get()
    assert expected[2] == [1, 2]
    process = context.Process(target=work, args=(queue,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert queue.get() == expected


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_get_the_same(method):
    """In a process of its own: what other tests started threads for is not forked."""
    program = f"from tests.operators.test_degenerate import compare_with_a_worker as run; run({method!r})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=single_threaded(), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
