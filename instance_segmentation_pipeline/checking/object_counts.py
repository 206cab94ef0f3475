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
    counts = [len(one.labels) for one in scan.facts]
    most = max(counts, default=0)
    for key, limit in limits.items():
        more = [number for number, count in enumerate(counts) if count > limit]
        if more:
            lost = sum(counts[number] - limit for number in more)
            section.warn(
                f"{len(more)} items have more than {limit} objects (up to {most}), the most that the model finds in an "
                f"image: {lost} objects cannot be found: {what_to_raise(key, most)}"
            )
            fullest = counts.index(most)
            section.examples = [Example((fullest,), f"{scan.facts[fullest].name}: {most} objects")]
    if limits and not section.findings:
        section.note(f"up to {most} objects an image, and the model finds {min(limits.values())}")
    if most > DETECTIONS_OF_COCO:
        section.note(f"COCO's metrics count {DETECTIONS_OF_COCO} detections: here as many as an image has objects")
    return section
