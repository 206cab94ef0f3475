"""Pictures of instances: masks, boxes, names and scores drawn on an image, and truth beside prediction."""

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..detection.instances import Instances
from ..storage.experiment_files import write_atomically

SMALLEST_SIDE = 384
"""Images are enlarged by a whole factor until their longer side reaches this, so that text can be read."""
LARGEST_SIDE = 1000
GAP = 6
HEADER = 22
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_instances(
    image: np.ndarray, instances: Instances, class_names: Sequence[str], scores: "np.ndarray | None" = None
) -> np.ndarray:
    """Draw instances on a copy of an image.

    Args:
        image: ``(height, width, 3)`` uint8 RGB.
        instances: What to draw; neighbours get colours that differ.
        class_names: Names by label, from 0.
        scores: ``(N,)`` 0..1, shown beside the name.

    Returns:
        ``(height * s, width * s, 3)`` uint8 RGB, ``s`` such that text can be read.
    """
    scale = _scale(image)
    interpolation = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else interpolation)
    order = np.argsort(-_areas(instances))
    colors = [_color(number) for number in range(len(instances))]
    for row in order:
        if instances.masks is not None:
            mask = cv2.resize(instances.masks[row], size, interpolation=cv2.INTER_NEAREST)
            canvas[mask > 0] = (0.55 * canvas[mask > 0] + 0.45 * np.array(colors[row])).astype(np.uint8)
            outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(canvas, outline, -1, colors[row], 2, cv2.LINE_AA)
        x1, y1, x2, y2 = (int(value) for value in (instances.bboxes[row] * scale).round())
        cv2.rectangle(canvas, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colors[row], 1, cv2.LINE_AA)
    for row in order:
        name = class_names[instances.labels[row]]
        text = name if scores is None else f"{name} {scores[row]:.2f}"
        _tag(canvas, text, instances.bboxes[row] * scale, colors[row])
    return canvas


def comparison(rows: Sequence[tuple[np.ndarray, Instances, Instances, Any]], class_names: Sequence[str]) -> np.ndarray:
    """Return one picture, ``(height, width, 3)`` uint8 RGB: a row an image, truth on the left, prediction right.

    Each row is ``(image, truth, prediction, scores)`` as ``draw_instances`` takes them.
    """
    drawn = []
    for image, truth, prediction, scores in rows:
        left = draw_instances(image, truth, class_names)
        right = draw_instances(image, prediction, class_names, scores)
        gap = np.full((left.shape[0], GAP, 3), 255, np.uint8)
        drawn.append(np.concatenate([left, gap, right], axis=1))
    width = max(panel.shape[1] for panel in drawn)
    header = np.full((HEADER, width, 3), 255, np.uint8)
    half = drawn[0].shape[1] // 2
    for text, x in (("ground truth", 4), ("prediction", half + GAP)):
        cv2.putText(header, text, (x, HEADER - 7), FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    parts = [header]
    for panel in drawn:
        padded = np.full((panel.shape[0] + GAP, width, 3), 255, np.uint8)
        padded[: panel.shape[0], : panel.shape[1]] = panel
        parts.append(padded)
    return np.concatenate(parts)


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture ``(height, width, 3)`` uint8, atomically."""
    with write_atomically(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])


def _scale(image: np.ndarray) -> float:
    longest = max(image.shape[:2])
    if longest > LARGEST_SIDE:
        return LARGEST_SIDE / longest
    return max(1, -(-SMALLEST_SIDE // longest))


def _areas(instances: Instances) -> np.ndarray:
    return (instances.bboxes[:, 2:] - instances.bboxes[:, :2]).prod(axis=1)


def _color(number: int) -> tuple[int, int, int]:
    """Return the colour of the n-th object: hues a golden angle apart, so that neighbours in number differ most."""
    hue = (number * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0 if number % 2 else 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def _tag(canvas: np.ndarray, text: str, bbox: np.ndarray, color: tuple) -> None:
    """Write a name on a patch of its colour, inside the picture; shortened to its last word when it does not fit."""
    available = max(float(bbox[2] - bbox[0]) * 1.3, 34.0)
    (width, height), _ = cv2.getTextSize(text, FONT, 0.4, 1)
    if width > available and " " in text:
        text = text.rpartition(" ")[2]
        (width, height), _ = cv2.getTextSize(text, FONT, 0.4, 1)
    if width > available:
        return
    x = int(min(max(bbox[0], 0), canvas.shape[1] - width - 4))
    y = int(min(max(bbox[1], 0), canvas.shape[0] - height - 4))
    cv2.rectangle(canvas, (x, y), (x + width + 3, y + height + 4), color, -1)
    light = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 130
    cv2.putText(canvas, text, (x + 2, y + height + 1), FONT, 0.4, (0,) * 3 if light else (255,) * 3, 1, cv2.LINE_AA)
