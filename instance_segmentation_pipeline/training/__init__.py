"""One stage of one fold through MMEngine's Runner: data feeding, loop, hooks, checkpoints.

Knows no musket_core and no experiment.
"""
