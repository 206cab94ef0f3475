"""Names and values of strangers in messages and tables: one bounded line, no control characters, no formulas."""

import pickle
import unicodedata

import pytest

from instance_segmentation_pipeline.errors import ConfigError, DatasetError, UserError, one_line, shortened
from instance_segmentation_pipeline.text import LIMIT, csv_cell, printable, short

HARMFUL = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "clear screen": "\x1b[2J\x1b[H",
    "C1 escape": "\x9b31mred",
    "carriage return": "all is well\rfailed",
    "backspace": "abc\b\b\bxyz",
    "bell": "\a",
    "null": "a\0b",
    "delete": "a\x7fb",
    "right to left": "photo\u202egpj.exe",
    "isolate": "a\u2066b\u2069",
    "line separator": "a\u2028b",
    "byte order mark": "\ufeffa",
    "zero width space": "a\u200bb",
    "lone surrogate": "a\udcffb",
    "private": "a\ue000b",
    "tag characters": "a\U000e0041",
    "line feed": "first\nsecond",
    "tab": "a\tb",
    "vertical tab": "a\x0bb\x0c",
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_what_a_terminal_would_act_on_is_escaped(text):
    for shown in (printable(text), str(UserError(text)), short(text), shortened({text: text}), csv_cell(text)):
        assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for letter in shown), shown
        shown.encode("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "Straße",
        "собака",
        "狗",
        "क्षत्रिय",
        "\u0643\u0644\u0628",
        "\u0645\u06cc\u200c\u062e\u0648",
        "👩\u200d🚀",
        "a\u00a0b",
        "é",
        "",
    ],
)
def test_letters_of_every_script_stay(text):
    assert printable(text) == text


def test_long_text_loses_its_middle():
    shown = printable("a" * 10_000_000 + "b", 80)
    assert len(shown) == 80
    assert shown.startswith("aaa")
    assert shown.endswith("…" + "a" * 38 + "b")
    assert len(str(ConfigError("x" * 5_000_000))) <= LIMIT


class Unspeakable:
    def __repr__(self):
        raise ValueError("no")

    __str__ = __repr__


def bomb(depth=60):
    """Return what nine aliases of nine aliases of … make: 9**60 entries where they are all walked."""
    value = ["lol"] * 9
    for _ in range(depth):
        value = [value] * 9
    return value


def nest(depth=50_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        10**5000,
        -(10**50_000),
        {"key": 10**9000},
        bomb(),
        {"a": bomb(), "b": {"c": bomb()}},
        nest(),
        "x" * 10_000_000,
        b"x" * 10_000_000,
        ["x" * 10_000_000] * 3,
        {str(number): number for number in range(100_000)},
        set(range(100_000)),
        Unspeakable(),
        [Unspeakable()],
        "a\nb" * 1000,
        None,
        float("nan"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_is_shown_short(value):
    shown = shortened(value)
    assert 0 < len(shown) <= 80
    assert "\n" not in shown


def test_small_values_are_shown_as_python_writes_them():
    for value in (3, "three", [1, 2.5], {"a": None}, True, (1,)):
        assert short(value) == repr(value)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("-0.5", "-0.5"),
        ("+3", "+3"),
        ("a=b", "a=b"),
        ("a\nb", "a\\nb"),
        ("disc", "disc"),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_cells_of_a_csv_are_no_formulas(cell, written):
    assert csv_cell(cell) == written


def test_an_error_of_a_data_worker_is_told_by_its_words():
    raised = (
        "Caught DatasetError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 3, in f\n    raise DatasetError(1)\n'
        "instance_segmentation_pipeline.errors.DatasetError: item 7 cannot be read: \\x1b\n"
    )
    assert str(DatasetError(raised)) == "item 7 cannot be read: \\x1b"


def test_errors_survive_processes_and_hostile_words():
    error = pickle.loads(pickle.dumps(ConfigError("one\ntwo")))
    assert str(error) == "one two"
    assert "ValueError" in one_line(RuntimeError(Unspeakable()))
    assert len(one_line(RuntimeError("y" * 10**7))) <= LIMIT
