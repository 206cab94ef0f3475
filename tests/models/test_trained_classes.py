"""Weights that an experiment trained itself answer for its own classes and model, or not at all."""

import shutil

import pytest
import torch
import yaml
from musket_core import generic
from musket_core.projects import Project

from instance_segmentation_pipeline.errors import UserError, WeightsError
from instance_segmentation_pipeline.models.trained_weights import check_classes, load_trained

pytestmark = pytest.mark.slow

CHANGES = {
    "another order": ('["square", "disc", "triangle"]', r"was trained with 3 classes \(disc, square, triangle\)"),
    "another name": ('["disc", "square", "star"]', r"the dataset has 3 classes \(disc, square, star\)"),
    "one more": (
        '["disc", "square", "triangle", "star"]',
        r"the dataset has 4 classes \(disc, square, triangle, star\)",
    ),
}


@pytest.fixture
def path(trained, tmp_path):
    shutil.copytree(trained.parents[2], tmp_path / "project")
    return tmp_path / "project" / "experiments" / "exp01" / "config.yaml"


def rename(path, names):
    """Give the dataset other class names, and the config as many classes."""
    module = path.parents[2] / "modules" / "shapes.py"
    text = module.read_text()
    assert text.count('{"CLASSES": NAMES}') == 1
    module.write_text(text.replace('{"CLASSES": NAMES}', f'{{"CLASSES": {names}}}'))
    config = path.read_text().replace("classes: 3\n", f"classes: {len(yaml.safe_load(names))}\n")
    path.write_text(config)


def config(path):
    import sys

    sys.modules.pop("shapes", None)
    return generic.parse(str(path))


def weights(path):
    return {one.name: one.read_bytes() for one in (path.parent / "weights").iterdir()}


@pytest.mark.parametrize("kind", CHANGES)
def test_other_classes_are_refused_everywhere(path, kind):
    names, words = CHANGES[kind]
    shutil.rmtree(path.parent / "predictions")
    (path.parent / "summary.yaml").unlink()
    before = weights(path)
    rename(path, names)
    source = config(path).get_dataset()
    images = path.parent / "examples" / "0" / "0"
    asked = {
        "predictions": lambda cfg: cfg.predictions("validation", 0, 0),
        "all stages": lambda cfg: cfg.predictions(source),
        "a folder": lambda cfg: cfg.get_dataset() and list(cfg.predict_on_directory(str(images))),
        "a net": lambda cfg: cfg.get_dataset() and cfg.createNetForInference(),
        "evaluating": lambda cfg: cfg.evaluate("holdout"),
        "reporting": lambda cfg: cfg.generateReports(),
        "resuming": lambda cfg: cfg.setAllowResume(True) or cfg.fit(),
    }
    for what, ask in asked.items():
        with pytest.raises(WeightsError, match=words + r".*put config and dataset back") as error:
            ask(config(path))
        assert len(str(error.value)) < 700, what
    assert not (path.parent / "summary.yaml").exists()
    assert weights(path) == before


def test_an_unfinished_stage_is_not_gone_on_with(path):
    files = generic.parse(str(path)).files
    (path.parent / "summary.yaml").unlink()
    for stage in (0, 1):
        files.stage(1, stage).metrics.unlink()
        files.stage(1, stage).best_weights.unlink()
    before = weights(path)
    rename(path, '["square", "disc", "triangle"]')
    cfg = config(path)
    cfg.setAllowResume(True)
    with pytest.raises(UserError, match="was trained with 3 classes"):
        cfg.fit(foldsToExecute=[1])
    assert weights(path) == before


def test_another_model_is_refused(path):
    text = path.read_text().replace("model.bbox_head.feat_channels: 32", "model.bbox_head.feat_channels: 16")
    path.write_text(text)
    with pytest.raises(
        WeightsError, match=r"was trained with another model.*tensors differ, such as bbox_head\..*32 there and 16"
    ):
        generic.parse(str(path)).load_model(0, 0)


def test_the_advice_is_right(path):
    rename(path, '["square", "disc", "triangle"]')
    kept = weights(path)
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 1"))
    import sys

    sys.modules.pop("shapes", None)
    experiment = Project(str(path.parents[2])).byName("exp01")
    experiment.fit()
    assert experiment.isCompleted()
    (previous,) = (path.parent / "previous").iterdir()
    assert {one.name: one.read_bytes() for one in (previous / "weights").iterdir()} == kept


@pytest.mark.parametrize(
    ("trained_with", "now", "fits"),
    [
        (("a", "b"), ("a", "b"), True),
        (("a", "b"), ("b", "a"), False),
        (("class 1", "class 2"), ("a", "b"), True),
        (("a", "b"), ("class 1", "class 2"), True),
        (("class 1", "class 2"), ("a", "b", "c"), False),
        (("a", "class 2"), ("a", "b"), False),
        ((), ("a",), False),
        (None, ("a",), True),
        (tuple(f"name {number}" * 50 for number in range(900)), ("a",), False),
    ],
)
def test_class_names(tmp_path, trained_with, now, fits):
    meta = {} if trained_with is None else {"dataset_meta": {"classes": trained_with}}
    if fits:
        check_classes({"meta": meta}, tmp_path, now)
        return
    with pytest.raises(WeightsError, match="put config and dataset back") as error:
        check_classes({"meta": meta}, tmp_path, now)
    assert len(str(error.value)) < 900


@pytest.mark.parametrize("change", ["another shape", "one missing", "one too many"])
def test_a_state_that_does_not_fit_whole(tmp_path, change):
    state = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    if change == "another shape":
        state["bias"] = torch.ones(3)
    elif change == "one missing":
        del state["bias"]
    else:
        state["more"] = torch.ones(1)
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "best.weights")
    model = torch.nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"1 of 2 tensors differ, such as (bias|more)"):
        load_trained(model, tmp_path / "best.weights", ("a",))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
