"""``amp``, ``channelsLast``, fused steps and ``ema``: what they decide, what they compute, and that a resume is exact."""

import copy

import pytest
import torch
from mmcv.ops import RoIAlign
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from musket_core import generic

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError, UserError
from instance_segmentation_pipeline.models import precision, reduced_precision
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.models.memory_format import lay_channels_last, settle_state
from instance_segmentation_pipeline.models.operator_inputs import REDUCING, GuardedOperator, in_single
from instance_segmentation_pipeline.models.precision import bf16_instructions, check_trainable, decide
from instance_segmentation_pipeline.models.reduced_precision import ReducedPart, ReducedPrecisionWrapper, let_reduce
from instance_segmentation_pipeline.models.speed import set_speed
from instance_segmentation_pipeline.models.training_model import ready_to_train
from instance_segmentation_pipeline.models.weight_average import set_average
from instance_segmentation_pipeline.storage.digests import digest_of_file
from instance_segmentation_pipeline.storage.yaml_files import read_yaml
from instance_segmentation_pipeline.training.hooks.weight_average import WeightAverage
from tests.support.project import SMALL_CONFIG
from tests.support.weights import weights_of

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}

WRONG = [
    *[("amp", one) for one in ("", "fp8", "FP16", "BF16", "half", "yes", "none", "float16", 16, 1, 0, 1.5, [], ["bf16"], {}, {"dtype": "bf16"})],
    *[("channelsLast", one) for one in ("true", "auto", 1, 0, 1.0, [], [True], {}, "nchw")],
    *[("ema", one) for one in ("true", "yes", 1, 0, 0.5, [], [True], {}, "ExpMomentumEMA")],
    *[("ema", {"momentum": one}) for one in (0, 1, -0.1, 1.5, "much", True, None, [], [0.1], {}, float("nan"), float("inf"))],
    *[("ema", {"warmup": one}) for one in (-1, 1.5, "10", True, None, [], [1], {}, 1_000_001, float("nan"))],
    *[("ema", {key: 1}) for key in ("momentom", "decay", "gamma", "type", "interval", "begin_epoch", "update_buffers", 1, "")],
    *[("ema", {"momentum": 0.1, key: 1}) for key in ("warm_up", "steps", "device", None)],
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}: {value!r}" for key, value in WRONG])
def test_what_is_wrong_is_one_sentence(key, value):
    with pytest.raises(ConfigError, match=f"^{key}") as error:
        check_properties({**LEAST, key: value})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("key", ["amp", "channelsLast", "ema"])
@pytest.mark.parametrize("value", [True, "bf16", {"momentum": 0.1}])
def test_they_are_no_keys_of_a_stage(key, value):
    with pytest.raises(ConfigError, match=rf"stages\[0\].{key} is not a property"):
        check_properties({**LEAST, "stages": [{"epochs": 1, key: value}]})


@pytest.mark.parametrize(
    ("key", "meant"), [("apm", "amp"), ("channelLast", "channelsLast"), ("channels_last", "channelsLast"), ("emma", "ema")]
)  # fmt: skip
def test_a_near_name_is_told(key, meant):
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'"):
        check_properties({**LEAST, key: True})


DECISIONS = [
    (False, "cpu", True, None, ""),
    (True, "cpu", True, "single", "not used, there is no CUDA device"),
    (True, "cuda", True, "fp16", "half"),
    ("fp16", "cuda", True, "fp16", "half"),
    ("bf16", "cpu", True, "bf16", "bfloat16 in the networks, by amx"),
    ("bf16", "cuda", True, "bf16", "bfloat16 in the networks"),
    ("bf16", "cpu", False, "single", "not used on this device"),
    ("auto", "cpu", True, "bf16", "bfloat16 in the networks"),
    ("auto", "cpu", False, "single", "the processor has no instructions"),
    ("auto", "cuda", True, "bf16", "bfloat16 in the networks"),
    ("auto", "cuda", False, "fp16", "half"),
]


@pytest.mark.parametrize(("amp", "device", "has_bf16", "kind", "words"), DECISIONS)
def test_what_is_decided_is_told(amp, device, has_bf16, kind, words, monkeypatch):
    monkeypatch.setattr(precision, "bf16_instructions", lambda device: "amx" if has_bf16 else "")
    decided = decide(amp, device)
    assert decided.kind == kind
    assert words in decided.line
    assert bool(decided.line) is (amp is not False)


@pytest.mark.parametrize(
    ("amp", "device", "wrapper", "message"),
    [
        ("fp16", "cpu", "OptimWrapper", "amp: fp16 needs a CUDA device, and there is none"),
        ("bf16", "cpu", "OptimWrapper", "a CPU of this machine has no instructions for it"),
        ("bf16", "cuda", "OptimWrapper", "this CUDA device of this machine has no instructions for it"),
        (True, "cuda", "ApexOptimWrapper", "the config has ApexOptimWrapper: leave amp out"),
        ("auto", "cpu", "ApexOptimWrapper", "the config has ApexOptimWrapper: leave amp out"),
    ],
)
def test_what_a_device_cannot_do_is_refused(amp, device, wrapper, message, monkeypatch):
    monkeypatch.setattr(precision, "bf16_instructions", lambda device: "")
    with pytest.raises(ConfigError, match=message):
        check_trainable(amp, device, Config({"optim_wrapper": {"type": wrapper}}))


def test_the_processor_is_asked(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert bf16_instructions("cpu") == ""
    monkeypatch.undo()
    for flags, name in (({"avx512_bf16": True}, "avx512_bf16"), ({"amx_bf16": True, "avx512_bf16": True}, "amx_bf16"), ({"avx2": True}, "")):  # fmt: skip
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags, raising=False)
        assert bf16_instructions("cpu") in (name, "")


def test_a_training_that_cannot_be_is_refused_and_a_prediction_is_not(add_experiment, monkeypatch):
    cfg = generic.parse(str(add_experiment(extra="amp: fp16\n")))
    cfg.lease = ["cpu"]
    assert cfg.finished().config.optim_wrapper.type == "OptimWrapper"
    with pytest.raises(UserError, match="amp: fp16 needs a CUDA device"):
        cfg.check()
    monkeypatch.setattr(precision, "bf16_instructions", lambda device: "")
    cfg.amp = "bf16"
    assert cfg.finished().config.optim_wrapper.type == "OptimWrapper"
    with pytest.raises(UserError, match="amp: bf16 needs a device"):
        cfg.check()


def stage_config(optimizer, **further):
    native = {
        "model": {"type": "MaskRCNN", "backbone": {"type": "ResNet"}},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"lr": 0.1, **optimizer}},
    }
    return Config({**native, **further})


@pytest.mark.parametrize(
    ("optimizer", "fused"),
    [
        ({"type": "AdamW"}, True),
        ({"type": "SGD", "momentum": 0.9}, True),
        ({"type": "Adam"}, True),
        ({"type": "AdamW", "fused": False}, False),
        ({"type": "AdamW", "foreach": True}, None),
        ({"type": "AdamW", "foreach": False}, None),
        ({"type": "NAdam"}, None),
        ({"type": "RMSprop"}, None),
    ],
)
def test_optimizers_that_can_are_fused_unless_said_otherwise(optimizer, fused):
    config, decisions = stage_config(optimizer), []
    set_speed(config, None, decisions)
    assert config.optim_wrapper.optimizer.get("fused") is fused
    assert any("one fused kernel" in line for line in decisions) is (fused is True)


def test_an_optimizer_without_a_fused_kernel_is_told():
    with pytest.raises(ConfigError, match="NAdam has no fused kernel"):
        set_speed(stage_config({"type": "NAdam", "fused": True}), None, [])


@pytest.mark.parametrize(
    ("detector", "backbone", "asked", "laid"),
    [
        ("MaskRCNN", "ResNet", None, True),
        ("MaskRCNN", "ResNet", False, False),
        ("MaskRCNN", "SomebodysNet", None, False),
        ("SomebodysDetector", "ResNet", None, False),
        ("SomebodysDetector", "ResNet", True, True),
    ],
)
def test_memory_is_laid_out_where_that_was_measured_or_asked_for(detector, backbone, asked, laid):
    config, decisions = stage_config({"type": "SGD"}), []
    config.model = {"type": detector, "backbone": {"type": backbone}}
    set_speed(config, asked, decisions)
    assert config.channels_last is laid
    assert ("no channels-last training of such a model was seen" in decisions[0]) is (asked is None and not laid)


def test_operators_are_given_what_they_can_read():
    """RoIAlign goes through memory as it lies: of channels-last features it would take other values."""
    torch.manual_seed(0)
    features, rois = torch.randn(2, 4, 8, 8), torch.tensor([[0.0, 0, 0, 6, 6], [1, 1, 2, 7, 5]])
    plain = RoIAlign(3, 1.0, 2)
    wanted = plain(features, rois)
    model = torch.nn.Sequential(copy.deepcopy(plain))
    lay_channels_last(model)
    (operator,) = model
    assert isinstance(operator, GuardedOperator)
    assert isinstance(copy.deepcopy(operator), RoIAlign)
    laid = features.contiguous(memory_format=torch.channels_last)
    assert torch.equal(operator(laid, rois), wanted)
    token = REDUCING.set("cpu")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            answer = operator(laid.bfloat16(), rois)
    finally:
        REDUCING.reset(token)
    assert answer.dtype == torch.float32
    assert torch.allclose(answer, wanted, atol=0.05)


def test_convolutions_with_weights_of_their_own_stay():
    class Standardised(torch.nn.Conv2d):
        def forward(self, x):
            return torch.nn.functional.conv2d(x, self.weight / self.weight.view(self.out_channels, -1).std())

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), Standardised(4, 4, 3), torch.nn.ConvTranspose2d(4, 2, 2))
    before = copy.deepcopy(model)
    lay_channels_last(model)
    assert [module.weight.is_contiguous(memory_format=torch.channels_last) for module in model] == [True, False, True]
    image = torch.randn(1, 3, 9, 9)
    assert torch.allclose(model(image), before(image), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_gradients_lie_as_their_weights(channels):
    """Torch warns of processes that train one net where they do not: kernels of 1x1, and those of one channel."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(channels, 8, 3),
        torch.nn.Conv2d(8, 16, 1),
        torch.nn.Conv2d(16, 16, 3, groups=16),
        torch.nn.Conv2d(16, 1, 1),
        torch.nn.Conv2d(1, 4, 1),
        torch.nn.ConvTranspose2d(4, 2, 2, 2),
    )
    lay_channels_last(model)
    model(torch.randn(2, channels, 16, 16)).square().mean().backward()
    for name, weights in model.named_parameters():
        assert weights.stride() == weights.grad.stride(), name


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("before", [True, False])
def test_a_state_of_another_layout_goes_on_right(kind, before):
    """A checkpoint of contiguous weights, in plain or fused steps, is gone on from with channels-last fused ones."""
    torch.manual_seed(1)
    options = {"lr": 0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {})}
    weight = torch.randn(6, 5, 3, 3)
    gradients = torch.randn(4, 6, 5, 3, 3)
    whole = torch.nn.Parameter(weight.clone())
    optimizer = kind([whole], **options, fused=before)
    saved = None
    for number, gradient in enumerate(gradients):
        if number == 2:
            saved = copy.deepcopy((whole.data, optimizer.state_dict()))
        whole.grad = gradient.clone()
        optimizer.step()
    laid = torch.nn.Parameter(saved[0].contiguous(memory_format=torch.channels_last))
    resumed = kind([laid], **options, fused=True)
    resumed.load_state_dict(saved[1])
    settle_state(resumed)
    assert resumed.param_groups[0]["fused"] is True
    for gradient in gradients[2:]:
        laid.grad = gradient.contiguous(memory_format=torch.channels_last)
        resumed.step()
    assert torch.allclose(laid, whole, atol=1e-5)


def test_values_are_made_single_wherever_they_lie():
    half = torch.ones(2, dtype=torch.bfloat16)
    given = {"a": [half, (half, 3)], "b": torch.ones(2, dtype=torch.int64), "c": "text"}
    made = in_single(given)
    assert made["a"][0].dtype == made["a"][1][0].dtype == torch.float32
    assert (made["a"][1][1], made["b"].dtype, made["c"]) == (3, torch.int64, "text")


class Loop:
    """What the hook asks of a Runner."""

    epoch = 0
    _resume = False

    def __init__(self, model, wrapper):
        self.model, self.optim_wrapper, self.iter = model, wrapper, 0


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("warmup", [0, 3])
def test_the_average_is_the_one_computed_by_hand(accumulation, warmup):
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=accumulation)
    wrapper.initialize_count_status(model, 0, 8)
    loop, hook = Loop(model, wrapper), WeightAverage(0.25, warmup)
    hook.before_run(loop)
    average, step = None, 0
    for number in range(8):
        with wrapper.optim_context(model):
            loss = model(torch.randn(4, 3)).square().mean()
        wrapper.update_params(loss)
        hook.after_train_iter(loop, number)
        if (number + 1) % accumulation == 0:
            now = {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}
            share = max(0.25, warmup / (warmup + step)) if warmup else 0.25
            average = now if not step else {k: (1 - share) * average[k] + share * now[k] for k in now}
            step += 1
    kept = hook.ema_model.module.state_dict()
    for name, value in average.items():
        assert torch.allclose(kept[name], value, atol=1e-6), name
    checkpoint = {"state_dict": dict(model.state_dict())}
    hook.before_save_checkpoint(loop, checkpoint)
    assert torch.equal(checkpoint["state_dict"]["1.running_mean"], kept["1.running_mean"])
    assert torch.equal(checkpoint["ema_state_dict"]["module.0.weight"], model[0].weight)


@pytest.mark.parametrize(
    ("ema", "iterations", "accumulation", "momentum"),
    [
        (True, 100, 1, 0.1),
        (True, 1000, 1, 0.01),
        (True, 1000, 4, 0.04),
        (True, 10**6, 1, 0.0002),
        ({"momentum": 0.3}, 10, 1, 0.3),
    ],
)
def test_the_share_of_a_step(ema, iterations, accumulation, momentum):
    config = stage_config({"type": "SGD"}, custom_hooks=[{"type": "EMAHook", "momentum": 0.5}])
    config.optim_wrapper.accumulative_counts = accumulation
    decisions = []
    set_average(config, ema, iterations, decisions)
    (hook,) = config.custom_hooks
    assert hook.type == "WeightAverage"
    assert hook.momentum == pytest.approx(momentum)
    assert "in place of the config's EMAHook" in decisions[0]
    set_average(config, False, iterations, decisions)
    assert config.custom_hooks == []


def test_networks_alone_are_reduced_and_only_while_a_loss_is_computed():
    from mmdet.models.detectors.base import BaseDetector

    class Part(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = torch.nn.Linear(4, 4), []

        def forward(self, x):
            answer = self.layer(x)
            self.seen.append(answer.dtype)
            return [answer, {"a": answer}]

    class Detector(BaseDetector):
        def __init__(self):
            super().__init__()
            self.backbone, self.bbox_head = Part(), Part()

        def loss(self, batch_inputs, batch_data_samples):
            (features, _) = self.backbone(batch_inputs)
            found, named = self.bbox_head(features)
            self.glue = (found @ found.T).dtype, named["a"].dtype
            return {"loss": found.square().mean()}

        predict = _forward = extract_feat = None

    Detector.__abstractmethods__ = frozenset()
    model = Detector()
    let_reduce(model)
    model = copy.deepcopy(model)
    image = torch.randn(2, 4)
    model.loss(image, [])
    wrapper = ReducedPrecisionWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        loss = model.loss(image, [])["loss"]
    wrapper.update_params(loss)
    assert model.backbone.seen == model.bbox_head.seen == [torch.float32, torch.bfloat16]
    assert model.glue == (torch.float32, torch.float32)
    assert all(one.dtype == torch.float32 for one in model.parameters())
    assert reduced_precision.REDUCING.get() is None


KEYS = "amp: auto\nema: {momentum: 0.2}\nbatch: 3\naccumulation: 2\nclipnorm: 0.5\n"


@pytest.mark.slow
def test_a_cut_training_with_all_of_it_ends_with_the_same_bits_and_the_next_stage_starts_from_averages(add_experiment):
    """Two stages; the first is cut after its first epoch, where batches are left over and the average is on its way.

    The head draws the masks of its loss.
    """
    words = [("configOptions:\n", "configOptions:\n  model.bbox_head.type: FineMaskRTMDetInsHead\n")]
    words += [("imagesPerGpu: 4\n", KEYS), ("  - epochs: 1\n", "  - epochs: 2\n  - epochs: 1\n    lr: 0.0000001\n")]
    whole = generic.parse(str(add_experiment("whole", replace=words)))
    whole.fit()
    cut = generic.parse(str(add_experiment("cut", replace=words)))
    cut.expires = 0.0
    cut.fit()
    resumed = generic.parse(cut.path)
    resumed.setAllowResume(True)
    resumed.fit()
    for stage in range(2):
        one, two = whole.files.stage(0, stage), cut.files.stage(0, stage)
        assert one.metrics.read_text() == two.metrics.read_text()
        assert weights_of(one.last_weights) == weights_of(two.last_weights)
        assert weights_of(one.best_weights) == weights_of(two.best_weights)
    decided = read_yaml(whole.files.stage(0, 0).decided)
    assert (decided["ema"]["momentum"], decided["accumulation"], decided["batch"], decided["epochs"]) == (0.2, 2, 3, 2)
    assert (decided["memory"], decided["optimizer"]["fused"], decided["clipping"]["max_norm"]) == (
        "channels last",
        True,
        0.5,
    )
    assert decided["precision"] == ("bfloat16 in the networks" if bf16_instructions("cpu") else "single")
    start = read_yaml(whole.files.stage(0, 1).decided)["start"]
    assert start["SHA-256"] == digest_of_file(whole.files.stage(0, 0).best_weights)
    last = read_checkpoint(whole.files.stage(0, 0).last_weights)
    name = "bbox_head.rtm_cls.0.bias"
    assert not torch.equal(last["state_dict"][name], last["ema_state_dict"][f"module.{name}"])
    assert int(last["ema_state_dict"]["steps"]) == 4
    best = read_checkpoint(whole.files.stage(0, 0).best_weights)["state_dict"]
    after = read_checkpoint(whole.files.stage(0, 1).last_weights)["state_dict"]
    assert torch.allclose(after[name], best[name], atol=1e-5)
    for key, value, message in (("ema", {"momentum": 0.3}, "ema.momentum 0.2 there, 0.3 now"), ("ema", None, "ema.momentum 0.2 there")):  # fmt: skip
        setattr(resumed, key, value)
        with pytest.raises(UserError, match=message):
            resumed.fit()
    resumed.ema = whole.ema
    resumed.accumulation = 4
    with pytest.raises(UserError, match="accumulative_counts 2 there, 4 now"):
        resumed.fit()


def test_a_model_is_made_ready_wherever_it_is_trained():
    """A Runner, the search for a learning rate and a trial step begin with the same model."""
    from mmdet.registry import MODELS

    small = Config.fromfile(str(SMALL_CONFIG)).model
    small.backbone.init_cfg = None
    config = Config(
        {
            "model": small,
            "freezes_encoder": True,
            "channels_last": True,
            "optim_wrapper": {"type": "ReducedPrecisionWrapper"},
        }
    )
    with torch.device("meta"):
        model = ready_to_train(MODELS.build(small), config)
    assert not any(one.requires_grad for one in model.backbone.parameters())
    assert isinstance(model.backbone, ReducedPart)
    assert isinstance(model.bbox_head, ReducedPart)
    weight = model.backbone.stem[1].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
