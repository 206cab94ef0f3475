"""What ``musket predict`` writes beside the pictures, as readers of each format find it beside the images."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.formats.yolo_data import read_yolo_data
from instance_segmentation_pipeline.data.image_file import read_image
from instance_segmentation_pipeline.data.image_folder import Directory
from instance_segmentation_pipeline.detection.detections import Detections
from instance_segmentation_pipeline.detection.masks import encode_masks
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.inference.folder_sinks import Answer, CocoSink

FORMATS = ("yolo", "labelme", "png", "csv")
NAMES = ["a.jpg", "a.png", "b.tif", "day/a.png", "new\nline.png"]


def bright(image):
    """Return what a net without fault finds: the bright part."""
    mask = image[..., 0] > 100
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    return Detections(*mask.shape, np.array([0]), np.array([0.9], np.float32), box, encode_masks(mask[None]))


@pytest.fixture
def folder(tmp_path):
    """Return a folder of images that are stored turned, each with a bright corner of its own size."""
    for number, name in enumerate(NAMES):
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[2 : 12 + number, 4:30] = 255
        exif = Image.Exif()
        exif[0x0112] = 6
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / name, exif=exif)
    return Directory(tmp_path / "images", recursive=True)


def predicted(folder, target, formats=FORMATS, order=1):
    with CocoSink(target, folder, ["spot"], 0.3, formats) as sink:
        for place, name in list(enumerate(folder.names))[::order]:
            found = bright(read_image(folder.files[place]).pixels)
            sink.look(Answer(name, read_image(folder.files[place]).pixels, found), folder)
            sink.take(name, found, place)
    return target


def tree(target):
    return {
        path.relative_to(target): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def test_yolo_finds_each_image_and_its_mask(folder, tmp_path, capsys):
    target = predicted(folder, tmp_path / "out")
    images = read_yolo_data(target / "yolo" / "data.yaml").images("train")
    assert sorted(image.file.resolve() for image in images) == sorted(file.resolve() for file in folder.files)
    for image in images:
        pixels = read_image(image.file).pixels
        _, masks = image.objects(*pixels.shape[:2])
        np.testing.assert_array_equal(masks.to_dense()[0] > 0, pixels[..., 0] > 100)
    assert "2 images have other names in yolo, labelme, png: the first, a.png, is a-2" in capsys.readouterr().err


def test_names_do_not_depend_on_the_order_of_the_answers(folder, tmp_path):
    first, second = (
        predicted(folder, tmp_path / name, ("yolo", "png"), order) for name, order in (("x", 1), ("y", -1))
    )
    for part in ("yolo", "png"):
        assert tree(first / part) == tree(second / part)


def test_labelme_and_masks_lie_on_the_picture(folder, tmp_path):
    target = predicted(folder, tmp_path / "out")
    for path in (target / "labelme").rglob("*.json"):
        told = json.loads(path.read_text())
        pixels = read_image(path.parent / told["imagePath"]).pixels
        assert (told["imageHeight"], told["imageWidth"]) == pixels.shape[:2] == (60, 40)
        mask = np.asarray(
            Image.open(target / "png" / "masks" / path.relative_to(target / "labelme").with_suffix(".png"))
        )
        np.testing.assert_array_equal(mask > 0, pixels[..., 0] > 100)
        low, high = (np.array(told["shapes"][0]["points"]).__getattribute__(end)(axis=0) for end in ("min", "max"))
        np.testing.assert_array_equal([*low, *high], bright(pixels).bboxes[0])


def test_a_second_run_writes_the_same_and_leaves_images_of_the_user(folder, tmp_path):
    target = predicted(folder, tmp_path / "out")
    mine = target / "yolo" / "images" / "b.tif"
    mine.unlink()
    mine.write_bytes(b"mine")
    before = tree(target)
    assert tree(predicted(folder, target)) == before


def test_no_format_is_written_over_the_images(tmp_path):
    for below in ("yolo", "yolo/images"):
        images = tmp_path / below
        images.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(images / "a.png")
        with pytest.raises(ConfigError, match="where yolo is written"):
            CocoSink(tmp_path, Directory(images), ["spot"], 0.3, ("yolo",))


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_one_sentence_in_every_format(name, folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        found = bright(read_image(folder.files[0]).pixels)
        with pytest.raises(ConfigError, match="No space left"), CocoSink(disk, folder, ["spot"], 0.3, (name,)) as sink:
            for place in range(400):
                sink.take(f"{place}.png", found, place)
        assert Path(disk / "predictions.jsonl").stat().st_size
    finally:
        subprocess.run(["umount", disk], check=True)
