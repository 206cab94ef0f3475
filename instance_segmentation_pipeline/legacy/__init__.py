"""What musket_core 0.48 needs from 2019, given to it alone.

musket_core asks for TensorFlow 1, Keras 2 and NumPy names that are gone. Importing this package puts a
finder in front of ``sys.meta_path`` that answers for ``musket_core.*`` and ``imgaug.*`` only: their import
statements are rewritten, in memory, to the stand-ins of ``legacy/standins``. Nobody else sees a change.

The installed ``instance_segmentation_pipeline.pth`` imports this package at interpreter start, so it must
stay light. ``MUSKET_MMDETECTION_BOOTSTRAP=0`` in the environment switches the redirection off.
"""

import os
import sys

from ..mixed_environments import foreign_packages

SWITCH = "MUSKET_MMDETECTION_BOOTSTRAP"


def install() -> None:
    """Put the finder first in ``sys.meta_path``; does nothing when it is there, or when switched off."""
    if os.environ.get(SWITCH, "1").strip().lower() in {"0", "false", "no", "off"}:
        return
    if foreign_packages() is not None:
        return
    from .finder import RedirectingFinder

    if not any(isinstance(finder, RedirectingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RedirectingFinder())


install()
