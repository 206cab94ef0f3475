"""Served in place of ``musket_core.fit``: the same program as ``musket fit``."""

from instance_segmentation_pipeline.cli.fit import main

if __name__ == "__main__":
    raise SystemExit(main())
