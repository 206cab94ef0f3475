"""MMCV's compiled operators, in PyTorch and NumPy: what ``mmcv._ext`` is where there is no compiled one.

``finder`` serves the module, ``extension`` is what it holds, and each of the others has one family of operators.
Nothing here knows more than torch and NumPy, and nothing of either is imported before MMCV asks: the interpreter's
start-up puts the finder in place (``install``). ``MUSKET_MMDETECTION_OPERATORS=torch|compiled`` chooses by hand.
"""

from .finder import install

__all__ = ["install"]
