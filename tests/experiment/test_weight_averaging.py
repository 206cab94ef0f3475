"""``cfg.average``: what is averaged, when it is kept, where it lies, who asks it, and what it refuses."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.cli.predict import main as predict
from instance_segmentation_pipeline.errors import ConfigError, UserError, WeightsError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.models.uniform_average import MEMBERS_KEY, uniform_average
from instance_segmentation_pipeline.storage.archive import archive, belonging
from instance_segmentation_pipeline.storage.cleaning import removable
from instance_segmentation_pipeline.storage.run_lock import only_run
from instance_segmentation_pipeline.storage.run_manifest import RunManifest
from tests.support.project import FAST, SHAPES, SMALL_CONFIG

pytestmark = pytest.mark.slow

EXTRA = """folds_count: 2
storage_threshold: 0.001
primary_metric: distance
primary_metric_mode: min
"""
METRIC = """
from pathlib import Path

import numpy as np
from musket_core import metrics

GOOD = Path(__file__).with_name("good.txt")

def mean_side(predictions):
    sides = [box[2:] - box[:2] for item in predictions for box in item.prediction[2]]
    return float(np.mean(sides)) if sides else 0.0

@metrics.final_metric
def distance(m, predictions):
    return abs(mean_side(predictions) - float(GOOD.read_text())) if GOOD.exists() else 1.0

@metrics.final_metric
def closeness(m, predictions):
    return -distance(m, predictions)

@metrics.final_metric
def asks(m, predictions):
    return float(len(m.predictions("validation")))
"""
MOVED = "bbox_head.rtm_reg.0.bias"


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    """A project whose experiment was trained once, two folds and two stages, and the mean side of fold 0's boxes."""
    root = tmp_path_factory.mktemp("averaging") / "project"
    shutil.copytree(SHAPES / "modules", root / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "modules" / "measures.py").write_text(METRIC)
    folder = root / "experiments" / "exp01"
    folder.mkdir(parents=True)
    text = FAST.format(config=SMALL_CONFIG, extra=EXTRA).replace("  - epochs: 1\n", "  - epochs: 1\n  - epochs: 1\n")
    low = "configOptions:\n  model.test_cfg.score_thr: 0.001\n  model.test_cfg.max_per_img: 20"
    (folder / "config.yaml").write_text(text.replace("count: 12", "count: 6").replace("configOptions:", low))
    cfg = generic.parse(str(folder / "config.yaml"))
    cfg.fit()
    boxes = [box for item in cfg.predictions("validation", 0, 1) for box in item.prediction[2]]
    (root / "modules" / "good.txt").write_text(repr(float(np.mean([box[2:] - box[:2] for box in boxes]))))
    return root


@pytest.fixture
def path(two_stages, tmp_path):
    """The experiment's YAML in a copy of the project."""
    shutil.copytree(two_stages, tmp_path / "project", symlinks=True)
    return tmp_path / "project" / "experiments" / "exp01" / "config.yaml"


def displace(cfg, fold, **by_stage):
    """Make the weights of a fold's stages those of its last stage, with some of them moved."""
    weights = cfg.files.stage(fold, 1).best_weights
    kept = weights.parents[3] / f"good-{fold}.weights"
    if not kept.exists():
        shutil.copyfile(weights, kept)
    good = read_checkpoint(kept)
    for stage, by in enumerate(by_stage.values()):
        state = {name: tensor.clone() for name, tensor in good["state_dict"].items()}
        state[MOVED] += by
        path = cfg.files.stage(fold, stage).best_weights
        torch.save({"meta": good["meta"], "state_dict": state}, path)


def test_what_is_better_than_its_members_is_kept_and_answers(path, tmp_path, monkeypatch):
    cfg = generic.parse(str(path))
    displace(cfg, 0, first=0.5, second=-0.5)
    (found,) = cfg.average(0)
    assert found.kept and found.average < min(found.values) and found.average < 1e-3
    assert (found.fold, found.seed, found.metric, found.stages) == (0, None, "distance", (0, 1))
    assert found.values == tuple(cfg.evaluate("validation", 0, stage)["distance"] for stage in (0, 1))
    assert found.path == path.parent / "weights" / "average-0.weights" and found.path.exists()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.kept = False

    assert cfg.evaluate("validation", 0, "average")["distance"] == found.average
    assert len(cfg.predictions("validation", stage="average")) == len(cfg.validation(0)), "folds that have one answer"
    members = [cfg.load_model(0, stage) for stage in (0, 1)]
    state = cfg.load_model(0, "average").net.state_dict()
    for name, tensor in state.items():
        both = [member.net.state_dict()[name] for member in members]
        wanted = (both[0] + both[1]) / 2 if tensor.is_floating_point() else both[1]
        assert torch.allclose(tensor, wanted), name
    assert cfg.createNetForInference(0, "average").state_dict().keys() == state.keys()
    (batch, *_) = cfg.predict_on_dataset("validation0", 0, ["average"])
    assert len(batch.results[0]) == 4
    with pytest.raises(WeightsError, match="fold 1 has no averaged weights.*0 has"):
        cfg.predictions("validation", [0, 1], "average")

    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    import cv2

    cv2.imwrite(str(images / "a.png"), cfg.validation(0)[0].x)
    command = ["--project", str(path.parents[2]), "--name", "exp01", "--input", str(images), "--output", str(out)]
    assert predict([*command, "--stages", "average"]) == 0
    assert (out / "predictions.json").exists()


def test_another_experiment_starts_from_it(path):
    cfg = generic.parse(str(path))
    displace(cfg, 0, first=0.5, second=-0.5)
    (found,) = cfg.average(0)
    other = path.parents[1] / "exp02" / "config.yaml"
    other.parent.mkdir()
    text = path.read_text() + f"weightsPath: {found.path}\nresetHeads: false\n"
    other.write_text(text.replace("  - epochs: 1\n  - epochs: 1\n", "  - epochs: 1\n"))
    start, policy = generic.parse(str(other)).initial_weights()
    assert start == found.path and not policy.reset
    generic.parse(str(other)).check()


@pytest.mark.parametrize(("metric", "mode", "better"), [("distance", "min", True), ("closeness", "max", True)])
def test_both_directions(path, metric, mode, better):
    cfg = generic.parse(str(path))
    cfg.primary_metric, cfg.primary_metric_mode = metric, mode
    displace(cfg, 0, first=0.5, second=-0.5)
    assert [one.kept for one in cfg.average([0], [0, 1])] == [better]
    displace(cfg, 0, first=0.5, second=0.0)
    (found,) = cfg.average([0], [1, 0])
    assert not found.kept and found.path is None and found.stages == (0, 1)
    assert not (path.parent / "weights" / "average-0.weights").exists()


def test_equal_members_are_not_beaten_and_nothing_is_written(path):
    cfg = generic.parse(str(path))
    displace(cfg, 0, first=0.0, second=0.0)
    before = sorted(one.name for one in path.parent.rglob("*") if one.suffix != ".sqlite")
    (first, second) = cfg.average()
    assert first.average == first.values[0] == first.values[1] and not first.kept and second.fold == 1
    assert sorted(one.name for one in path.parent.rglob("*") if one.suffix != ".sqlite") == before
    with pytest.raises(WeightsError, match="no averaged weights"):
        cfg.evaluate("validation", None, "average")


def test_the_latest_call_counts_and_nothing_is_lost(path):
    cfg = generic.parse(str(path))
    displace(cfg, 0, first=0.5, second=-0.5)
    (found,) = cfg.average(0)
    content, state = found.path.read_bytes(), found.path.stat()
    cfg.average(0)
    assert found.path.stat().st_mtime_ns == state.st_mtime_ns, "the same average is not written again"

    displace(cfg, 0, first=0.25, second=-0.25)
    with pytest.raises(WeightsError, match="average of other weights than stage 0 has now"):
        cfg.evaluate("validation", 0, "average")
    assert cfg.average(0)[0].kept
    assert read_checkpoint(found.path)["meta"]["val_distance"] == cfg.evaluate("validation", 0, "average")["distance"]
    displace(cfg, 0, first=0.5, second=0.0)
    assert not cfg.average(0)[0].kept and not found.path.exists()
    kept = sorted(path.parent.glob("previous/*/weights/average-0.weights"))
    assert len(kept) == 2 and kept[0].read_bytes() == content


def test_a_resume_keeps_it_and_a_fresh_run_puts_it_aside(path):
    cfg = generic.parse(str(path))
    displace(cfg, 0, first=0.5, second=-0.5)
    (found,) = cfg.average(0)
    name = "weights/average-0.weights"
    assert name in RunManifest(cfg.files).owned()
    assert [one.path for one in removable(cfg.files, ["weights"]) if one.path == found.path] == [found.path]
    assert cfg.trained().begun() == {0, 1} and cfg.trained().folds() == (0, 1)
    assert cfg.trained().stages_of(None) == [0, 1]
    assert name in belonging(cfg.files, [0]) and name in belonging(cfg.files, None, 1)
    assert name not in belonging(cfg.files, [1])

    before = found.path.read_bytes()
    cfg.resume = True
    cfg.fit(foldsToExecute=[0])  # nothing is left to train
    assert found.path.read_bytes() == before
    archive(cfg.files, [1])
    assert found.path.read_bytes() == before
    kept = archive(cfg.files, [0])
    assert (kept / name).read_bytes() == before and not found.path.exists()


def test_each_seed_is_averaged_for_itself(path):
    text = path.read_text()
    shutil.rmtree(path.parent / "predictions")
    for seed in (0, 1):
        (path.parent / str(seed)).mkdir()
        shutil.copytree(path.parent / "weights", path.parent / str(seed) / "weights")
    path.write_text(text + "num_seeds: 2\n")
    cfg = generic.parse(str(path))
    for member in cfg.seeds():
        displace(member, 0, first=0.5, second=-0.5)
    displace(cfg.seeds()[1], 0, first=0.5, second=0.0)
    found = cfg.average(0)
    assert [(one.seed, one.kept) for one in found] == [(0, True), (1, False)]
    assert found[0].path == path.parent / "0" / "weights" / "average-0.weights"
    with pytest.raises(WeightsError, match="no averaged weights"):
        cfg.load_model(None, "average")


def _missing(cfg):
    cfg.files.stage(0, 1).best_weights.unlink()


def _damaged(cfg):
    weights = cfg.files.stage(0, 0).best_weights
    weights.write_bytes(weights.read_bytes()[:5000])


def _other_model(cfg):
    weights = cfg.files.stage(0, 0).best_weights
    held = read_checkpoint(weights)
    held["state_dict"]["backbone.stem.0.conv.weight"] = torch.zeros(1)
    torch.save(held, weights)


def _other_classes(cfg):
    weights = cfg.files.stage(0, 0).best_weights
    held = read_checkpoint(weights)
    held["meta"]["dataset_meta"] = {"classes": ("a", "b", "c")}
    torch.save(held, weights)


def _foreign(cfg):
    (cfg.files.root / "weights" / "average-0.weights").write_text("mine")


def _loss(cfg):
    cfg.primary_metric, cfg.primary_metric_mode = "loss", "auto"


def _asking(cfg):
    cfg.primary_metric, cfg.primary_metric_mode = "asks", "auto"


def _untold(cfg):
    displace(cfg, 0, first=0.5, second=-0.5)
    (found,) = cfg.average(0)
    held = read_checkpoint(found.path)
    del held["meta"][MEMBERS_KEY]
    torch.save(held, found.path)


WRONG = [
    *[({"stages": one}, "stage . alone was asked for") for one in (0, 1, [0], [1, 1], -1, "last", [-1])],
    *[({"stages": one}, "stage 2 was asked for|stage -2 was asked for") for one in (2, [0, 2], [0, -2])],
    ({"stages": []}, "stage none was asked for"),
    *[({"stages": one}, "no choice") for one in ("average", ["average"], "best", [0, "x"], 0.5, [0, 0.5], True, {0, 1})],
    *[({"stages": one}, "no choice") for one in (float("nan"), float("inf"), [None], [[0, 1]], object(), b"ab", {})],
    *[({"folds": one}, "averaged together") for one in ([[0, 1]], [(0, 1)], ([0], [1]), [0, [1]], [{0, 1}])],
    *[({"folds": one}, "fold 2 was asked for|fold -1 was asked for") for one in (2, -1, "last", [0, 2])],
    *[({"folds": one}, "no choice") for one in ("average", "x", 1.5, True, {}, [None], ["0x"])],
    ({"folds": []}, "fold none was asked for"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_arguments_that_mean_nothing(two_stages, arguments, told):
    cfg = generic.parse(str(two_stages / "experiments" / "exp01" / "config.yaml"))
    with pytest.raises(ConfigError, match=told) as raised:
        cfg.average(**arguments)
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_missing, "fold 0 stage 1 is not trained"),
        (_damaged, r"best-0\.0\.weights"),
        (_other_model, r"best-0\.0\.weights was trained with another model.*1 of \d+ tensors"),
        (_other_classes, r"best-0\.0\.weights was trained with 3 classes \(a, b, c\)"),
        (_foreign, r"weights/average-0\.weights would be written"),
        (_loss, "primary_metric is loss, which training alone measures"),
        (_asking, "a metric asks the model for 'predictions'"),
    ],
)
def test_what_cannot_be_averaged(path, spoil, told):
    cfg = generic.parse(str(path))
    spoil(cfg)
    there = {one: one.read_bytes() for one in (path.parent / "weights").iterdir()}
    with pytest.raises(UserError, match=told) as raised:
        cfg.average(0)
    assert "\n" not in str(raised.value)
    assert {one: one.read_bytes() for one in (path.parent / "weights").iterdir()} == there


def test_an_average_that_does_not_tell_its_members_is_not_asked(path):
    cfg = generic.parse(str(path))
    _untold(cfg)
    with pytest.raises(WeightsError, match="does not tell what it is an average of"):
        cfg.load_model(0, "average")
    assert cfg.average(0)[0].kept and len(list(path.parent.glob("previous/*/weights/average-0.weights"))) == 1


def test_while_a_run_trains(path):
    with only_run(path.parent), pytest.raises(ConfigError, match="is being trained by process"):
        generic.parse(str(path)).average(0)


def test_means_are_of_weights_and_statistics_and_counts_are_the_newest():
    one = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3), "mask": torch.tensor([True]), "h": torch.ones(1).half()}
    two = {
        "w": torch.tensor([3.0, 4.0]),
        "n": torch.tensor(9),
        "mask": torch.tensor([False]),
        "h": torch.ones(1).half(),
    }
    three = {name: tensor.clone() for name, tensor in two.items()}
    mean = uniform_average([{"state_dict": state} for state in (one, two, three)])
    assert torch.allclose(mean["w"], torch.tensor([7 / 3, 10 / 3])) and mean["w"].dtype == torch.float32
    assert mean["n"] == 9 and not mean["mask"] and mean["h"] == 1 and mean["h"].dtype == torch.float16
    same = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(uniform_average([{"state_dict": {"w": same}}] * 3)["w"], same)
