"""Mask heads that can paste masks on a CPU wherever a box lies, and however large the image is.

MMDetection pastes box by box on a CPU, and stops with an error at a box wholly outside the image, as heads that do
not clip their boxes give in early training. On a CUDA device it pastes whole images, and such a mask is empty.
It pastes all objects into one array; inside ``later_masks.masks_later`` one after the other is made small.
"""

from typing import Any

import torch

from .config_tree import Node, walk
from .later_masks import encoded, is_later
from .mmdet_compat import MODELS


def make_cpu_safe(model: Node) -> None:
    """Change, in place, the types of a model config's pasting mask heads to ones that answer as on a CUDA device."""
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    for _, node in walk(model):
        kind = node.get("type")
        head = MODELS.get(kind) if isinstance(kind, str) else kind
        if isinstance(head, type) and issubclass(head, FCNMaskHead):
            node["type"] = _safe(head)


def _safe(head: Any) -> str:
    """Register a subclass of a mask head whose boxes outside the image have empty masks; return its name."""
    name = f"{head.__name__}OnCpu"
    if MODELS.get(name) is None:

        def predict_single(
            self: Any,
            mask_preds: torch.Tensor,
            bboxes: torch.Tensor,
            labels: torch.Tensor,
            img_meta: dict[str, Any],
            *args: Any,
            **kwargs: Any,
        ) -> Any:
            height, width = img_meta["img_shape"][:2]
            low, high = bboxes[:, :2], bboxes[:, 2:]
            outside = (high <= 0).any(dim=1) | (low[:, 0] >= width) | (low[:, 1] >= height)
            inside = torch.where(outside[:, None], bboxes.new_tensor([0, 0, 1, 1]), bboxes)
            scaled = inside.clone()

            def pasted(rows: slice) -> torch.Tensor:
                boxes = scaled[rows]  # a view: the head changes boxes to those of the image, in place
                masks = head._predict_by_feat_single(
                    self, mask_preds[rows], boxes, labels[rows], img_meta, *args, **kwargs
                )
                masks[outside[rows]] = False
                return torch.as_tensor(masks)

            answer: Any
            if is_later():
                answer = [rle for row in range(len(bboxes)) for rle in encoded(pasted(slice(row, row + 1)))]
            else:
                answer = pasted(slice(None))
            if not torch.equal(scaled, inside):
                bboxes /= bboxes.new_tensor(img_meta["scale_factor"]).repeat((1, 2))
            return answer

        derived = type(name, (head,), {"_predict_by_feat_single": predict_single, "__doc__": make_cpu_safe.__doc__})
        MODELS.register_module(name=name, module=derived)
    return name
