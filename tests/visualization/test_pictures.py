"""Names in pictures: any script, whole where they fit, never over another; pictures of any proportion."""

import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.detection.instances import Instances
from instance_segmentation_pipeline.visualization import letters
from instance_segmentation_pipeline.visualization.draw import Tag, _tagged, comparison, draw_instances, write_jpeg
from instance_segmentation_pipeline.visualization.letters import drawable, font_file_for, plain_label
from instance_segmentation_pipeline.visualization.plots import confusion_figure, png_of, precision_recall_figure

BY_THE_SHIPPED = ["disc", "red blood cell", "Größe", "клетка", "κύτταρο", "חתול", "خلية", "ł", "½ µm", "a_b", "$x$"]
IN_OTHER_FONTS = ["細胞", "세포", "เซลล์", "कोशिका"]


@pytest.mark.parametrize("name", BY_THE_SHIPPED)
def test_names_that_the_shipped_font_has(name):
    assert drawable([name]) == (name,)


@pytest.mark.parametrize("name", [*IN_OTHER_FONTS, "", "  ", "a\nb", "\x1b[31m", "\udc80", "\U0010ffff"])
def test_names_without_letters_are_shown_by_their_label(name, monkeypatch):
    monkeypatch.setattr(letters, "_fonts_of_the_machine", tuple)
    assert drawable(["disc", name, "bar"]) == ("disc", "class 2", "bar")


def test_fonts_that_have_a_box_for_every_letter_are_none():
    """matplotlib brings one."""
    path = font_file_for("\U0010fffd")
    assert path is None or "lastresort" not in path.lower()


def _pixels(name, width=400, box=(10, 40, 30, 60), scores=None):
    bboxes = np.array([box], np.float32)
    image = np.full((300, width, 3), 255, np.uint8)
    return draw_instances(image, Instances(300, width, np.array([0]), bboxes, None), [name], scores)


def test_a_name_is_whole_though_its_box_is_small():
    short, whole = (_pixels(name) for name in ("cell", "small round blue cell"))
    inked = [np.flatnonzero((picture != 255).any(axis=(0, 2))).max() for picture in (short, whole)]
    assert inked[1] > inked[0] + 60


def test_scripts_differ_in_pictures():
    pictures = [_pixels(name).tobytes() for name in ("клетка", "κύτταρο", "??????", "חתול")]
    assert len(set(pictures)) == 4


def test_no_name_covers_another():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 250, (60, 2))
    bboxes = np.concatenate([corners, corners + rng.uniform(5, 60, (60, 2))], axis=1).astype(np.float32)
    drawn = []
    tags = [Tag("a name of some length", 0.5, box, (255, number * 4, 0)) for number, box in enumerate(bboxes)]
    picture = _tagged(np.full((300, 300, 3), 255, np.uint8), tags)
    for tag in tags:
        ys, xs = np.nonzero((picture == tag.color).all(axis=2))
        if len(xs):
            drawn.append((xs.min(), ys.min(), xs.max(), ys.max()))
    assert len(drawn) >= 10
    for number, (x1, y1, x2, y2) in enumerate(drawn):
        for other in drawn[:number]:
            assert x2 < other[0] or other[2] < x1 or y2 < other[1] or other[3] < y1


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1), (2, 3), (30, 900), (900, 30)])
def test_pictures_of_any_proportion(shape, tmp_path):
    image = np.zeros((*shape, 3), np.uint8)
    bboxes = np.array([[0, 0, shape[1], shape[0]]], np.float32)
    instances = Instances(*shape, np.array([0]), bboxes, None)
    write_jpeg(tmp_path / "a.jpg", draw_instances(image, instances, ["disc"], np.array([0.5])))
    write_jpeg(tmp_path / "b.jpg", comparison([(image, instances, instances, np.array([0.5]))], ["disc"]))
    for name in ("a.jpg", "b.jpg"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) >= 1
            assert max(picture.size) <= 2100


@pytest.mark.parametrize(
    "name", [*BY_THE_SHIPPED, *IN_OTHER_FONTS, "$", "$\\frac{$", "_hidden", "{", "\\alpha", "50 %", "^"]
)
def test_plots_take_any_name(name, recwarn):
    figures = confusion_figure(np.eye(3, dtype=int), [name, "other"], "x"), precision_recall_figure({name: None}, "x")
    for figure in figures:
        assert png_of(figure).startswith(b"\x89PNG")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_labels_are_no_formulas():
    assert plain_label("$x$ _a") == r"\$x\$ _a"
    assert plain_label("_a").strip() == "_a"
