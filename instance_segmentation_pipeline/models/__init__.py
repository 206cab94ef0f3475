"""A MMDetection config and its weights, made the experiment's own.

Knows MMDetection, no Runner and no musket_core.
"""
