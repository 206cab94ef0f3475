"""One file a format of annotations, load and save side by side.

Imports ``detection``, ``storage``, ``text``, ``errors``, and of ``data`` what reads images and class names.
"""
