"""Callbacks of a project: functions by ``LambdaCallback``, and its own classes on ``keras.callbacks.Callback``."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ...errors import ConfigError, TrainingError, UserError, nearest, one_line
from ...storage.metrics_csv import Row
from ...text import printable
from .base import RunningStage, StageCallback, State
from .kept_attributes import kept_of, restored

NEVER_CALLED = (
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_predict_begin",
    "on_predict_end",
    "on_predict_batch_begin",
    "on_predict_batch_end",
)
"""Methods of Keras's callbacks at whose moments nothing is called here."""

SETS_RATE = "sets_learning_rate"
"""Attribute by which a class of the project says that it sets the learning rate."""


class OptimizerView:
    """What a project's callback sees of the optimizer: ``learning_rate``, also as ``lr``, which it may set."""

    def __init__(self, stage: RunningStage, name: str) -> None:
        self._stage, self._name = stage, name

    @property
    def learning_rate(self) -> float:
        """The learning rate."""
        return self._stage.rates.now

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if self._name not in self._stage.may_set_rate:
            raise TrainingError(
                f"{self._name} sets the learning rate, which the schedule sets: put {SETS_RATE} = True into the class, "
                f"and write NAME.{SETS_RATE} = True below a function that makes it, so that it replaces the schedule."
            )
        self._stage.rates.set(float(value))

    lr = learning_rate

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the optimizer has no {name} here: it has learning_rate, also as lr")

    def __setattr__(self, name: str, value: Any) -> None:
        _set_known(self, "optimizer", name, value)


class ModelView:
    """What a project's callback sees of the model: ``stop_training``, ``optimizer``, and ``net``, torch's module."""

    def __init__(self, stage: RunningStage, name: str) -> None:
        self._stage, self._name = stage, name
        self.optimizer = OptimizerView(stage, name)

    @property
    def net(self) -> Any:
        """The net, a ``torch.nn.Module``."""
        return self._stage.net

    @property
    def stop_training(self) -> bool:
        """Whether the stage ends after this epoch; true ends it."""
        return self._stage.end.reason is not None

    @stop_training.setter
    def stop_training(self, value: Any) -> None:
        if not value:
            self._stage.end.withdraw()
        else:
            self._stage.end.ask(f"{self._name} set model.stop_training")
            self._stage.say(f"{self._name} ends the stage: it set model.stop_training")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the model has no {name} here: it has stop_training, optimizer.learning_rate and net, a torch.nn.Module"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        _set_known(self, "model", name, value)


def _set_known(view: "OptimizerView | ModelView", what: str, name: str, value: Any) -> None:
    """Set an attribute that acts; one that nothing would look at is refused."""
    if name not in ("_stage", "_name", "optimizer") and not isinstance(getattr(type(view), name, None), property):
        raise AttributeError(f"{name} of the {what} cannot be set here, since nothing looks at it: keep it elsewhere")
    object.__setattr__(view, name, value)


class ProjectCallback(StageCallback):
    """Calls what a project has at the moments of a stage, in the first process, and names it where it fails.

    Args:
        name: What messages call it.
    """

    everywhere = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._last: dict[str, float] = {}

    def on_train_begin(self, stage: RunningStage) -> None:
        """Prepare, and call ``on_train_begin(logs)``."""
        super().on_train_begin(stage)
        self._prepare()
        self._call("on_train_begin", {})

    def on_train_end(self) -> None:
        """Call ``on_train_end(logs)`` with the last epoch's row."""
        self._call("on_train_end", self._last)

    def on_epoch_begin(self, epoch: int) -> None:
        """Call ``on_epoch_begin(epoch, logs)``."""
        self._call("on_epoch_begin", epoch, {})

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """Call ``on_epoch_end(epoch, logs)`` with the epoch's row under Musket's names: those of the metrics CSV."""
        self._last = {name: value for name, value in row.items() if name != "epoch"}
        self._call("on_epoch_end", epoch, dict(self._last))

    def _prepare(self) -> None:
        """Get ready for the stage."""

    @abstractmethod
    def _call(self, moment: str, *arguments: Any) -> None:
        """Call what the project has for a moment, if it has anything."""

    @contextmanager
    def naming(self, moment: str) -> Iterator[None]:
        """Turn what it raises into a sentence about it."""
        try:
            yield
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise TrainingError(
                f"{self.stage.label}: callback {self.name} failed in {moment}: {one_line(error)}: correct it, and "
                "go on with --allow_resume true."
            ) from error


class Functions(ProjectCallback):
    """``LambdaCallback``: a function for each moment; one that has an argument ``model`` is given a ``ModelView``.

    Args:
        name: What messages call it.
        functions: The function of each moment of ``config.callback_table.MOMENTS``.
    """

    def __init__(self, name: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(name)
        self.functions = dict(functions)
        self.follows_batches = bool({"on_batch_begin", "on_batch_end"} & set(self.functions))

    def on_batch_begin(self, batch: int) -> None:
        """Call ``on_batch_begin(batch, logs)``."""
        self._call("on_batch_begin", batch, {})

    def on_batch_end(self, batch: int, losses: Callable[[], dict[str, float]]) -> None:
        """Call ``on_batch_end(batch, logs)``."""
        if "on_batch_end" in self.functions:
            self._call("on_batch_end", batch, losses())

    def _call(self, moment: str, *arguments: Any) -> None:
        function = self.functions.get(moment)
        if function is None:
            return
        further = {"model": ModelView(self.stage, self.name)} if "model" in _parameters(function) else {}
        with self.naming(f"{moment} ({getattr(function, '__name__', moment)})"):
            function(*arguments, **further)


class KerasBridge(ProjectCallback):
    """Calls an object of a class on ``keras.callbacks.Callback`` at its moments.

    What ``kept_attributes`` keeps of its attributes is kept in checkpoints, and put back where a run is resumed, after
    ``on_train_begin``; a line names what else it has.

    Args:
        name: What messages call it.
        make: Makes the object.
    """

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        super().__init__(name)
        self._make = make
        self.callback: Any = None
        self._told: dict[str, str] = {}
        self.follows_batches = True  # until it is made, nobody knows

    def _prepare(self) -> None:
        """Make it, and give it model and parameters."""
        with self.naming("__init__"):
            self.callback = self._make()
        if not is_keras_class(type(self.callback)):
            raise TrainingError(
                f"{self.stage.label}: callback {self.name} gave an object of {type(self.callback).__name__}, expected "
                "a keras.callbacks.Callback."
            )
        check_methods(type(self.callback), self.name)
        self.follows_batches = any(map(self._has, _OF_BATCHES))
        with self.naming("set_model"):
            told = {"epochs": self.stage.epochs, "steps": self.stage.iterations, "verbose": 1, "metrics": []}
            self.callback.set_params(told)
            self.callback.set_model(ModelView(self.stage, self.name))

    def on_epoch_end(self, epoch: int, row: Row) -> None:
        """Call ``on_test_end``, then ``on_epoch_end`` with the epoch's row."""
        self._call("on_test_end", {name: one for name, one in row.items() if name.startswith("val_")})
        super().on_epoch_end(epoch, row)

    def on_validation_begin(self) -> None:
        """Call ``on_test_begin``."""
        self._call("on_test_begin", {})

    def on_batch_begin(self, batch: int) -> None:
        """Call ``on_train_batch_begin``, which calls ``on_batch_begin``."""
        self._call("on_train_batch_begin", batch, {})

    def on_batch_end(self, batch: int, losses: Callable[[], dict[str, float]]) -> None:
        """Call ``on_train_batch_end``, which calls ``on_batch_end``."""
        if self._has("on_train_batch_end") or self._has("on_batch_end"):
            self._call("on_train_batch_end", batch, losses())

    def _has(self, moment: str) -> bool:
        """Say whether the class has a method of its own."""
        return is_own(type(self.callback), moment)

    def _call(self, moment: str, *arguments: Any) -> None:
        with self.naming(moment):
            getattr(self.callback, moment)(*arguments)

    def state(self) -> State:
        """Return its attributes as plain data; those that have no such form are told once."""
        own = {key: one for key, one in vars(self.callback).items() if key not in ("params", "_model", "model")}
        kept, lost = kept_of(own)
        untold = {key: kind for key, kind in lost.items() if key not in self._told}
        self._told.update(untold)
        if untold:
            named = printable(", ".join(f"{key} ({kind})" for key, kind in untold.items()), 200)
            self.stage.say(
                f"callback {self.name}: checkpoints do not keep {named}: a run that is resumed has it as __init__ and "
                "on_train_begin make it"
            )
        return kept

    def restore(self, state: State) -> None:
        """Put them back."""
        vars(self.callback).update({key: restored(kept) for key, kept in state.items()})


_OF_BATCHES = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


def is_keras_class(kind: type) -> bool:
    """Say whether a class is one on ``keras.callbacks.Callback``; Keras is not imported for it."""
    return any(_is_kerass(one) and one.__name__ == "Callback" for one in kind.__mro__)


def is_own(kind: type, method: str) -> bool:
    """Say whether a class has a method of its own, not the one of ``keras.callbacks.Callback`` that does nothing."""
    owner = next((one for one in kind.__mro__ if method in vars(one)), None)
    return owner is not None and not (_is_kerass(owner) and owner.__name__ == "Callback")


def check_methods(kind: type, where: str) -> None:
    """See to it that a class has no method that would never be called.

    Raises:
        ConfigError: It has one.
    """
    for method in NEVER_CALLED:
        if is_own(kind, method):
            raise ConfigError(
                f"{where}: {kind.__name__} has {method}, which is never called here: a callback is told of training, "
                "epochs, their batches, and begin and end of the validation: remove it."
            )


def check_arguments(made: Callable[..., Any], arguments: Mapping[str, Any], where: str) -> None:
    """See to it that a class or function of the project takes the arguments that it is given.

    Raises:
        ConfigError: It does not.
    """
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):
        return
    known = [one.name for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    takes_all = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    for key in arguments:
        if key not in known and not takes_all:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ConfigError(f"{where} has no argument {key!r}{nearest(key, known)}: {takes}.")
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where} cannot be made: {error}: give it.") from None


def _is_kerass(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
