"""``encode`` and ``dump`` of datasets and predictions, against rows written by hand; what is dumped is read again."""

import numpy as np
import pandas
import pytest
from musket_core import datasets, image_datasets
from musket_core.datasets import CompositeDataSet, PredictionItem, SubDataSet

from instance_segmentation_pipeline.data.data_folder import DataFolder, FolderDataSet
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from instance_segmentation_pipeline.inference.prediction_datasets import Answers, ConcatPredictions
from tests.support.datasets import Items, square


class Named(Items):
    def meta(self, item=None):
        return {"CLASSES": ["cat", "=dog", "a, b"]}


def mask(top, left, height=4, width=5):
    dense = np.zeros((height, width), np.uint8)
    dense[top : top + 2, left : left + 2] = 1
    return dense


def found(*objects, with_masks=True):
    """Objects are (label from 0, score, top, left) of squares of two pixels in an image of 4 x 5."""
    labels, scores, tops, lefts = (np.array(column) for column in zip(*objects, strict=True)) if objects else [[]] * 4
    boxes = np.array([[left, top, left + 2, top + 2] for top, left in zip(tops, lefts, strict=True)], np.float32)
    masks = encode_masks(np.array([mask(top, left) for top, left in zip(tops, lefts, strict=True)])) if objects else []
    return Detections(
        4, 5, np.array(labels, int), np.array(scores, np.float32), boxes.reshape(-1, 4), masks if with_masks else None
    )


def image(*objects):
    y = (
        np.array([label + 1 for label, *_ in objects], int),
        np.array([[top, left, top + 2, left + 2] for *_, top, left in objects], np.float32).reshape(-1, 4),
        np.array([mask(top, left) for *_, top, left in objects], bool).reshape(-1, 4, 5),
    )
    return np.zeros((4, 5, 3), np.uint8), y


TWO = [(0, 0.9, 0, 1), (2, 0.75, 2, 3)]
HEADER = "ImageId,EncodedPixels,Height,Width,ClassId,Score,X1,Y1,X2,Y2\n"


def test_a_dump_by_hand(tmp_path):
    """Runs go down the columns, from 1: columns 1 and 2 of rows 0 and 1 are pixels 5, 6 and 9, 10 of 4 a column."""
    source = Named([image((0, 0, 1)), image(), image((1, 0, 0))])
    store = Answers(source, [found(*TWO, (1, 0.3, 0, 0)), found(), found((1, 0.5, 1, 0))])
    store.dump(str(tmp_path / "new" / "found.csv"))
    assert (tmp_path / "new" / "found.csv").read_text() == HEADER + (
        'item0,5 2 9 2,4,5,cat,0.9,1.0,0.0,3.0,2.0\nitem0,15 2 19 2,4,5,"a, b",0.75,3.0,2.0,5.0,4.0\n'
        "item1,,4,5,,,,,,\nitem2,2 2 6 2,4,5,=dog,0.5,0.0,1.0,2.0,3.0\n"
    )
    store.dump(tmp_path / "there.csv", encode_y=True)
    assert (tmp_path / "there.csv").read_text() == HEADER + (
        "item0,5 2 9 2,4,5,cat,1.0,1.0,0.0,3.0,2.0\nitem1,,4,5,,,,,,\nitem2,1 2 5 2,4,5,=dog,1.0,0.0,0.0,2.0,2.0\n"
    )
    store.dump(tmp_path / "sure.csv", 0.8)
    assert [line.split(",")[0] for line in (tmp_path / "sure.csv").read_text().splitlines()[1:]] == [
        "item0",
        "item1",
        "item2",
    ]


def test_boxes_alone_and_classes_without_names(tmp_path):
    store = Answers(Items([image((0, 0, 1))]), [found(*TWO, with_masks=False)])
    store.dump(tmp_path / "found.csv")
    assert (
        tmp_path / "found.csv"
    ).read_text() == HEADER + "item0,,4,5,1,0.9,1.0,0.0,3.0,2.0\nitem0,,4,5,3,0.75,3.0,2.0,5.0,4.0\n"


def test_an_item_is_rows():
    store = Answers(Named([image((0, 0, 1))]), [found(*TWO)])
    rows = store.encode(store[0], treshold=0.8)
    assert rows == store.encode(store)[:1].to_dict("records")
    (there,) = store.encode(store[0], encode_y=True)
    assert (there["ClassId"], there["Score"]) == ("cat", 1)


def table(folder, text, **options):
    import imageio

    for name in ("a", "b", "c_d"):
        imageio.imwrite(folder / f"{name}.png", np.zeros((4, 5, 3), np.uint8))
    (folder / "table.csv").write_text(text)
    return image_datasets.InstanceSegmentationDataSet(
        str(folder), str(folder / "table.csv"), *options.pop("columns", ("id", "rle", "kind")), **options
    )


@pytest.mark.parametrize("options", [{}, {"isRel": True}, {"maskShape": (8, 10)}, {"classes": ["z", "cat", "dog"]}])
def test_a_table_that_was_dumped_reads_the_same(tmp_path, options):
    rles = {True: "4 2 2 2", False: "5 2 9 2"}
    rle = "9 4 17 4 25 4 33 4" if "maskShape" in options else rles["isRel" in options]
    first = table(tmp_path, f"id,rle,kind\na.png,{rle},dog\nb.png,{rle},cat\nb.png,1 2,dog\nc_d.png,,\n", **options)
    first.dump(tmp_path / "again.csv", encode_y=True)
    again = pandas.read_csv(tmp_path / "again.csv")
    assert list(again.columns[:2]) == ["id", "rle"]
    read = table(tmp_path, (tmp_path / "again.csv").read_text(), **options)
    assert len(read) == len(first) == 3
    for one, two in zip(first, read, strict=True):
        assert one.id == two.id
        for kept, now in zip(one.y, two.y, strict=True):
            np.testing.assert_array_equal(np.asarray(kept), np.asarray(now))


def test_columns_of_several_parts_are_joined_again(tmp_path):
    first = table(
        tmp_path, "ImageId_ClassId,rle\na.png_1,5 2 9 2\na.png_2,1 2\nb.png_1,\n", columns=("ImageId", "rle", "ClassId")
    )
    frame = first.encode(first, encode_y=True)
    assert list(frame["ImageId_ClassId"]) == ["a.png_1", "a.png_2", "b.png_"]
    assert not {"ImageId", "ClassId"} & set(frame.columns)


class Own(Items):
    """Encodes items itself, as Musket's documentation has it."""

    def _encode_item(self, item, encode_y=False, treshold=0.5):
        scores = item.prediction[1]
        return {"name": item.id, "count": int((scores >= treshold).sum()), "truth": encode_y}

    def _create_dataframe(self, items):
        return pandas.DataFrame(items, columns=["name", "count"])


def test_a_dataset_that_encodes_itself_decides(tmp_path):
    whole = Own([image((0, 0, 1)), image()])
    part = SubDataSet(FolderDataSet(whole, DataFolder(tmp_path, tmp_path)), [1, 0])
    for source in (whole, part):
        store = Answers(source, [found(*TWO), found(TWO[0])])
        store.dump(tmp_path / "own.csv", 0.8)
        names = [item.id for item in source]
        assert (tmp_path / "own.csv").read_text() == f"name,count\n{names[0]},1\n{names[1]},1\n"
    assert store.encode(store[0]) == [{"name": "item1", "count": 2, "truth": False}]


def test_unions_of_datasets_that_encode_and_do_not():
    union = CompositeDataSet([Own([image()]), Named([image((0, 0, 1))])])
    store = Answers(union, [found(*TWO), found(TWO[0])])
    frame = store.encode(store)
    assert list(frame["name"][:1]) == ["item0"]
    assert list(frame["ClassId"][1:]) == ["cat"]


def test_parts_in_a_row_and_blends(tmp_path):
    first, second = (Answers(Named([image((0, 0, 1))]), [found(one)]) for one in TWO)
    assert list(ConcatPredictions([first, second]).encode(ConcatPredictions([first, second]))["ClassId"]) == [
        "cat",
        "a, b",
    ]
    blend = datasets.PredictionBlend([first, Answers(first.parent, [found(TWO[0])])])
    blend.dump(tmp_path / "blend.csv")
    assert list(pandas.read_csv(tmp_path / "blend.csv")["Score"]) == [0.9]
    assert len(first.blend(second).encode(first.blend(second), treshold=0)) == 2


class Fails(Items):
    def encode(self, item, encode_y=False, treshold=0.5):
        raise KeyError("column")


class Gives(Items):
    def encode(self, item, encode_y=False, treshold=0.5):
        return 3


def bad(call, words, kind=DatasetError):
    return pytest.param(call, words, kind, id=words)


STORE = Answers(Named([image((0, 0, 1))]), [found(*TWO)])


@pytest.mark.parametrize(
    ("call", "words", "kind"),
    [
        bad(lambda path: Answers(Fails([image()]), [found()]).dump(path), "encode of the dataset Fails fails: KeyError"),
        bad(lambda path: Answers(Gives([image()]), [found()]).dump(path), "gave a int for its items, expected a pandas"),
        bad(lambda path: Answers(Gives([image()]), [found()]).encode(PredictionItem("a", *image())), "gave 3 for item 'a'"),
        bad(lambda path: STORE.encode(PredictionItem("a", *image())), "item 'a' has no prediction"),
        bad(lambda path: STORE.encode(Named([image()])), "has no prediction"),
        bad(lambda path: STORE.dump(path, 1.5), "treshold is 1.5, expected a number from 0 to 1", ConfigError),
        bad(lambda path: STORE.dump(path, "high"), "treshold is 'high'", ConfigError),
        bad(lambda path: STORE.dump(path, True), "treshold is True", ConfigError),
        bad(lambda path: STORE.dump(path, float("nan")), "treshold is nan", ConfigError),
        bad(lambda path: STORE.dump(path, None), "treshold is None", ConfigError),
        bad(lambda path: STORE.dump(path, -0.1), "treshold is -0.1", ConfigError),
        bad(lambda path: STORE.dump(path.parent), "cannot be written", ConfigError),
        bad(lambda path: STORE.dump(""), "dump writes to a path, but was given ''", ConfigError),
        bad(lambda path: STORE.dump(None), "but was given None", ConfigError),
        bad(lambda path: STORE.dump(3), "but was given 3", ConfigError),
        bad(lambda path: (path.write_text(""), STORE.dump(path / "x.csv")), "file", ConfigError),
        bad(lambda path: STORE.dump("a\0b"), "no path to write to", ConfigError),
        bad(lambda path: Answers(Items([(square()[0], 3)]), [found()]).dump(path, encode_y=True), "y is a int"),
    ],
)  # fmt: skip
def test_what_cannot_be_dumped_is_told(tmp_path, call, words, kind):
    with pytest.raises(kind, match=words):
        call(tmp_path / "out.csv")
    assert not list(tmp_path.glob("*.tmp*"))
