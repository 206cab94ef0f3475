"""``report.html``: the analysis of a project as one page that needs no network.

Pictures lie in a folder beside it, and a browser loads them when they are looked at; or they are in the page.
"""

import base64
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from ..storage.atomic import write_atomically
from ..text import printable
from .analysis import Analysis, Finished, table_rows
from .picture_folder import Picture
from .pictures import ReportPictures

STYLE = """
:root { color-scheme: light dark; --line: #8884; --strong: #2563eb; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1180px; padding: 1.5rem; }
h1 { font-size: 1.6rem; }
details { border-top: 1px solid var(--line); margin-top: 1rem; padding-top: 1rem; }
summary { cursor: pointer; font-size: 1.3rem; font-weight: 600; } summary small { font-weight: 400; opacity: .8; }
h2 { font-size: 1.3rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; white-space: nowrap; }
th { cursor: pointer; } th[data-way]::after { content: " \\25B2"; } th[data-way="-1"]::after { content: " \\25BC"; }
tbody tr:first-child td { font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; } figcaption { font-size: .85rem; opacity: .8; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
.of-classes td:last-child { min-width: 12rem; }
.bar { background: var(--strong); height: .7rem; border-radius: 2px; }
.note { border-left: 4px solid #d97706; padding: .3rem .8rem; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable"))
  table.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const way = head.dataset.way === "-1" ? 1 : -1;
    table.querySelectorAll("th").forEach(other => delete other.dataset.way);
    head.dataset.way = way;
    const value = row => row.cells[column].textContent, body = table.tBodies[0];
    [...body.rows].sort((a, b) => {
      const x = parseFloat(value(a)), y = parseFloat(value(b));
      return way * (isNaN(x) || isNaN(y) ? value(a).localeCompare(value(b)) : x - y);
    }).forEach(row => body.append(row));
  }));
"""

OPEN = 3
"""Experiments that the page shows opened, best first."""

MAIN = (
    "coco_segm_mAP",
    "coco_segm_mAP_50",
    "coco_bbox_mAP",
    "segm_F1",
    "bbox_F1",
    "mask_IoU",
    "val_loss",
)


def main_metrics(analysis: Analysis) -> list[str]:
    """Return the metrics that a table of experiments shows first: that it is sorted by, then the usual ones."""
    known = analysis.metrics
    first = [analysis.sorted_by, f"{analysis.sorted_by}_pooled", f"{analysis.sorted_by}_holdout"]
    return [name for name in dict.fromkeys([*first, *MAIN]) if name in known]


def write_page(
    path: Path, analysis: Analysis, experiments: Iterable[Finished], pictures: ReportPictures, title: str, embed: bool
) -> None:
    """Write the page, and draw what its pictures lack, one experiment at a time.

    Args:
        path: The page; the folder of ``pictures`` lies beside it.
        analysis: The experiments, best first.
        experiments: The same experiments, as the caller wants to see them pass.
        pictures: Their pictures.
        title: The heading.
        embed: Put the pictures into the page, which then needs no other file.
    """
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{part}\n" for part in _parts(analysis, experiments, pictures, title, embed))
    pictures.close()


def _parts(
    analysis: Analysis, experiments: Iterable[Finished], pictures: ReportPictures, title: str, embed: bool
) -> Iterator[str]:
    yield f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{shown_text(title)}</title>"
    yield '<meta name=viewport content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body><h1>{shown_text(title)}</h1>"
    yield (
        f"<p>{len(analysis.experiments)} finished experiments, sorted by <b>{shown_text(analysis.sorted_by)}</b>. "
        "Means over folds; <i>pooled</i> is over all validation parts together, each item answered by a net that "
        "has not seen it; click a heading to sort, and a name below to open it.</p>"
    )
    yield from (f"<p class=note>{shown_text(line)}</p>" for line in analysis.skipped)
    yield sortable_table(table_rows(analysis, main_metrics(analysis), ".4f"))
    for search in analysis.searches:
        yield f"<h2>{shown_text(search.title)}</h2>{sortable_table(search.rows())}"
        picture = base64.b64encode(search.picture()).decode()
        yield f'<figure><img alt="scores of {shown_text(search.name)}" src="data:image/png;base64,{picture}"></figure>'
    for number, one in enumerate(experiments):
        score = one.metrics.get(analysis.sorted_by, math.nan)
        told = "" if math.isnan(score) else f" <small>{shown_text(analysis.sorted_by)} {score:.4f}</small>"
        yield f"<details{' open' if number < OPEN else ''}><summary>{shown_text(one.name)}{told}</summary>"
        yield _per_class(one)
        shown, notes = pictures.of(one)
        folder = pictures.folder_of(one)
        for heading, group in itertools.groupby(shown, lambda picture: picture.heading):
            figures = "".join(_figure(folder, picture, embed) for picture in group)
            yield f"<h3>{shown_text(heading)}</h3><div class=pictures>{figures}</div>"
        yield from (f"<p class=note>{shown_text(note)}</p>" for note in notes)
        yield "</details>"
    yield f"<script>{SCRIPT}</script></body></html>"


def sortable_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of them a heading, as a table that a click on a heading sorts (``SCRIPT``)."""
    heading = "".join(f"<th>{shown_text(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{shown_text(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return (
        f"<div class=scroll><table class=sortable><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _per_class(one: Finished) -> str:
    kind = "segm" if any(name.startswith("coco_segm_mAP_class_") for name in one.metrics) else "bbox"
    start = f"coco_{kind}_mAP_class_"
    values = {
        name.removeprefix(start): value
        for name, value in one.metrics.items()
        if name.startswith(start) and not name.endswith(("_pooled", "_holdout")) and not math.isnan(value)
    }
    if not values:
        return ""
    rows = "".join(
        f"<tr><td>{shown_text(name)}</td><td>{value:.3f}</td>"
        f'<td><div class=bar style="width:{100 * value:.1f}%"></div></td></tr>'
        for name, value in sorted(values.items(), key=lambda entry: -entry[1])
    )
    return f"<h3>AP of each class ({kind}, IoU .5:.95)</h3><table class=of-classes><tbody>{rows}</tbody></table>"


def _figure(folder: Path, picture: Picture, embed: bool) -> str:
    """Return a picture of a folder that lies two levels below the page's, or in the page itself."""
    path = folder / picture.file
    if embed:
        kind = "png" if path.suffix == ".png" else "jpeg"
        source = f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    else:
        source = quote(os.fsencode("/".join(path.parts[-3:])))
    caption = shown_text(picture.caption)
    return (
        f'<figure><img loading=lazy width={picture.width} height={picture.height} alt="{caption}" '
        f'src="{escape(source)}"><figcaption>{caption}</figcaption></figure>'
    )


def shown_text(value: str) -> str:
    """Return text for the page: markup, and what is no character of HTML, as it is written."""
    return escape(printable(value))
