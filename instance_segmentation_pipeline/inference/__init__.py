"""Trained weights to detections: nets, blends, stores, folders of images.

Knows no training.
"""
