"""Text files of annotations, as people have them: what is something else is told by its kind, before it is parsed."""

import json
from pathlib import Path
from typing import Any, NoReturn

from ...errors import DatasetError, one_line
from ...storage.regular_file import absence, open_regular

MOST_BYTES = 1 << 31
"""Of one file of annotations; COCO's largest has half a gigabyte."""
_KINDS = {
    b"PK\x03\x04": "a ZIP archive: unpack it",
    b"\x1f\x8b": "packed by gzip: unpack it",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8",
}


def read_annotation_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: There is none, or it is no such text; the message names it.
    """
    missing = absence(path)
    if missing is not None:
        raise DatasetError(f"{path} {missing}.")
    try:
        with open_regular(path, "rb", most=most) as file:
            data: bytes = file.read()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or one_line(error)}).") from None
    for start, kind in _KINDS.items():
        if data.startswith(start):
            raise DatasetError(f"{path} is {kind}.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no text in UTF-8 (byte {error.start}): save it as UTF-8.") from None


def read_annotation_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Return what a JSON file holds.

    Raises:
        DatasetError: It is none; NaN and Infinity, which Python's own reader takes, are no JSON.
    """
    text = read_annotation_text(path, most)
    if not text.strip():
        raise DatasetError(f"{path} is empty, expected JSON.")

    def refuse(name: str) -> NoReturn:
        raise DatasetError(f"{path} holds {name}, which is no number: correct it.")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {one_line(error)}.") from None
