"""The command ``musket``: one module a subcommand. Nothing heavy is imported before a command runs."""

import sys
from collections.abc import Sequence

COMMANDS = {
    "fit": "train the experiments of a project",
    "task": "run tasks on experiments",
    "predict": "predict on the images of a folder",
    "analize": "compare the finished experiments of a project (also: analyze)",
    "models": "list the models of MMDetection's zoo",
}
ALIASES = {"analyze": "analize"}


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``musket <command> …``; return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())  # noqa: T201
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from .. import __version__

        print(f"instance_segmentation_pipeline {__version__}")  # noqa: T201
        return 0
    command = arguments[0]
    command = ALIASES.get(command, command)
    if command not in COMMANDS:
        print(f"musket: {command!r} is no command: use one of {', '.join(COMMANDS)}.", file=sys.stderr)  # noqa: T201
        return 2
    from importlib import import_module

    return int(import_module(f"{__name__}.{command}").main(arguments[1:]))


def _usage() -> str:
    lines = [f"  {name:10} {meaning}" for name, meaning in COMMANDS.items()]
    return "\n".join(["usage: musket <command> [options]", "", *lines, "", "musket <command> --help tells more."])
