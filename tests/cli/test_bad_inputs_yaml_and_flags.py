"""Values of the YAML and flags that cannot be used, through the commands: one bounded line with the key or flag."""

import re

import pytest
import yaml

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.config.schema import PROPERTIES

pytestmark = pytest.mark.slow

GOOD = {
    "configPath": "mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
    "pretrained": False,
    "classes": 2,
    "shape": [64, 64],
    "stages": [{"epochs": 1}],
    "dataset": {"get_nothing": None},
}
WRONG = {
    "a deep mapping": {"a": {"b": {"c": [{"d": 1}]}}},
    "a list of lists": [[[1, 2], [3]], []],
    "escapes": "\x1b[31mred\x07",
    "a long text": "x, y " * 4_000,
    "a huge number": 10**500,
    "NaN": float("nan"),
}
FREE = (
    "configOptions",
    "dataset",
    "datasets",
    "imports",
    "augmentation",
    "transforms",
    "optimizer",
    "testTimeAugmentation",
)
"""Properties whose values are told about by the part that uses them."""

TEXTS = {
    "no YAML": ("a: [1, 2", "not valid YAML"),
    "a tab": ("a:\n\t- 1", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML"),
    "a key twice": ("lr: 1\nlr: 2", "given twice"),
    "a key that is a list": ("? [1, 2]\n: 3", "is no key"),
    "a number as key": ("3: 4", "3"),
    "null as key": ("~: 4", "the key None"),
    "an unknown anchor": ("a: *b", "not valid YAML"),
    "a Python object": ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    "an unknown tag": ("a: !made_up 3", "not valid YAML"),
    "a date as key": ("2020-01-01: 3", "2020"),
    "a merge of nothing": ("<<: 3", "YAML|<<"),
    "bytes": ("configPath: !!binary aGVsbG8=", "configPath"),
    "a set": ("classes: !!set {a, b}", "classes"),
    "a date": ("classes: 2020-01-01", "classes"),
    "an unknown key": ("clases: 3", "clases.*classes"),
    "an empty file": ("", "configPath"),
    "a list": ("- a\n- b", "must be a mapping"),
    "a text": ("only words", "must be a mapping"),
    "a number": ("17", "must be a mapping"),
    "no classes of a config that is not there": ("configPath: none.py", "none.py|shape|classes|provider"),
    "stages nothing": ("stages:", "stages|configPath"),
    "stages a number": ("stages: 3", "stages"),
    "stages of numbers": ("stages: [1, 2]", "stages"),
    "stages of nothing": ("stages: []", "stages"),
    "an unknown key of a stage": ("stages: [{epochs: 1, epoch: 2}]", "epoch"),
    "control characters": ("a: \x01", "not valid YAML"),
}  # fmt: skip


def _flag(text, words, status=2):
    return text.split(" "), words, status


FLAGS = {
    text: _flag(text, words, status)
    for text, words, status in [
        ("nonsense", "is no command", 2),
        ("fit --project {p}/none", "is no project", 2),
        ("fit --project {p}/file", "is no project", 2),
        ("fit --project {p} --name none", "is no experiment of", 2),
        ("fit --project {p} --name \x1b[31m", "is no experiment of", 2),
        ("fit --project {p} --name ../other", "is no experiment of", 2),
        ("fit --project {p} --cache {p}/file/below", "--cache", 2),
        ("fit --project {p} --cache {p}/file", "--cache", 2),
        ("task --project {p} --cache {p}/file/below", "--cache", 2),
        ("task --project {p} --parameters [1]", "--parameters", 2),
        ("task --project {p} --parameters {{", "--parameters", 2),
        ("task --project {p} --task none --name bad", "none|provider|configPath", 2),
        ("predict --project {p} --input {p} --output {p}/out", "one experiment is to predict|give --name", 2),
        ("analize --inputFolder {p}/none", "is no folder", 2),
        ("analize --inputFolder {p}/file", "is no folder", 2),
        ("analize --inputFolder {p}", "no finished experiment", 2),
        ("analize --inputFolder {p} --output {p}", "--output .* is a folder", 2),
        ("analize --inputFolder {p} --output {p}/a.html", "ending in .csv", 2),
        ("analize --inputFolder {p} --output {p}/a.HTM", "ending in .csv", 2),
        ("analize --inputFolder {p} --output .", "is a folder", 2),
        ("analize --inputFolder {p} --output ..", "is a folder", 2),
        ("analize --inputFolder {p} --output /", "is a folder", 2),
    ]
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("yaml") / "project"
    (root / "experiments" / "bad").mkdir(parents=True)
    (root / "file").write_text("a file")
    return root


def _fit(project, text, capsys):
    path = project / "experiments" / "bad" / "config.yaml"
    path.write_text("#%Musket MMDetection 1.0\n" + text, encoding="utf-8")
    status = main(["fit", "--project", str(project)])
    _, err = capsys.readouterr()
    assert status == 1
    assert "Traceback" not in err
    line, last = err.splitlines()
    assert last == "musket fit: 1 of 1 experiments failed: bad."
    assert len(line) < 1400
    assert line.isprintable()
    return line


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", [one.name for one in PROPERTIES])
def test_values(name, kind, project, capsys):
    text = yaml.safe_dump({**GOOD, name: WRONG[kind]})
    line = _fit(project, text, capsys)
    assert name in FREE or name.split(".")[0] in line or "get_nothing" in line, line


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name, project, capsys):
    text, words = TEXTS[name]
    key = text.partition(":")[0]
    if key in GOOD:
        text = yaml.safe_dump({other: value for other, value in GOOD.items() if other != key}) + text
    line = _fit(project, text, capsys)
    assert re.search(words, line), line


@pytest.mark.parametrize("name", FLAGS)
def test_flags(name, project, capsys):
    (project / "experiments" / "bad" / "config.yaml").write_text("#%Musket MMDetection 1.0\n" + yaml.safe_dump(GOOD))
    arguments, words, expected = FLAGS[name]
    status = main([part.format(p=project) for part in arguments])
    _, err = capsys.readouterr()
    assert status == expected, err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert err.strip().isprintable()
    assert len(err) < 1400
    assert re.search(words, err), err
