"""``DetectionStage``: one stage of the YAML's ``stages``, as musket_core knows stages."""

from typing import Any

from ..data.cross_validation import DetectionFolds
from ..models.finished_config import FinishedConfig
from .fold_trainer import FoldTrainer
from .run_arguments import FoldRequest
from .trainable import Trainable


class DetectionStage:
    """A stage: how many epochs, at what learning rate, and on which items.

    It has the surface of ``musket_core.generic_config.Stage`` that ``FoldWork`` uses.
    """

    def __init__(self, properties: dict[str, Any], cfg: Trainable) -> None:
        self.dict = properties
        self.cfg = cfg
        self.epochs: int = properties["epochs"]
        self.lr: float | None = properties.get("lr")
        self.negatives = properties.get("negatives")
        self.validation_negatives = properties.get("validation_negatives")
        self.loss = properties.get("loss")
        self.initial_weights = properties.get("initial_weights")
        self.freeze_encoder: bool | None = properties.get("freeze_encoder")
        self.unfreeze_encoder: bool | None = properties.get("unfreeze_encoder")
        self.callbacks = properties.get("callbacks")
        self.extra_callbacks = properties.get("extra_callbacks")
        self.logAll: bool | None = properties.get("logAll")

    def properties(self) -> dict[str, Any]:
        """Return what the YAML would say of the stage."""
        return {
            "epochs": self.epochs,
            "lr": self.lr,
            "negatives": self.negatives,
            "validation_negatives": self.validation_negatives,
            "loss": self.loss,
            "initial_weights": self.initial_weights,
            "freeze_encoder": self.freeze_encoder,
            "unfreeze_encoder": self.unfreeze_encoder,
            "callbacks": self.callbacks,
            "extra_callbacks": self.extra_callbacks,
            "logAll": self.logAll,
        }

    def execute(self, kf: DetectionFolds, model: FinishedConfig, ec: Any, callbacks: Any = None) -> None:
        """Train the stage for fold ``ec.fold``; does nothing when a resumed experiment has finished it.

        Args:
            kf: The folds, as ``PipelineConfig.kfold`` gives them.
            model: What ``PipelineConfig.createNet`` gave.
            ec: musket_core's ``ExecutionConfig``: fold, stage and subsample.
            callbacks: Not used: MMEngine's hooks take their place.
        """
        cfg, request = self.cfg, FoldRequest(ec.fold, ec.stage, ec.subsample)
        if not cfg.canceled_by_timer:
            stopped = FoldTrainer(cfg).train_stage(ec.stage, request, kf, cfg.run.executor(), cfg.run.deadline())
            cfg.canceled_by_timer = stopped
