"""What cannot be asked of items, samplers and shapes: each is one sentence that names the key, before anything trains.

The YAML goes through the real parser, and for what only the data tells, through ``musket fit``.
"""

import pytest
from musket_core import generic

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import ConfigError
from tests.support.project import FAST, SMALL_CONFIG

STAGE = "stages:\n  - epochs: 1\n"

YAML = [
    ("shape: [[64, 64], [64]]", "shape[1] is [64], but it must be [height, width]"),
    ("shape: [[64, 64], 64]", "shape[1] is 64, but it must be [height, width]"),
    ("shape: [[64, 64], [64, 0]]", "shape[1] is [64, 0], but it must be [height, width]"),
    ("shape: [[64, 64], [64, 40000]]", "shape[1] is [64, 40000]"),
    ("shape: [[64, 64, 4], [64, 64]]", "shape[0] is [64, 64, 4], but images have 3 channels"),
    ("shape: [64, 64, 1]", "shape is [64, 64, 1], but images have 3 channels"),
    ("shape: [[64.5, 64], [64, 64]]", "shape[0] is [64.5, 64]"),
    ("shape: {height: 64}", "shape is {'height': 64}"),
    ("shape: [[]]", "shape[0] is []"),
    ("multiscaleMode: value", "multiscaleMode is value, but there is no list of shapes"),
    ("shape: [[64, 64]]\nmultiscaleMode: range", "multiscaleMode is range, but there is no list of shapes"),
    ("shape: [[64, 64], [96, 96]]\nmultiscaleMode: ranges", "multiscaleMode is 'ranges', but it must be value or range"),
    ("shape: [[64, 64], [96, 96]]\nmultiscaleMode: 1", "multiscaleMode is 1, but it must be value or range"),
    ("shape: [[64, 64], [96, 96]]\nmanualResize: true", "manualResize: true keeps images at their size"),
    ("manualResize: 1", "manualResize is 1, but it must be true or false"),
    ("manualResize: maybe", "manualResize is 'maybe', but it must be true or false"),
    ("manualresize: true", "did you mean 'manualResize'?"),
    ("multiscalemode: value", "did you mean 'multiscaleMode'?"),
    ("stages: [{epochs: 1, negatives: some}]", "stages[0].negatives is 'some', but it must be none, real, all, or a number"),
    ("stages: [{epochs: 1, negatives: -1}]", "stages[0].negatives is -1"),
    ("stages: [{epochs: 1, negatives: true}]", "stages[0].negatives is True"),
    ("stages: [{epochs: 1, negatives: .inf}]", "stages[0].negatives is inf"),
    ("stages: [{epochs: 1, negatives: .nan}]", "stages[0].negatives is nan"),
    ("stages: [{epochs: 1, negatives: [1]}]", "stages[0].negatives is [1]"),
    ("stages: [{epochs: 1, validation_negatives: few}]", "stages[0].validation_negatives is 'few'"),
    ("stages: [{epochs: 1, validation_negatives: -2}]", "stages[0].validation_negatives is -2"),
    ("stages: [{epochs: 1, negativs: 1}]", "did you mean 'negatives'?"),
    ("stages: [{epochs: 1, validationNegatives: 1}]", "did you mean 'validation_negatives'?"),
    ("negatives: 1", "negatives is a Musket property that the MMDetection dialect does not have: give it to the stages"),
    ("maxEpochSize: 0", "maxEpochSize is 0, but it must be a whole number from 1"),
    ("maxEpochSize: 2.5", "maxEpochSize is 2.5"),
    ("maxEpochSize: all", "maxEpochSize is 'all'"),
    ("maxEpochSize: true", "maxEpochSize is True"),
    ("max_epoch_size: 3", "did you mean 'maxEpochSize'?"),
    ("steps_per_epoch: -1", "steps_per_epoch is -1"),
    ("maxEpochSize: 3\nsteps_per_epoch: 3", "steps_per_epoch is another name of maxEpochSize: give one of the two"),
    ("validation_steps: 3", "validation_steps is a Musket property that the MMDetection dialect does not have"),
    ("noTrain: true", "noTrain is a Musket property that the MMDetection dialect does not have: musket task measures"),
    ("saveLast: true", "saveLast is a Musket property that the MMDetection dialect does not have: the last weights"),
    ("add_to_train: more", "add_to_train is a Musket property that the MMDetection dialect does not have: give extra_train"),
    ("groupFunc: f", "groupFunc does nothing unless stratified is true"),
    ("stratified: true\ngroupFunc: [f]", "groupFunc is ['f'], but it must be the name of a function"),
    ("stratified: true\ngroupFunc: 3", "groupFunc is 3, but it must be the name of a function"),
    ("groupfunc: f", "did you mean 'groupFunc'?"),
    ("extra_train_data: 5", "extra_train_data is 5, but it must be a dataset's name"),
    ("extra_train_data: []", "extra_train_data is []"),
    ("extra_train_dat: more", "did you mean 'extra_train_data'?"),
    ("dataset_augmenter: {share: 1}", "dataset_augmenter is {'share': 1}, but it must be a function's name, or a mapping with name"),
    ("dataset_augmenter: [f]", "dataset_augmenter is ['f']"),
    ("dataset_augmenter: {name: 3}", "dataset_augmenter is {'name': 3}"),
    ("dataset_augmenter: ''", "dataset_augmenter is ''"),
    ("pretrain_transform: 3", "pretrain_transform is 3"),
    ("pretrain_transform: {a: 1, b: 2}", "pretrain_transform has 2 names (a, b), expected one step"),
    ("pretrain_transform: []", "pretrain_transform is []"),
    ("holdout: 3", "holdout is 3, but it must be a provider's name"),
    ("holdout: {}", "holdout is {}, but it must be a provider's name"),
    ("holdout: get_shapes\ntestSplit: 0.2", "testSplit draws what is held out, and holdout declares it: remove one"),
    ("holdout: get_shapes\ndataset: {train: {get_shapes: 3}, holdout: {get_shapes: 3}}", "holdout is given twice"),
    ("holdout: get_shapes\ndataset:", "holdout declares what is held out beside dataset, which is missing"),
    ("dataset: {get_shapes: 3, get_other: 4}", "dataset names 2 providers (get_shapes, get_other), expected one"),
    ("dataset: {train: {get_shapes: 3}, get_other: 4}", "dataset has train beside get_other"),
    ("holdout: {get_shapes: 0}", "dataset.holdout has no item: give it a provider that has some, or leave holdout out"),
    ("dataset: {train: {get_shapes: 3}, validation: {get_shapes: 0}}", "dataset.validation has no item"),
    ("dataset: {train: {get_shapes: 3}, holdout: {get_shapes: 0}}", "dataset.holdout has no item"),
    ("dataset: {train: {get_shapes: 0}, validation: {get_shapes: 3}}", "dataset.train has no item"),
    ("showDataExamples: 4", "showDataExamples is 4, but it must be true or false"),
    ("showDataExample: true", "did you mean 'showDataExamples'?"),
]  # fmt: skip


def written(add_experiment, extra, name="exp01"):
    """Write an experiment of which some keys are given anew."""
    text = FAST.format(config=SMALL_CONFIG, extra="")
    for line in extra.splitlines():
        key = line.partition(":")[0]
        if f"\n{key}:" in text:
            before, _, after = text.partition(f"\n{key}:")
            rest = after.split("\n")[1:]
            while rest and (rest[0].startswith(" ") or rest[0].startswith("-")):
                rest.pop(0)
            text = "\n".join([before, *rest])
    return add_experiment(name, text=f"{text}\n{extra}\n")


@pytest.mark.parametrize(("extra", "message"), YAML, ids=[extra.replace("\n", " ")[:60] for extra, _ in YAML])
def test_what_the_yaml_alone_tells(add_experiment, extra, message):
    path = written(add_experiment, extra)
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path)).get_dataset()
    said = str(caught.value)
    assert message in said
    assert said.startswith(str(path))
    assert said.count(str(path)) == 1
    assert "\n" not in said
    assert len(said) < 700


@pytest.mark.parametrize(("extra", "message"), YAML[::6], ids=[extra.replace("\n", " ")[:60] for extra, _ in YAML[::6]])
def test_the_same_in_common_yaml_names_common_yaml(add_experiment, project, extra, message):
    keys = {line.partition(":")[0] for line in extra.splitlines()}
    path = written(add_experiment, "\n".join(f"{key}: 0" for key in keys))
    path.write_text("\n".join(line for line in path.read_text().split("\n") if not line.endswith(": 0")))
    (project / "common.yaml").write_text(f"{extra}\n")
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path)).get_dataset()
    assert message in str(caught.value)
    if len(keys) == 1:
        assert str(caught.value).startswith(str(project / "common.yaml" if "providers" not in message else path))


NOTES = [
    ("folds_count: 3\nvalidationSplit: 0.5", "validationSplit: 0.5 does nothing: of 3 folds each validates on its share"),
    ("dataset: {train: {get_shapes: [6, 64]}, validation: {get_shapes: [4, 64]}}\nfolds_count: 4", "folds_count: 4 does nothing: the dataset brings its folds, 1 of them"),
    ("dataset: {train: {get_shapes: [6, 64]}, validation: {get_shapes: [4, 64]}}\nstratified: true", "stratified: true does nothing: the dataset brings its folds"),
    ("dataset: {train: {get_shapes: [6, 64]}, validation: {get_shapes: [4, 64]}}\nvalidationSplit: 0.3", "validationSplit: 0.3 does nothing: the dataset brings its folds"),
    ("dataset: {train: {get_shapes: [6, 64]}, holdout: {get_shapes: [4, 64]}}\ntestSplit: 0.2", "testSplit: 0.2 does nothing: the items that are held out are given"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "message"), NOTES, ids=[message[:40] for _, message in NOTES])
def test_what_does_nothing_is_told(add_experiment, extra, message, capsys):
    cfg = generic.parse(str(written(add_experiment, extra)))
    cfg.check()
    assert f"note: {message}" in capsys.readouterr().out


@pytest.mark.parametrize("extra", ["folds_count: 3", "testSplit: 0.2", "stratified: true\nvalidationSplit: 0.4"])
def test_what_does_something_is_not(add_experiment, extra, capsys):
    generic.parse(str(written(add_experiment, extra))).check()
    assert "does nothing" not in capsys.readouterr().out


COMMAND = [
    ("manualResize: true\nshape: [64, 64]\nconfigPath: mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py\nconfigOptions: {}", "shape does nothing beside manualResize: true"),
    ("dataset: {validation: {get_shapes: [4, 64]}}", "train"),
    ("extra_train_data: get_shape", "did you mean 'get_shapes'?"),
    ("stratified: true\ngroupFunc: by_name", "groupFunc 'by_name' is no function of the project's modules"),
    ("dataset_augmenter: by_name", "dataset_augmenter 'by_name' is no function of the project's modules"),
    ("pretrain_transform: by_name", "'by_name' is no preprocessor"),
    ("holdout: get_shape", "did you mean 'get_shapes'?"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "message"), COMMAND, ids=[extra.replace("\n", " ")[:40] for extra, _ in COMMAND])
def test_what_only_the_data_tells(add_experiment, extra, message, capsys):
    path = written(add_experiment, extra)
    assert fit.main(["--project", str(path.parents[2]), "--name", "exp01"]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (path.parent / "weights").exists()
