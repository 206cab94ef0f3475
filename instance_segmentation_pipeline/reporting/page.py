"""``report.html``: the analysis of a project as one page that needs no other file and no network."""

import base64
import math
from collections.abc import Sequence
from html import escape

from .analysis import Analysis, Finished, table_rows
from .report_figures import Gallery

STYLE = """
:root { color-scheme: light dark; --line: #8884; --strong: #2563eb; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1180px; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; white-space: nowrap; }
th { cursor: pointer; } th[data-way]::after { content: " \\25B2"; } th[data-way="-1"]::after { content: " \\25BC"; }
tbody tr:first-child td { font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; } figcaption { font-size: .85rem; opacity: .8; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
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


def page(analysis: Analysis, galleries: Sequence["Gallery | str"], title: str) -> str:
    """Return the page.

    Args:
        analysis: The experiments, best first.
        galleries: Of each, its pictures, or a sentence that says why there are none.
        title: The heading.
    """
    parts = [
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        f"<p>{len(analysis.experiments)} finished experiments, sorted by <b>{escape(analysis.sorted_by)}</b>. "
        "Means over folds; <i>pooled</i> is over all validation parts together, each item answered by a net that "
        "has not seen it; click a heading to sort.</p>",
        *(f"<p class=note>{escape(line)}</p>" for line in analysis.skipped),
        _table(table_rows(analysis, main_metrics(analysis), ".4f")),
    ]
    for one, gallery in zip(analysis.experiments, galleries, strict=True):
        parts.append(f"<section><h2>{escape(one.name)}</h2>")
        parts.append(_per_class(one))
        parts += [f"<p class=note>{escape(gallery)}</p>"] if isinstance(gallery, str) else _pictures(gallery)
        parts.append("</section>")
    parts.append(f"<script>{SCRIPT}</script></body></html>")
    return "\n".join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
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
        f"<tr><td>{escape(name)}</td><td>{value:.3f}</td>"
        f'<td style="min-width:12rem"><div class=bar style="width:{100 * value:.1f}%"></div></td></tr>'
        for name, value in sorted(values.items(), key=lambda entry: -entry[1])
    )
    return f"<h3>AP of each class ({kind}, IoU .5:.95)</h3><table><tbody>{rows}</tbody></table>"


def _pictures(gallery: Gallery) -> list[str]:
    parts = ["<h3>Learning curves</h3>", _row(gallery.learning, "png")]
    both = [("precision and recall", gallery.precision_recall), ("confusion matrix", gallery.confusion)]
    parts += ["<h3>Precision, recall, confusion</h3>", _row(both, "png")]
    for heading, pictures in (("Worst images", gallery.worst), ("Best images", gallery.best)):
        if pictures:
            parts += [f"<h3>{heading}: ground truth, prediction</h3>", _row(pictures, "jpeg")]
    return parts


def _row(pictures: Sequence[tuple[str, bytes]], kind: str) -> str:
    figures = (
        f'<figure><img alt="{escape(caption)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, data in pictures
    )
    return f"<div class=pictures>{''.join(figures)}</div>"
