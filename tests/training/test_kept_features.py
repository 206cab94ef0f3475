"""Hooks, classes and registries in place of changes to objects that are not ours; features are extracted once."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from musket_core import generic

from instance_segmentation_pipeline.training.kept_features import KeepsFeatures, keeping_features

PLACE = "  model.bbox_head.feat_channels: 32\n"


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def extract_feat(self, batch_inputs, scale=2):
        self.count += 1
        return batch_inputs.sum() * scale


def test_features_are_kept_in_the_block_and_never_mixed_up():
    net = type("Net", (KeepsFeatures, Base), {})()
    images = torch.ones(2, 2)
    assert [float(net.extract_feat(images)) for _ in range(2)] == [8.0, 8.0]
    assert net.count == 2
    with net.features_kept():
        assert [float(net.extract_feat(images)) for _ in range(3)] == [8.0] * 3
        assert net.count == 3
        found = [float(net.extract_feat(torch.full((2, 2), float(number)), scale=1)) for number in range(50)]
        assert found == [4.0 * number for number in range(50)]  # tensors without another owner: numbers are used again
    assert net._kept is None
    with pytest.raises(ValueError), net.features_kept():
        raise ValueError
    assert net._kept is None


def test_a_model_keeps_its_name_and_what_is_no_detector_its_class():
    from mmdet.models import MaskRCNN
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope("mmdet")
    kind = keeping_features({"type": "MaskRCNN"})["type"]
    assert kind is keeping_features({"type": "mmdet.MaskRCNN"})["type"]
    assert issubclass(kind, (KeepsFeatures, MaskRCNN))
    assert (kind.__name__, kind.__module__) == (MaskRCNN.__name__, MaskRCNN.__module__)
    assert kind.forward is MaskRCNN.forward
    for model in ({"type": "ResNet"}, {"type": "Nothing"}, {"type": MaskRCNN}, torch.nn.Identity()):
        assert keeping_features(model) is model
    assert MODELS.get("mmdet.MaskRCNN") is MaskRCNN


@HOOKS.register_module(force=True)
class LookAtModel(Hook):
    """Looks at the model of a run at the end of each epoch."""

    seen: list = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Note what was set on the model itself, and what runs in evaluation mode."""
        self.seen.append((set(vars(runner.model)), runner.model.training))

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        """Count the runs of the backbone."""
        if not hasattr(self, "handle"):
            self.handle = runner.model.backbone.register_forward_hook(self.count)
        self.validates = True
        self.modes = {name: module.training for name, module in runner.model.named_modules()}

    def count(self, *_):
        """Count a run of the backbone in validation."""
        if self.validates:
            self.seen.append("backbone")

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """See that the modes are those from before."""
        self.validates = False
        now = {name: module.training for name, module in runner.model.named_modules()}
        self.seen.append(("modes", now == self.modes and not any(now.values())))


@pytest.mark.slow
def test_a_run_sets_nothing_on_the_model(add_experiment):
    LookAtModel.seen.clear()
    path = add_experiment(
        replace=[(PLACE, f"{PLACE}  custom_hooks: [{{type: LookAtModel}}]\n"), ("epochs: 1", "epochs: 2")]
    )
    generic.parse(str(path)).fit()
    states = [entry for entry in LookAtModel.seen if isinstance(entry, tuple) and isinstance(entry[0], set)]
    assert states
    assert all(training for _, training in states)
    assert not any({"extract_feat", "parse_losses"} & names for names, _ in states)
    batches = LookAtModel.seen.count(("modes", True))
    assert batches == LookAtModel.seen.count("backbone") > 0
    assert ("modes", False) not in LookAtModel.seen
