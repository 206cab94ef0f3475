"""One file a format of annotations, load and save side by side.

Imports ``detection`` and ``errors`` only.
"""
