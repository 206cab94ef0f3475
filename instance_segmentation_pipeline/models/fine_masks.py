"""``FineMaskRTMDetInsHead``: RTMDet-Ins with masks of four pixels' stride, for objects of a few pixels.

RTMDet-Ins computes mask features at the stride of its finest level, eight: an object of twelve pixels has two of them
across. Here the features are doubled in size before the last convolution, as prototypes of YOLACT and its successors
are (https://arxiv.org/abs/1904.02689, figure 3). Boxes, classes, kernels and all else are MMDetection's.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ..errors import ConfigError
from .faster_parts import loss_of_masks, predicted_masks
from .mmdet_compat import MODELS, ConvModule, MaskFeatModule, MlvlPointGenerator, RTMDetInsSepBNHead

FINER = 2
"""How many times finer masks are than the finest level of features."""


class FineMaskFeatures(MaskFeatModule):
    """Mask features ``(B, num_prototypes, 2 height, 2 width)`` of levels whose finest is ``height`` by ``width``."""

    def __init__(self, *, feat_channels: int, norm_cfg: Any, act_cfg: Any, **options: Any) -> None:
        super().__init__(feat_channels=feat_channels, norm_cfg=norm_cfg, act_cfg=act_cfg, **options)
        self.finer = ConvModule(feat_channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fuse levels, ``(B, in_channels, height, width)`` each, the finest first."""
        size = features[0].shape[-2:]
        coarser = [functional.interpolate(one, size=size, mode="bilinear") for one in features[1 : self.num_levels]]
        fused = self.stacked_convs(self.fusion_conv(torch.cat([features[0], *coarser], dim=1)))
        finer = functional.interpolate(fused, scale_factor=FINER, mode="bilinear")
        return self.projection(self.finer(finer))  # type: ignore[no-any-return]


@MODELS.register_module()
class FineMaskRTMDetInsHead(RTMDetInsSepBNHead):
    """``RTMDetInsSepBNHead`` with mask features twice as fine; its arguments are that one's.

    Args:
        args: Of ``RTMDetInsSepBNHead``.
        masks_per_object: How many masks of each true object enter the loss of masks at most, drawn anew in each step.
            Up to thirteen priors answer for an object that is learnt.
        options: Of ``RTMDetInsSepBNHead``.

    Raises:
        ConfigError: ``masks_per_object`` is less than 1.
    """

    prior_generator: Any

    def __init__(self, *args: Any, masks_per_object: int = 3, **options: Any) -> None:
        super().__init__(*args, **options)
        if masks_per_object < 1:
            raise ConfigError(f"FineMaskRTMDetInsHead: masks_per_object is {masks_per_object}; it is 1 or more.")
        self.masks_per_object = masks_per_object
        self._levels = self.prior_generator
        stride = self.prior_generator.strides[0][0]
        self._fine = MlvlPointGenerator([stride // FINER], self.prior_generator.offset)

    def _init_layers(self) -> None:
        super()._init_layers()
        self.mask_head = FineMaskFeatures(
            in_channels=self.in_channels,
            feat_channels=self.feat_channels,
            stacked_convs=4,
            num_levels=len(self.prior_generator.strides),
            num_prototypes=self.num_prototypes,
            act_cfg=self.act_cfg,
            norm_cfg=self.norm_cfg,
        )

    @contextlib.contextmanager
    def _at_the_stride_of_masks(self) -> Iterator[None]:
        """Let MMDetection's code find the masks' grid where it looks for that of the finest level."""
        self.prior_generator = self._fine
        try:
            yield
        finally:
            self.prior_generator = self._levels

    def _mask_predict_by_feat_single(self, *args: Any) -> torch.Tensor:
        with self._at_the_stride_of_masks():
            return predicted_masks(self, *args)

    def loss_mask_by_feat(
        self, mask_feats: torch.Tensor, kernels: torch.Tensor, samplings: Sequence[Any], truths: Sequence[Any]
    ) -> torch.Tensor:
        """Return the loss of masks; the arguments are those of ``loss_of_masks``."""
        drawn = [_drawn(sampling, self.masks_per_object) for sampling in samplings]
        return loss_of_masks(self, mask_feats, kernels, drawn, truths, _shares)

    def _bbox_mask_post_process(self, *args: Any, **options: Any) -> Any:
        with self._at_the_stride_of_masks():
            return super()._bbox_mask_post_process(*args, **options)


@dataclass(frozen=True)
class _Positives:
    """Positive priors ``(N,)`` of an image, where they are ``(N, 4)``, and which object each answers for ``(N,)``."""

    pos_inds: torch.Tensor
    pos_priors: torch.Tensor
    pos_assigned_gt_inds: torch.Tensor


def _drawn(sampling: Any, most: int) -> _Positives:
    """Return at most so many positive priors of each object."""
    objects = sampling.pos_assigned_gt_inds
    order = torch.randperm(len(objects)).to(objects.device)
    order = order[objects[order].argsort(stable=True)]
    grouped = objects[order].contiguous()
    position = torch.arange(len(grouped), device=grouped.device)
    kept = order[position - torch.searchsorted(grouped, grouped) < most].sort().values
    return _Positives(sampling.pos_inds[kept], sampling.pos_priors[kept], objects[kept])


def _shares(masks: torch.Tensor, stride: int) -> torch.Tensor:
    """Return which share of each cell of a grid is covered, ``(N, height / stride, width / stride)`` float32.

    A cell's middle is then where an interpolation of the answer puts it; the single pixels that MMDetection takes lie
    half a pixel behind it, which shifts all masks by as much.
    """
    return functional.avg_pool2d(masks[:, None].float(), stride)[:, 0]
