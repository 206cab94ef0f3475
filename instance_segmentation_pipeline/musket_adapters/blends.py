"""musket_core's blends, predictions and model choices for experiments and predictions of ours.

Upstream averages arrays, finds predictions by name alone however old they are, and mixes up folds and stages. Each
class here is a subclass that hands on whatever is not ours.
"""

from typing import Any

from ..detection.detections import is_musket_prediction


def derive_blend(upstream: type) -> type:
    """Return a subclass of ``PredictionBlend`` or ``MeanDataSet`` that fuses instances instead of averaging arrays."""

    class Blending(upstream):
        _fused: Any = None

        @property
        def _members(self) -> list[Any]:
            return list(self.predictions if hasattr(self, "predictions") else self.components)

        def _blend(self) -> Any:
            from ..inference.prediction_datasets import Blend  # it needs musket_core.datasets, which is being loaded

            if self._fused is None:
                members = self._members
                sparse = all(hasattr(member, "detections") for member in members)
                ours = sparse or (len(members[0]) and is_musket_prediction(members[0][0].prediction))
                self._fused = Blend(members, getattr(self, "weights", None)) if ours else False
            return self._fused

        def __getitem__(self, item: Any) -> Any:
            blend = self._blend()
            return blend[item] if blend else super().__getitem__(item)

        def encode(self, item: Any, encode_y: bool = False, treshold: float = 0.5) -> Any:
            blend = self._blend()
            return blend.encode(item, encode_y, treshold) if blend else super().encode(item, encode_y, treshold)

        def dump(self, path: Any, treshold: float = 0.5, encode_y: bool = False) -> None:
            blend = self._blend()
            if blend:
                blend.dump(path, treshold, encode_y)
            else:
                super().dump(path, treshold, encode_y)

        def __getattr__(self, name: str) -> Any:
            if name in ("detections", "bbox_order", "root", "parent") and self._blend():
                return getattr(self._blend(), name)
            raise AttributeError(name)

    return _named(Blending, upstream)


def derive_prediction(upstream: type) -> type:
    """Return a subclass of ``predictions.Prediction`` that asks experiments of ours themselves."""

    class Prediction(upstream):
        def calculate(self) -> Any:
            """Return the predictions as a dataset."""
            from ..experiment.answer_methods import AnswerMethods

            if not isinstance(self.cfg, AnswerMethods):
                return super().calculate()
            asked = self.name if self.srcDataset is None else self.srcDataset
            return self.cfg.predictions(asked, self.fold, self.stage)

    return _named(Prediction, upstream)


def derive_model_spec(upstream: type) -> type:
    """Return a subclass of ``tools.ModelSpec`` that chooses folds and stages as it says.

    ``folds`` is ``ALL`` or ``MANUAL`` with ``folds_numbers``; ``stages`` is ``LAST_STAGE``, ``ALL``, or ``MANUAL`` with
    ``stages_numbers``; with several seeds (``hasSeeds``) ``seeds`` is ``ALL``, or ``MANUAL`` with ``seed_numbers``.
    """

    class ModelSpec(upstream):
        def wrap(self, m: Any, e: Any) -> Any:
            """Return the folds and stages of an experiment as a ``ConnectedModel``."""
            from ..experiment.answer_methods import AnswerMethods

            if not isinstance(m, AnswerMethods):
                return super().wrap(m, e)
            from musket_core.model import AverageBlend, FoldsAndStages

            folds = self.folds_numbers if self.folds == "MANUAL" else m.folds_of(None)
            stages: Any = len(m.stages) - 1
            if self.stages == "MANUAL":
                stages = self.stages_numbers
            elif self.stages == "ALL":
                stages = list(range(len(m.stages)))
            seeds = m.seeds() if self.hasSeeds and self.seeds == "MANUAL" else []
            members = [seeds[number] for number in self.seed_numbers] if seeds else [m]
            chosen = [FoldsAndStages(member, list(folds), stages) for member in members]
            return chosen[0] if len(chosen) == 1 else AverageBlend(chosen)

    return _named(ModelSpec, upstream)


def _named(derived: type, upstream: type) -> type:
    """Give a subclass the name of the class that it stands for."""
    derived.__module__, derived.__qualname__, derived.__name__ = (
        upstream.__module__,
        upstream.__name__,
        upstream.__name__,
    )
    derived.__doc__ = derived.__doc__ or upstream.__doc__
    return derived
