"""Musket datasets on their way in: providers, items, splits, folds, formats.

May know musket_core; knows no MMDetection.
"""
