"""Two runs that fill one disk cache are killed: the file stays readable, and what is trained is as without it."""

import contextlib
import sqlite3

import pytest

from tests.support.processes import wait_until
from tests.support.warm import started_musket

pytestmark = pytest.mark.slow

MODULE = """
import time

import numpy as np
from musket_core import datasets, preprocessing
from shapes import Shapes


@datasets.dataset_provider
def getSlow(count=24):
    return Shapes(count, 64, 0)


@preprocessing.dataset_preprocessor
def slow(input):
    time.sleep(0.05)
    return 255 - input
"""
PROVIDER = "  get_shapes: {count: 12, size: 64}\n"


def entries(folder):
    """Return how many items the cache has, after SQLite has checked all of it."""
    found = list(folder.glob("*.sqlite"))
    if not found:
        return 0
    (file,) = found
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if connection.execute("SELECT * FROM sqlite_master WHERE name = 'items'").fetchone() is None:
            return 0  # the file has just been made
        (count,) = connection.execute("SELECT count(*) FROM items").fetchone()
    return count


def test_two_fits_are_killed(project, add_experiment, musket):
    (project / "modules" / "slowly.py").write_text(MODULE)
    own = [(PROVIDER, "  getSlow: []\n")]
    for name, chain in (("one", "[slow, disk-cache]"), ("two", "[slow, disk-cache]"), ("plain", "slow")):
        add_experiment(name, f"workersPerGpu: 2\npreprocessing: {chain}\n", replace=own)
    cache = project / ".cache"
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            stack.enter_context(started_musket("fit", "--project", project, "--name", name, quiet=True))
        wait_until(lambda: list(cache.glob("*.sqlite")) and entries(cache) >= 8)
    assert entries(cache) >= 8
    for name in ("one", "two", "plain"):
        done = musket("fit", "--project", project, "--name", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "disk-cache" not in done.stderr
    rows = [
        (project / "experiments" / name / "metrics" / "metrics-0.0.csv").read_text() for name in ("one", "two", "plain")
    ]
    assert rows[0] == rows[1] == rows[2]
    assert entries(cache) == 24
