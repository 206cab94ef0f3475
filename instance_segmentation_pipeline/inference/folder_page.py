"""A page of the pictures that a folder was predicted to: one file beside them that needs no network."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from ..storage.atomic import write_atomically
from ..storage.file_names import file_name_of
from ..text import printable

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1.5rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }
figure { margin: 0; } figcaption { font-size: .85rem; opacity: .8; overflow-wrap: anywhere; }
img { width: 100%; height: 220px; object-fit: contain; background: #8882; }
"""


class Shown(NamedTuple):
    """An image on the page: its name, how many objects its picture shows, and how many were found."""

    name: str
    shown: int
    found: int


def place_of_picture(name: str) -> PurePosixPath:
    """Return where the picture of an image lies below the folder of pictures, without suffix.

    Args:
        name: The image's path below its own folder, with slashes.
    """
    return PurePosixPath(*(file_name_of(part) for part in name.split("/")))


def write_page(path: Path, images: Sequence[Shown], skipped: Sequence[tuple[str, str]], title: str) -> None:
    """Write the page; pictures are loaded when they come into view, however many there are.

    Args:
        path: The page, in the folder of the pictures.
        images: What it shows, in this order.
        skipped: Names of files that could not be used, and why.
        title: Its title.
    """
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(_lines(images, skipped, title))


def _lines(images: Sequence[Shown], skipped: Sequence[tuple[str, str]], title: str) -> Iterator[str]:
    yield f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    yield f"<style>{STYLE}</style>\n"
    yield f"<h1>{escape(title)}</h1>\n<p>{len(images)} images, {sum(one.found for one in images)} objects</p>\n<main>\n"
    for one in images:
        where = quote(str(place_of_picture(one.name)).encode("utf-8", "surrogateescape")) + ".jpg"
        caption = f"{printable(one.name, 300)}: {one.shown} of {one.found} objects"
        yield f'<figure><a href="{where}"><img loading="lazy" src="{where}" alt=""></a>'
        yield f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    yield "</main>\n"
    if skipped:
        yield "<h2>Files that cannot be used</h2>\n<ul>\n"
        yield from (f"<li>{escape(printable(name, 300))} {escape(printable(why))}</li>\n" for name, why in skipped)
        yield "</ul>\n"
