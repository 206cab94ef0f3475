"""Trained weights as something to compare."""

import hashlib

from instance_segmentation_pipeline.models.checkpoints import read_checkpoint


def weights_of(path):
    """Return one digest of all tensors of a checkpoint's model."""
    state = read_checkpoint(path)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return digest.hexdigest()
