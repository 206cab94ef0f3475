"""Served in place of ``musket_core.task``: the same program as ``musket task``."""

from instance_segmentation_pipeline.cli import command_main

main = command_main("task")

if __name__ == "__main__":
    raise SystemExit(main())
