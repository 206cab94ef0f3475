"""``musket predict`` on folders as people have them: nothing costs the other images, and every output is told."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.data.formats.coco_json import CocoWriter, to_coco
from instance_segmentation_pipeline.detection.detections import Detections, none_found
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.inference.detector import Detector
from instance_segmentation_pipeline.storage.file_names import file_name_of
from tests.support.datasets import shapes
from tests.support.processes import PATIENCE
from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow

STRANGE = os.fsdecode(b"caf\xe9 \xff.png")
LONG = "x" * 246 + ".png"


@pytest.fixture
def images(tmp_path):
    """Return a folder with three images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(("one.png", "two words.png", "три.png")):
        _write(folder / name, shapes(1, 64, number)[0].x)
    return folder


@pytest.fixture
def predict(trained, capsys):
    """Return a function that runs ``musket predict`` here and returns status, stdout and stderr."""
    project = trained.parent.parent.parent

    def call(*arguments):
        here = Path.cwd()
        status = main(["predict", "--project", str(project), "--name", "exp01", *map(str, arguments)])
        os.chdir(here)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return call


def _write(path, image):
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def test_names_of_any_bytes_and_lengths(predict, images, tmp_path):
    for name in (STRANGE, LONG, "new\nline.png", "\x1b[31mred.png", "-rf.png", ".hidden.png", "tab\t.png"):
        _write(images / name, shapes(1, 64, 7)[0].x)
    target = tmp_path / "out"
    status, _, err = predict("--input", images, "--output", target)
    assert status == 0, err
    written = json.loads((target / "predictions.json").read_text())
    names = [image["file_name"] for image in written["images"]]
    assert set(names) == {os.fsdecode(name) for name in os.listdir(os.fsencode(images))}
    for name in names:
        assert (target / f"{file_name_of(name)}.jpg").stat().st_size > 100
    assert len(list(target.glob("*.jpg"))) == 10


def test_shapes_of_any_proportion(predict, images, tmp_path):
    for height, width in ((1, 5000), (5000, 1), (1, 1), (3, 2000), (2000, 16)):
        _write(images / f"{height}x{width}.png", np.full((height, width, 3), 120, np.uint8))
    status, _, err = predict("--input", images, "--output", tmp_path / "out")
    assert status == 0, err
    coco = COCO(str(tmp_path / "out" / "predictions.json"))
    assert len(coco.imgs) == 8
    for annotation in coco.anns.values():
        image = coco.imgs[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        assert annotation["segmentation"]["size"] == [image["height"], image["width"]]
        assert width > 0
        assert x + width <= image["width"] + 0.01
        assert y + height <= image["height"] + 0.01


def test_an_image_that_the_net_fails_on_is_named(predict, images, tmp_path, monkeypatch):
    before = Detector.packed

    def packed(self, image, scale):
        if image[0, 0].tolist() == [1, 2, 3]:
            raise ValueError("no such image")
        return before(self, image, scale)

    monkeypatch.setattr(Detector, "packed", packed)
    _write(images / "poison.png", np.full((64, 64, 3), (1, 2, 3), np.uint8))
    status, _, err = predict("--input", images, "--output", tmp_path / "out")
    assert status == 1
    assert "1 of 4 files in" in err
    assert "poison.png ValueError: no such image" in err
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 3


def test_bad_entries_are_named_and_the_status_tells(predict, images, tmp_path):
    (images / "folder.jpg").mkdir()
    (images / "dead.jpg").symlink_to("nothing")
    (images / "loop.png").symlink_to("loop.png")
    os.mkfifo(images / "pipe.png")
    (images / "empty.jpg").touch()
    status, _, err = predict("--input", images, "--output", tmp_path / "out")
    assert status == 1
    assert "5 of 8 files in" in err
    for name in ("folder.jpg", "dead.jpg", "loop.png", "pipe.png", "empty.jpg"):
        assert name in err
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 3


def test_every_bad_entry_is_named_however_many_there_are(predict, images, tmp_path):
    bad = [f"bad{number}.png" for number in range(25)]
    for name in bad:
        (images / name).write_text("no image")
    status, out, err = predict("--input", images, "--output", tmp_path / "out")
    assert status == 1
    assert "and 15 more" in err
    assert "info.skipped" in out
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert sorted(bad) == sorted(one["file_name"] for one in written["info"]["skipped"])
    assert all("is no image" in one["reason"] for one in written["info"]["skipped"])
    assert len(COCO(str(tmp_path / "out" / "predictions.json")).imgs) == 3


def test_a_folder_in_the_place_of_a_picture_costs_that_picture_only(predict, images, tmp_path):
    (tmp_path / "out" / f"{file_name_of('one.png')}.jpg").mkdir(parents=True)
    status, _, err = predict("--input", images, "--output", tmp_path / "out")
    assert status == 1
    assert "one.png" in err
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["images"]) == 3
    assert sum(path.is_file() for path in (tmp_path / "out").glob("*.jpg")) == 2


def test_where_the_results_are_is_told_without_escape_codes(predict, images, tmp_path):
    status, out, _ = predict("--input", images, "--output", tmp_path / "out\x1b[31m")
    assert status == 0
    assert "\x1b" not in out
    assert "\\x1b[31m" in out


def test_output_inside_the_input_is_no_input(predict, images):
    target = images / "out.png"
    for _ in range(2):
        status, _, err = predict("--input", images, "--output", target)
        assert status == 0, err
        assert len(json.loads((target / "predictions.json").read_text())["images"]) == 3


def test_output_over_the_input_is_refused(predict, images, tmp_path):
    (tmp_path / "link").symlink_to(images)
    before = sorted(images.iterdir())
    for target in (images, tmp_path / "link", images / ".." / "images"):
        status, _, err = predict("--input", images, "--output", target)
        assert status == 2
        assert "is the folder with the images" in err
    assert sorted(images.iterdir()) == before


@pytest.mark.parametrize("kind", ["a file", "below a file", "a dead link", "a folder in the way"])
def test_output_that_cannot_be_written(kind, predict, images, tmp_path):
    target = tmp_path / "out"
    if kind == "a dead link":
        target.symlink_to(tmp_path / "no" / "folder")
    elif kind == "a folder in the way":
        (target / "predictions.json").mkdir(parents=True)
    else:
        target.write_text("a file of the user's")
    status, _, err = predict("--input", images, "--output", target / "deeper" if kind == "below a file" else target)
    assert status == 2
    assert "out" in err
    assert err.count("\n") == 1
    assert "make room" not in err
    assert "move it away" in err
    if "file" in kind:
        assert target.read_text() == "a file of the user's"


def _small_disk(folder):
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")


def test_a_full_disk_is_one_sentence(predict, images, tmp_path):
    disk = tmp_path / "disk"
    _small_disk(disk)
    try:
        for number in range(6):
            _write(images / f"{number}.png", shapes(1, 64, number)[0].x)
        status, _, err = predict("--input", images, "--output", disk)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert status == 2
    assert "No space left on device" in err
    assert err.count("\n") == 1


def _found(count=2):
    masks = np.zeros((count, 20, 30), np.uint8)
    masks[:, 4:9, 6:12] = 1
    bboxes = np.tile(np.array([[6, 4, 12, 9]], np.float32), (count, 1))
    return Detections(20, 30, np.zeros(count, np.int64), np.full(count, 0.5, np.float32), bboxes, encode_masks(masks))


def test_what_is_streamed_is_what_is_built_at_once(tmp_path):
    entries = [("a.png", _found()), ("b.png", none_found(20, 30, True)), (STRANGE, _found(1))]
    with CocoWriter(tmp_path / "out" / "predictions.json", ["disc", "круг"]) as written:
        for name, found in entries:
            written.add(name, found)
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == to_coco(entries, ["disc", "круг"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_no_image_at_all_is_still_a_file(tmp_path):
    with CocoWriter(tmp_path / "predictions.json", ["disc"]):
        pass
    assert json.loads((tmp_path / "predictions.json").read_text()) == to_coco([], ["disc"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_keeps_what_it_found(error, tmp_path):
    path = tmp_path / "predictions.json"
    with pytest.raises(error), CocoWriter(path, ["disc"]) as written:
        written.add("a.png", _found())
        raise error
    assert len(json.loads(path.read_text())["annotations"]) == 2


def test_an_error_before_the_first_image_leaves_the_last_results(tmp_path):
    path = tmp_path / "predictions.json"
    path.write_text("[]")
    with pytest.raises(RuntimeError), CocoWriter(path, ["disc"]):
        raise RuntimeError
    assert path.read_text() == "[]"


def test_a_killed_run_leaves_a_line_an_image(tmp_path):
    program = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from tests.inference.test_predict_folders import _found
from instance_segmentation_pipeline.data.formats.coco_json import CocoWriter
with CocoWriter(Path({str(tmp_path / "predictions.json")!r}), ["disc"]) as written:
    for number in range(3):
        written.add(f"{{number}}.png", _found())
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, check=False).returncode == -9
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["image"]["file_name"] for line in lines] == ["0.png", "1.png", "2.png"]
    assert [len(line["annotations"]) for line in lines] == [2, 2, 2]


def test_lines_are_not_written_through_a_link(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "predictions.jsonl").symlink_to(tmp_path / "victim")
    with CocoWriter(tmp_path / "predictions.json", ["disc"]) as written:
        written.add("a.png", _found())
    assert (tmp_path / "victim").read_text() == "mine"


def test_memory_does_not_hold_what_was_written(tmp_path):
    with CocoWriter(tmp_path / "predictions.json", ["disc"]) as written:
        for number in range(50):
            written.add(f"{number}.png", _found(20))
        held = sum(len(value) for value in vars(written).values() if isinstance(value, (list, dict, tuple)))
        assert held <= 1
        assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 50


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ConfigError, match="cannot be written to"), CocoWriter(tmp_path / "predictions.json", []):
        pass


def test_a_read_only_file_system(predict, images, tmp_path):
    disk = tmp_path / "disk"
    _small_disk(disk)
    try:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        status, _, err = predict("--input", images, "--output", disk)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert status == 2
    assert "Read-only file system" in err


NAMES = ["a/b", "a_b", "a\\b", "a:b", "a b", "A b", "", ".", "..", "/", ".a", "_a", "a.", "a", "a ", "\udc80", "\udc81",
         "x" * 300, "x" * 301, "й" * 150, "й" * 151, "a\0b", "a\nb", "файл", "猫", "../../etc/passwd", "con", "-", "a" * 200,
         "a" * 201]  # fmt: skip


def test_no_two_names_share_a_file(tmp_path):
    names = [file_name_of(name) for name in NAMES]
    assert len(set(names)) == len(NAMES)
    for name in names:
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    assert len(list(tmp_path.iterdir())) == len(NAMES)
    assert file_name_of("a b.png") == "a b.png"
    shutil.rmtree(tmp_path)
