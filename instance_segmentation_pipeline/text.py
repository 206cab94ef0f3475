"""Text of strangers on its way to a terminal, a log or a table: names of classes, items, files, keys, values."""

import reprlib
import unicodedata
from typing import Any

LIMIT = 1200
"""Characters of a whole message at most."""

_JOINERS = "\u200c\u200d"  # parts of words in Persian and Indic scripts, and of emoji
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class _Short(reprlib.Repr):
    """``repr`` that looks at a few entries of a few levels only, so that a value's size does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 4
        self.maxstring = self.maxother = 70

    def repr_int(self, x: int, level: int) -> str:
        """Return an integer in digits, a long one by its length: Python refuses to write those of thousands."""
        return repr(x) if x.bit_length() < 200 else f"a number of about {int(x.bit_length() * 0.30103) + 1} digits"

    def repr_str(self, x: str, level: int) -> str:
        """Return a text's ``repr``, cut before it is made."""
        return super().repr_str(x if len(x) <= 2 * self.maxstring else x[:200] + x[-200:], level)


_short = _Short()


def printable(value: object, limit: int = LIMIT) -> str:
    """Return a value as one line that does nothing to a terminal.

    Control and formatting characters (escape sequences, line breaks, changes of the writing direction) and halves of
    surrogate pairs become escapes such as ``\\x1b``; what is longer than ``limit`` loses its middle. Letters of every
    script stay.
    """
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose str() raises {type(error).__name__}>"
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[: limit - 1 - half]}…{text[len(text) - half :]}"
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) else _escaped(letter) for letter in text)


def one_line_of(text: str, limit: int = LIMIT) -> str:
    """Return a message as one printable line: runs of white space become one space."""
    return printable(" ".join(text[: 100 * limit].split()), limit)


def short(value: object, limit: int = 80) -> str:
    """Return the ``repr`` of a value from a file as one short line, in a time that does not grow with the value."""
    try:
        return printable(_short.repr(value), limit)
    except Exception:
        return f"a {type(value).__name__}"


def csv_cell(value: Any) -> Any:
    """Return a cell for a CSV: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = printable(value, 32_000)  # what a spreadsheet's cell holds
    return f"'{text}" if value.lstrip(" ").startswith(_FORMULA) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
