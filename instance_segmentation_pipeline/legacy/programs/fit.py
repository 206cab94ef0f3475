"""Served in place of ``musket_core.fit``: the same program as ``musket fit``."""

from instance_segmentation_pipeline.cli import command_main

main = command_main("fit")

if __name__ == "__main__":
    raise SystemExit(main())
