"""Names that users give: classes, headers, folds. What YAML or Python makes something else of is refused by name."""

import numpy as np
import pytest
from musket_core import generic
from musket_core.datasets import DataSet

from instance_segmentation_pipeline.data.class_names import checked_names, known_class_names
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from tests.support.datasets import Items, shapes, square
from tests.support.project import FAST, SMALL_CONFIG

BAD_CLASSES = [
    ("disc", 'is \'disc\', expected a list of different names, such as ["cat", "dog"]: put a single name in a list'),
    ("", "is '', expected"),
    ([], "is [], expected"),
    ((), "is (), expected"),
    ({"disc", "square"}, "expected a list of different names"),
    ({"disc": 1}, "is {'disc': 1}, expected"),
    (3, "is 3, expected"),
    (True, "is True, expected"),
    (b"disc", "is b'disc', expected"),
    (["disc", False], "has False as class 2, expected"),
    (["disc", None, "square"], "has None as class 2"),
    ([1, 2, 3], "has 1 as class 1"),
    ([1.5], "has 1.5 as class 1"),
    ([True, False], "YAML reads no, yes, null and numbers as values, put quotes around them"),
    (["disc", ""], "has '' as class 2"),
    (["disc", "  "], 'has \' \' as class 2, expected a list of different names, such as ["cat", "dog"].'),
    (["disc", ["square"]], 'as class 2, expected a list of different names, such as ["cat", "dog"].'),
    ([b"disc"], "has b'disc' as class 1"),
    (["disc", "square", "disc"], "has 'disc' twice, as classes 1 and 3"),
    (np.array([1, 2]), "has 1 as class 1"),
    ([float("nan")], "has nan as class 1"),
    (["x" * 10_000] * 2, "twice, as classes 1 and 2"),
]


class Named(Items):
    def __init__(self, names):
        super().__init__([square(64, 64)] * 6)
        self.names = names

    def meta(self):
        return {"CLASSES": self.names}


@pytest.mark.parametrize(("names", "message"), BAD_CLASSES, ids=range(len(BAD_CLASSES)))
def test_classes_that_are_no_names(add_experiment, names, message):
    cfg = generic.parse(str(add_experiment(replace=[("classes: 3\n", "")])))
    with pytest.raises(DatasetError) as caught:
        cfg.check(Named(names))
    assert message in str(caught.value)
    assert str(caught.value).startswith("CLASSES of the dataset ")
    assert len(str(caught.value)) < 400


GOOD_CLASSES = [["disc"], ("no", "yes"), np.array(["disc", "square"]), ["ไทย", "日本"], ["1", "2"], [np.str_("disc")]]


@pytest.mark.parametrize("names", GOOD_CLASSES, ids=range(len(GOOD_CLASSES)))
def test_names_as_they_come(names):
    assert known_class_names(Named(names)) == tuple(str(name) for name in names)
    assert all(type(name) is str for name in known_class_names(Named(names)))


def test_names_from_a_table_may_be_numbers():
    assert checked_names([1, 2], numbers=True) == ("1", "2")
    with pytest.raises(DatasetError):
        checked_names([True], numbers=True)


def test_a_dataset_may_have_no_names():
    assert known_class_names(Items([square()])) is None
    assert known_class_names(DataSet()) is None
    assert known_class_names(Named(None)) is None
    assert known_class_names([1, 2]) is None


@pytest.mark.parametrize(
    "error", [TypeError("a"), ValueError("b"), AttributeError("c"), KeyError("d"), ZeroDivisionError()]
)
def test_a_meta_that_fails_is_not_one_without_names(error):
    class Failing(Named):
        def meta(self):
            raise error

    with pytest.raises(DatasetError, match=r"meta\(\) of the dataset Failing failed \("):
        known_class_names(Failing([]))


@pytest.mark.parametrize("answer", [[], "CLASSES", 3])
def test_a_meta_that_is_no_mapping(answer):
    class Odd(Named):
        def meta(self):
            return answer

    with pytest.raises(DatasetError, match="expected a mapping with CLASSES"):
        known_class_names(Odd([]))


# -- the header ----------------------------------------------------------------------------------------------

BODY = FAST.format(config=SMALL_CONFIG, extra="").split("\n", 1)[1]
HEADERS = [
    ("#%Musket MMDetection 2.0\n", "begins with '#%Musket MMDetection 2.0', but this is version 1.0"),
    ("#%Musket MMDetection 1.0 beta\n", "but this is version 1.0"),
    ("#%Musket MMDetection 1\n", "but this is version 1.0"),
    ("#%Musket MMDetection 1.00\n", "but this is version 1.0"),
    ("#%Musket MMDetection v1.0\n", "but this is version 1.0"),
    ("#%Musket MMDetection 1.0" + "0" * 5000 + "\n", "but this is version 1.0"),
    ("#%Musket MMDetection1.0\n", "which names no dialect"),
    ("#%Musket MMDetction 1.0\n", "which names no dialect"),
    ("#%Musket\n", "which names no dialect"),
    ("# %Musket MMDetection 1.0\n", "which names no dialect"),
    ("#%musket Detection 1.0\n", "which names no dialect"),
    ("# Musket MMDetection 1.0\n", "has no header in its first line"),
    ("", "has no header in its first line"),
    ("\n#%Musket MMDetection 1.0\n", "has no header in its first line"),
    ("---\n#%Musket MMDetection 1.0\n", "has no header in its first line"),
    ("\x00\x01\x02\n", "has no header in its first line"),
]


@pytest.mark.parametrize(("header", "message"), HEADERS, ids=[header[:30] for header, _ in HEADERS])
def test_headers_of_no_version_of_ours(tmp_path, header, message):
    path = tmp_path / "config.yaml"
    path.write_text(header + BODY)
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path))
    assert message in str(caught.value)
    assert str(caught.value).endswith("the line #%Musket MMDetection 1.0.")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_other_encodings_are_told(tmp_path, encoding):
    path = tmp_path / "config.yaml"
    text = f"#%Musket MMDetection 1.0\n{BODY}"
    path.write_bytes(("\ufeff" + text if encoding != "utf-16" else text).encode(encoding))
    with pytest.raises(ConfigError, match="is UTF-16: save it as UTF-8"):
        generic.parse(str(path))


SOUND = {
    "plain": f"#%Musket MMDetection 1.0\n{BODY}",
    "BOM": f"\ufeff#%Musket MMDetection 1.0\n{BODY}",
    "CRLF": f"#%Musket MMDetection 1.0\n{BODY}".replace("\n", "\r\n"),
    "BOM and CRLF": f"\ufeff#%Musket MMDetection 1.0\n{BODY}".replace("\n", "\r\n"),
    "no version": f"#%Musket MMDetection\n{BODY}",
    "capitals": f"#%MUSKET mmdetection 1.0\n{BODY}",
    "spaces": f"#%Musket   MMDetection  1.0   \n{BODY}",
}


@pytest.mark.parametrize("name", SOUND)
def test_headers_as_editors_write_them(tmp_path, name):
    path = tmp_path / "config.yaml"
    path.write_bytes(SOUND[name].encode())
    assert type(generic.parse(str(path))).__name__ == "PipelineConfig"


def test_other_dialects_go_to_musket_core(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("#%Musket Generic 1.0\narchitecture: Unet\nstages:\n  - epochs: 1\n")
    assert type(generic.parse(str(path))).__name__ == "GenericPipeline"


# -- what fit is asked for -----------------------------------------------------------------------------------

REQUESTS = [
    {"foldsToExecute": []},
    {"foldsToExecute": ()},
    {"foldsToExecute": [0, 0]},
    {"foldsToExecute": [-1]},
    {"foldsToExecute": [0.0]},
    {"foldsToExecute": [True]},
    {"foldsToExecute": "0"},
    {"foldsToExecute": 0},
    {"foldsToExecute": ["a"]},
    {"foldsToExecute": [7]},
    {"subsample": 0},
    {"subsample": -0.5},
    {"subsample": 1.5},
    {"subsample": float("nan")},
    {"subsample": float("inf")},
    {"subsample": True},
    {"subsample": "half"},
    {"subsample": None},
    {"start_from_stage": -1},
    {"start_from_stage": 1},
    {"start_from_stage": True},
    {"start_from_stage": "first"},
    {"start_from_stage": None},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_requests_that_mean_nothing(add_experiment, request_):
    path = add_experiment(extra="folds_count: 2\n")
    with pytest.raises(ConfigError):
        generic.parse(str(path)).fit(shapes(), **request_)
    assert not (path.parent / "weights").exists()
    assert not (path.parent / "summary.yaml").exists()
