"""Processes that train one net on one machine: what they listen to, what they leave, whom they blame."""

import faulthandler
import glob
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
import torch

from instance_segmentation_pipeline.errors import ConfigError, TrainingError
from instance_segmentation_pipeline.launch import process_group
from instance_segmentation_pipeline.launch.process_group import run_group
from tests.support.processes import PATIENCE, PROGRAM, of_session, single_threaded, started, wait_until

pytestmark = pytest.mark.slow

LISTENS = "0A"


def listeners(processes):
    """Return the addresses that processes listen on, from /proc: ``{"127.0.0.1": ports}``, and IPv6 ones in hex."""
    sockets = set()
    for process in processes:
        for link in glob.glob(f"/proc/{process}/fd/*"):
            try:
                target = os.readlink(link)
            except OSError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[9] in sockets and (parts[3] == LISTENS or table.startswith("udp")):
                address, port = parts[1].split(":")
                found.setdefault(shown(address), set()).add(int(port, 16))
    return found


def shown(address):
    if len(address) == 8:
        return ".".join(str(part) for part in reversed(bytes.fromhex(address)))
    return address


LOOPBACK = {"127.0.0.1", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def test_only_loopback_listens_during_gpus_per_net_2(add_experiment, tmp_path):
    """From the first moment to the last, all processes of the command are watched."""
    path = add_experiment(replace=[("  - epochs: 1\n", "  - epochs: 3\n")])
    environment = single_threaded(GLOO_SOCKET_IFNAME="nothing-of-this-name", TMPDIR=str(tmp_path))
    seen, most = {}, 0
    with started(PROGRAM, "fit", "--project", path.parents[2], "--gpus_per_net", 2, env=environment) as process:
        while process.poll() is None:
            members = of_session(process.pid)
            most = max(most, len(members))
            for address, ports in listeners(members).items():
                seen.setdefault(address, set()).update(ports)
            time.sleep(0.02)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert most >= 3
    assert seen, "nothing was seen to listen: the check sees nothing"
    assert set(seen) <= LOOPBACK, seen
    assert "Warning" not in err, err
    assert "[W" not in err, err
    assert "GLHF" not in err, err
    assert not list(tmp_path.glob("musket-group-*"))


def test_the_check_sees_who_listens_everywhere():
    import socket

    with socket.create_server(("0.0.0.0", 0)) as everywhere, socket.create_server(("127.0.0.1", 0)) as here:
        found = listeners([os.getpid()])
    assert everywhere and here
    assert {"0.0.0.0", "127.0.0.1"} <= set(found)


def _everything(device):
    """Use what training uses: collectives of objects and tensors, and a further group."""
    rank = torch.distributed.get_rank()
    gathered = [None, None]
    torch.distributed.all_gather_object(gathered, {"rank": rank})
    other = torch.distributed.new_group([0, 1])
    tensor = torch.ones(3)
    torch.distributed.all_reduce(tensor, group=other)
    return gathered, tensor.tolist(), listeners([os.getpid(), os.getppid()])


def test_every_connection_of_a_group_is_on_loopback(monkeypatch):
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "203.0.113.1" if "ADDR" in name else "4")
    gathered, tensor, found = run_group(_everything, ["cpu", "cpu"])
    assert gathered == [{"rank": 0}, {"rank": 1}]
    assert tensor == [2.0, 2.0, 2.0]
    assert found
    assert set(found) <= LOOPBACK
    assert os.environ["GLOO_SOCKET_IFNAME"] == "4"


def _planted(device):
    store = torch.distributed.distributed_c10d._get_default_store()
    while hasattr(store, "underlying_store"):
        store = store.underlying_store
    return type(store).__name__


def test_what_they_agree_through_is_a_file_without_a_name(tmp_path, monkeypatch):
    """No server keeps values that another user could write and a process would unpickle."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_group(_planted, ["cpu", "cpu"]) == "FileStore"
    assert list(tmp_path.iterdir()) == []


def test_without_memory_files_it_is_a_folder_of_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def rights(device):
        (folder,) = tmp_path.iterdir()
        return folder.stat().st_mode & 0o777

    assert run_group(rights, ["cpu", "cpu"]) == 0o700
    assert list(tmp_path.iterdir()) == []


# -- deaths --------------------------------------------------------------------------------------------------------


def on_second(act):
    def function(device):
        if torch.distributed.get_rank() == 1:
            act()
        torch.distributed.barrier()

    return function


def raises(error):
    def act():
        raise error

    return act


DEATHS = {
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "process 1 of 2 that trained one net was killed by SIGKILL"),
    "segmentation fault": (lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)), "process 1 of 2 .* was killed by SIGSEGV"),
    "leaves": (lambda: os._exit(3), "process 1 of 2 that trained one net ended with status 3"),
    "sys.exit": (lambda: sys.exit(0), r"process 1 failed: sys.exit\(0\) was called"),
    "raises": (raises(ValueError("its words")), "process 1 failed: ValueError: its words"),
    "of the user": (raises(ConfigError("lower lr.")), "^lower lr.$"),
    "hostile words": (raises(ValueError("\x1b[2J" + "x" * 10**6)), r"ValueError: \\x1b\[2Jxxx"),
    "cannot be pickled": (raises(type("Local", (Exception,), {})("words")), "process 1 failed: Local: words"),
    "interrupted": (raises(KeyboardInterrupt()), "process 1 failed: KeyboardInterrupt"),
}  # fmt: skip


@pytest.mark.parametrize(("act", "words"), DEATHS.values(), ids=DEATHS)
def test_who_failed_is_named_and_nothing_is_left(act, words, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(
        process_group, "GRACE", PATIENCE
    )  # however busy the machine is, the one that failed has its say
    before, others = set(os.listdir("/proc/self/fd")), children()
    with pytest.raises(TrainingError, match=words):
        run_group(on_second(act), ["cpu", "cpu"])
    assert list(tmp_path.iterdir()) == []
    assert children() == others
    assert set(os.listdir("/proc/self/fd")) == before


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_one_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv("MUSKET_MMDETECTION_GROUP_TIMEOUT", "0.1")
    others = children()
    words = "process 1 of 2 that trained one net did not answer for 0:00:06: .*MUSKET_MMDETECTION_GROUP_TIMEOUT"
    with pytest.raises(TrainingError, match=words):
        run_group(on_second(lambda: time.sleep(3600)), ["cpu", "cpu"])
    assert children() == others


def test_a_result_that_cannot_be_sent_is_an_error():
    with pytest.raises(TrainingError, match="process 0 failed"):
        run_group(lambda device: lambda: 1, ["cpu", "cpu"])


def test_a_large_result_arrives():
    assert len(run_group(lambda device: bytes(5_000_000), ["cpu", "cpu"])) == 5_000_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP])
def test_no_process_and_no_folder_outlive_the_program(tmp_path, number):
    script = textwrap.dedent(
        """
        import os, pathlib, sys, time
        from instance_segmentation_pipeline.launch.process_group import run_group

        def wait(device):
            pathlib.Path(sys.argv[1], "pid" + os.environ["RANK"]).write_text(str(os.getpid()))
            time.sleep(3600)

        run_group(wait, ["cpu", "cpu"])
        """
    )
    told, scratch = tmp_path / "told", tmp_path / "scratch"
    told.mkdir()
    scratch.mkdir()
    environment = single_threaded(TMPDIR=str(scratch))
    with started(sys.executable, "-c", script, told, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(list(told.iterdir())) == 2, process)
        process.send_signal(number)
        process.wait(PATIENCE)
        wait_until(lambda: not of_session(process.pid))
    assert list(scratch.glob("musket*")) == []
