"""Weights from elsewhere: names of model zoos to URLs, and downloads that resume and are checked.

Published checkpoints carry the first eight digits of their SHA-256 in their name (``…-0676ba61.pth``, the
convention of torch and OpenMMLab); a download that does not agree is never used.
"""

import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

from tqdm import tqdm

from ..errors import WeightsError, nearest

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

    Args:
        source: As ``url_of`` takes it.
        cache: Folder to keep downloads in; by default torch's.
        what: What the weights are for, for messages.

    Raises:
        WeightsError: The download failed, for example for lack of a network, or does not agree with its checksum.
    """
    import torch

    url = url_of(source, what)
    folder = (cache if cache is not None else Path(torch.hub.get_dir())) / "checkpoints"
    path = folder / Path(urlparse(url).path).name
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _download(url, part)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(f"{what} {url} could not be downloaded ({reason}): {HOW_TO_GO_WITHOUT}.") from None
    _check(part, path.stem, url, what)
    part.replace(path)
    return path


def _download(url: str, part: Path) -> None:
    """Download to ``part``, going on behind what it holds already where the server can."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "instance_segmentation_pipeline", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing
            return
        raise
    with response:
        resumed = response.status == 206
        total = int(response.headers.get("Content-Length") or 0) + (have if resumed else 0)
        have = have if resumed else 0
        bar = tqdm(total=total or None, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with part.open("ab" if resumed else "wb") as file, bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total and part.stat().st_size < total:
        raise OSError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _check(part: Path, stem: str, url: str, what: str) -> None:
    wanted = re.search(r"-([0-9a-f]{8})$", stem)
    if wanted is None:
        return
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if not digest.hexdigest().startswith(wanted.group(1)):
        part.unlink()
        raise WeightsError(
            f"{what} {url} arrived damaged: its checksum begins with {digest.hexdigest()[:8]}, expected "
            f"{wanted.group(1)}; start again."
        )


def _zoo_url(name: str, what: str) -> str:
    from .catalogue import catalogue, entry_of

    entry = entry_of(name)
    if entry is None or entry.weights is None:
        known = [candidate.config for candidate in catalogue() if candidate.weights]
        raise WeightsError(f"{what} mmdet::{name}: the zoo has no weights for it{nearest(name, known, 2)}: correct it.")
    return entry.weights
