"""The composition: one experiment from its settings to its summary.

Knows every room below; only ``tasks``, ``musket_adapters`` and ``cli`` know it.
"""
