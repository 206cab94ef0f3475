"""One net over machines: processes that ``torchrun`` started train it together.

What comes before and after training is done by the first process; the others wait for it.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache, cached_property

import torch

from ..errors import ConfigError, GroupLost, UserError, sentence
from .devices import gpu_count
from .executors import InProcessExecutor, Result
from .group_failures import is_lost_connection
from .job_environment import JobEnvironment, job_environment, patience

INTERVAL = 0.2
LEADER = "musket/leader"
LOST = "another process of the group is gone: see what it said."


class TorchrunExecutor(InProcessExecutor):
    """An executor that trains in this process together with the others; all else runs on this process's device.

    Raises:
        ConfigError: There are more processes on this machine than devices.
    """

    def __init__(self, place: JobEnvironment) -> None:
        count = gpu_count()
        if count and count < place.local_size:
            raise ConfigError(
                f"torchrun started {place.local_size} processes on this machine, which has {count} CUDA devices: give "
                f"--nproc_per_node {count}."
            )
        super().__init__(f"cuda:{place.local_rank}" if count else "cpu")
        self.place = place
        self._runs = self._groups = self._questions = 0

    @cached_property
    def _store(self) -> torch.distributed.Store:
        """What all processes can write to and read from."""
        store: torch.distributed.Store = next(iter(torch.distributed.rendezvous("env://", timeout=patience())))[0]
        return store

    @cached_property
    def _round(self) -> dict[str, str]:
        """The name that this round of processes agrees on, and what each has said of itself.

        torchrun may keep the store from one round to the next, so that whatever lies in it may be of processes that
        are gone. The first process gives the round a new name; the others give theirs under it, and go on when the
        first one has repeated it.
        """
        own = f"{uuid.uuid4().hex} {self.place.restarts}"
        if self.place.is_first:
            name = uuid.uuid4().hex
            others = [f"{name}/{rank}" for rank in range(1, self.place.size)]
            self._store.set(LEADER, name)
            self._poll(lambda: not others or self._store.check(others))
            heard = [own, *(self._store.get(other).decode() for other in others)]
            self._store.set(f"{name}/all", json.dumps(heard))
            return {"name": name, "all": json.dumps(heard)}
        found: dict[str, str] = {}

        def is_heard() -> bool:
            if not self._store.check([LEADER]):
                return False
            name = self._store.get(LEADER).decode()
            if name != found.get("name"):
                found["name"] = name
                self._store.set(f"{name}/{self.place.rank}", own)
            if not self._store.check([f"{name}/all"]):
                return False
            found["all"] = self._store.get(f"{name}/all").decode()
            return own in json.loads(found["all"])

        self._poll(is_heard)
        return found

    def begin(self) -> bool:
        """Begin a run, as all processes do in the same order; return whether torchrun has restarted any of them."""
        self._runs += 1
        self._groups = self._questions = 0
        return any(int(words.split()[1]) for words in json.loads(self._round["all"]))

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the other processes when this one fails in the block: torchrun ends those of other machines late."""
        try:
            yield
        except GroupLost:
            raise
        except BaseException as error:
            self._store.set(f"{self._round['name']}/failed", f"process {self.place.rank} failed: {sentence(error)}")
            raise

    def tell(self, step: str, words: str = "done") -> None:
        """Say that the first process has done a step."""
        self._store.set(self._key(step), words)

    def hear(self, step: str, timeout: "timedelta | None" = None) -> str:
        """Wait until the first process has done a step; return its words.

        Raises:
            GroupLost: Another process failed, or does not answer in time.
        """
        self._wait(lambda: self._store.check([self._key(step)]), timeout)
        return str(self._store.get(self._key(step)).decode())

    def agree(self, question: Callable[[], bool]) -> bool:
        """Return the first process's answer to a question that all ask in the same order: clocks differ.

        Raises:
            GroupLost: Another process is gone.
        """
        self._questions += 1
        step = f"question {self._questions}"
        if self.place.is_first:
            answer = question()
            self.tell(step, "yes" if answer else "no")
            return answer
        return self.hear(step) == "yes"

    def _meet(self, step: str) -> None:
        """Wait until all processes are at a step."""
        self._store.add(self._key(step), 1)
        self._wait(lambda: int(self._store.add(self._key(step), 0)) == self.place.size)

    def _wait(self, condition: Callable[[], bool], timeout: "timedelta | None" = None) -> None:
        """Wait for a condition, or for another process to fail."""
        failed = f"{self._round['name']}/failed"

        def is_over() -> bool:
            if self._store.check([failed]):
                raise GroupLost(self._store.get(failed).decode())
            return condition()

        self._poll(is_over, timeout)

    def _poll(self, condition: Callable[[], bool], timeout: "timedelta | None" = None) -> None:
        timeout = timeout or patience()
        end = time.monotonic() + timeout.total_seconds()
        try:
            while not condition():
                if time.monotonic() > end:
                    raise GroupLost(f"the other processes of the group did not answer for {timeout}.")
                time.sleep(INTERVAL)  # waiting in the store itself would not hear signals
        except torch.distributed.DistError as error:
            raise GroupLost(LOST) from error

    def train(self, job: Callable[[str], Result], meanwhile: Callable[[], object] = lambda: None) -> Result:
        """Run ``job`` in all processes, as one group; each returns what its own job returned.

        Raises:
            GroupLost: Another process is gone.
        """
        cpu = self.device == "cpu"
        if not cpu:
            torch.cuda.set_device(self.device)
        self._groups += 1
        name = f"group {self._groups}"
        self._meet(name)
        store = torch.distributed.PrefixStore(self._key(f"{name}/"), self._store)
        try:
            torch.distributed.init_process_group(
                "gloo" if cpu else "nccl",
                store=store,
                rank=self.place.rank,
                world_size=self.place.size,
                timeout=patience(),
            )
            torch.distributed.barrier()
            result = job(self.device)
            torch.distributed.barrier()
            return result
        except UserError:
            raise
        except Exception as error:
            if not is_lost_connection(str(error)):
                raise
            raise GroupLost(LOST) from error
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()

    def _key(self, step: str) -> str:
        return f"{self._round['name']}/{self._runs}/{step}"


@cache
def torchrun_executor() -> "TorchrunExecutor | None":
    """Return the executor of this process among those that torchrun started, ``None`` where it started none."""
    here = job_environment()
    return None if here is None else TorchrunExecutor(here)
