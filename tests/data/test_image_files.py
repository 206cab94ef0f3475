"""Image files of every kind that folders hold: what is read of them, and the sentence about those that cannot be."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from instance_segmentation_pipeline.data.image_file import image_size, read_image
from instance_segmentation_pipeline.data.image_folder import Directory
from instance_segmentation_pipeline.errors import DatasetError

RGB = np.zeros((12, 20, 3), np.uint8)
RGB[:6, :10], RGB[6:, 10:] = (220, 40, 30), (30, 60, 210)
GREY = np.arange(240, dtype=np.uint8).reshape(12, 20)


def _saved(path, array, mode=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image = image if mode is None else image.convert(mode)
    image.save(path, **options)
    return path


def _by_opencv(path, array):
    assert cv2.imwrite(str(path), array)
    return path


def png_header(width, height, depth=8):
    """Return a PNG of this size, whose pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I4s", 9, b"IDAT")
    )


def tiff_header(width, height):
    """Return a TIFF of this size of floating-point colour, whose pixels are missing."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, 8), (339, 3, 1, 3)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<4sI", b"II*\0", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def tiff_of(pixels, orientation, order="<"):
    """Return a TIFF of any type of pixels ``(height, width)`` or ``(height, width, 3)``, marked as turned."""
    height, width, channels = (*pixels.shape, 1)[:3]
    data, kind = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes(), 3 if pixels.dtype.kind == "f" else 1
    tags = {256: width, 257: height, 258: pixels.itemsize * 8, 259: 1, 262: 2 if channels == 3 else 1, 273: 0}
    tags |= {274: orientation, 277: channels, 278: height, 279: len(data), 284: 1, 339: kind}
    start = 8 + 2 + 12 * len(tags) + 4
    numbers = {tag: start + 6 * place for place, tag in enumerate((258, 339))} if channels == 3 else {}
    extra = b"".join(struct.pack(f"{order}3H", *[tags[tag]] * 3) for tag in numbers)
    entries = b""
    for tag, value in (tags | {273: start + len(extra)} | numbers).items():
        is_long = tag in (*numbers, 273, 279)
        size = (3 if tag in numbers else 4, 3) if tag in numbers else (4, 1) if is_long else (3, 1)
        entries += struct.pack(f"{order}HHI", tag, *size)
        entries += struct.pack(f"{order}I", value) if is_long else struct.pack(f"{order}HH", value, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + struct.pack(f"{order}I", 0) + extra + data


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".webp", ".jpg", ".jfif", ".gif"])
def test_colours(suffix, tmp_path):
    options = {"lossless": True} if suffix == ".webp" else {}
    options |= {"quality": 100, "subsampling": 0} if suffix in (".jpg", ".jfif") else {}
    found = read_image(_saved(tmp_path / f"a{suffix}", RGB, **options)).pixels
    assert found.dtype == np.uint8
    assert found.shape == (12, 20, 3)
    np.testing.assert_allclose(found.astype(int), RGB, atol=12 if suffix in (".jpg", ".jfif") else 0)


TURNED = {
    "16 bits": lambda image, turn: tiff_of(image.astype(np.uint16) * 257, turn),
    "16 bits, big-endian": lambda image, turn: tiff_of(image.astype(np.uint16) * 257, turn, ">"),
    "float": lambda image, turn: tiff_of(image.astype(np.float32) / 255, turn),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", "-16.png", *(f"-{kind}.tif" for kind in TURNED)])
def test_orientation(suffix, orientation, tmp_path):
    """Each file holds the same picture, stored turned and marked as such."""
    turns = {
        1: lambda image: image,
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.swapaxes(0, 1),
        6: lambda image: np.rot90(image, 1),
        7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
        8: lambda image: np.rot90(image, -1),
    }
    stored = np.ascontiguousarray(turns[orientation](RGB))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    if suffix == "-16.png":
        stored16 = stored[..., ::-1].astype(np.uint16) * 257
        _by_opencv(path, stored16)
        data = path.read_bytes()
        body = b"eXIf" + exif.tobytes()[6:]
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(data[:33] + chunk + data[33:])
    elif path.stem[2:] in TURNED:
        path.write_bytes(TURNED[path.stem[2:]](stored, orientation))
    else:
        _saved(path, stored, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    found = read_image(path).pixels
    assert found.shape == RGB.shape
    assert np.abs(found.astype(int) - RGB).mean() < 12
    assert image_size(path) == RGB.shape[:2]


KINDS = {
    "grey": lambda path: (_saved(path / "a.png", GREY), GREY),
    "one bit": lambda path: (_saved(path / "a.png", GREY > 120, "1"), (GREY > 120) * 255),
    "palette": lambda path: (_saved(path / "a.png", Image.fromarray(RGB).quantize(8)), RGB),
    "alpha": lambda path: (_saved(path / "a.png", np.dstack([RGB, GREY])), RGB),
    "grey and alpha": lambda path: (_saved(path / "a.png", Image.fromarray(GREY).convert("LA")), GREY),
    "12 of 16 bits": lambda path: (_saved(path / "a.png", (GREY.astype(np.uint16) << 4) + 15), GREY),
    "16 bits": lambda path: (
        _saved(path / "a.tif", np.maximum(GREY, 70).astype(np.uint16) * 257),
        np.maximum(GREY, 70),
    ),
    "8 of 16 bits": lambda path: (_saved(path / "a.png", GREY.astype(np.uint16)), GREY),
    "16 bits, colour": lambda path: (_by_opencv(path / "a.png", RGB[..., ::-1].astype(np.uint16) * 257), RGB),
    "12 of 16 bits, colour": lambda path: (_by_opencv(path / "a.tif", RGB[..., ::-1].astype(np.uint16) * 16), RGB),
    "16 bits and alpha": lambda path: (
        _by_opencv(path / "a.png", np.dstack([RGB[..., ::-1], GREY]).astype(np.uint16) * 257),
        RGB,
    ),
    "float of 0..1": lambda path: (_saved(path / "a.tif", GREY.astype(np.float32) / 255), GREY),
    "float of 0..255": lambda path: (_saved(path / "a.tif", GREY.astype(np.float32)), GREY),
    "float, colour": lambda path: (_by_opencv(path / "a.tif", RGB[..., ::-1].astype(np.float32) / 255), RGB),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind, tmp_path):
    path, expected = KINDS[kind](tmp_path)
    found = read_image(path).pixels
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected, atol=2)


def test_inks_become_colours(tmp_path):
    found = read_image(_saved(tmp_path / "a.jpg", RGB, "CMYK", quality=100)).pixels
    np.testing.assert_allclose(found.astype(int), RGB, atol=40)


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png", ".webp"])
def test_of_several_pages_the_first_is_read(suffix, tmp_path, capsys):
    others = [Image.fromarray(RGB[::-1]), Image.fromarray(RGB[:, ::-1])]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = _saved(tmp_path / f"pages{suffix}", RGB, save_all=True, append_images=others, **options)
    found = read_image(path)
    assert found.pages == 3
    np.testing.assert_allclose(found.pixels.astype(int), RGB, atol=2)
    list(Directory(tmp_path).batches(4))
    assert f"only the first is looked at: pages{suffix}" in capsys.readouterr().err


def _bad(folder, name):
    """Make an entry that is no readable image."""
    path = folder / name
    whole = _saved(folder / "whole.png", RGB.repeat(8, 0).repeat(8, 1)).read_bytes()
    jpeg = _saved(folder / "whole.jpg", np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).read_bytes()
    (folder / "whole.png").unlink()
    (folder / "whole.jpg").unlink()
    makers = {
        "folder.jpg": lambda: path.mkdir(),
        "dead-link.jpg": lambda: path.symlink_to("nothing"),
        "loop.jpg": lambda: path.symlink_to(path.name),
        "pipe.jpg": lambda: os.mkfifo(path),
        "empty.jpg": lambda: path.write_bytes(b""),
        "text.jpg": lambda: path.write_bytes(b"no image"),
        "truncated.png": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "truncated.jpg": lambda: path.write_bytes(jpeg[: len(jpeg) // 2]),
        "header.png": lambda: path.write_bytes(whole[:20]),
        "zeros.jpg": lambda: path.write_bytes(bytes(5000)),
        "flipped.png": lambda: path.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]),
        "huge.png": lambda: path.write_bytes(png_header(60_000, 60_000)),
        "huge-16.png": lambda: path.write_bytes(png_header(60_000, 60_000, 16)),
        "huge.tif": lambda: path.write_bytes(tiff_header(60_000, 60_000)),
        "huge.bmp": lambda: path.write_bytes(
            b"BM" + struct.pack("<IIIIiiHH", 60, 0, 54, 40, 60000, 60000, 1, 24) + bytes(24)
        ),
        "nothing.tif": lambda: path.write_bytes(tiff_header(0, 40)),
        "cut.tif": lambda: path.write_bytes(tiff_header(40, 40)),
        "cut-16.png": lambda: path.write_bytes(png_header(40, 40, 16)),
        "page.jpg": lambda: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "negative.tif": lambda: _saved(path, GREY.astype(np.float32) - 90),
        "nan.tif": lambda: _saved(path, np.full((4, 4), np.nan, np.float32)),
        "large.tif": lambda: _saved(path, GREY.astype(np.int32) * 90_000),
    }
    makers[name]()
    return path


BAD = {
    "folder.jpg": "is a folder",
    "dead-link.jpg": "is a link to nothing",
    "loop.jpg": "cannot be opened",
    "pipe.jpg": "cannot be opened .it is a pipe",
    "empty.jpg": "is empty",
    "text.jpg": "is no image of a known format",
    "truncated.png": "is damaged",
    "truncated.jpg": "is damaged",
    "header.png": "is damaged|no image",
    "zeros.jpg": "is no image of a known format",
    "flipped.png": "is damaged",
    "huge.png": "pixels",
    "huge-16.png": "pixels",
    "huge.tif": "has 60000 x 60000 pixels, more than 178,956,970",
    "huge.bmp": "pixels",
    "nothing.tif": "has no pixels|is damaged",
    "cut.tif": "is damaged",
    "cut-16.png": "is damaged",
    "page.jpg": "is no image of a known format",
    "negative.tif": "holds values from -90 to 149, expected 0..1 or 0..255",
    "nan.tif": "no finite numbers",
    "large.tif": "expected up to 16 bits",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name, tmp_path):
    path = _bad(tmp_path, name)
    with pytest.raises(DatasetError, match=BAD[name]) as caught:
        read_image(path)
    assert len(str(caught.value)) < 200


def test_one_bad_entry_costs_the_others_nothing(tmp_path, capsys):
    for name in BAD:
        _bad(tmp_path, name)
    strange = os.fsdecode(b"\xff\xfe strange.png")
    for name in ("good.png", strange, f"{'long' * 60}.png", "zz.png"):
        _saved(tmp_path / name, RGB)
    folder = Directory(tmp_path)
    good = [name for batch in folder.batches(3) for name, _ in batch]
    assert sorted(good) == sorted(["good.png", strange, f"{'long' * 60}.png", "zz.png"])
    assert sorted(folder.skipped) == sorted(BAD)
    said = capsys.readouterr().err
    assert f"{len(BAD)} of {len(BAD) + 4} files in" in said
    assert said.count("\n") == 1
    assert len(said) < 2500


def test_nothing_is_decoded_beyond_the_limit(tmp_path, monkeypatch):
    path = _saved(tmp_path / "a.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DatasetError, match="more than 200 pixels"):
        read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(path).pixels.shape == (12, 20, 3)


@pytest.mark.parametrize("name", ["missing", "a.png", "with\0zero", "n" * 5000])
def test_folders_that_are_none(name, tmp_path):
    _saved(tmp_path / "a.png", RGB)
    with pytest.raises(DatasetError, match="folder"):
        Directory(tmp_path / name)


def test_limits_count_images(tmp_path):
    for number in range(5):
        _saved(tmp_path / f"{number}.png", RGB)
    sizes = [[len(batch) for batch in Directory(tmp_path).batches(2, limit)] for limit in (-1, 0, 1, 3, 4, 9)]
    assert sizes == [[2, 2, 1], [], [1], [2, 1], [2, 2], [2, 2, 1]]
