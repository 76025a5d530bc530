"""A small process between r1lab and a server, so that nothing the server starts outlives r1lab.

A server has children (vLLM's engine, tokenizer workers) that a signal to the server alone misses,
and that stay when r1lab is killed outright (``kill -9``), since the kernel tells only direct
children of a parent's death. So this process stands between: it adopts every orphan below it
(``PR_SET_CHILD_SUBREAPER``), holds the reading end of a pipe whose other end is r1lab's, and ends
everything below itself when that pipe closes, for whatever reason.

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
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
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
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # Should this process itself be killed, the server is asked to end. Killed as well, it could
        # not end its own children any more.
        preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),
    )
    while server.poll() is None and not asked:
        if select.select([0], [], [], _POLL_S)[0] and not os.read(0, 1):
            asked.append(0)
    code = server.poll()
    if code is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(grace)
    _end_all(server)
    if code is None:
        return 0
    return code if code >= 0 else 128 - code


def _end_all(server: subprocess.Popen[bytes]) -> None:
    """Kill whatever is still below this process."""
    leftovers = time.monotonic() + (_LEFTOVERS_S if server.poll() is not None else 0.0)
    while _below() and time.monotonic() < leftovers:
        time.sleep(_POLL_S / 4)
    give_up = time.monotonic() + _KILLED_S
    while (alive := _below()) and time.monotonic() < give_up:
        for process in alive:
            with contextlib.suppress(ProcessLookupError):  # it ended since it was listed
                os.kill(process, signal.SIGKILL)
        time.sleep(_POLL_S / 4)


def _below() -> list[int]:
    """Living processes below this one; those that have ended are reaped on the way."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended since it was listed
                # After the name, which is in parentheses and may hold anything: state, parent.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    found, level = [], [os.getpid()]
    while level:
        level = [process for process, parent in parents.items() if parent in level]
        found += level
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
