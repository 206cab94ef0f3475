"""Pictures of instances: masks, boxes, names and scores drawn on an image, and truth beside prediction."""

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..detection.arrays import FloatArray, Int64Array, UInt8Array
from ..detection.instances import Instances
from ..storage.atomic import write_atomically
from .letters import SIZE, drawable, font_for

SMALLEST_SIDE = 384
"""Images are enlarged by a whole factor until their longer side reaches this, so that text can be read."""
LARGEST_SIDE = 1000
GAP = 6
HEADER = 22
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_instances(
    image: UInt8Array, instances: Instances, class_names: Sequence[str], scores: "FloatArray | None" = None
) -> UInt8Array:
    """Draw instances on a copy of an image.

    Args:
        image: ``(height, width, 3)`` uint8 RGB.
        instances: What to draw; neighbours get colours that differ.
        class_names: Names by label, from 0; shown whole where they fit into the picture and cover no other.
        scores: ``(N,)`` 0..1, shown beside the name.

    Returns:
        ``(height * s, width * s, 3)`` uint8 RGB, ``s`` such that text can be read.
    """
    scale = _scale(image)
    interpolation = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    canvas: UInt8Array = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else interpolation)
    order = np.argsort(-_areas(instances))
    colors = [_color(number) for number in range(len(instances))]
    masks = None if instances.masks is None else instances.masks.resized(size[1], size[0])
    for row in order:
        if masks is not None:
            _paint(canvas, masks.boxes[row], masks.crops[row], colors[row])
        x1, y1, x2, y2 = (int(value) for value in (instances.bboxes[row] * scale).round())
        cv2.rectangle(canvas, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colors[row], 1, cv2.LINE_AA)
    names = drawable(class_names)
    best_first = order if scores is None else np.argsort(-np.asarray(scores), kind="stable")
    texts = [names[label] for label in instances.labels]
    tags = [
        Tag(texts[row], None if scores is None else float(scores[row]), instances.bboxes[row] * scale, colors[row])
        for row in best_first
    ]
    return _tagged(canvas, tags)


def _paint(canvas: UInt8Array, box: Int64Array, crop: UInt8Array, color: tuple[int, int, int]) -> None:
    """Tint the pixels of a mask, and draw its outline, in place."""
    x1, y1, x2, y2 = box.tolist()
    region, inside = canvas[y1:y2, x1:x2], crop > 0
    region[inside] = (0.55 * region[inside] + 0.45 * np.array(color)).astype(np.uint8)
    outline, _ = cv2.findContours(np.ascontiguousarray(crop), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x1, y1))
    cv2.drawContours(canvas, outline, -1, color, 2, cv2.LINE_AA)


Row = tuple[UInt8Array, Instances, Instances, "FloatArray | None"]
"""Image, truth, prediction and its scores."""


def comparison(rows: Sequence[Row], class_names: Sequence[str]) -> UInt8Array:
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


def grid(pictures: Sequence[UInt8Array], columns: int) -> UInt8Array:
    """Return pictures ``(height, width, 3)`` uint8, of any sizes, as one: ``columns`` beside each other, on white."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    rows = -(-len(pictures) // columns)
    across = min(columns, len(pictures))
    whole = np.full((rows * (height + GAP) - GAP, across * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def write_jpeg(path: Path, picture: UInt8Array) -> None:
    """Write an RGB picture ``(height, width, 3)`` uint8, atomically."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    with write_atomically(path) as temporary:  # cv2.imwrite crashes on names that are no UTF-8, and hides a full disk
        temporary.write_bytes(data.tobytes())


def _scale(image: UInt8Array) -> float:
    longest = max(image.shape[0], image.shape[1])
    if longest > LARGEST_SIDE:
        return LARGEST_SIDE / longest
    return max(1, -(-SMALLEST_SIDE // longest))


def _areas(instances: Instances) -> FloatArray:
    areas: FloatArray = (instances.bboxes[:, 2:] - instances.bboxes[:, :2]).prod(axis=1)
    return areas


def _color(number: int) -> tuple[int, int, int]:
    """Return the colour of the n-th object: hues a golden angle apart, so that neighbours in number differ most."""
    hue = (number * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0 if number % 2 else 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


class Tag(NamedTuple):
    """What is written at an object: its class, its score, its box in the picture's pixels, its colour."""

    name: str
    score: "float | None"
    bbox: FloatArray
    color: tuple[int, int, int]

    def forms(self) -> list[str]:
        """Return what may be written, the longest first."""
        return [self.name] if self.score is None else [f"{self.name} {self.score:.2f}", self.name]


def _tagged(canvas: UInt8Array, tags: Sequence[Tag]) -> UInt8Array:
    """Return a picture with names written on patches of their colours.

    A name is whole, or ends in an ellipsis as wide as its box, or is left out: where it would leave the picture or
    cover another.
    """
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    taken: list[tuple[int, int, int, int]] = []
    for tag in tags:
        font = font_for(tag.name) or font_for("class")
        assert font is not None  # the shipped font has Latin letters
        for text in (*tag.forms(), _shortened(tag, font)):
            width = math.ceil(font.getlength(text)) + 4
            place = _free_place(width, SIZE + 4, tag.bbox, canvas.shape, taken)
            if text and place is not None:
                taken.append(place)
                draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=tag.color)
                red, green, blue = tag.color
                ink = (0,) * 3 if 0.3 * red + 0.59 * green + 0.11 * blue > 130 else (255,) * 3
                draw.text((place[0] + 2, place[3] - 4), text, fill=ink, font=font, anchor="ls")
                break
    return np.array(image)


def _shortened(tag: Tag, font: ImageFont.FreeTypeFont) -> str:
    """Return the start of a name that is as wide as its box, empty where not two letters fit."""
    room = float(tag.bbox[2] - tag.bbox[0])
    for length in range(len(tag.name) - 1, 1, -1):
        text = f"{tag.name[:length]}…"
        if font.getlength(text) <= room:
            return text
    return ""


def _free_place(
    width: int, height: int, bbox: FloatArray, shape: Sequence[int], taken: Sequence[tuple[int, int, int, int]]
) -> "tuple[int, int, int, int] | None":
    """Return ``x1, y1, x2, y2`` of a patch at a box that covers no other, inside a picture; ``None`` without such."""
    if width > shape[1] or height > shape[0]:
        return None
    x = int(min(max(bbox[0], 0), shape[1] - width))
    for top in (bbox[1], bbox[1] - height, bbox[3]):
        y = int(min(max(top, 0), shape[0] - height))
        place = (x, y, x + width, y + height)
        if not any(x < x2 and x1 < place[2] and y < y2 and y1 < place[3] for x1, y1, x2, y2 in taken):
            return place
    return None
