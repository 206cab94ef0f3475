"""More objects in an image than the model finds."""

from collections.abc import Mapping

from ..data.consistency import DETECTIONS_OF_COCO, what_to_raise
from .findings import Example, Section
from .item_scan import ItemScan


def object_counts(scan: ItemScan, limits: Mapping[str, int]) -> Section:
    """Return warnings on images with more objects than the model gives.

    Args:
        scan: All items.
        limits: The most detections in an image, by the key of the native config that says so.
    """
    section = Section("Objects an image")
    counts = [one.at_once for one in scan.facts]
    where = "an image" if scan.grid is None else "a cell"
    most = max(counts, default=0)
    for key, limit in limits.items():
        more = [number for number, count in enumerate(counts) if count > limit]
        if more:
            lost = sum(counts[number] - limit for number in more)
            unfound, cell = (f"{lost} objects", "") if scan.grid is None else ("some", " in one cell")
            section.warn(
                f"{len(more)} items have more than {limit} objects{cell} (up to {most}), the most that the model finds "
                f"in {where}: {unfound} cannot be found: {what_to_raise(key, most)}"
            )
            fullest = counts.index(most)
            section.examples = [Example((fullest,), f"{scan.facts[fullest].name}: {most} objects{cell}")]
    if limits and not section.findings:
        section.note(f"up to {most} objects in {where}, and the model finds {min(limits.values())}")
    if max((len(one.labels) for one in scan.facts), default=0) > DETECTIONS_OF_COCO:
        section.note(f"COCO's metrics count {DETECTIONS_OF_COCO} detections: here as many as an image has objects")
    return section
