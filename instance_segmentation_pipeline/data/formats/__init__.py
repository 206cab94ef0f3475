"""One file a format of annotations, load and save side by side.

Imports ``detection``, ``storage``, ``text`` and ``errors`` only.
"""
