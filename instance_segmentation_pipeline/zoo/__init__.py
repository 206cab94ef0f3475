"""MMDetection's published models: their catalogue and their downloads.

Imports ``errors`` and ``storage`` only.
"""
