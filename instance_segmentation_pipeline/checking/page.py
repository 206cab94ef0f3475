"""``check.html``: what was found, as one page with pictures, that needs no other file and no network."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2

from ..detection.arrays import UInt8Array
from ..errors import ConfigError, UserError
from ..reporting.page import SCRIPT, STYLE, shown_text, sortable_table
from ..storage.atomic import write_atomically
from ..visualization.draw import draw_instances, grid
from ..visualization.histograms import bar_figure, histogram_figure
from ..visualization.plots import png_of
from .experiment_check import Checked
from .findings import FAULT, WARNING, Example, Plot, Section
from .told import summary_of

MARK = "<meta name=generator content='musket check'>"
"""Stands in each page: only such a file is written over."""
OWN_STYLE = (
    ".fault { border-left: 4px solid #dc2626; padding: .3rem .8rem; } .plain { margin: .3rem 0; } "
    "tbody tr:first-child td { font-weight: 400; }"
)
LARGEST = 640
"""Pixels of the longer side of a picture at most."""


def check_output(path: Path) -> None:
    """Refuse to write over what is not a page of this command.

    Raises:
        ConfigError: There is something else.
    """
    if path.is_dir():
        raise ConfigError(f"--output {path} is a folder: give the name of a file, such as {path / 'check.html'}.")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir():
        raise ConfigError(f"--output {path} cannot be made, {there} is no folder: give another name.")
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            is_ours = path.is_file() and MARK.encode() in file.read(1000)
    except OSError as error:
        raise ConfigError(f"--output {path} cannot be read ({error.strerror}): give another name.") from None
    if not is_ours:
        raise ConfigError(f"--output {path} is there, and was not written by musket check: give another name.")


def write_check_page(path: Path, title: str, checked: Checked) -> None:
    """Write the page.

    Args:
        path: The file.
        title: The heading.
        checked: What was found.
    """
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{part}\n" for part in _parts(title, checked))


def _parts(title: str, checked: Checked) -> Iterator[str]:
    yield f"<!doctype html><html lang=en><head><meta charset=utf-8>{MARK}<title>{shown_text(title)}</title>"
    yield '<meta name=viewport content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}{OWN_STYLE}</style></head><body><h1>{shown_text(title)}</h1>"
    yield f"<p>{shown_text(summary_of(checked.sections))}. A fault ends a training, or lets it learn something else "
    yield "than is meant; with a warning it goes on.</p>"
    for section in filter(Section.says_something, checked.sections):
        yield f"<details open><summary>{shown_text(section.title)}</summary>"
        for finding in section.findings:
            style = {FAULT: "fault", WARNING: "note"}.get(finding.kind, "plain")
            yield f"<p class={style}>{shown_text(finding.kind)}: {shown_text(finding.text)}</p>"
        if section.table:
            yield sortable_table(section.table)
        yield "<div class=pictures>"
        yield from (_plotted(plot) for plot in section.plots if len(plot.values))
        for example in section.examples:
            with suppress(UserError):
                yield _drawn(example, checked)
        yield "</div></details>"
    yield f"<script>{SCRIPT}</script></body></html>"


def _plotted(plot: Plot) -> str:
    figure = (
        bar_figure(plot.names, plot.values, plot.title) if plot.names else histogram_figure(plot.values, plot.title)
    )
    return _figure("png", png_of(figure), plot.title)


def _drawn(example: Example, checked: Checked) -> str:
    """Return items beside each other, with their objects drawn.

    Raises:
        DatasetError: One cannot be read any more.
    """
    assert checked.scan is not None
    assert checked.reader is not None
    pictures = []
    for number in example.items:
        place = checked.scan.places[number]
        _, image, instances = checked.reader.read(place.source, place.position)
        pictures.append(_small(draw_instances(image, instances, checked.class_names)))
    whole = cv2.cvtColor(grid(pictures, len(pictures)), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return _figure("jpeg", data.tobytes(), example.caption)


def _small(picture: UInt8Array) -> UInt8Array:
    longest = max(picture.shape[:2])
    if longest <= LARGEST:
        return picture
    size = (max(1, picture.shape[1] * LARGEST // longest), max(1, picture.shape[0] * LARGEST // longest))
    small: UInt8Array = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def _figure(kind: str, data: bytes, caption: str) -> str:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    text = shown_text(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'
