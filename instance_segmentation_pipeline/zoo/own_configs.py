"""The MMDetection configs of this package, ``musket::<name>``: the folder ``configs`` at the repository's top level.

A wheel carries the folder inside the package; an editable install reads it where it is.
"""

import re
from pathlib import Path

from .catalogue import ZooEntry, entry_of

SCOPE = "musket::"
BASE = re.compile(r"^_base_\s*=\s*['\"](mmdet::)?([^'\"]+)['\"]", re.MULTILINE)


def own_folder() -> Path:
    """Return the folder of this package's own MMDetection configs."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def own_names() -> tuple[str, ...]:
    """Return the names of this package's configs, without ``.py``."""
    return tuple(sorted(path.stem for path in own_folder().glob("*.py")))


def own_entries() -> tuple[ZooEntry, ...]:
    """Return a catalogue entry of each config of this package; nothing was published of them.

    Architecture and backbone are those of the zoo's config that it starts from.
    """
    return tuple(_entry(name) for name in own_names())


def _entry(name: str) -> ZooEntry:
    base = BASE.search((own_folder() / f"{name}.py").read_text(encoding="utf-8"))
    origin = None
    if base:
        origin = entry_of(base.group(2)) if base.group(1) else _entry(Path(base.group(2)).stem)
    architecture, backbone = (origin.architecture, origin.backbone) if origin else ("", "")
    return ZooEntry(SCOPE + name, architecture, backbone, None, None, None, None)
