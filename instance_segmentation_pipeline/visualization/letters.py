"""Names in pictures: fonts that have their letters, and what is shown of a name where no font has them."""

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

SIZE = 12
"""Height of letters in pictures, in pixels."""
_BLANKS = ("Last Resort", "Adobe Blank", "LastResort")
"""Fonts that have a box, or nothing, in the place of every letter."""
_SHIPPED = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def drawable(names: Sequence[str]) -> tuple[str, ...]:
    """Return class names as they can be drawn, in pictures and in plots.

    A name for whose letters no font is there, neither matplotlib's DejaVu Sans (Latin, Greek, Cyrillic, Arabic, Hebrew,
    Armenian, Georgian, …) nor one of this machine's, is shown as ``class 3``: its label in the dataset.
    """
    return tuple(
        name if name.strip() and font_file_for(name) is not None else f"class {number}"
        for number, name in enumerate(names, start=1)
    )


@functools.lru_cache(maxsize=4096)
def font_for(text: str) -> "ImageFont.FreeTypeFont | None":
    """Return a font that has all letters of a text, ``None`` where there is none; the shipped one comes first."""
    path = font_file_for(text)
    return None if path is None else _font(path)


def plot_font(text: str, size: float) -> font_manager.FontProperties:
    """Return the font of a text in a plot: the one that ``font_for`` finds, else matplotlib's own."""
    return font_manager.FontProperties(fname=font_file_for(text) or str(_SHIPPED), size=size)


def font_file_for(text: str) -> "str | None":
    """Return the file of a font that has all letters of a text, ``None`` where there is none."""
    letters = frozenset(map(ord, f"{text} .…0123456789"))
    if not text.isprintable():
        return None
    if letters <= _letters_of(str(_SHIPPED)):
        return str(_SHIPPED)
    return next((path for path in _fonts_of_the_machine() if letters <= _letters_of(path)), None)


def plain_label(text: str) -> str:
    """Return a text that matplotlib shows as it is: no formula, and not left out of a legend."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


@functools.cache
def _fonts_of_the_machine() -> tuple[str, ...]:
    upright = [
        font
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and not font.name.startswith(_BLANKS)
    ]
    return tuple(dict.fromkeys(font.fname for font in sorted(upright, key=lambda font: font.weight != 400)))


@functools.lru_cache(maxsize=256)
def _letters_of(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # gone, or of a kind that FreeType does not read
        return frozenset()


@functools.lru_cache(maxsize=64)
def _font(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, SIZE)
