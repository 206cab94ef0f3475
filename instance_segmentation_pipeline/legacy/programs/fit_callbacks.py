"""Served as ``musket_core.fit_callbacks``, which versions after 0.48 have."""

from instance_segmentation_pipeline.tasks.after_fit import after_fit, after_fit_callbacks, get_after_fit_callbacks

__all__ = ["after_fit", "after_fit_callbacks", "get_after_fit_callbacks"]
