"""``initial_weights`` of stages: files, URLs, best weights of this and of other experiments."""

import shutil

import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError, UserError, WeightsError
from instance_segmentation_pipeline.experiment.stage_starts import needed_starts, stage_start
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.weights_reference import WeightsReference
from tests.support.project import FAST, SMALL_CONFIG

LEAST = {"configPath": "a.py"}

WRONG_VALUES = [0, 1.5, True, "", "  ", [], ["best.0"], {}, {"path": "a.pth"}, "a\0b"]


@pytest.mark.parametrize("value", WRONG_VALUES, ids=repr)
def test_what_is_no_text_is_refused(value):
    with pytest.raises(ConfigError, match=r"stages\[0\].initial_weights is .* must be a path, a URL, or best-"):
        check_properties({**LEAST, "stages": [{"epochs": 1, "initial_weights": value}]})


def test_two_starts_of_the_first_stage_are_refused():
    stages = [{"epochs": 1, "initial_weights": "a.pth"}]
    with pytest.raises(ConfigError, match="both say what the first stage starts from: remove one"):
        check_properties({**LEAST, "weightsPath": "b.pth", "stages": stages})
    with pytest.raises(ConfigError, match="initial_weights to the stages that it is for"):
        check_properties({**LEAST, "initial_weights": "b.pth", "stages": [{"epochs": 1}]})


@pytest.mark.parametrize(
    ("words", "experiment", "fold", "stage"),
    [
        ("best.0", None, None, 0),
        ("best-1.0", None, 1, 0),
        ("best", None, None, None),
        ("best-2", None, 2, None),
        ("exp01/best.1", "exp01", None, 1),
        ("groups/a/best-3.12", "groups/a", 3, 12),
        ("../other/best", "../other", None, None),
        ("/there/other/best-0.0", "/there/other", 0, 0),
    ],
)
def test_how_best_weights_are_named(words, experiment, fold, stage):
    assert WeightsReference.of(words) == WeightsReference(experiment, fold, stage)


@pytest.mark.parametrize(
    "words", ["best-0.0.weights", "a/best-0.0.weights", "best.pth", "bestof", "best-a.0", "best-0.", "Best.0", "/best.0", "best.-1", "weights/best.0 "]
)  # fmt: skip
def test_all_else_is_a_file(words):
    assert WeightsReference.of(words) is None or words == "/best.0"


def staged(*starts, extra="folds_count: 2\n"):
    stages = "".join(
        f"  - epochs: 1\n    lr: 0.0005\n{f'    initial_weights: {start}' if start else ''}\n" for start in starts
    )
    return FAST.format(config=SMALL_CONFIG, extra=extra).replace("  - epochs: 1\n", stages)


@pytest.fixture
def beside(trained, tmp_path):
    """Return a function that writes an experiment beside a copy of the trained one."""
    root = tmp_path / "project"
    shutil.copytree(trained.parents[2], root, ignore=shutil.ignore_patterns("__pycache__"))

    def add(*starts, name="exp02", extra="folds_count: 2\n"):
        folder = root / "experiments" / name
        folder.mkdir()
        (folder / "config.yaml").write_text(staged(*starts, extra=extra))
        return folder / "config.yaml"

    return add


WRONG = {
    "no experiment": (["nowhere/best.0"], "names an experiment 'nowhere' that is not there"),
    "no stage of it": (["exp01/best.2"], "fold 0 stage 2 is not trained.*trained are"),
    "no fold of it": (["exp01/best-7.0"], "fold 7 stage 0 is not trained"),
    "no file": (["best-0.0.weights"], r"stages\[0\].initial_weights 'best-0.0.weights' does not exist"),
    "a folder": (["../exp01"], "is no file, but a folder"),
    "a damaged file": (["damaged.pth"], "damaged.pth"),
    "no checkpoint": (["words.pth"], "words.pth"),
    "another architecture": (["foreign.pth"], r"another architecture.*give stages\[0\].initial_weights a checkpoint"),
    "of a later stage": (["exp01/best.1", "../exp01/best.9"], r"stages\[1\].initial_weights: ../exp01/best.9"),
    "itself": (["best.0"], "stage 0 of the experiment itself, which is not trained before stage 0"),
    "the stage itself": ([None, "best.1"], "stage 1 of the experiment itself, which is not trained before stage 1"),
    "a later stage": ([None, "best.5"], "not trained before stage 1"),
    "by its own name": ([None, "exp02/best.1"], "the experiment itself"),
    "another fold": ([None, "best-0.0"], "fold 1 is validated on: write best.0"),
    "a fold that there is not": ([None, "best-5.0"], "write best.0"),
    "an unknown scheme": (["ftp://a/b.pth"], "ftp://a/b.pth"),
    "an unknown zoo name": (["mmdet::nothing"], "mmdet::nothing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_started_from_is_told_before_training(beside, name):
    starts, message = WRONG[name]
    path = beside(*starts)
    (path.parent / "damaged.pth").write_bytes(b"PK\3\4" + bytes(100))
    torch.save({"state_dict": {"a": torch.zeros(2)}}, path.parent / "foreign.pth")
    (path.parent / "words.pth").write_text("weights")
    cfg = generic.parse(str(path))
    with pytest.raises(UserError, match=message) as error:
        cfg.check() if name == "another architecture" else needed_starts(cfg.parts, [0, 1])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    assert not (path.parent / "weights").exists()


def test_only_the_folds_that_are_trained_are_asked_for(beside):
    path = beside("exp01/best.1")
    (path.parents[1] / "exp01" / "weights" / "best-1.1.weights").unlink()
    cfg = generic.parse(str(path))
    cfg.check(folds=[0])
    with pytest.raises(WeightsError, match="fold 1 stage 1 is not trained"):
        cfg.check()


def test_the_latest_stage_is_meant_where_none_is_named(beside):
    cfg = generic.parse(str(beside("exp01/best", "best")))
    cfg.check()
    exp01 = cfg.files.root.parent / "exp01" / "weights"
    assert stage_start(cfg.parts, 1, 0).path == exp01 / "best-1.1.weights"
    assert stage_start(cfg.parts, 1, 1).path == cfg.files.stage(1, 0).best_weights
    assert [one.path for one in needed_starts(cfg.parts, [1])] == [exp01 / "best-1.1.weights"]


def start_of_stage(cfg, stage):
    """Return the weights after a stage whose learning rate is almost nothing: those that it started from."""
    return read_checkpoint(cfg.files.stage(0, stage).last_weights)["state_dict"]["backbone.stem.0.conv.weight"]


def test_stages_start_from_what_they_name_and_a_resume_compares_it(beside, capsys):
    """Three stages: the other experiment's, the stage before, and the first again."""
    path = beside("exp01/best.1", None, "best.0", extra="optimizer: SGD\nrandom_state: 5\n")
    path.write_text(path.read_text().replace("lr: 0.0005", "lr: 0.0000001"))
    cfg = generic.parse(str(path))
    cfg.fit()
    told = capsys.readouterr().out
    assert "best-0.1.weights: " in told
    assert "start anew (bbox_head" in told
    other = read_checkpoint(path.parents[1] / "exp01" / "weights" / "best-0.1.weights")["state_dict"]
    for stage in range(3):
        assert torch.allclose(start_of_stage(cfg, stage), other["backbone.stem.0.conv.weight"], atol=1e-5)
    heads = [read_checkpoint(cfg.files.stage(0, stage).last_weights)["state_dict"] for stage in range(3)]
    name = "bbox_head.rtm_cls.0.weight"
    assert not torch.allclose(heads[0][name], other[name], atol=1e-4)  # resetHeads is true
    assert torch.allclose(heads[2][name], heads[0][name], atol=1e-4)  # their own are taken whole
    log = (cfg.files.stage(0, 2).logs).rglob("*.log")
    assert any("best-0.0.weights: " in one.read_text() for one in log)
    again = generic.parse(str(path))
    again.setAllowResume(True)
    again.fit()
    for old, new, message in (
        ("best.0", "best.1", "initial_weights 'best.0' there, 'best.1' now"),
        ("exp01/best.1", "exp01/best.0", "initial_weights 'a file of SHA-256 .* there, 'a file of SHA-256 "),
    ):
        text = path.read_text()
        path.write_text(text.replace(f"initial_weights: {old}", f"initial_weights: {new}"))
        changed = generic.parse(str(path))
        changed.setAllowResume(True)
        with pytest.raises(WeightsError, match=message):
            changed.fit()
        path.write_text(text)


def test_weights_that_would_be_put_aside_are_refused(beside):
    path = beside(None, "weights/best-0.0.weights", extra="")
    (path.parent / "weights").mkdir()
    shutil.copy(path.parents[1] / "exp01" / "weights" / "best-0.0.weights", path.parent / "weights")
    shutil.copy(path.parents[1] / "exp01" / "weights" / "config-0.0.py", path.parent / "weights")
    with pytest.raises(ConfigError, match=r"stages\[1\].initial_weights .* would be put aside into previous/"):
        generic.parse(str(path)).fit()
    assert (path.parent / "weights" / "best-0.0.weights").exists()
