"""What lies in a folder: which formats of annotations, and the providers and arguments that read them.

Imports the rest of ``data``, ``storage``, ``errors`` and ``text``; nothing of ``data`` imports it.
"""
