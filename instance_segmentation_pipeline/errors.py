"""The exceptions that speak to the person who runs an experiment.

Each message is one sentence that names the file, key or item, what was found, what was expected and what to
do. The command line prints it as it is; anything else that is raised is a defect and keeps its traceback.
"""

import difflib
import signal
import traceback
from collections.abc import Iterable

from .text import one_line_of, printable, short

MOST_TRACE = 50_000
"""Characters of a traceback that are kept."""


class UserError(Exception):
    """Something that the user can put right: the message says what and how.

    It is one line of bounded length, whatever names and values stand in it.
    """

    def __init__(self, *arguments: object) -> None:
        words = (_words(argument) if isinstance(argument, str) else argument for argument in arguments)
        super().__init__(*words)


def _words(message: str) -> str:
    """Return a message in one line; of one that torch has raised anew for a data worker, its last line's words."""
    if message.startswith("Caught ") and "DataLoader worker" in message[:200]:
        message = message.strip().splitlines()[-1].partition(": ")[2] or message
    return one_line_of(_with_one_stop(message))


def _with_one_stop(message: str) -> str:
    """Return a sentence with one full stop where it ends with that of what it quotes, and its own."""
    return message[:-1] if message.endswith("..") and not message.endswith("...") else message


class ConfigError(UserError):
    """The experiment's YAML, or the MMDetection config it names, cannot be used."""


class DatasetError(UserError):
    """The dataset, or one item of it, is not what ``reference.md#dataset-format`` asks for."""


class WeightsError(UserError):
    """A checkpoint is missing, cannot be fetched or does not fit."""


class TrainingError(UserError):
    """Training cannot go on, for example because the loss is no longer finite."""


class PredictionError(UserError):
    """Predicting cannot go on, for example because memory ran out.

    Attributes:
        images: How many images were predicted at the time.
    """

    def __init__(self, message: str, images: int = 1) -> None:
        super().__init__(message)
        self.images = images


class GroupLost(TrainingError):
    """Another process of the group that trains one net is gone; that one knows why."""


def one_line(error: BaseException) -> str:
    """Return an exception's kind and words in one line, for a sentence that says what went wrong: without a stop."""
    if isinstance(error, SystemExit):
        return f"sys.exit({shortened(error.code)}) was called"
    if isinstance(error, Stopped):
        return f"stopped by {signal.Signals(error.number).name}"
    words = printable(error, 100_000)
    words = words[:-1] if words.endswith(".") and not words.endswith("..") else words
    return one_line_of(f"{type(error).__name__}: {words}" if words else type(error).__name__)


def traceback_of(error: BaseException) -> str:
    """Return an exception's traceback as Python writes it, for a log; of more than ``MOST_TRACE`` characters the ends.

    An exception that cannot be written that way (its class has no module, its text is too much for the memory) is
    told by its kind and words, below where it was raised.
    """
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:
        text = "".join(traceback.format_tb(error.__traceback__)) + one_line(error) + "\n"
    half = MOST_TRACE // 2
    return text if len(text) <= MOST_TRACE else f"{text[:half]}\n…\n{text[-half:]}"


def shortened(value: object, length: int = 80) -> str:
    """Return a value as Python writes it, cut to so many characters, for a message; large values are not walked."""
    return short(value, length)


def sentence(error: BaseException) -> str:
    """Return what to tell of an exception: the words of one that speaks to the user, kind and words of any other."""
    return str(error) if isinstance(error, UserError) else one_line(error)


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; what is trained can be resumed.

    The command line raises it anew when something on the way has swallowed it.
    """

    def __init__(self, number: int = 2) -> None:
        super().__init__(number)
        self.number = int(number)


def stop_behind(error: BaseException) -> "KeyboardInterrupt | None":
    """Return the interruption that an exception was raised in place of (MMEngine's config writer does), if any."""
    behind: BaseException | None = error
    for _ in range(100):  # a chain may be a ring
        if behind is None or isinstance(behind, KeyboardInterrupt):
            break
        behind = behind.__cause__ or behind.__context__
    return behind if isinstance(behind, KeyboardInterrupt) else None


def nearest(name: str, known: Iterable[str], count: int = 1) -> str:
    """Return `` (did you mean 'x'?)`` for the known names closest to ``name``, or an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.55)
    if not found:
        return ""
    return " (did you mean " + " or ".join(repr(by_lower[match]) for match in found) + "?)"
