"""Served in place of ``musket_core.analize``: the same program as ``musket analize``."""

from instance_segmentation_pipeline.cli import command_main

main = command_main("analize")

if __name__ == "__main__":
    raise SystemExit(main())
