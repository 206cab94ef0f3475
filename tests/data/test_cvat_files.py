"""Datasets that a YAML declares as ``cvat``; broken files are told with their lines."""

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.annotation_files import cvat
from instance_segmentation_pipeline.data.recognition.sources import recognise
from instance_segmentation_pipeline.detection.instances import from_musket
from instance_segmentation_pipeline.errors import UserError

HEIGHT, WIDTH = 30, 40
SHAPES = """
    <polygon label="dog" occluded="0" points="5.0,5.0;15,5;15,12;5,12" z_order="0"><attribute name="a">x</attribute></polygon>
    <mask label="cat" rle="1, 2, 3" left="20" top="3" width="3" height="2" z_order="0"></mask>
    <box label="cat" xtl="1" ytl="20" xbr="5" ybr="25" group_id="7"/>
    <mask label="cat" rle="0, 1" left="30" top="20" width="1" height="1" group_id="7"/>
    <tag label="dog"/>
    <ellipse label="dog" cx="30" cy="10" rx="4" ry="4"/>"""
WHOLE = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>
  <image id="0" name="sub/a.png" width="{WIDTH}" height="{HEIGHT}">{SHAPES}
  </image>
  <image id="1" name="b.png" width="{WIDTH}" height="{HEIGHT}"></image>
</annotations>
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("sub/a.png", "b.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(path)
    return tmp_path


def read(folder, content=WHOLE, **arguments):
    (folder / "annotations.xml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return cvat(str(folder / "annotations.xml"), **arguments)


def test_polygons_masks_boxes_ellipses_and_groups(folder):
    dataset = read(folder)
    assert dataset.meta() == {"CLASSES": ["dog", "cat"]}
    assert [dataset[row].id for row in range(2)] == ["sub/a.png", "b.png"]
    found = from_musket(dataset[0].y, HEIGHT, WIDTH, classes=2)
    assert found.labels.tolist() == [0, 1, 1, 0]
    masks = found.masks.to_dense()
    expected = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    expected[0, 5:12, 5:15] = expected[1, 3, 21:23] = expected[2, 20:25, 1:5] = expected[2, 20, 30] = 1
    assert (masks[:3] == expected).all()
    assert 40 < masks[3].sum() < 60
    assert not dataset.isPositive(1)
    assert read(folder, classes=["cat", "dog"])[0].y[0].tolist() == [2, 1, 1, 2]
    assert read(folder, ignore=["dog"]).class_names == ("cat",)
    (source,) = recognise(folder).sources
    assert source.declaration() == {"cvat": {"file": "annotations.xml"}}


BOMB = '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">' + "".join(
    f'<!ENTITY {chr(98 + number)} "{f"&{chr(97 + number)};" * 10}">' for number in range(10)
)
BROKEN = {
    "empty": ("", "is empty"),
    "no XML": ("<annotations>", "is no XML"),
    "another root": ("<annotation/>", "has the root 'annotation', expected annotations"),
    "no image": ("<annotations/>", "has no image"),
    "a bomb": (f"{BOMB}]><annotations>&k;</annotations>", "declares a document type"),
    "an outer entity": ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations/>', "a document type"),
    "tracks": ("<annotations><track/></annotations>", "has tracks of a video"),
    "two points": (WHOLE.replace("5.0,5.0;15,5;15,12;5,12", "1,2;3,4"), "line 6 has a polygon that has a polygon of 4"),
    "points no numbers": (WHOLE.replace("5.0,5.0", "5.0,x"), "has 'x', expected numbers"),
    "NaN": (WHOLE.replace("5.0,5.0", "5.0,nan"), "expected finite numbers"),
    "far outside": (WHOLE.replace("5.0,5.0", "9e9,5"), "far outside the image"),
    "mask of another size": (WHOLE.replace("1, 2, 3", "1, 2, 4"), "has runs of 7 pixels, expected 3 x 2 = 6"),
    "mask outside": (WHOLE.replace('left="20"', 'left="39"'), "lies outside its image"),
    "mask no runs": (WHOLE.replace("1, 2, 3", "-1, x"), "expected run lengths"),
    "polyline": (WHOLE.replace("<tag ", "<polyline "), "line 10 has a polyline, which has no mask"),
    "no label": (WHOLE.replace('<box label="cat"', "<box"), "expected a shape's label"),
    "unknown label": (WHOLE.replace("<name>cat</name>", "<name>cow</name>"), "has the label 'cat', which is not among"),
    "size no number": (WHOLE.replace('height="30"', 'height="x"'), "has an image of height 'x'"),
    "another size": (WHOLE.replace('height="30"', 'height="31"'), "is annotated at 31 x 40"),
    "image twice": (WHOLE.replace('"b.png"', '"sub/a.png"'), "has 1 images twice"),
    "missing image": (WHOLE.replace('"b.png"', '"C:\\c.png"'), "of which 1 are not in"),
    "no name": (WHOLE.replace('name="b.png"', ""), "an image without a name"),
    "ZIP": (b"PK\x03\x04", "a ZIP archive"),
    "UTF-16": (WHOLE.encode("utf-16"), "text in UTF-16"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_told_with_their_place(folder, name):
    content, said = BROKEN[name]
    with pytest.raises(UserError) as told:
        read(folder, content)[0]
    assert said in str(told.value)
    assert str(folder / "annotations.xml") in str(told.value)
    assert len(str(told.value)) < 1000
