"""``python -m instance_segmentation_pipeline.cli`` is ``musket``."""

from . import main

raise SystemExit(main())
