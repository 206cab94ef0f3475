"""Commands whose output goes nowhere: a reader that left, a full disk, a terminal without the characters."""

import os
import subprocess

import pytest

from tests.support.commands import FULL, MUSKET, guarded, lines_of
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow


COMMANDS = [["models"], ["fit", "--help"], ["analize", "--help"], ["--help"], ["--version"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nobody_reads_the_output(command):
    """As in ``musket models | head``: the reader is gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*MUSKET, *command], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_output_cannot_be_written(command):
    with FULL.open("w") as full:
        done = subprocess.run([*MUSKET, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    (line,) = lines_of(done.stderr)
    assert line.endswith("<stdout> cannot be written: No space left on device.")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_not_even_the_message_can_be_written():
    with FULL.open("w") as full:
        assert subprocess.run([*MUSKET, "no_command"], stderr=full, timeout=PATIENCE).returncode == 1
        assert subprocess.run([*MUSKET, "models"], stdout=full, stderr=full, timeout=PATIENCE).returncode == 1


def test_what_is_lost_is_no_error_of_an_experiment(run):
    """``except Exception`` on the way, around each experiment, does not take it for one that failed."""
    body = """
        reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)
        for number in range(3):
            try:
                print("epoch", flush=True)
            except Exception as error:
                print("failed", error, file=sys.stderr)
    """
    done = run(*guarded(body))
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", b"gr\\xf6\\xdfe \\u2713"), ("latin-1", b"gr\xf6\xdfe \\u2713")]
)
def test_a_terminal_that_lacks_the_characters(encoding, written):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = guarded("print('gr\\u00f6\\u00dfe \\u2713')")
    done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, b"", written)
