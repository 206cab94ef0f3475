"""Names of classes in plots: the font that pictures find for them, whatever script they are in."""

import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from instance_segmentation_pipeline.detection.matching import Curve
from instance_segmentation_pipeline.visualization import letters
from instance_segmentation_pipeline.visualization.plots import confusion_figure, png_of, precision_recall_figure

NAMES = ["細胞", "さいぼう", "세포", "disc"]


@pytest.fixture
def font(tmp_path, monkeypatch):
    """Return a font of this machine that has the letters of ``NAMES``, each a box."""
    pen = TTGlyphPen(None)
    for number, point in enumerate(((0, 0), (0, 700), (500, 700), (500, 0))):
        (pen.lineTo if number else pen.moveTo)(point)
    pen.closePath()
    box = pen.glyph()
    characters = {*range(32, 127), ord("…"), *(ord(letter) for name in NAMES for letter in name)}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupCharacterMap(dict.fromkeys(sorted(characters), "box"))
    builder.setupGlyf({".notdef": box, "box": box})
    builder.setupHorizontalMetrics({".notdef": (600, 0), "box": (600, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "boxes.ttf"
    builder.save(path)
    letters.font_for.cache_clear()
    monkeypatch.setattr(letters, "_fonts_of_the_machine", lambda: (str(path),))
    yield path
    letters.font_for.cache_clear()


def test_plots_show_names_as_pictures_do(font):
    curve = Curve(np.linspace(1, 0, 3), np.ones(3), np.linspace(0, 1, 3))
    confusion = confusion_figure(np.eye(5, dtype=int), NAMES, "title")
    recall = precision_recall_figure(dict.fromkeys(NAMES, curve), "title")
    assert letters.drawable(NAMES) == tuple(NAMES)
    axes = confusion.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels(), recall.axes[0].get_legend().get_texts()):
        for name, label in zip(NAMES, labels, strict=False):
            assert label.get_text().startswith(name)
            assert (label.get_fontproperties().get_file() == str(font)) == (name != "disc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each letter that a font lacks
        assert png_of(confusion).startswith(b"\x89PNG") and png_of(recall).startswith(b"\x89PNG")
