"""Records and geometry of one image: boxes, masks, matching, fusion, test-time views. NumPy and OpenCV only.

Imports nothing of the package but ``errors``: no torch, no musket_core, no files.
"""
