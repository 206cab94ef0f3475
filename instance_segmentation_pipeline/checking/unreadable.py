"""Items that cannot be read, or are not what they should be: every one."""

from .findings import Example, Section
from .item_scan import ItemScan


def unreadable(scan: ItemScan) -> Section:
    """Return a fault for each item that cannot be trained with, and a warning on objects that are there twice."""
    section = Section("Items")
    usable = scan.usable()
    section.note(f"{len(usable)} of {len(scan)} items can be read")
    for one in scan.facts:
        if one.error:
            section.fault(one.error.rstrip("."))
    repeated = [number for number in usable if scan.facts[number].twice]
    if repeated:
        count = sum(scan.facts[number].twice for number in repeated)
        first = scan.facts[repeated[0]].name
        section.warn(
            f"{count} objects of {len(repeated)} items have class and box of another one of the same item (the first "
            f"is in {first!r}): an object that is annotated twice is counted, and missed, twice: remove one"
        )
        section.examples = [
            Example((number,), f"{scan.facts[number].name}: {scan.facts[number].twice} objects are there twice")
            for number in repeated[:2]
        ]
    return section
