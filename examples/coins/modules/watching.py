"""What the experiment ``scheduled`` has called after each epoch."""

GOOD = 0.9
"""An average precision that is good enough."""


def stop_when_good(epoch, logs, model):
    """End the stage once its masks are good enough; ``logs`` are the columns of the metrics CSV."""
    if logs["val_coco_segm_mAP"] >= GOOD:
        model.stop_training = True
