"""Kinds of command-line arguments, and how a project and an experiment are found from the current folder."""

import argparse
from pathlib import Path

from ..errors import nearest, shortened
from ..inference.output_formats import FORMATS
from ..storage.experiment_files import AVERAGE

MOST_DIGITS = 9
MOST = 4096
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def boolean(text: str) -> bool:
    """Return the truth of ``true/false/1/0/yes/no/on/off``, in any case."""
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{shortened(text)} is neither true nor false")


def positive(text: str) -> int:
    """Return a whole number from 1 to ``MOST``, of devices or processes."""
    if not text.strip().isdecimal() or len(text) > MOST_DIGITS or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no whole number from 1 to {MOST}")
    return int(text)


def seconds(text: str) -> int:
    """Return a whole number of seconds of 0 or more, or -1 for no limit."""
    if text.strip() == "-1":
        return -1
    if not text.strip().isdecimal() or len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no whole number of seconds, nor -1 for no limit")
    return int(text)


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no number from 0 to 1")
    return number


def names(text: str) -> list[str]:
    """Return the names of a list separated by commas, with or without spaces; none is empty or there twice."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"{shortened(text)} has an empty name: give names separated by commas")
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise argparse.ArgumentTypeError(f"{shortened(text)} has {shortened(twice)} twice: name it once")
    return found


def path(text: str) -> Path:
    """Return a path; an empty text, such as that of a shell's variable that is not set, is none."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: give a path, or leave the flag out")
    return Path(text)


def fold_numbers(text: str) -> list[int]:
    """Return the numbers of a list such as ``0,2``; none is there twice."""
    found = names(text)
    if not all(name.isdecimal() and len(name) <= MOST_DIGITS for name in found):
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no list of fold numbers such as 0,2")
    numbers = [int(name) for name in found]
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{shortened(text)} names a number twice: name it once")
    return numbers


def numbers_or_all(text: str) -> "list[int] | str":
    """Return the numbers of a list such as ``0,2``; ``all`` and ``last`` as they are."""
    return text if text in ("all", "last") else fold_numbers(text)


def stages_or_word(text: str) -> "list[int] | str":
    """Return what ``numbers_or_all`` does, and ``average`` as it is."""
    return text if text == AVERAGE else numbers_or_all(text)


def formats_of(text: str) -> list[str]:
    """Return the names of a list of formats such as ``yolo,png``."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(
                f"{shortened(name)} is no format{nearest(name, FORMATS)}: it is one of {', '.join(FORMATS)}"
            )
    return names


def project_around(folder: Path) -> tuple["Path | None", list[str]]:
    """Return the project that a folder is, or lies in, and the experiment in it that the folder is.

    From a folder below ``experiments`` that holds a ``config.yaml``: the project and that experiment's name. From a
    project's folder: the project and no name. Elsewhere: no project.
    """
    for place in (folder, *folder.parents):
        if place.name == "experiments" and place != folder:
            name = folder.relative_to(place).as_posix()
            return place.parent, [name] if (folder / "config.yaml").is_file() else []
        if (place / "experiments").is_dir():
            return place, []
    return None, []
