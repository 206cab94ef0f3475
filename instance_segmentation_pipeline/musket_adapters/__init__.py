"""What musket_core is given in place of its own: dialect, experiments, blends, datasets.

Nothing of the package but ``cli`` and ``legacy`` may import it.
"""
