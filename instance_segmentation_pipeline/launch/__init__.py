"""Where jobs run: devices, process groups, pools, torchrun, Ray.

Knows no training and no musket_core.
"""
