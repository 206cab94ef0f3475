"""Each file of each format, damaged in each way: it is told in a sentence, or what is read is whole; never a traceback."""

import random
import shutil

import pytest

from instance_segmentation_pipeline.data.annotation_files import PROVIDERS, cvat
from instance_segmentation_pipeline.data.item_reader import ItemReader
from instance_segmentation_pipeline.data.recognition.sources import recognise
from instance_segmentation_pipeline.errors import UserError
from tests.support import annotated_folders

ONE = """<?xml version="1.0" encoding="{encoding}"?>
<annotations><meta><task><labels><label><name>{label}</name></label></labels></task></meta>
<image id="0" name="photo0.jpg" width="64" height="64"><polygon label="{label}" points="5,5;15,5;15,12"/></image>
<image id="1" name="photo1.jpg" width="64" height="64"><mask label="{label}" rle="1, 3" left="2" top="3" width="2" \
height="2"/></image></annotations>
"""


def cvat_xml(root, count=2):
    """Write ``images`` and ``annotations.xml``."""
    for number in range(count):
        annotated_folders._image(root / "images", number)
    (root / "annotations.xml").write_text(ONE.format(encoding="utf-8", label="dog"))
    return root


def csv(root, count=2):
    """Write ``images`` and ``annotations.csv``."""
    rows = ["ImageId,EncodedPixels,ClassId"]
    for number in range(count):
        annotated_folders._image(root / "images", number)
        rows += [f"photo{number}.jpg,66 3 130 3,dog", f"photo{number}.jpg,900 9,cat"]
    (root / "annotations.csv").write_text("\n".join(rows))
    return root


FORMATS = {
    "coco_json": annotated_folders.coco,
    "id_masks": annotated_folders.two_folders,
    "voc": annotated_folders.voc,
    "object_masks": annotated_folders.nuclei,
    "labelme": annotated_folders.labelme,
    "yolo_seg": annotated_folders.yolo,
    "csv_rle": csv,
    "cvat": cvat_xml,
}


def _flipped(data, seed):
    drawn, changed = random.Random(seed), bytearray(data)
    for _ in range(3):
        changed[drawn.randrange(len(changed))] = drawn.randrange(256)
    return bytes(changed)


def _digits(data, seed):
    """Replace some numbers of a text by others that are none, or absurd."""
    drawn, words = random.Random(seed), [b"NaN", b"-1", b"1e999", b"99999999999999999999", b"null", b'"x"', b"[]", b""]
    places = [place for place, one in enumerate(data) if chr(one).isdigit()]
    for place in sorted(drawn.sample(places, min(2, len(places))), reverse=True):
        data = data[:place] + drawn.choice(words) + data[place + 1 :]
    return data


DAMAGES = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "last byte gone": lambda data: data[:-1],
    "ZIP": lambda data: b"PK\x03\x04" + bytes(60),
    "UTF-16": lambda data: data.decode("latin-1").encode("utf-16"),
    "Latin-1": lambda data: data + "\u00e9".encode("latin-1"),
    "zero bytes": lambda data: bytes(len(data)),
    "twice": lambda data: data + data,
    "Windows paths": lambda data: data.replace(b"photo", b"C:\\\\pictures\\\\photo"),
    "line ends": lambda data: data.replace(b"\n", b"\r\n"),
    "no dots": lambda data: data.replace(b".", b""),
    **{f"flipped {seed}": lambda data, seed=seed: _flipped(data, seed) for seed in range(6)},
    **{f"numbers {seed}": lambda data, seed=seed: _digits(data, seed) for seed in range(12)},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return {name: make(root / name, 2) for name, make in FORMATS.items()}


def read_all(make, folder):
    """Return how many items were read, each checked as before a training; a fault is a bounded sentence."""
    try:
        dataset = make(folder)
        reader = ItemReader(len(dataset.class_names), "yxyx", "dataset", needs_masks=True)
        return sum(reader.read(dataset, row)[2] is not None for row in range(len(dataset)))
    except UserError as error:
        assert str(folder) in str(error), error
        assert len(str(error)) < 1500, error
        assert "\n" not in str(error), error
        return 0


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_damaged_is_told_or_whole(folders, tmp_path, name):
    """Of each kind of file (by suffix and folder), the first is damaged."""
    again = _maker(folders[name], name)
    assert read_all(again, folders[name]) == 2
    kinds = {}
    for path in sorted(folders[name].rglob("*")):
        if path.is_file():
            kinds.setdefault((path.parent.name, path.suffix), path)
    copy = tmp_path / name
    shutil.copytree(folders[name], copy)
    outcomes = set()
    for path in kinds.values():
        place = copy / path.relative_to(folders[name])
        whole = path.read_bytes()
        for damage in DAMAGES.values():
            place.write_bytes(damage(whole))
            outcomes.add(read_all(again, copy))
        place.unlink()
        outcomes.add(read_all(again, copy))
        place.mkdir()
        outcomes.add(read_all(again, copy))
        place.rmdir()
        place.write_bytes(whole)
    assert 0 in outcomes
    assert read_all(again, copy) == 2


def _maker(folder, name):
    """Return what makes the dataset of a folder as that of the whole one is declared."""
    ((provider, arguments),) = recognise(folder).sources[0].declaration().items()
    assert provider == name

    def make(root):
        there = {
            key: str(root / one) if isinstance(one, str) and (folder / one).exists() and key != "values" else one
            for key, one in arguments.items()
        }
        return PROVIDERS[name](**there)

    return make


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16", "windows-1251", "nonsense"])
def test_an_encoding_that_an_xml_declares_and_is_not_in_changes_nothing(tmp_path, encoding):
    cvat_xml(tmp_path)
    path = tmp_path / "annotations.xml"
    path.write_text(ONE.format(encoding=encoding, label="chien \u00e9gar\u00e9"), encoding="utf-8")
    assert cvat(str(path)).class_names == ("chien \u00e9gar\u00e9",)
    (source,) = recognise(tmp_path).sources
    assert source.class_names == ("chien \u00e9gar\u00e9",)
