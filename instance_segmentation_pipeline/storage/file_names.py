"""Names of files made from names of others: ids of items, names of images."""

import hashlib
import os

LONGEST = 200
"""Bytes of a name at most: what is added to it (``.jpg``, a temporary's ending) still fits in the usual 255."""
_RESERVED = frozenset('/\\:*?"<>|')


def file_name_of(name: str) -> str:
    """Return a file name, without folder and ending, that stands for the id of an item or the name of a file.

    Letters of every script stay. What file systems refuse becomes ``_``, and what is too long is cut; then a digest of
    the whole name is added, so that two names never share a file: ``a/b`` gives
    ``a_b-c14cddc0``, ``a_b`` gives ``a_b``.
    """
    kept = "".join(letter if letter.isprintable() and letter not in _RESERVED else "_" for letter in name)
    if kept.startswith("."):
        kept = f"_{kept[1:]}"
    kept = kept.rstrip(". ") or "_"
    if kept == name and len(os.fsencode(kept)) <= LONGEST:
        return kept
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept.encode()[: LONGEST - 9].decode('utf-8', 'ignore')}-{digest}"
