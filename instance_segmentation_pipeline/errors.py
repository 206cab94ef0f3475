"""The exceptions that speak to the person who runs an experiment.

Each message is one sentence that names the file, key or item, what was found, what was expected and what to
do. The command line prints it as it is; anything else that is raised is a defect and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can put right: the message says what and how."""


class ConfigError(UserError):
    """The experiment's YAML, or the MMDetection config it names, cannot be used."""


class DatasetError(UserError):
    """The dataset, or one item of it, is not what ``reference.md#dataset-format`` asks for."""


class WeightsError(UserError):
    """A checkpoint is missing, cannot be fetched or does not fit."""


class TrainingError(UserError):
    """Training cannot go on, for example because the loss is no longer finite."""


class GroupLost(TrainingError):
    """Another process of the group that trains one net is gone; that one knows why."""


def one_line(error: BaseException) -> str:
    """Return an exception's kind and words in one line, for a sentence that says what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def shortened(value: object, length: int = 80) -> str:
    """Return a value as Python writes it, cut to so many characters, for a message."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def sentence(error: BaseException) -> str:
    """Return what to tell of an exception: the words of one that speaks to the user, kind and words of any other."""
    return str(error) if isinstance(error, UserError) else one_line(error)


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; what is trained can be resumed."""

    def __init__(self, number: int = 2) -> None:
        super().__init__(number)
        self.number = int(number)


def nearest(name: str, known: Iterable[str], count: int = 1) -> str:
    """Return `` (did you mean 'x'?)`` for the known names closest to ``name``, or an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)
    if not found:
        return ""
    return " (did you mean " + " or ".join(repr(by_lower[match]) for match in found) + "?)"
