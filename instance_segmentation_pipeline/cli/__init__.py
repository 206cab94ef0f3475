"""The command ``musket``: one module a subcommand. Nothing heavy is imported before a command runs."""

import sys
from collections.abc import Callable, Sequence

from ..mixed_environments import foreign_packages, refusal

COMMANDS = {
    "new": "make a project with a first experiment of annotated images",
    "check": "tell what can be known of an experiment before it is trained",
    "fit": "train the experiments of a project",
    "task": "run tasks on experiments",
    "predict": "predict on the images of a folder",
    "analize": "compare the finished experiments of a project (also: analyze)",
    "lr_find": "look for a learning rate: the loss while it rises",
    "convert": "write a dataset, or predictions, as files of another format",
    "clean": "remove what runs wrote and can be made again",
    "models": "list the models of MMDetection's zoo",
}
ALIASES = {"analyze": "analize"}


HINTS = {"fit": "; --allow_resume true goes on"}


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``musket <command> …``; return the exit status, also of what fails or is stopped (``guard``)."""
    return _guarded(list(sys.argv[1:] if arguments is None else arguments), arguments is None)


def command_main(command: str) -> "Callable[..., int]":
    """Return a ``main`` that runs one command with its own arguments, by default those of the process."""

    def main(arguments: "Sequence[str] | None" = None) -> int:
        return _guarded([command, *(sys.argv[1:] if arguments is None else arguments)], arguments is None)

    return main


def _guarded(arguments: list[str], whole_process: bool) -> int:
    foreign = foreign_packages()
    if foreign is not None:
        print(f"musket: {refusal(foreign)}", file=sys.stderr)  # noqa: T201
        return 1
    from .guard import guard

    command = _command(arguments)
    name = f"musket {command}" if command in COMMANDS else "musket"
    return guard(name, lambda: _run(arguments), hint=HINTS.get(command, ""), whole_process=whole_process)


def _command(arguments: list[str]) -> str:
    return ALIASES.get(arguments[0], arguments[0]) if arguments else ""


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())  # noqa: T201
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from .. import __version__

        print(f"instance_segmentation_pipeline {__version__}")  # noqa: T201
        return 0
    command = _command(arguments)
    if command not in COMMANDS:
        from ..errors import shortened

        print(f"musket: {shortened(command)} is no command: use one of {', '.join(COMMANDS)}.", file=sys.stderr)  # noqa: T201
        return 2
    from importlib import import_module

    return int(import_module(f"{__name__}.{command}").main(arguments[1:]))


def _usage() -> str:
    lines = [f"  {name:10} {meaning}" for name, meaning in COMMANDS.items()]
    return "\n".join(["usage: musket <command> [options]", "", *lines, "", "musket <command> --help tells more."])
