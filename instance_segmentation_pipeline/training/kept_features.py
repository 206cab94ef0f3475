"""``KeepsFeatures``: a detector that runs backbone and neck once for several questions about the same images."""

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from mmengine.registry import MODELS


class KeepsFeatures:
    """What the class of a detector becomes a subclass of: ``extract_feat`` answers from memory where it is asked to."""

    _kept: "dict[int, tuple[Any, Any]] | None" = None

    @contextlib.contextmanager
    def features_kept(self) -> Iterator[None]:
        """Extract the features of a tensor once while the block runs."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def extract_feat(self, batch_inputs: Any, *arguments: Any, **options: Any) -> Any:
        """Return the features of images, as the detector itself does.

        Args:
            batch_inputs: Images, ``(N, C, H, W)``.
            arguments: What the detector takes besides.
            options: The same.
        """
        if self._kept is None:
            return super().extract_feat(batch_inputs, *arguments, **options)  # type: ignore[misc]
        if id(batch_inputs) not in self._kept:  # the tensor is held too: no other one gets its number
            features = super().extract_feat(batch_inputs, *arguments, **options)  # type: ignore[misc]
            self._kept[id(batch_inputs)] = (batch_inputs, features)
        return self._kept[id(batch_inputs)][1]


def keeping_features(model: Any) -> Any:
    """Return the config of a model with such a class in place of its type; what is built otherwise stays as it is."""
    if not isinstance(model, dict) or not isinstance(model.get("type"), str):
        return model
    with MODELS.switch_scope_and_registry(model.get("_scope_")) as registry:
        kind = registry.get(model["type"])
    if not isinstance(kind, type) or not hasattr(kind, "extract_feat"):
        return model
    return {**model, "type": _derived(kind)}


@cache
def _derived(kind: type) -> type:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (KeepsFeatures, kind), names)
