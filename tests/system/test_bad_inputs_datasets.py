"""Datasets that raise or lie, through ``musket fit``: one sentence that names the item, the provider or the field."""

import re
import sys

import pytest

from instance_segmentation_pipeline.cli import main

pytestmark = pytest.mark.slow

CONFIG = """#%Musket MMDetection 1.0
configPath: mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py
pretrained: false
classes: 2
shape: [64, 64]
stages:
  - epochs: 1
dataset:
  {provider}
"""

MODULE = '''
import numpy as np
from musket_core import datasets
from musket_core.datasets import DataSet, PredictionItem


def item(number):
    image = np.full((40, 60, 3), 90, np.uint8)
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 5:15, 20:30] = True
    return f"item{number}", image, (np.array([1]), np.array([[5, 20, 15, 30]], np.float32), mask)


class Items(DataSet):
    """Eight good items, of which some are changed."""

    def __init__(self, change=lambda item_id, x, y: PredictionItem(item_id, x, y), length=lambda: 8, meta=None):
        self.change, self.length, self._meta = change, length, meta

    def meta(self):
        return {} if self._meta is None else self._meta()

    def __len__(self):
        return self.length()

    def __getitem__(self, number):
        if number >= 8:
            raise IndexError(number)
        return self.change(*item(number))


def fail(error):
    raise error


class Silent(Exception):
    def __str__(self):
        raise ValueError("not even a message")


def y_of(change):
    return lambda i, x, y: PredictionItem(i, x, change(*y))


def x_of(change):
    return lambda i, x, y: PredictionItem(i, change(x), y)


NO = {CASES}


@datasets.dataset_provider
def get_bad(case):
    return eval(NO[case])
'''

RAISES = {
    "KeyError": ("fail(KeyError('a'))", "KeyError"),
    "an empty KeyError": ("fail(KeyError(''))", "KeyError"),
    "no message": ("fail(RuntimeError())", "RuntimeError"),
    "a message of many lines": ("fail(ValueError('one\\n\\x1b[31mtwo\\n' * 500))", "ValueError: one"),
    "a long message": ("fail(ValueError('x' * 100000))", "ValueError: xxx"),
    "a message that raises": ("fail(Silent())", "Silent"),
    "an assertion": ("fail(AssertionError())", "AssertionError"),
    "StopIteration": ("fail(StopIteration())", "StopIteration"),
    "a recursion": ("(lambda f: f(f))(lambda f: f(f))", "RecursionError"),
    "no memory": ("fail(MemoryError())", "MemoryError"),
    "a missing file": ("open('nothing.png')", "nothing.png"),
    "a UnicodeDecodeError": ("b'\\xff'.decode()", "UnicodeDecodeError"),
    "an exit": ("fail(SystemExit(0))", r"sys.exit\(0\)"),
    "an import": ("__import__('no_such_module')", "no_such_module"),
    "a keyboard's name": ("fail(NotImplementedError())", "NotImplementedError"),
    "a surrogate": ("fail(ValueError('\\udc80'))", "ValueError"),
}
PROVIDERS = {
    "nothing": ("None", "gave a NoneType"),
    "a number": ("3", "gave a int"),
    "a text": ("'items'", "dataset|item|str"),
    "a list of numbers": ("[1, 2, 3]", "item|list"),
    "a class": ("Items", "len|gave a type|item"),
    "a generator": ("(n for n in range(3))", "gave a generator"),
    "an empty dataset": ("Items(length=lambda: 0)", "empty"),
}
LENGTHS = {
    "raises": ("Items(length=lambda: fail(KeyError('n')))", "len"),
    "negative": ("Items(length=lambda: -1)", "len"),
    "a float": ("Items(length=lambda: 2.5)", "len"),
    "nothing": ("Items(length=lambda: None)", "len"),
    "a text": ("Items(length=lambda: '8')", "len"),
    "too large a number": ("Items(length=lambda: 2 ** 70)", "len"),
    "more than there is": ("Items(length=lambda: 20)", "item [0-9]+ of the dataset cannot be read: IndexError"),
    "one": ("Items(length=lambda: 1)", "1 item|one item|folds|items"),
}
METAS = {
    "raises": ("Items(meta=lambda: fail(ValueError('in meta')))", "in meta"),
    "raises TypeError": ("Items(meta=lambda: fail(TypeError('in meta')))", "in meta"),
    "a list": ("Items(meta=lambda: [1])", r"meta\(\)"),
    "a text": ("Items(meta=lambda: {'CLASSES': 'ab'})", "CLASSES"),
    "a number": ("Items(meta=lambda: {'CLASSES': 2})", "CLASSES"),
    "too many": ("Items(meta=lambda: {'CLASSES': ['a', 'b', 'c']})", "names 3 CLASSES"),
    "none": ("Items(meta=lambda: {'CLASSES': []})", "CLASSES"),
    "twice": ("Items(meta=lambda: {'CLASSES': ['a', 'a']})", "CLASSES"),
    "nothing": ("Items(meta=lambda: {'CLASSES': [None, 'a']})", "CLASSES"),
}
ITEMS = {
    "None": ("lambda i, x, y: None", "item 0 of the dataset is a NoneType"),
    "a tuple": ("lambda i, x, y: (x, y)", "item 0 of the dataset is a tuple"),
    "a number": ("lambda i, x, y: 7", "item 0 of the dataset is a int"),
    "x None": ("x_of(lambda x: None)", "x is nothing"),
    "x a path": ("x_of(lambda x: 'a.png')", "x is a str"),
    "x a list": ("x_of(lambda x: x.tolist())", "x is a list"),
    "x grey": ("x_of(lambda x: x[..., 0])", "x has shape"),
    "x with alpha": ("x_of(lambda x: np.dstack([x, x[..., :1]]))", "x has shape"),
    "x channels first": ("x_of(lambda x: x.transpose(2, 0, 1))", "x has shape"),
    "x empty": ("x_of(lambda x: x[:0])", "x has shape"),
    "x float": ("x_of(lambda x: x / 255)", "x has dtype float64"),
    "x objects": ("x_of(lambda x: x.astype(object))", "x has dtype object"),
    "x bool": ("x_of(lambda x: x > 3)", "x has dtype bool"),
    "y None": ("y_of(lambda l, b, m: None)", "y is a NoneType"),
    "y empty": ("y_of(lambda l, b, m: ())", "y is a sequence of 0"),
    "y of one": ("y_of(lambda l, b, m: (l,))", "y is a sequence of 1"),
    "y of two": ("y_of(lambda l, b, m: (l, b))", "this model learns masks"),
    "y of four": ("y_of(lambda l, b, m: (l, b, m, m))", "y is a sequence of 4"),
    "y a mask": ("y_of(lambda l, b, m: m)", "y is a ndarray"),
    "y a mapping": ("y_of(lambda l, b, m: dict(labels=l))", "y is a dict"),
    "labels None": ("y_of(lambda l, b, m: (None, b, m))", "labels"),
    "labels a number": ("y_of(lambda l, b, m: (1, b, m))", "labels have shape"),
    "labels text": ("y_of(lambda l, b, m: (['disc'], b, m))", "labels have dtype"),
    "labels float": ("y_of(lambda l, b, m: (l + .5, b, m))", "labels have dtype"),
    "labels ragged": ("y_of(lambda l, b, m: ([[1], [1, 2]], b, m))", "labels"),
    "labels objects": ("y_of(lambda l, b, m: (np.array([None], object), b, m))", "labels have dtype"),
    "label 0": ("y_of(lambda l, b, m: (l * 0, b, m))", "label 0 found"),
    "label too large": ("y_of(lambda l, b, m: (l + 9, b, m))", "label 10 found"),
    "label huge": ("y_of(lambda l, b, m: ([2 ** 70], b, m))", "labels"),
    "label negative": ("y_of(lambda l, b, m: (-l, b, m))", "label -1 found"),
    "labels too many": ("y_of(lambda l, b, m: ([1, 1], b, m))", "bboxes have shape"),
    "bboxes None": ("y_of(lambda l, b, m: (l, None, m))", "bboxes"),
    "bboxes flat": ("y_of(lambda l, b, m: (l, b[0], m))", "bboxes have shape"),
    "bboxes of three": ("y_of(lambda l, b, m: (l, b[:, :3], m))", "bboxes have shape"),
    "bboxes ragged": ("y_of(lambda l, b, m: ([1, 1], [[1, 2, 3, 4], [1, 2]], m))", "bboxes"),
    "bboxes text": ("y_of(lambda l, b, m: (l, [['a'] * 4], m))", "bboxes have dtype"),
    "bboxes NaN": ("y_of(lambda l, b, m: (l, b * np.nan, m))", "expected finite numbers"),
    "bboxes infinite": ("y_of(lambda l, b, m: (l, b + np.inf, m))", "expected finite numbers"),
    "bboxes huge": ("y_of(lambda l, b, m: (l, [[1, 2, 10 ** 400, 4]], m))", "bbox"),
    "bboxes outside": ("y_of(lambda l, b, m: (l, b + 900, m))", "no area inside the image"),
    "bboxes without area": ("y_of(lambda l, b, m: (l, b[:, [0, 1, 0, 1]], m))", "fit the masks|no area inside the image"),
    "bboxes complex": ("y_of(lambda l, b, m: (l, b * 1j, m))", "bboxes have dtype"),
    "masks None": ("y_of(lambda l, b, m: (l, b, None))", "masks"),
    "masks flat": ("y_of(lambda l, b, m: (l, b, m[0]))", "masks have shape"),
    "masks of another size": ("y_of(lambda l, b, m: (l, b, m[:, 1:]))", "masks have shape"),
    "masks turned": ("y_of(lambda l, b, m: (l, b, m.transpose(0, 2, 1)))", "bboxOrder|masks have shape"),
    "masks last": ("y_of(lambda l, b, m: (l, b, m.transpose(1, 2, 0)))", "masks have shape"),
    "masks ragged": ("y_of(lambda l, b, m: (l, b, [[[1, 0], [1]]]))", "masks"),
    "masks text": ("y_of(lambda l, b, m: (l, b, m.astype(str)))", "masks have dtype"),
    "masks float": ("y_of(lambda l, b, m: (l, b, m * .5))", "masks have dtype"),
    "masks 255": ("y_of(lambda l, b, m: (l, b, m * 255))", "masks have values"),
    "masks empty": ("y_of(lambda l, b, m: (l, b, m & False))", "mask 0 is empty"),
    "masks too few": ("y_of(lambda l, b, m: ([1, 1], b.repeat(2, 0), m))", "masks have shape"),
    "RLE without counts": ("y_of(lambda l, b, m: (l, b, [{'size': [40, 60]}]))", "counts|RLE|mask"),
    "RLE of another size": ("y_of(lambda l, b, m: (l, b, [{'size': [4, 6], 'counts': [24]}]))", "size|mask"),
    "RLE of nonsense": ("y_of(lambda l, b, m: (l, b, [{'size': [40, 60], 'counts': '~~~~'}]))", "mask|RLE|counts"),
    "RLE that does not add up": ("y_of(lambda l, b, m: (l, b, [{'size': [40, 60], 'counts': [5, 5]}]))", "mask|RLE|counts"),
    "RLE a number": ("y_of(lambda l, b, m: (l, b, [{'size': 3, 'counts': 4}]))", "mask|RLE|size"),
    "an id that raises": ("lambda i, x, y: PredictionItem(type('Id', (), {'__str__': lambda s: fail(ValueError('id'))})(), x, None)", "item"),
    "an id of escapes": ("lambda i, x, y: PredictionItem('a\\n\\x1b[31m', x, None)", "item"),
    "a long id": ("lambda i, x, y: PredictionItem('a' * 99999, x, None)", "item"),
}  # fmt: skip

CASES = {
    **{f"provider raises {name}": (text, words) for name, (text, words) in RAISES.items()},
    **{f"item raises {name}": (f"Items(lambda i, x, y: {text})", words) for name, (text, words) in RAISES.items()},
    **{f"provider gives {name}": case for name, case in PROVIDERS.items()},
    **{f"len: {name}": case for name, case in LENGTHS.items()},
    **{f"meta: {name}": case for name, case in METAS.items()},
    **{f"item: {name}": (f"Items({text})", words) for name, (text, words) in ITEMS.items()},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project with an experiment, whose provider makes any of the cases."""
    root = tmp_path_factory.mktemp("datasets") / "project"
    (root / "modules").mkdir(parents=True)
    (root / "experiments" / "bad").mkdir(parents=True)
    texts = {name: text for name, (text, _) in CASES.items()}
    (root / "modules" / "bad_datasets.py").write_text(MODULE.replace("{CASES}", repr(texts)), encoding="utf-8")
    yield root
    sys.modules.pop("bad_datasets", None)


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case, project, capsys, monkeypatch):
    from instance_segmentation_pipeline.experiment.trainer import ExperimentTrainer

    def trained(self, *arguments, **options):
        raise AssertionError("training began")

    monkeypatch.setattr(ExperimentTrainer, "train_folds", trained)
    provider = f"get_bad: {{case: {case!r}}}"
    (project / "experiments" / "bad" / "config.yaml").write_text(CONFIG.format(provider=provider))
    status = main(["fit", "--project", str(project)])
    out, err = capsys.readouterr()
    assert status == 1, (out, err)
    lines = err.splitlines()
    assert len(lines) == 2, err
    assert lines[1] == "musket fit: 1 of 1 experiments failed: bad."
    assert len(lines[0]) < 1400
    assert lines[0].isprintable()
    assert re.search(CASES[case][1], lines[0]), lines[0]
    assert "Traceback" not in err
    assert not list((project / "experiments" / "bad").glob("weights/*"))
