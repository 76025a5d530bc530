"""The worker processes of this machine: start them, pass signals on, notice the first that fails.

One that fails brings the others down within seconds, since they would wait for it in a collective
operation for as long as its timeout (half an hour). Each is the leader of a process group of its
own, and is killed with everything that it started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.errors import INTERRUPTED
from r1lab.launch.ranks import Rank

#: What asks a run to stop at the next step with a checkpoint. SIGUSR2 is Slurm's, before a limit.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
#: Those that came before there were workers: they are passed on as soon as there are.
EARLY: list[int] = []
#: Those that were passed on.
PASSED: list[int] = []
#: Seconds for the others to end by themselves and leave their reasons, once one has failed.
GRACE_S = 3.0
_POLL_S = 0.05
#: Seconds between two looks at what happened on other machines.
_ASK_S = 1.0


@dataclass(frozen=True)
class Ended:
    """How one process ended: its exit code, negative for the signal that killed it."""

    rank: int
    code: int


def variables(me: Rank, address: str, port: int) -> dict[str, str]:
    """What ``torch.distributed`` reads of a process's place."""
    return {
        "RANK": str(me.rank),
        "WORLD_SIZE": str(me.world_size),
        "LOCAL_RANK": str(me.local_rank),
        "LOCAL_WORLD_SIZE": str(me.local_world_size),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run(
    plan_file: Path,
    environments: Sequence[dict[str, str]],
    lock: int | None,
    broken: Sequence[Callable[[], object]] = (),
) -> list[Ended]:
    """Run one worker for each environment, which holds its ``RANK`` where there are several.

    Returns how each ended, the first to end first. ``lock`` is a file descriptor that stays open
    in every worker: the run's folder stays locked until the last of them is gone. What any of
    ``broken`` answers says that something elsewhere has failed for which these wait in vain.
    """
    path = os.pathsep.join([part or os.getcwd() for part in sys.path])
    workers: dict[int, subprocess.Popen[bytes]] = {}
    # Blocked while they start: a signal that comes before a worker can handle it stays pending.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        for environment in environments:
            workers[int(environment.get("RANK", 0))] = subprocess.Popen(
                [sys.executable, "-m", "r1lab.worker", str(plan_file)],
                env={**environment, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=() if lock is None else (lock,),
                process_group=0,  # Ctrl-C reaches this process, which passes it on once
            )
        with _passing_on(workers, before):
            return _wait(workers, broken)
    finally:
        for worker in workers.values():
            _kill(worker)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(
    workers: dict[int, subprocess.Popen[bytes]], broken: Sequence[Callable[[], object]]
) -> list[Ended]:
    ended: list[Ended] = []
    deadline: float | None = None
    ask = time.monotonic() + _ASK_S
    waiting = dict(workers)
    while waiting:
        for rank, worker in list(waiting.items()):
            code = worker.poll()
            if code is not None:
                ended.append(Ended(rank, code))
                del waiting[rank]
                if code not in (0, INTERRUPTED) and deadline is None:
                    deadline = time.monotonic() + GRACE_S
        if deadline is None and time.monotonic() > ask:
            ask = time.monotonic() + _ASK_S
            if any(asked() for asked in broken):
                deadline = time.monotonic() + GRACE_S
        if deadline is not None and time.monotonic() > deadline:
            for worker in waiting.values():
                _kill(worker)
        if waiting:
            time.sleep(_POLL_S)
    return ended


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End a worker and what it started; nothing where it has ended."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


@contextmanager
def _passing_on(
    workers: dict[int, subprocess.Popen[bytes]], mask: set[int] | set[signal.Signals]
) -> Iterator[None]:
    def pass_on(number: int, frame: Any) -> None:
        PASSED.append(number)
        for worker in workers.values():
            if worker.poll() is None:
                worker.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    while EARLY:
        pass_on(EARLY.pop(), None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
