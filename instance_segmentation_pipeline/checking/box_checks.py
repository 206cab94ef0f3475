"""Boxes against masks, over all items: their order and form, by name."""

from ..data.consistency import BoxForms
from ..errors import DatasetError
from .findings import Section
from .item_scan import ItemScan


def boxes(scan: ItemScan, order: str, source: str) -> Section:
    """Return what is wrong with how the dataset writes boxes.

    Args:
        scan: All items.
        order: ``bboxOrder``.
        source: ``bboxSource``.
    """
    section = Section("Boxes")
    if source != "dataset":
        section.note(f"bboxSource is {source}: boxes are made of the masks")
        return section
    forms = BoxForms()
    for one in scan.facts:
        forms.add(one.boxes)
    try:
        lines = forms.check(order, None)
    except DatasetError as error:
        section.fault(str(error).rstrip("."))
        return section
    for line in lines:
        section.warn(line)
    if forms.items and not lines:
        section.note(f"the boxes of {len(forms.items)} items fit their masks, read as {order}")
    return section
