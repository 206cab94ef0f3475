"""``ModelPlan``: the MMDetection config that an experiment trains, and the weights that it starts from."""

from pathlib import Path

from ..config.optimization import images_per_gpu
from ..config.schema import shapes_of
from ..config.settings import ModelSettings, StageSettings
from ..models.checkpoints import read_checkpoint
from ..models.finished_config import FinishedConfig
from ..models.initial_weights import localize_initial_weights, resolve_weights
from ..models.learning_parts import set_frozen_encoder, set_loss_weights
from ..models.optimization import OptimizerRequest
from ..models.precision import check_trainable
from ..models.prepare import ModelRequest, prepare
from ..models.schedule import iterations_of, schedule
from ..models.speed import set_speed
from ..models.transfer import ClassLayout, HeadPolicy, class_dependent
from ..models.weight_average import set_average
from ..training.callbacks.making import CallbackPlan
from .class_source import ClassSource
from .run_options import RunOptions

Start = tuple["Path | None", HeadPolicy]
"""A checkpoint, ``None`` for the config's own initial weights, and how its heads are taken."""


class ModelPlan:
    """What is made of a native config: prepared when it is first asked for, and anew when the classes have changed.

    Args:
        settings: What the YAML asks of it.
        base: Folder that paths in the YAML are relative to.
        classes: Tells the names of the classes.
        starts_elsewhere: The first stage has ``initial_weights``.
        run: Devices, and where downloads go.
    """

    def __init__(
        self,
        settings: ModelSettings,
        base: Path,
        classes: ClassSource,
        run: RunOptions,
        starts_elsewhere: bool = False,
    ) -> None:
        self.settings, self.base, self.run = settings, base, run
        self._starts_elsewhere = starts_elsewhere
        self._layout: tuple[FinishedConfig, dict[str, ClassLayout]] | None = None
        self._classes = classes
        self._prepared: tuple[ModelRequest, FinishedConfig] | None = None
        self._start: tuple[FinishedConfig, Start] | None = None

    @property
    def prepared(self) -> FinishedConfig:
        """The config with everything but the schedule set.

        Raises:
            ConfigError: It cannot be read, or an option for it cannot be used.
        """
        request = self._request()
        if self._prepared is None or self._prepared[0] != request:
            self._prepared = request, prepare(request)
        return self._prepared[1]

    @property
    def images_per_gpu(self) -> int:
        """How many images each device is given at a time.

        Raises:
            ConfigError: ``batch`` cannot be kept.
        """
        return images_per_gpu(self.settings.images_per_gpu, self.settings.batch, self.run.gpus_per_net)

    @property
    def start(self) -> Start:
        """The checkpoint that the first stage starts from.

        Raises:
            WeightsError: It cannot be found, fetched or read.
        """
        prepared = self.prepared
        if self._start is None or self._start[0] is not prepared:
            self._start = prepared, self._start_of(prepared)
        return self._start[1]

    def policy(self, path: Path, key: str) -> HeadPolicy:
        """Return how the heads of a checkpoint are taken that something other than the experiment trained.

        Args:
            path: The checkpoint; what is wrong with it is told here, before anything is trained.
            key: What of the YAML names it.

        Raises:
            WeightsError: It cannot be read.
        """
        settings, prepared = self.settings, self.prepared
        read_checkpoint(path, settings.trust_weights)
        if self._layout is None or self._layout[0] is not prepared:
            self._layout = prepared, class_dependent(prepared.config)
        names = self._classes.class_names()
        return HeadPolicy(self._layout[1], settings.reset_heads, names, settings.trust_weights, key)

    def scheduled(
        self, stage: StageSettings, items: int, *, frozen: bool = False, callbacks: "CallbackPlan | None" = None
    ) -> FinishedConfig:
        """Return the config with the schedule of a stage.

        Args:
            stage: Epochs and learning rate.
            items: How many items an epoch trains on, those that it repeats counted.
            frozen: Whether its encoder is frozen.
            callbacks: Its callbacks, one of which may set the learning rate.

        Raises:
            ConfigError: The model has no encoder, or not the part of a loss that the stage weighs; or the device does
                not compute in the precision that was asked for.
        """
        iterations = iterations_of(self.prepared.config, items, self.run.gpus_per_net)
        callbacks = callbacks or CallbackPlan()
        callbacks.check_lengths(iterations)
        result = schedule(self.prepared, stage.epochs, iterations, stage.lr, callbacks.owner_note)
        if stage.loss is not None:
            result.decisions.append(str(set_loss_weights(result.config.model, stage.loss, "loss of a stage")))
        if frozen:
            result.decisions.append(set_frozen_encoder(result.config))
        settings = self.settings
        check_trainable(settings.amp, self._device, self.prepared.config)
        set_speed(result.config, settings.channels_last, result.decisions)
        set_average(result.config, settings.ema, stage.epochs * iterations, result.decisions)
        return result

    @property
    def _device(self) -> str:
        return self.run.devices()[0].partition(":")[0]

    def _request(self) -> ModelRequest:
        settings = self.settings
        return ModelRequest(
            config_path=settings.config_path,
            base=self.base,
            class_names=self._classes.class_names(),
            shapes=shapes_of(settings.shape),
            multiscale_mode=settings.multiscale_mode or "value",
            manual_resize=settings.manual_resize,
            images_per_gpu=self.images_per_gpu,
            workers_per_gpu=settings.workers_per_gpu,
            inference_batch=settings.inference_batch,
            optimization=OptimizerRequest(
                settings.lr, settings.optimizer, settings.clipnorm, settings.clipvalue, settings.accumulation
            ),
            pretrained=settings.pretrained,
            native_pipeline=settings.native_pipeline,
            has_weights=settings.weights_path is not None or self._starts_elsewhere,
            trust_weights=settings.trust_weights,
            options=settings.config_options,
            loss=settings.loss or {},
            max_detections=settings.max_detections,
            amp=settings.amp,
            device=self._device,
            world_size=self.run.gpus_per_net,
        )

    def _start_of(self, prepared: FinishedConfig) -> Start:
        settings = self.settings
        localize_initial_weights(prepared.config, self.run.cache)
        if settings.weights_path is None:
            return None, HeadPolicy()
        path = resolve_weights(settings.weights_path, self.base, self.run.cache)
        return path, self.policy(path, "weightsPath")
