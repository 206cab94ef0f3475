"""Functions marked ``@tasks.task``: finding and running them, and those that ship.

Only ``cli`` and ``musket_adapters`` come in.
"""
