"""What is added to modules of musket_core once they have loaded: our dialect, and subclasses that keep
upstream's faults away from its users. Each is a subclass or a wrapper that hands everything that is not
ours on to the original.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..storage.yaml_files import read_yaml


def apply(module: ModuleType) -> None:
    """Give ``module`` its additions, where it has any."""
    addition = _ADDITIONS.get(module.__name__)
    if addition is not None:
        addition(module)


def _configloader(module: Any) -> None:
    from .dialect import Dialect, parse_with_dialect
    from .late_catalog import derive_module

    module.Module = derive_module(module.Module)
    module.loaded["mmdetection"] = Dialect()
    module.parse = parse_with_dialect(module.parse)


def _generic(module: Any) -> None:
    from .dialect import resolve_before

    module.parse = resolve_before(module.parse)


def _experiment(module: Any) -> None:
    from .experiment import derive_experiment

    module.Experiment = derive_experiment(module.Experiment)


def _hyper(module: Any) -> None:
    upstream = module.optimize

    @functools.wraps(upstream)
    def optimize(e: Any, ex: Any, reporter: Any) -> Any:
        if not getattr(e, "ours", False):
            return upstream(e, ex, reporter)
        e.fit(reporter)
        return read_yaml(e.files.best_parameters) if e.files.best_parameters.exists() else None

    module.optimize = optimize


def _image_datasets(module: Any) -> None:
    from .instance_dataset import derive_instance_segmentation

    module.InstanceSegmentationDataSet = derive_instance_segmentation(module)


def _datasets(module: Any) -> None:
    from .blends import derive_blend

    for name in ("PredictionBlend", "WeightedBlend", "MeanDataSet"):
        setattr(module, name, derive_blend(getattr(module, name)))
    module.dataset_provider = _with_or_without_brackets(module.dataset_provider)


def _with_or_without_brackets(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``dataset_provider`` that marks a function with ``@dataset_provider`` too, as ``@tasks.task`` does.

    Upstream's needs ``@dataset_provider()``; without brackets it replaces the function by its own inner one. ``name``
    is what a YAML may call the provider, beside its function's name; ``origin`` and ``kind`` are notes for its readers.
    """

    @functools.wraps(upstream)
    def dataset_provider(origin: Any = None, kind: Any = None, name: "str | None" = None) -> Any:
        if callable(origin):
            return upstream()(origin)

        def mark(function: Callable[..., Any]) -> Callable[..., Any]:
            marked: Callable[..., Any] = upstream(origin, kind)(function)
            if name is not None:
                marked.dataset_name = name  # type: ignore[attr-defined]
            return marked

        return mark

    return dataset_provider


def _generic_config(module: Any) -> None:
    module.ansemblePredictions = _fusing(module.ansemblePredictions)


def _fusing(upstream: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``ansemblePredictions`` that fuses predictions of ours; arrays of other pipelines go to upstream's own."""

    @functools.wraps(upstream)
    def ansemblePredictions(sourceFolder: Any, folders: Any, cb: Any, data: Any, weights: Any = None) -> Any:
        from ..inference.folder_blend import ansemble_predictions, has_arrays

        if has_arrays(folders):
            return upstream(sourceFolder, folders, cb, data, weights)
        return ansemble_predictions(sourceFolder, folders, cb, data, weights)

    ansemblePredictions.__doc__ = "Fuse what several found in the images of a folder; see reference.md, Blending."
    return ansemblePredictions


def _predictions(module: Any) -> None:
    from .blends import derive_prediction

    module.Prediction = derive_prediction(module.Prediction)


def _tools(module: Any) -> None:
    from .blends import derive_model_spec

    module.ModelSpec = derive_model_spec(module.ModelSpec)


_ADDITIONS: dict[str, Callable[[Any], None]] = {
    "musket_core.configloader": _configloader,
    "musket_core.datasets": _datasets,
    "musket_core.generic": _generic,
    "musket_core.hyper": _hyper,
    "musket_core.generic_config": _generic_config,
    "musket_core.experiment": _experiment,
    "musket_core.image_datasets": _image_datasets,
    "musket_core.predictions": _predictions,
    "musket_core.tools": _tools,
}
