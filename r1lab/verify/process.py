"""The pool's end of its processes: the server that forks workers, and a worker.

:mod:`r1lab.verify.worker` is the other end.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: What the pool asks of the server: a letter, the worker's number, its deadline, its memory in MiB.
REQUEST = struct.Struct("!cIfI")
FORK, BURY = b"F", b"B"


def _lines(connection: socket.socket, rest: bytes) -> tuple[list[Any] | None, bytes]:
    """The complete messages that have come, ``None`` at the end, and what is incomplete."""
    try:
        data = connection.recv(65536)
    except ConnectionResetError:  # killed with something of ours unread
        data = b""
    if not data:
        return None, b""
    *lines, rest = (rest + data).split(b"\n")
    return [json.loads(line) for line in lines], rest


class Server:
    """The process that has math-verify imported and forks workers."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.control, theirs = socket.socketpair()
        # Says why, if the process cannot start; closed by `disown`.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            # -P: nothing in the current folder may stand in for a module of ours
            [sys.executable, "-P", "-m", "r1lab.verify.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,  # what a library prints must not appear among the caller's output
            stderr=self._stderr,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        self.ready = self.dead = False
        self.since = time.monotonic()
        self._received = b""
        self._numbers = itertools.count()

    def receive(self) -> str | None:
        """Take in what the process says; return which import is missing, if one is."""
        messages, self._received = _lines(self.control, self._received)
        if messages is None:
            self.dead = True
        for message in messages or ():
            if "missing" in message:
                return str(message["missing"])
            self.ready = True
        return None

    def fork(self, deadline_s: float, memory_mib: int) -> Worker:
        """A new worker, which will say its process id when it is up."""
        ours, theirs = socket.socketpair()
        number = next(self._numbers)
        request = REQUEST.pack(FORK, number, deadline_s, memory_mib)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), theirs:
            # A server that is dead shows by its closed sockets, the worker's too.
            socket.send_fds(self.control, [request], [theirs.fileno()])
        return Worker(self, number, ours)

    def bury(self, number: int) -> None:
        """Have a worker killed, if it is not dead yet, and waited for."""
        with contextlib.suppress(OSError):  # closed or dead: then its workers are dead as well
            self.control.sendall(REQUEST.pack(BURY, number, 0.0, 0))

    def last_words(self) -> str:
        """The end of what the process wrote to its standard error."""
        with contextlib.suppress(ValueError):  # closed
            self._stderr.seek(0)
            return self._stderr.read()[-2000:].decode(errors="replace").strip()
        return ""

    def close(self) -> None:
        """End the process, and with it its workers."""
        self.process.kill()
        self.process.wait()
        self.disown()

    def disown(self) -> None:
        """Close what is ours of it."""
        self.process.returncode = self.process.returncode or 0  # a fork must not wait for it
        self.control.close()
        self._stderr.close()


class Worker:
    """A process that answers jobs. ``jobs`` are those it was sent; the first is being worked on."""

    def __init__(self, server: Server, number: int, connection: socket.socket):
        self._server, self._number, self.connection = server, number, connection
        self.pid: int | None = None  # unknown until it is up
        self.jobs: deque[int] = deque()
        self.since = self.look_again = time.monotonic()
        self._before, self._stopped = 0.0, False
        self._golds: deque[tuple[str, str]] = deque()
        self._known: tuple[str, str] | None = None
        self._received, self._cpu = b"", 0.0

    def send(self, indices: Sequence[int], jobs: Sequence[tuple[str, str, str | None]]) -> None:
        """Send jobs as (mode, gold, answer) under the caller's indices. Only for an idle worker:
        one that is busy does not read, and a long text would block the caller.
        """
        self.jobs.extend(indices)
        self._golds.extend((mode, gold) for mode, gold, _ in jobs)
        self.since = time.monotonic()
        lines = [json.dumps({"mode": m, "gold": g, "answer": a}) + "\n" for m, g, a in jobs]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead: its end tells
            self.connection.sendall("".join(lines).encode())

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that have come, or ``None`` once the process is gone."""
        messages, self._received = _lines(self.connection, self._received)
        return messages

    @property
    def parsed(self) -> bool:
        """Whether the gold of the first job has been parsed."""
        return bool(self._golds) and self._golds[0] == self._known

    def learn(self, parsed: bool) -> None:
        """The worker has said whether the first job's gold parses; it does so once in a row."""
        self._known = self._golds[0] if parsed else None

    def done(self, cpu: float) -> None:
        """The first job is done, and the next begun; ``cpu`` seconds were used since the fork."""
        self.jobs.popleft()
        self._golds.popleft()
        self.since, self._before, self._cpu = time.monotonic(), 0.0, cpu

    def rest(self) -> list[int]:
        """Take back the jobs that have not begun."""
        rest = [self.jobs.pop() for _ in range(len(self.jobs) - 1)]
        return rest[::-1]

    @property
    def ran(self) -> float:
        """Seconds that the first job has been running, stops left out."""
        return self._before + (0.0 if self._stopped else time.monotonic() - self.since)

    def stop(self) -> None:
        """Halt the process where it is, until :meth:`go_on`."""
        self._before, self._stopped = self.ran, True
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._stopped:
            self.since, self._stopped = time.monotonic(), False
            self._signal(signal.SIGCONT)

    @property
    def used(self) -> float | None:
        """CPU seconds that the first job has taken; ``None`` where the system does not say."""
        try:
            with open(f"/proc/{self.pid}/stat") as stat:
                user, system = stat.read().rpartition(")")[2].split()[11:13]
        except FileNotFoundError:  # no Linux, or gone
            return None
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") - self._cpu

    def exceeds(self, share: float) -> bool:
        """Whether the first job has taken its share: of CPU time, as a busy core is not its fault,
        or several times as long without it.
        """
        ran = self.ran
        if ran < share or time.monotonic() < self.look_again:
            return False
        used = self.used
        if used is None or used >= share or ran >= 4 * share + 0.1:
            return True
        self.look_again = time.monotonic() + max(0.01, share - used)
        return False

    def end(self) -> None:
        """Kill the process, whatever it does."""
        self._signal(signal.SIGKILL)
        self._server.bury(self._number)
        self.connection.close()

    def _signal(self, number: int) -> None:
        # The server waits for its dead children only when told so by `bury`, so that the id cannot
        # have been given to another process.
        if self.pid is not None and not self._server.dead:
            with contextlib.suppress(ProcessLookupError):  # the server died, and we know it not yet
                os.kill(self.pid, number)
