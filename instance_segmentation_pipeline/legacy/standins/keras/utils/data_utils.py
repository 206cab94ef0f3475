"""The class that musket_core wraps to serialise the start of Keras 2's data queues."""

from typing import Any


class SequenceEnqueuer:
    def __init__(self, sequence: Any = None, *args: Any, **options: Any) -> None:
        self.sequence = sequence
