"""Images and objects by class, and by part of the split."""

from collections.abc import Sequence

import numpy as np

from ..detection.arrays import Int64Array
from .findings import Plot, Section, listed
from .item_scan import ItemScan
from .parts import ScannedParts

MOST_FOLDS = 5
"""Folds whose objects the table shows; what is wrong with others is told all the same."""


def class_counts(scan: ItemScan, parts: ScannedParts, class_names: Sequence[str]) -> Section:
    """Return a table of objects by class and part, and warnings on classes and parts without objects."""
    section = Section("Classes and parts")
    of_item = np.zeros((len(scan), len(class_names)), np.int64)
    for number, one in enumerate(scan.facts):
        of_item[number] = np.bincount(one.labels, minlength=len(class_names))[: len(class_names)]
    total = of_item.sum(axis=0)
    named = parts.named()
    _table(section, class_names, of_item, named)
    if len(class_names) > 1:
        section.plots.append(Plot("objects by class", total.tolist(), tuple(class_names)))
    without = [name for name, count in zip(class_names, total, strict=True) if not count]
    if without:
        section.warn(f"no object of {listed(without)}: a net cannot learn a class without examples")
    for name, numbers in named:
        _check_part(section, name, numbers, of_item, class_names, total)
    _check_balance(section, class_names, total)
    return section


def _check_part(
    section: Section, name: str, numbers: list[int], of_item: Int64Array, class_names: Sequence[str], total: Int64Array
) -> None:
    if not numbers:
        section.fault(f"{name} has no item: give more items, or other folds")
        return
    objects = of_item[numbers].sum(axis=0)
    if not objects.sum():
        what = "its average precision is not defined" if "train" not in name else "there is nothing to learn"
        section.warn(f"{name} has no object in its {len(numbers)} items: {what}")
        return
    missing = [
        class_name for class_name, here, count in zip(class_names, objects, total, strict=True) if count and not here
    ]
    if missing and "train" in name:
        section.warn(f"{name} has no object of {listed(missing)}: its net cannot learn it; stratified: true may help")
    elif missing:
        section.warn(f"{name} has no object of {listed(missing)}: there it is not measured; stratified: true may help")


def _check_balance(section: Section, class_names: Sequence[str], total: Int64Array) -> None:
    there = np.flatnonzero(total)
    if len(there) > 1 and total[there].min() * 100 < total.max():
        rarest, commonest = int(there[total[there].argmin()]), int(total.argmax())
        section.note(
            f"class {class_names[rarest]!r} has {total[rarest]} objects, {class_names[commonest]!r} {total[commonest]}"
            ": a rare class is learnt late"
        )


def _table(
    section: Section, class_names: Sequence[str], of_item: Int64Array, named: "list[tuple[str, list[int]]]"
) -> None:
    shown = [("all", list(range(len(of_item)))), *named[: 2 * MOST_FOLDS], *(named[-1:] if named[-1:] != [] else [])]
    columns = list(dict(shown).items())
    rows = [["class", "images", *(name for name, _ in columns)]]
    images = (of_item > 0).sum(axis=0)
    for label, name in enumerate(class_names):
        rows.append([name, str(images[label]), *(str(of_item[numbers, label].sum()) for _, numbers in columns)])
    rows.append(["all objects", str((of_item.sum(axis=1) > 0).sum()), *(str(of_item[n].sum()) for _, n in columns)])
    rows.append(["images", str(len(of_item)), *(str(len(numbers)) for _, numbers in columns)])
    section.table = rows
    if len(named) > 2 * MOST_FOLDS + 1:
        section.note(f"the table shows the first {MOST_FOLDS} folds")
