"""Writing files: whole or not at all, under names that nobody can lay a trap for."""

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.storage.atomic import (
    create_exclusively,
    keep_beside,
    save_with,
    temporary_beside,
    write_atomically,
    write_text,
    write_yaml,
    writer_of,
)

NAMES = [
    "summary.yaml",
    "best-0.0.weights",
    "x" * 240 + ".png",
    "no_suffix",
    ".hidden",
    "ä\udcff.csv",
    "a." + "b" * 200,
]


def contents(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_file_is_written_whole_and_alone(tmp_path, name):
    write_text(tmp_path / name, "first")
    write_text(tmp_path / name, "second \udcff")
    assert (tmp_path / name).read_text() == "second \\udcff"
    assert contents(tmp_path) == [name]


def test_names_differ_and_tell_their_writer(tmp_path):
    names = {temporary_beside(tmp_path / "summary.yaml") for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert name.name.startswith(".summary.")
        assert name.suffix == ".yaml"
        assert writer_of(name)[1] == os.getpid()
    for other in (".x.tmp", "summary.yaml", ".nfs.tmp.yaml", ".my.notes-1-2.tmp"):
        assert writer_of(Path(other)) is None


@pytest.mark.parametrize("planted", ["link to a file", "link to nothing", "file", "folder", "pipe"])
def test_what_lies_at_the_name_is_never_written_through(tmp_path, planted, monkeypatch):
    """The names that the former scheme would have taken, and the one that is taken now, were it known."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    known = folder / ".summary.host-1-0000000000000000.tmp.yaml"
    former = [folder / f".summary.{os.getpid()}.tmp.yaml", folder / f".summary.yaml.{os.getpid()}.tmp"]
    for trap in (known, *former):
        plant(trap, planted, victim)
    write_text(folder / "summary.yaml", "metrics")
    keep_beside(folder / "summary.yaml", folder / "kept.yaml")
    assert (folder / "summary.yaml").read_text() == (folder / "kept.yaml").read_text() == "metrics"
    monkeypatch.setattr("instance_segmentation_pipeline.storage.atomic.temporary_beside", lambda path: known)
    for write in (
        lambda: write_text(folder / "summary.yaml", "other"),
        lambda: write_yaml(folder / "summary.yaml", {}),
        lambda: save_with(folder / "summary.yaml", lambda name: Path(name).write_text("other")),
        lambda: create_exclusively(known),
    ):
        with pytest.raises(FileExistsError):
            write()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    assert os.path.lexists(former[0])


def plant(trap, planted, victim):
    if planted == "link to a file":
        trap.symlink_to(victim)
    elif planted == "link to nothing":
        trap.symlink_to(victim.with_name("nowhere"))
    elif planted == "file":
        trap.write_text("mine")
    elif planted == "folder":
        trap.mkdir()
    else:
        os.mkfifo(trap)


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), write_atomically(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert contents(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_a_kept_file_outlives_its_replacement(tmp_path, links, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    write_text(tmp_path / "a", "first")
    keep_beside(tmp_path / "a", tmp_path / "b")
    write_text(tmp_path / "a", "second")
    keep_beside(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "second"
    assert contents(tmp_path) == ["a", "b"]
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ["device", "socket"])
def test_no_device_is_replaced(kind, linked, tmp_path):
    """As root a rename over ``/dev/null`` succeeds, and breaks the machine."""
    target = tmp_path / "target"
    if kind == "device":
        try:
            os.mknod(target, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except OSError:
            target.symlink_to("/dev/null")
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(target))
        server.close()
    before = os.lstat(target)
    path = tmp_path / "link" if linked else target
    if linked:
        path.symlink_to(target)
    with pytest.raises(OSError, match="it is a device or a socket"), write_atomically(path):
        raise AssertionError
    assert os.lstat(target).st_mode == before.st_mode and os.lstat(target).st_ino == before.st_ino
    assert {entry.name for entry in tmp_path.iterdir()} <= {"target", "link"}


@pytest.mark.parametrize("output", ["pipe", "device", "link to a device"])
def test_a_table_goes_into_a_file_only(output, tmp_path, capsys):
    target = tmp_path / output
    if output == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/null")
    assert main(["analize", "--inputFolder", str(tmp_path), "--output", str(target)]) == 2
    assert "is a pipe, a device or a socket" in capsys.readouterr().err
    assert target.is_symlink() or target.is_fifo()
