"""``maxDetections`` and what is fused: folds, stages, seeds and views together keep so many objects an image."""

import numpy as np
import pytest
from musket_core import generic

from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.inference.detector import Ensemble, Fusion


def apart(count, start):
    """Return objects side by side, none of which overlaps another, of falling scores."""
    left = (start + np.arange(count)) * 10.0
    bboxes = np.stack([left, np.zeros(count), left + 8, np.full(count, 8.0)], 1).astype(np.float32)
    scores = np.linspace(0.9, 0.5, count).astype(np.float32)
    return Detections(16, 400, np.ones(count, np.int64), scores, bboxes, None)


class Answers:
    def __init__(self, found):
        self.found = found

    def detect(self, images):
        return [self.found for _ in images]


@pytest.mark.parametrize("method", ["weighted", "wbf", "nms", "soft_nms"])
@pytest.mark.parametrize(("most", "kept"), [(None, 12), (100, 12), (7, 7), (1, 1)])
def test_the_surest_are_kept(method, most, kept):
    members = [Answers(apart(6, 0)), Answers(apart(6, 6))]
    (found,) = Ensemble(members, Fusion(method, 0.55, most)).detect([np.zeros((16, 400, 3), np.uint8)])
    (whole,) = Ensemble(members, Fusion(method, 0.55)).detect([np.zeros((16, 400, 3), np.uint8)])
    assert len(found) == kept
    assert found.scores.tolist() == whole.scores[:kept].tolist()
    assert found.bboxes.tolist() == whole.bboxes[:kept].tolist()


def test_the_key_acts_on_blends_and_not_on_cells(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    members = [Answers(apart(6, 0)), Answers(apart(6, 6))]
    image = [np.zeros((16, 400, 3), np.uint8)]
    assert len(cfg.createAnsambleModel(members).detect(image)[0]) == 12
    cfg.maxDetections = 5
    assert len(cfg.createAnsambleModel(members).detect(image)[0]) == 5
    cfg.tiles = {"size": 64}
    assert len(cfg.createAnsambleModel(members).detect(image)[0]) == 12


def test_a_blend_that_is_kept_is_cut_and_made_anew_where_the_key_changes(trained):
    def counts(most):
        cfg = generic.parse(str(trained))
        cfg.maxDetections, cfg.storage_threshold = most, 0.0
        cfg.configOptions = {**cfg.configOptions, "model.test_cfg.score_thr": 0.0}
        found = cfg.predictions("holdout", fold=[0, 1], stage=0)
        return [len(found.detections(number)) for number in range(len(found))]

    whole = counts(None)
    assert max(whole) > 3
    assert counts(3) == [min(3, count) for count in whole]
    assert counts(None) == whole
