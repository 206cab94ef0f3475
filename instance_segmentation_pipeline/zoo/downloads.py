"""Weights from elsewhere: names of model zoos to URLs, and downloads that resume and are checked.

Published checkpoints carry the first eight digits of their SHA-256 in their name (``…-0676ba61.pth``, the
convention of torch and OpenMMLab); a download that does not agree is never used.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlparse

from tqdm import tqdm

from ..errors import WeightsError, nearest
from ..storage.atomic import write_text
from ..storage.zip_files import is_whole, is_zip
from ..text import printable

HOW_TO_GO_WITHOUT = (
    "set pretrained: false to train from random weights, or give weightsPath a file that you have downloaded"
)
SCHEMES = {
    "torchvision": "torchvision_0.12.json",
    "modelzoo": "torchvision_0.12.json",
    "open-mmlab": "openmmlab.json",
    "openmmlab": "openmmlab.json",
    "mmcls": "mmcls.json",
}
"""Model-zoo schemes of MMEngine, and the list in its package that gives their URLs."""

TIMEOUT = 30
CHUNK = 1 << 20


def is_remote(source: str) -> bool:
    """Say whether a source of weights is no local path: a URL, or a model zoo's name."""
    return "://" in source or source.startswith("mmdet::")


def url_of(source: str, what: str) -> str:
    """Return the URL that a source of weights stands for.

    Args:
        source: An http(s) URL, ``torchvision://…``, ``open-mmlab://…``, or ``mmdet::<config of the zoo>``.
        what: What the weights are for, for messages.

    Raises:
        WeightsError: The name is not in its zoo, or has no published weights.
    """
    if source.startswith("mmdet::"):
        return _zoo_url(source.removeprefix("mmdet::"), what)
    scheme, _, name = source.partition("://")
    if scheme in ("http", "https"):
        return source
    if scheme not in SCHEMES:
        raise WeightsError(f"{what} {source}: {scheme}:// is not known, expected http(s), mmdet:: or {list(SCHEMES)}.")
    import mmengine
    from mmengine.fileio import load

    urls = load(Path(mmengine.__file__).parent / "hub" / SCHEMES[scheme])
    url = urls.get(name)
    if not isinstance(url, str):
        raise WeightsError(f"{what} {source} are not in MMEngine's list{nearest(name, urls)}: {HOW_TO_GO_WITHOUT}.")
    return url if "://" in url else f"https://download.openmmlab.com/{url}"


def fetch(source: str, cache: "Path | None", what: str) -> Path:
    """Return the local copy of remote weights, downloading what is missing of it.

    Each URL has a folder of its own in the cache, named by a digest of the URL; one process at a time writes to it. A
    file of the same name that torch or MMEngine left in the cache is taken where the checksum in its name agrees.

    Args:
        source: As ``url_of`` takes it.
        cache: Folder to keep downloads in; by default torch's.
        what: What the weights are for, for messages.

    Raises:
        WeightsError: The download failed, for example for lack of a network, or is not complete, or does not agree with
            its checksum.
    """
    import torch

    url = url_of(source, what)
    name = file_name_of(url)
    checkpoints = (cache if cache is not None else Path(torch.hub.get_dir())) / "checkpoints"
    folder = checkpoints / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    path = folder / name
    if path.is_file():
        return path
    if (
        checksum_in(name)
        and (checkpoints / name).is_file()
        and _digest(checkpoints / name).startswith(checksum_in(name))
    ):
        return checkpoints / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_writer(folder / "lock"):
            if not path.is_file():
                _fetch_to(path, url, what)
    except WeightsError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        words = printable(f"{reason}" or type(error).__name__, 200)
        raise WeightsError(f"{what} {shown(url)} could not be downloaded ({words}): {HOW_TO_GO_WITHOUT}.") from None
    return path


def file_name_of(url: str) -> str:
    """Return the name that a download is kept under: the last part of the URL's path, as a plain file name."""
    try:
        parts = urlparse(url).path.split("/")
    except ValueError:
        parts = []
    last = re.sub(r"[^A-Za-z0-9._-]", "_", parts[-1] if parts else "").strip(".")
    return last[-100:].strip(".") or "weights"


def shown(url: str) -> str:
    """Return a URL for messages, without the password and the signature that it may carry."""
    address, _, query = url.partition("?")
    return printable(re.sub(r"//[^/@]*@", "//", address), 300) + ("?…" if query else "")


def checksum_in(name: str) -> str:
    """Return the eight digits that a file's name ends with, an empty string where it has none."""
    found = re.search(r"-([0-9a-f]{8})$", Path(name).stem)
    return "" if found is None else found.group(1)


@contextlib.contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Wait until no other process writes beside ``path``; a process that dies gives way at once."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fetch_to(path: Path, url: str, what: str) -> None:
    """Download a URL to ``path``, by way of a part that is checked before it takes its name."""
    part, mark = path.with_name(path.name + ".part"), path.with_name(path.name + ".version")
    _download(url, part, mark)
    _check(part, checksum_in(path.name), url, what)
    part.replace(path)
    mark.unlink(missing_ok=True)


def _download(url: str, part: Path, mark: Path) -> None:
    """Download to ``part``, going on behind what it holds already where it is sure to be of the same content.

    That is where the name has a checksum, or where the server says that the version is still the one in ``mark``.
    """
    headers = {"User-Agent": "instance_segmentation_pipeline", "Accept-Encoding": "identity"}
    have = part.stat().st_size if part.is_file() and not part.is_symlink() else 0
    version = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    if have and (version or checksum_in(part.stem)):
        headers |= {"Range": f"bytes={have}-", **({"If-Range": version} if version else {})}
    else:
        have = 0
    request = urllib.request.Request(quote(url, safe="/:?#[]@!$&'()*+,;=%-._~"), headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if checksum_in(part.stem):  # nothing is missing, or the check tells
            return
        part.unlink()
        raise OSError("the server has another file now: start again") from None
    with response:
        begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
        resumed = response.status == 206 and (begins is None or int(begins.group(1)) == have)
        if response.status == 206 and not resumed:
            raise OSError("the server sent another part than it was asked for")
        have = have if resumed else 0
        length = response.headers.get("Content-Length") or ""
        total = int(length) + have if length.isdecimal() else 0
        _keep_version(mark, response.headers)
        bar = tqdm(total=total or None, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with _open(part, have) as file, bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if total and part.stat().st_size != total:
        raise OSError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _keep_version(mark: Path, headers: Message) -> None:
    """Note which version of a file is being downloaded; a weak ETag does not tell bytes apart."""
    tag = headers.get("ETag") or ""
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""
    if version:
        write_text(mark, version)
    else:
        mark.unlink(missing_ok=True)


def _open(part: Path, have: int) -> BinaryIO:
    """Open a part to write behind its first ``have`` bytes, through no link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_APPEND if have else os.O_TRUNC)
    return os.fdopen(os.open(part, flags, 0o666), "ab" if have else "wb")


def _check(part: Path, wanted: str, url: str, what: str) -> None:
    found = _digest(part) if wanted else ""
    trouble = ""
    if not found.startswith(wanted):
        trouble = f"its checksum begins with {found[:8]}, expected {wanted}"
    elif is_zip(part) and not is_whole(part):
        trouble = "its records do not agree with their checksums"
    elif _is_page(part):
        trouble = "it is a web page or a pointer to a file, no checkpoint"
    if trouble:
        part.unlink()
        raise WeightsError(f"{what} {shown(url)} arrived damaged: {trouble}; start again, or correct the URL.")


def _is_page(part: Path) -> bool:
    with part.open("rb") as file:
        begin = file.read(64).lstrip().lower()
    return begin.startswith((b"<!doctype", b"<html", b"<?xml", b"version https://git-lfs"))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _zoo_url(name: str, what: str) -> str:
    from .catalogue import catalogue, entry_of

    entry = entry_of(name)
    if entry is None or entry.weights is None:
        known = [candidate.config for candidate in catalogue() if candidate.weights]
        raise WeightsError(f"{what} mmdet::{name}: the zoo has no weights for it{nearest(name, known, 2)}: correct it.")
    return entry.weights
