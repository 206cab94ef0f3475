"""``Announcer``: what was decided is printed once."""

from collections.abc import Sequence

from ..text import printable

OF_STAGES = ("schedule", "learning rate:")
"""How lines begin that say something else of each stage."""


class Announcer:
    """Prints lines, for an experiment and all its seeds; those that were printed already are left out."""

    def __init__(self) -> None:
        self._announced: set[tuple[int | None, str]] = set()

    def announce(self, stage: int, decisions: Sequence[str]) -> None:
        """Print what was decided for a stage."""
        for line in decisions:
            key = (stage if line.startswith(OF_STAGES) else None, line)
            if key not in self._announced:
                self._announced.add(key)
                where = f"stage {stage}: " if key[0] is not None else ""
                print(f"  {where}{printable(line)}")  # noqa: T201
