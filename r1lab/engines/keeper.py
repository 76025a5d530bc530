"""A small process between r1lab and a server, so that nothing the server starts outlives r1lab.

A server has children (vLLM's engine, tokenizer workers) that a signal to the server alone misses,
and that stay when r1lab is killed outright (``kill -9``), since the kernel tells only direct
children of a parent's death. So this process stands between: it adopts every orphan below it
(``PR_SET_CHILD_SUBREAPER``), holds the reading end of a pipe whose other end is r1lab's, and ends
everything below itself when that pipe closes, for whatever reason. A twin does so, should it be
killed itself.

Run by its path and with the standard library alone: it starts in 20 ms and needs no ``r1lab``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.1
#: Seconds for what a server leaves behind to end by itself (Python's resource tracker, which
#: removes shared memory), and for the kernel to end what was killed.
_LEFTOVERS_S, _KILLED_S = 1.0, 10.0


def main(arguments: list[str]) -> int:
    """``GRACE COMMAND...``: run the command until it ends or standard input closes.

    ``GRACE`` is how many seconds the command may take to end after SIGTERM. Returns its exit code,
    128 and more for a signal as shells have it; 0 where it was stopped.
    """
    grace, command = float(arguments[0]), arguments[1:]
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    # Signals that r1lab holds back would be held back in the server as well, for good.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    twin = _twin()
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    while server.poll() is None and not asked:
        if select.select([0], [], [], _POLL_S)[0] and not os.read(0, 1):
            asked.append(0)
    code = server.poll()
    if code is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(grace)
    os.kill(twin, signal.SIGKILL)
    os.waitpid(twin, 0)
    _end_all(server)
    if code is None:
        return 0
    return code if code >= 0 else 128 - code


def _twin() -> int:
    """Start the process that ends the whole session should this one be killed; its id.

    The server could be told of that by the kernel, but vLLM puts off every signal while it starts.
    """
    reading, writing = os.pipe()  # closed by the kernel in whoever runs another program
    twin = os.fork()
    if twin:
        os.close(reading)
        return twin
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.close(writing)
    os.read(reading, 1)  # until the other end is gone, and its process with it
    session = os.getsid(0)
    _kill(lambda: [p for p, (_, of) in _processes().items() if of == session and p != os.getpid()])
    os._exit(0)


def _end_all(server: subprocess.Popen[bytes]) -> None:
    """Kill whatever is still below this process."""
    leftovers = time.monotonic() + (_LEFTOVERS_S if server.poll() is not None else 0.0)
    while _below() and time.monotonic() < leftovers:
        time.sleep(_POLL_S / 4)
    _kill(_below)


def _kill(processes: Callable[[], list[int]]) -> None:
    """Kill them until there are none."""
    give_up = time.monotonic() + _KILLED_S
    while (alive := processes()) and time.monotonic() < give_up:
        for process in alive:
            with contextlib.suppress(ProcessLookupError):  # it ended since it was listed
                os.kill(process, signal.SIGKILL)
        time.sleep(_POLL_S / 4)


def _below() -> list[int]:
    """Living processes below this one; those that have ended are reaped on the way."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    processes = _processes()
    found, level = [], [os.getpid()]
    while level:
        level = [process for process, (parent, _) in processes.items() if parent in level]
        found += level
    return found


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and session of every living process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended since it was listed
                # After the name, which is in parentheses and may hold anything.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                state, parent, _, session = fields[:4]
                if state != "Z":
                    found[int(entry.name)] = (int(parent), int(session))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
