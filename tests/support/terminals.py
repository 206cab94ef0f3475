"""A terminal of a known size for code that runs in a forked process."""

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
import traceback


def shown_on_terminal(work):
    """Call a function in a process whose stdout and stderr are a terminal of 150 columns; return what it showed."""
    pid, leader = pty.fork()
    if pid == 0:
        code = 1
        try:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 150, 0, 0))
            sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - the process ends with them
            sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - the process ends with them
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    pieces = []
    with contextlib.suppress(OSError):  # Linux says so when the other side is closed
        while piece := os.read(leader, 4096):
            pieces.append(piece)
    os.close(leader)
    text = b"".join(pieces).decode()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    return text
