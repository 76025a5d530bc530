"""The worker processes live as long as the process that asks them, and no longer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from r1lab.verify.verifier import Verifier, default_workers, get_verifier


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    shared = Verifier(deadline_s=20)
    yield shared
    shared.close()


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


PARENT = r"""
import os, signal, sys, time
from r1lab.verify.batch import Job
from r1lab.verify.verifier import Verifier
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
verifier = Verifier(deadline_s=30, workers=2)
verifier.verify_batch([(rf"\boxed{{x+{n}}}", f"{n}+x") for n in range(8)])
pool = verifier.pool
print(pool._server[0].process.pid, *pool.pids(), flush=True)
mode = sys.argv[1]
if mode == "with a forked child" and os.fork() == 0:
    time.sleep(5)  # as a data loader's worker would that outlives the trainer
    os._exit(0)
if mode == "idle" or mode == "with a forked child":
    time.sleep(60)
if mode == "busy":
    # Nothing that the guards would refuse: it is put into the pool directly.
    pool.run([Job("7", f"9^{{9^{{9^{n}}}}}") for n in range(9, 15)])
if mode == "exception":
    raise RuntimeError("on purpose")
if mode == "exit":
    os._exit(3)
"""


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("idle", signal.SIGKILL),
        ("busy", signal.SIGKILL),
        ("idle", signal.SIGINT),
        ("busy", signal.SIGINT),
        ("busy", signal.SIGTERM),
        ("with a forked child", signal.SIGKILL),
        ("end", None),
        ("exception", None),
        ("exit", None),
    ],
)
def test_no_process_outlives_its_parent(mode: str, number: signal.Signals | None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) >= 2
    if mode == "busy":
        time.sleep(1)
        pids += children(pids[0])
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)  # as a terminal does
    elif number is not None:
        time.sleep(0.3)
        parent.send_signal(number)
    parent.wait(timeout=30)
    parent.stdout.close()
    limit = time.monotonic() + 3
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert [pid for pid in pids if alive(pid)] == []


def test_signals_for_the_whole_job_leave_the_workers_alone(verifier: Verifier) -> None:
    """A trainer that is told to stop by SIGTERM or SIGUSR1 finishes its step with their help."""
    assert verifier.verify(boxed("a+a"), "2a").correct is True
    before = verifier.pool.pids()
    for pid in [verifier.pool._server[0].process.pid, *before]:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            os.kill(pid, number)
    assert verifier.verify(boxed("b+b"), "2b").correct is True
    assert verifier.pool.pids() == before


def test_forked_child_leaves_the_parents_workers_alone(verifier: Verifier) -> None:
    verifier.verify(boxed("q+q"), "2q")
    before = verifier.pool.pids()
    child = os.fork()
    if child == 0:
        fine = not verifier.pool.pids() and verifier.verify(boxed("r+r"), "2r").correct
        verifier.close()
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert verifier.pool.pids() == before
    assert verifier.verify(boxed("k+k"), "2k").correct is True


def ask(text: str, gold: str) -> bool | None:
    verifier = get_verifier()
    try:
        return verifier.verify(text, gold).correct
    finally:
        verifier.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_have_their_own(verifier: Verifier, method: str) -> None:
    assert verifier.verify(boxed("m+m"), "2m").correct is True
    with multiprocessing.get_context(method).Pool(2) as processes:
        pairs = [(boxed(f"n+{n}"), f"{n}+n") for n in range(4)]
        assert processes.starmap(ask, pairs) == [True] * 4
    assert verifier.verify(boxed("s+s"), "2s").correct is True


def test_closed_verifier_starts_again(verifier: Verifier) -> None:
    verifier.warm()
    verifier.close()
    assert verifier.pool.pids() == []
    assert verifier.verify(boxed("c+c"), "2c").correct is True


def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert default_workers() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert default_workers() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert default_workers() == 1


def children(pid: int) -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(name) == pid]


def parent_of(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
