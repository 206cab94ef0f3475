"""All that can be known of an experiment before it is trained: one check a module, for ``musket check``.

Only ``cli`` comes in. Nothing is written here but the page.
"""
