"""Configs of the zoo made small enough to train in a second: same parts, fewer channels, layers and queries."""

import yaml
from mmengine.config import Config

from instance_segmentation_pipeline.models.config_tree import walk
from instance_segmentation_pipeline.zoo.catalogue import zoo_folder

CHANNELS = {256: 32, 512: 64, 1024: 64, 2048: 64, 128: 32, 1280: 160}
"""Widths of heads, necks and transformers; 32 groups of normalisation still divide those that are normalised."""

FEATURES = {"resnet": [8, 16, 32, 64], "bottleneck": [32, 64, 128, 256]}


def shrunken(name):
    """Return a config of the zoo with a small model, as an ``mmengine.Config`` without loose ends.

    It writes its text without laying it out, which takes longer than a training.
    """
    config = Config.fromfile(str(zoo_folder() / name))
    model = config.model
    features = _shrink_backbone(model.backbone)
    necks = model.get("neck") or []
    first = necks[0] if isinstance(necks, list) and necks else necks
    native = list(first["in_channels"]) if first and isinstance(first.get("in_channels"), list) else []
    for path, node in list(walk(model)):
        if path.endswith("rfp_backbone"):
            _shrink_backbone(node)
            node.rfp_inplanes = 32
        if not features and model.backbone.type in ("SSDVGG", "Darknet"):
            continue  # these have no widths to set
        if not path.startswith(("backbone", "data_preprocessor", "train_cfg", "test_cfg")):
            _shrink_widths(node)
    if features:
        _set_features(first, model, native, features)
    _shrink_queries(config)
    return Config(config.to_dict(), format_python_code=False)


def _shrink_backbone(backbone):
    kind = backbone.type
    if kind == "ResNet":
        backbone.update(depth=18, base_channels=8)
        return FEATURES["resnet"]
    if kind in ("DetectoRS_ResNet", "ResNeXt"):
        backbone.update(depth=50, base_channels=8)
        if kind == "ResNeXt":
            backbone.update(groups=2, base_width=4)
        return FEATURES["bottleneck"]
    if kind == "SwinTransformer":
        backbone.update(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
        return [16, 32, 64, 128]
    if kind == "CSPNeXt":
        backbone.update(deepen_factor=0.167, widen_factor=0.125)
        return [32, 64, 128]
    if kind == "CSPDarknet":
        backbone.update(deepen_factor=0.167, widen_factor=0.125)
        return [32, 64, 128]
    return []


def _set_features(neck, model, native, features):
    """Give the neck the backbone's new widths, for the levels that it takes."""
    if native:
        neck["in_channels"] = features[-len(native) :]
    for _, node in walk(model):
        if node.get("type") == "Mask2FormerHead":
            node["in_channels"] = features


def _shrink_widths(node):
    for key, value in list(node.items()):
        if isinstance(value, bool) or key in ("strides", "input_size", "sampling_ratio"):
            continue
        if isinstance(value, int) and value in CHANNELS and not key.startswith(("max", "nms", "topk", "num_p")):
            node[key] = 16 if key == "num_feats" else CHANNELS[value]
        elif any(word in key for word in ("channels", "planes")) and isinstance(value, (list, tuple)):
            node[key] = [CHANNELS.get(entry, entry) for entry in value]


def _shrink_queries(config):
    proposals = any(word in str(config.model) for word in ("num_proposals", "num_queries"))
    for path, node in walk(config.model):
        for key in ("num_queries", "num_proposals", *(("max_per_img",) if proposals else ())):
            if isinstance(node.get(key), int):
                node[key] = 20
        if path.endswith(("encoder", "decoder")) and isinstance(node.get("num_layers"), int):
            node["num_layers"] = min(node["num_layers"], 3)
        if path == "bbox_head" and node.type in ("DeformableDETRHead", "DINOHead"):
            node["embed_dims"] = 32
        if "aspp_out_channels" in node:
            node["aspp_out_channels"] = 8


SLIM = {
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 8,
    "model.neck.in_channels": [8, 16, 32, 64],
    "model.neck.out_channels": 16,
    "model.rpn_head.in_channels": 16,
    "model.rpn_head.feat_channels": 16,
    "model.roi_head.bbox_roi_extractor.out_channels": 16,
    "model.roi_head.bbox_head.in_channels": 16,
    "model.roi_head.bbox_head.fc_out_channels": 32,
    "model.train_cfg.rpn_proposal.nms_pre": 100,
    "model.train_cfg.rpn_proposal.max_per_img": 50,
    "model.test_cfg.rpn.nms_pre": 100,
    "model.test_cfg.rpn.max_per_img": 50,
}
SLIM_MASK = {
    "model.roi_head.mask_roi_extractor.out_channels": 16,
    "model.roi_head.mask_head.in_channels": 16,
    "model.roi_head.mask_head.conv_out_channels": 16,
    "model.roi_head.mask_head.num_convs": 1,
}


def two_stage(config, options, extra=""):
    """Return the YAML of an experiment with a two-stage model of the zoo."""
    lines = {
        "configPath": f"mmdet::{config}",
        "pretrained": False,
        "classes": 3,
        "shape": [64, 64],
        "imagesPerGpu": 2,
        "configOptions": options,
        "stages": [{"epochs": 1}],
        "dataset": {"get_shapes": {"count": 8, "size": 64}},
    }
    return f"#%Musket MMDetection 1.0\n{yaml.safe_dump(lines)}{extra}"
