"""What annotation files say is read as it is said, or refused: nothing becomes another mask or another image."""

import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import (
    coco_json,
    csv_rle,
    cvat,
    id_masks,
    labelme,
    voc,
    yolo_seg,
)
from instance_segmentation_pipeline.data.formats.mask_images import read_values
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.errors import DatasetError, UserError

HEIGHT, WIDTH = 40, 60
VALUES = np.zeros((HEIGHT, WIDTH), np.uint8)
VALUES[5:10, 5:10], VALUES[20:25, 20:30], VALUES[30:35, 40:50] = 1, 2, 3


def pictures(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(folder / name)


def boxes(dataset, row=0):
    return from_musket(dataset[row].y, HEIGHT, WIDTH, classes=len(dataset.class_names)).bboxes.tolist()


def read_cvat(folder, shape):
    pictures(folder, "a.png")
    image = f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">{shape}</image>'
    (folder / "a.xml").write_text(f"<annotations>{image}</annotations>")
    return cvat(str(folder / "a.xml"))


BOX = '<box label="x" xtl="10" ytl="10" xbr="30" ybr="20" rotation="{}"/>'
ELLIPSE = '<ellipse label="x" cx="20" cy="15" rx="10" ry="5" rotation="{}"/>'


@pytest.mark.parametrize("shape", [BOX, ELLIPSE])
def test_turned_shapes_of_cvat_are_turned(tmp_path, shape):
    assert boxes(read_cvat(tmp_path / "0", shape.format("0.0"))) == [[10, 10, 30, 20]]
    assert boxes(read_cvat(tmp_path / "90", shape.format("90"))) == [[15, 5, 25, 25]]
    masks = []
    for angle in (30, 210, 330):
        found = from_musket(read_cvat(tmp_path / str(angle), shape.format(angle))[0].y, HEIGHT, WIDTH, classes=1)
        masks.append(found.masks.to_dense()[0])
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    if shape is BOX:
        turned = cv2.boxPoints(((20 - 0.5, 15 - 0.5), (20, 10), 30))  # OpenCV's angles go clockwise, too
        cv2.fillPoly(drawn, [np.round(turned).astype(np.int32)], 1)
    else:
        cv2.ellipse(drawn, (20, 15), (10, 5), 30, 0, 360, 1, -1)
    assert (masks[0] & drawn).sum() / (masks[0] | drawn).sum() > 0.8
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.9
    assert (masks[2] & drawn).sum() / (masks[2] | drawn).sum() < 0.7


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (ELLIPSE.replace("20", "nan", 1), "has 'nan', expected finite numbers"),
        (ELLIPSE.replace("10", "inf", 1), "has 'inf', expected finite numbers"),
        (ELLIPSE.replace("10", "-10", 1), "has the radii -10 and 5"),
        (BOX.format("nan"), "has 'nan', expected finite numbers"),
        (BOX.format("left"), "has 'left', expected numbers"),
        (BOX.format("1_0"), "has '1_0', expected numbers"),
        ('<polygon label="x" points="1,2,3;4,5,6;7,8,9"/>', "has the point '1,2,3', expected x and y"),
        ('<polygon label="x" points="1;2;3;4;5;6"/>', "has the point '1', expected x and y"),
    ],
)
def test_numbers_of_cvat_that_make_no_shape_are_refused(tmp_path, shape, message):
    with pytest.raises(UserError, match=message):
        read_cvat(tmp_path, shape.format(0))


def write_png(path, values, bits):
    """Write grey values of 1, 2, 4 bits, which neither Pillow nor OpenCV writes."""
    height, width = values.shape
    binary = np.unpackbits(values[..., None], axis=2)[:, :, 8 - bits :].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in binary)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_values_of_few_bits_are_those_of_the_file(tmp_path, bits):
    values = VALUES % 2**bits
    write_png(tmp_path / "a.png", values, bits)
    assert (read_values(tmp_path / "a.png") == values).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_are_refused_and_not_cut_to_8(tmp_path, channels, suffix):
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), np.repeat(VALUES[..., None].astype(np.uint16), channels, axis=2))
    with pytest.raises(DatasetError, match=r"channels of 16 bits|cannot be read|no image of"):
        read_values(path)


def test_values_below_zero_are_refused(tmp_path):
    Image.fromarray(-VALUES.astype(np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match="with the value -3, expected 0 or more"):
        read_values(tmp_path / "a.tif")


def test_names_with_blanks_can_be_listed(tmp_path):
    names = ["my image", "my", "other one #2"]
    pictures(tmp_path / "i", *(f"{name}.png" for name in names))
    pictures(tmp_path / "j")
    for name in names:
        for folder in ("m", "SegmentationObject", "SegmentationClass"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(VALUES).save(tmp_path / folder / f"{name}.png")
        shape = {"label": "x", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
        told = {"shapes": [shape], "imagePath": f"../i/{name}.png"}
        (tmp_path / "j" / f"{name}.json").write_text(json.dumps(told))
    (tmp_path / "JPEGImages").symlink_to("i")
    (tmp_path / "list.txt").write_text("other one #2\nmy image.png\n")
    listed = str(tmp_path / "list.txt")
    for dataset in (
        id_masks(str(tmp_path / "i"), str(tmp_path / "m"), only=listed),
        voc(str(tmp_path), only=listed),
    ):
        assert [image.name for image in dataset.images] == ["other one #2.png", "my image.png"]
    (tmp_path / "list.txt").write_text("other one #2\nmy image.json\nmy  1\n")  # as VOC's lists of a class
    assert [image.name for image in labelme(str(tmp_path / "j"), only=listed).images] == [
        "other one #2.png", "my image.png", "my.png",
    ]  # fmt: skip


def table(folder, text):
    pictures(folder / "i", "a.jpg", "a.png", "b.png")
    (folder / "t.csv").write_text(text)
    return csv_rle(str(folder / "t.csv"), str(folder / "i"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ImageId,EncodedPixels\na,1 5\n", "names the image 'a', which 'a.jpg' and 'a.png' may be"),
        ("ImageId,EncodedPixels\nb,1 5\nb.png,9 5\n", "has the image 'b.png' twice, as 'b' and 'b.png'"),
        ("ImageId,ImageId,EncodedPixels\na.jpg,a.png,1 5\n", "has 2 columns 'ImageId'"),
    ],
)
def test_a_table_that_does_not_say_which_image_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        table(tmp_path, text)


@pytest.mark.parametrize("text", [f"{2**63 - 1} 5", f"5 {2**63 - 1}", f"{-(2**63)} 5", f"{2**62} {2**62}"])
def test_runs_beyond_any_mask_are_told_as_such(tmp_path, text):
    dataset = table(tmp_path, f"ImageId,EncodedPixels\nb,{text}\n")
    with pytest.raises(UserError, match=f"has line 2, whose mask is '{text}', expected pixels of a mask of 40 x 60"):
        dataset[0]


def test_columns_of_other_things_are_no_size_of_the_image(tmp_path):
    dataset = table(tmp_path, "ImageId,EncodedPixels,Box_Height,Box_Width\nb,1 5,5,1\n")
    assert boxes(dataset) == [[0, 0, 1, 5]]


def test_two_spellings_of_one_image_of_coco_are_refused(tmp_path):
    pictures(tmp_path / "sub", "a.png")
    images = [{"id": 1, "file_name": "sub/a.png"}, {"id": 2, "file_name": "sub\\a.png"}]
    whole = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    (tmp_path / "a.json").write_text(json.dumps(whole))
    with pytest.raises(UserError, match=r"has the image 'a.png' twice, as 'sub/a.png' and"):
        coco_json(str(tmp_path / "a.json"))


def test_rectangles_of_labelme_may_have_their_four_corners(tmp_path):
    pictures(tmp_path, "a.png")
    for points in ([[10, 5], [20, 15]], [[10, 5], [20, 5], [20, 15], [10, 15]], [[10, 15], [20, 15], [20, 5], [10, 5]]):
        told = {"shapes": [{"label": "x", "points": points, "shape_type": "rectangle"}], "imagePath": "a.png"}
        (tmp_path / "a.json").write_text(json.dumps(told))
        assert boxes(labelme(str(tmp_path))) == [[10, 5, 20, 15]]


def test_numbers_of_yolo_are_those_of_the_format(tmp_path):
    pictures(tmp_path / "images", "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.1_5 0.1 0.9 0.1 0.9 0.9\n")
    dataset = yolo_seg(images=str(tmp_path / "images"), labels=str(tmp_path / "labels"), classes=["x"])
    with pytest.raises(UserError, match=r"has line 1 of .*a.txt, which is '0 0.1_5"):
        dataset[0]
