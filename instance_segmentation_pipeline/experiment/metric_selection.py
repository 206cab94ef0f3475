"""Which metrics decide, and which a summary has: names of the YAML, checked and brought to one form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..config.metric_lists import named
from ..errors import ConfigError, nearest
from ..metrics.instance_metrics import final_metric_names
from ..metrics.metric_name import HOLDOUT, PER_CLASS, VALIDATION, MetricName
from .user_metrics import user_metric


class MetricProperties(Protocol):
    """The properties of the YAML that name metrics."""

    @property
    def primary_metric(self) -> "str | None":
        """What the best weights are chosen by."""
        ...

    @property
    def primary_metric_mode(self) -> str:
        """Its direction."""
        ...

    @property
    def metrics(self) -> list[str]:
        """Further ones of each epoch."""
        ...

    @property
    def final_metrics(self) -> "list[str | dict[str, Any]] | None":
        """Those of the summary."""
        ...

    @property
    def experiment_result(self) -> "str | None":
        """What stands for the whole experiment."""
        ...


@dataclass(frozen=True)
class MetricSelection:
    """The metrics of an experiment.

    Attributes:
        primary: What the best weights are chosen by: a column of the metrics CSV, with its direction.
        wanted: What a summary has.
        every: Whether it has all built-in metrics, those that only some data has among them.
        each_epoch: What is computed in each epoch beside ``metrics.coco.metric_names`` and the losses, without
            ``val_``: the primary metric, ``metrics``, and those of ``final_metrics`` that are for validation.
    """

    primary: MetricName
    wanted: tuple[str, ...]
    every: bool
    each_epoch: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, properties: MetricProperties, known: Sequence[str], default: str, has_holdout: bool, where: str
    ) -> "MetricSelection":
        """Return what some properties select.

        Args:
            properties: The properties.
            known: Names of the built-in metrics (``known_metrics``).
            default: The primary metric where none is named.
            has_holdout: Whether a part of the data is held out.
            where: The YAML, for messages.

        Raises:
            ConfigError: There is no such metric, or it names the holdout and there is none.
        """

        def plain(key: str, name: str) -> str:
            return _plain(f"{where}: {key}", name, known, has_holdout)

        primary = plain("primary_metric", properties.primary_metric or default)
        deciding = [primary]
        if properties.experiment_result:
            deciding.append(plain("experiment_result", properties.experiment_result))
        every = properties.final_metrics is None
        chosen = [(plain("final_metrics", name), each) for name, each in named(properties.final_metrics or ())]
        tracked = [_of_epochs(f"{where}: metrics", name, known) for name in properties.metrics]
        final = [*known, *tracked] if every else [*(name for name, _ in chosen), *tracked]
        wanted = dict.fromkeys(name for name in (*final, *deciding) if not MetricName(name).is_loss)
        further = dict.fromkeys([primary, *tracked, *(name for name, each in chosen if each)])
        return cls(
            MetricName(f"{VALIDATION}{primary}", properties.primary_metric_mode),
            tuple(wanted),
            every,
            tuple(name for name in further if not MetricName(name).is_loss),
        )


def known_metrics(class_names: Sequence[str], with_masks: bool) -> list[str]:
    """Return the names of the built-in metrics, those of single classes last."""
    kinds = ("bbox", "segm") if with_masks else ("bbox",)
    classes = [f"coco_{kind}{PER_CLASS}{name}" for kind in kinds for name in class_names]
    return [*final_metric_names(with_masks), *classes]


def default_primary(with_masks: bool) -> str:
    """Return the metric that chooses the best weights where none is named."""
    return "coco_segm_mAP" if with_masks else "coco_bbox_mAP"


def _of_epochs(key: str, name: str, metrics: Sequence[str]) -> str:
    """Return what is measured each epoch for a name of the YAML: on the validation part alone."""
    plain = _plain(key, name, metrics, True)
    if name.removeprefix(VALIDATION) != plain:
        raise ConfigError(
            f"{key} has {name!r}, but an epoch is measured on the validation part: name {plain}, and {name} in "
            "final_metrics."
        )
    return plain


def _plain(key: str, name: str, metrics: Sequence[str], has_holdout: bool) -> str:
    """Return what is measured for a name of the YAML: the metric without ``val_`` and ``_holdout``."""
    known = [*metrics, "loss"]
    text = name.removeprefix(VALIDATION)
    if text in known or user_metric(text) is not None:
        return text
    plain = text.removesuffix(HOLDOUT)
    if plain not in known and user_metric(plain) is None:
        raise ConfigError(
            f"{key} {name!r} is not known{nearest(name, known)}: use one of {known[:40]}, or a function of the "
            "project's modules marked @metrics.final_metric."
        )
    if plain == "loss" or not has_holdout:
        why = "losses are those of the validation parts" if plain == "loss" else "there is no holdout"
        raise ConfigError(f"{key} is {name!r}, but {why}: name {plain}, or set testSplit.")
    return plain
