# RTMDet-Ins with less than half of the parameters of tiny and masks of stride 4 in place of 8: for small and many
# objects, and short trainings from random weights on a CPU.
_base_ = './rtmdet-ins_tiny_small-images.py'

model = dict(
    backbone=dict(widen_factor=0.25),
    neck=dict(in_channels=[64, 128, 256], out_channels=64),
    bbox_head=dict(type='FineMaskRTMDetInsHead', in_channels=64, feat_channels=64),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min=0.0002, begin=0, end=12, T_max=12, by_epoch=True),
]
