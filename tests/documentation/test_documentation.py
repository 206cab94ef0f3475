"""The documentation's own command, script and YAML, as printed; and README and reference against the code."""

import re
import sys

import pytest
import torch

from instance_segmentation_pipeline.cli import analize, check, clean, convert, fit, lr_find, models, new, predict, task
from instance_segmentation_pipeline.config.holdout_part import HOLDOUT
from instance_segmentation_pipeline.config.schema import PROPERTIES, Integer, Number
from tests.support.project import FAST, REPOSITORY, SMALL_CONFIG

pytestmark = pytest.mark.slow

REFERENCE = (REPOSITORY / "reference.md").read_text()
README = (REPOSITORY / "README.md").read_text()

SCRIPT = """\
from musket_core import generic
from get_some_gataset import getDataset

ds = getDataset #some dataset which has the required format
cfg = generic.parse("config.yaml")
cfg.fit(ds)
"""

YAML = """\
#%Musket MMDetection 1.0
classes: 46
shape: [800, 1333]

imagesPerGpu: 1
folds_count: 1
testSplit: 0.1

stages:
  - epochs: 3

dataset:
  getTrain2:

configPath: '../../data/configs/htc/htc_dconv_c3-c5_mstrain_400_1400_x101_64x4d_fpn_20e-1.py'
weightsPath: '../../data/checkpoints/Hybrid-Task-Cascade-(HTC)/htc_dconv_c3-c5_mstrain_400_1400_x101_64x4d_fpn_20e_20190408-0e50669c-nohead.pth'
"""

COMMAND = (
    'musket fit --project "path/to/project" --name "experiment_name" --num_gpus=1 --gpus_per_net=1 '
    '--num_workers=1 --cache "path/to/cache/folder"'
)

DATASET = """\
import numpy as np
from musket_core.datasets import DataSet, PredictionItem, dataset_provider


class Train2(DataSet):
    def __len__(self):
        return 5

    def __getitem__(self, item):
        image = np.full((40, 66, 3), 40, np.uint8)
        mask = np.zeros((1, 40, 66), int)
        mask[0, 5:25, 10 + item : 40] = 1
        image[mask[0] > 0] = 220
        bboxes = np.array([[5.0, 10 + item, 25, 40]])
        return PredictionItem(f"train{item}", image, (np.array([46]), bboxes, mask))
"""


@pytest.fixture
def documented(tmp_path):
    """Put the documentation's experiment into a project, with a small config and weights in their places."""
    project = tmp_path / "path" / "to" / "project"
    experiment = project / "experiments" / "experiment_name"
    experiment.mkdir(parents=True)
    (experiment / "config.yaml").write_text(YAML)
    config = re.search(r"configPath: '\.\./\.\./(.*)'", YAML).group(1)
    weights = re.search(r"weightsPath: '\.\./\.\./(.*)'", YAML).group(1)
    for name in (config, weights):
        (project / name).parent.mkdir(parents=True)
    slim = (
        "model = dict(backbone=dict(widen_factor=0.125, init_cfg=None), neck=dict(in_channels=[32, 64, 128], "
        "out_channels=32), bbox_head=dict(in_channels=32, feat_channels=32))"
    )
    (project / config).write_text(f"_base_ = {str(SMALL_CONFIG)!r}\n{slim}\n")
    (project / weights).write_bytes(b"")
    torch.save({"state_dict": nohead(project / config)}, project / weights)
    (project / "modules").mkdir()
    provider = "\n\n@dataset_provider()\ndef getTrain2():\n    return Train2()\n"
    (project / "modules" / "train2.py").write_text(DATASET + provider)
    (experiment / "get_some_gataset.py").write_text(DATASET + "\n\ngetDataset = Train2()\n")
    return experiment


def nohead(config):
    """Return weights of the config's model without those of its head."""
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    model = Config.fromfile(config).model
    for part in (model.backbone, model.neck, model.bbox_head):
        if "norm_cfg" in part:
            part.norm_cfg.type = "BN"
    return {name: value for name, value in MODELS.build(model).state_dict().items() if "rtm_cls" not in name}


def test_the_command_as_printed(documented, tmp_path, run):
    program = str(sys.executable).replace("/python", "/musket")
    done = run("bash", "-c", COMMAND.replace("musket", program, 1), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "fold 0 stage 0 epoch 3/3" in done.stderr
    assert (documented / "summary.yaml").exists()
    assert (documented / "weights" / "best-0.0.weights").exists()
    assert (tmp_path / "path/to/cache/folder").is_dir()


def test_the_script_as_printed(documented, run):
    (documented / "train.py").write_text(SCRIPT)
    done = run(sys.executable, "train.py", cwd=documented)
    assert done.returncode == 0, done.stderr
    assert (documented / "summary.yaml").exists()


# -- README and reference against the code -------------------------------------------------------------------


def anchors(markdown):
    """Return the anchors of a document's headings, as the common renderers make them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "name", ["README.md", "reference.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/tutorial.md"]
)
def test_links_lead_somewhere(name):
    text = (REPOSITORY / name).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = (REPOSITORY / name).parent / file if file else REPOSITORY / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text()), target


@pytest.mark.parametrize(
    "anchor",
    [
        "fitpy-project",
        "fitpy-name",
        "fitpy-num_gpus",
        "fitpy-gpus_per_net",
        "fitpy-num_workers",
        "fitpy-cache",
        "fit-script-arguments",
        "taskpy-project",
        "taskpy-name",
        "taskpy-num_gpus",
        "taskpy-gpus_per_net",
        "taskpy-num_workers",
        "taskpy-cache",
        "task-script-arguments",
        "analyzepy-inputfolder",
        "analyze-script-arguments",
        "configpath",
        "classes",
        "shape",
        "weightspath",
    ],
)
def test_the_documentations_links_into_the_reference(anchor):
    assert anchor in anchors(REFERENCE)


def test_project_structure_is_in_the_readme():
    assert "project-structure" in anchors(README)


def sections(first, last):
    """Return the ``###`` sections between two ``##`` headings, by title."""
    part = REFERENCE.split(f"\n## {first}\n")[1].split(f"\n## {last}\n")[0]
    pieces = re.split(r"^### (.*)$", part, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def test_every_property_is_in_the_reference_with_its_default():
    documented = sections("Properties of an experiment", "fit script arguments")
    assert set(documented) == {HOLDOUT, *(entry.name for entry in PROPERTIES)}
    for entry in PROPERTIES:
        text = documented[entry.name]
        assert "Type: " in text, entry.name
        if isinstance(entry.check, (Integer, Number)):
            assert f"Type: {str(entry.check).removeprefix('a ')}. " in text, entry.name
        assert "```yaml" in text, entry.name
        assert ("Required." in text) is entry.required, entry.name
        if entry.default not in (None, {}, []):
            default = (
                str(entry.default).lower()
                if isinstance(entry.default, bool)
                else f"{entry.default:g}"
                if isinstance(entry.default, float)
                else str(entry.default)
            )
            assert f"Default: `{default}`" in text, entry.name


def test_every_example_of_the_reference_is_accepted():
    import yaml

    from instance_segmentation_pipeline.config.schema import check_properties

    for name, text in sections("Properties of an experiment", "fit script arguments").items():
        for example in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL):
            given = yaml.safe_load(example)
            assert name in given
            check_properties({"configPath": "a.py", "stages": [{"epochs": 1}], **given})


def test_every_flag_is_in_the_reference():
    for script, program, until in (
        ("fit", fit, "task script arguments"),
        ("task", task, "predict script arguments"),
        ("predict", predict, "analyze script arguments"),
        ("analyze", analize, "lr_find script arguments"),
        ("lr_find", lr_find, "convert script arguments"),
        ("convert", convert, "models script arguments"),
        ("models", models, "new script arguments"),
        ("new", new, "check script arguments"),
        ("check", check, "clean script arguments"),
        ("clean", clean, "Models"),
    ):
        documented = sections(f"{script} script arguments", until)
        actions = [action for action in program.parser()._actions if action.dest != "help"]
        flags = {(action.option_strings or [action.dest])[-1].lstrip("-") for action in actions}
        assert {title.removeprefix(f"{script}.py ") for title in documented} == flags
        for flag in flags:
            assert f"`--{flag}" in documented[f"{script}.py {flag}"]


def test_the_files_of_the_reference_are_those_that_are_written():
    from pathlib import Path

    from instance_segmentation_pipeline.storage.experiment_files import ExperimentFiles

    files = ExperimentFiles(Path("/e/config.yaml"))
    stage = files.stage(0, 1)
    paths = [files.summary, files.error, files.in_progress, files.folds_split, files.holdout_split]
    paths += [
        stage.learning_curves,
        files.reports("confusion.png"),
        stage.best_weights,
        stage.last_weights,
        stage.model_config,
        stage.metrics,
        stage.example(7),
        stage.training_example(7),
    ]
    for path in paths:
        name = path.relative_to("/e").as_posix()
        pattern = name.replace("0.1.", "<fold>.<stage>.").replace("0/1/7", "<fold>/<stage>/<epoch>")
        pattern = pattern.replace("0/1/train_7", "<fold>/<stage>/train_<epoch>")
        assert f"`{pattern}`" in REFERENCE, pattern


def test_the_readmes_script_is_the_documentations():
    assert SCRIPT.strip() in README


def test_the_fixture_uses_known_properties_only():
    assert "configPath" in FAST
