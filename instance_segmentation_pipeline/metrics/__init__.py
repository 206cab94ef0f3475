"""Numbers from truths and detections.

Imports ``detection`` and ``errors`` only; knows no experiment.
"""
