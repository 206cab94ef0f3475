"""Commands as real processes, and what they may say."""

import signal
import sys
import textwrap
from pathlib import Path

MUSKET = (sys.executable, "-m", "instance_segmentation_pipeline.cli")


FULL = Path("/dev/full")


def python(code):
    return (sys.executable, "-c", textwrap.dedent(code))


def guarded(body):
    """Return a command that runs ``body``, the inside of a function, as ``musket fit`` is run."""
    return python(
        "from instance_segmentation_pipeline.cli.guard import guard\nimport os, signal, sys, time\n"
        f"def run():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n    return 0\n"
        "raise SystemExit(guard('musket try', run, hint='; try again', whole_process=True))"
    )


def lines_of(err):
    assert "Traceback" not in err and "Exception ignored" not in err, err
    return err.strip().splitlines()


NUMBERS = [signal.SIGINT, signal.SIGTERM]
