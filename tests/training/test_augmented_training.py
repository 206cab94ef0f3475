"""Experiments whose items are augmented: really trained, resumed, refused where the augmentation was changed."""

import cv2
import numpy as np
import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError, WeightsError
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.processes import wait_until
from tests.support.warm import started_musket

pytestmark = pytest.mark.slow

MANY = """augmentation:
  - Fliplr: 0.5
  - Sometimes:
      p: 0.7
      then_list:
        - Affine: {rotate: [-30, 30], scale: [0.7, 1.3]}
  - OneOf:
      - ElasticTransformation: {alpha: [0, 20], sigma: 4}
      - CropAndPad: {percent: [-0.1, 0.1]}
  - Add: [-20, 20]
"""
STANDS_STILL = """
import pathlib, time
from instance_segmentation_pipeline.training.hooks.checkpoint import WeightsKeeper

def after(self, runner, metrics=None, real=WeightsKeeper.after_val_epoch):
    if self.files.last_weights.exists():  # of the first epoch; the second one is trained, and not kept
        pathlib.Path({marker!r}).touch()
        time.sleep(3600)
    real(self, runner, metrics)

WeightsKeeper.after_val_epoch = after
"""
OWN = """
from imgaug import augmenters as iaa

class Stamp(iaa.Augmenter):
    changes_geometry = False

    def _augment_batch_(self, batch, random_state, parents, hooks):
        return batch

    def get_parameters(self):
        return []
"""
EPOCHS = [("epochs: 1", "epochs: 3")]


def weights_of(path):
    return torch.load(path, weights_only=False)["state_dict"]


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_the_augmentation_of_2019_trains(add_experiment):
    cfg = generic.parse(str(add_experiment(extra="augmentation:\n  Fliplr: 0.5\n")))
    cfg.fit()
    assert (cfg.files.base / "summary.yaml").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_and_resumed_run_ends_with_the_same_bits(add_experiment, workers):
    extra = f"{MANY}workersPerGpu: {workers}\n"
    whole = add_experiment("whole", extra=extra, replace=EPOCHS)
    generic.parse(str(whole)).fit()
    wanted = generic.parse(str(whole)).files.stage(0, 0)

    killed = add_experiment("killed", extra=extra, replace=EPOCHS)
    files = generic.parse(str(killed)).files.stage(0, 0)
    marker = killed.parents[2] / "trained"
    arguments = ["fit", "--project", killed.parents[2], "--name", "killed"]
    with started_musket(*arguments, before=STANDS_STILL.format(marker=str(marker))) as process:
        wait_until(marker.exists, process)
    assert len(read_rows(files.metrics)) < 3
    np.random.seed(5)  # noqa: NPY002
    again = generic.parse(str(killed))
    again.setAllowResume(True)
    again.fit()
    assert files.metrics.read_text() == wanted.metrics.read_text()
    assert same(weights_of(files.last_weights), weights_of(wanted.last_weights))


def test_a_changed_augmentation_is_named_when_resuming(add_experiment):
    path = add_experiment(extra=MANY, replace=EPOCHS)
    cfg = generic.parse(str(path))
    cfg.expires = 0.0
    cfg.fit()
    path.write_text(path.read_text().replace("rotate: [-30, 30]", "rotate: [-90, 90]"))
    again = generic.parse(str(path))
    again.setAllowResume(True)
    with pytest.raises(WeightsError, match=r"augmentation\.1\.Sometimes\.then_list\.0\.Affine\.rotate.*-30.*-90"):
        again.fit()


def test_what_is_trained_predicts_without_its_augmentation(add_experiment, project):
    module = project / "modules" / "stamps.py"
    module.write_text(OWN)
    (project / "bg").mkdir()
    cv2.imwrite(str(project / "bg" / "a.png"), np.full((9, 9, 3), 90, np.uint8))
    path = add_experiment(extra="augmentation:\n  - Stamp\n  - BackgroundReplacer: ../../bg\n")
    generic.parse(str(path)).fit()
    module.unlink()
    (project / "bg" / "a.png").unlink()
    cfg = generic.parse(str(path))
    assert len(cfg.predict_all_to_array(cfg.get_dataset(), limit=2)) == 2
    cfg.refit = True
    with pytest.raises(ConfigError, match=r"augmentation\[0\]\.Stamp is no augmenter of imgaug"):
        cfg.fit()


def test_transforms_are_those_of_training_validation_and_prediction(add_experiment, monkeypatch):
    path = add_experiment(extra="transforms:\n  Grayscale: 1.0\n")
    cfg = generic.parse(str(path))
    seen = {"training": [], "validation": [], "prediction": []}
    from instance_segmentation_pipeline.data.augmentation.augmentation import ColourTransforms
    from instance_segmentation_pipeline.inference.detector import Detector

    called = ColourTransforms.__call__
    monkeypatch.setattr(
        ColourTransforms, "__call__", lambda self, image: seen["validation"].append(1) or called(self, image)
    )
    cfg.fit()
    in_fit = len(seen["validation"])
    assert in_fit > 12
    packed = Detector.packed

    def spied(self, image, scale):
        seen["prediction"].append(bool((image == image[..., :1]).all()))
        return packed(self, image, scale)

    monkeypatch.setattr(Detector, "packed", spied)
    first = cfg.predictions("validation0")
    assert len(first) and not seen["prediction"]  # the fit has left its store
    path.write_text(path.read_text().replace("Grayscale: 1.0", "Grayscale: 1"))
    other = generic.parse(str(path))
    assert len(other.predict_all_to_array(other.get_dataset(), limit=3)) == 3
    assert seen["prediction"] and all(seen["prediction"])
    path.write_text(path.read_text().replace("  Grayscale: 1", "  Invert: 1"))
    seen["prediction"].clear()
    assert len(generic.parse(str(path)).predictions("validation0")) == len(first)
    assert len(seen["prediction"]) == len(first)  # the store is of other transforms
