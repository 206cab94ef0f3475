"""Where the repository and its example project lie, and the YAML of an experiment that trains in seconds."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPES = REPOSITORY / "examples" / "shapes"
SMALL_CONFIG = REPOSITORY / "configs" / "rtmdet-ins_tiny_small-images.py"

FAST = """#%Musket MMDetection 1.0
configPath: {config}
pretrained: false
classes: 3
shape: [64, 64]
imagesPerGpu: 4
configOptions:
  model.backbone.deepen_factor: 0.167
  model.backbone.widen_factor: 0.125
  model.neck.in_channels: [32, 64, 128]
  model.neck.out_channels: 32
  model.bbox_head.in_channels: 32
  model.bbox_head.feat_channels: 32
stages:
  - epochs: 1
dataset:
  get_shapes: {{count: 12, size: 64}}
{extra}"""


TWO_BY_TWO = "folds_count: 2\ntestSplit: 0.2\n"
TWO_STAGES = [("  - epochs: 1\n", "  - epochs: 2\n    lr: 0.002\n  - epochs: 1\n    lr: 0.0005\n")]
