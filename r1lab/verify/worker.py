r"""The processes in which answers are parsed and compared; they may hang, and are then replaced.

``python -m r1lab.verify.worker FD`` is the server: it imports math-verify once, reads a few
formulas so that the parser's tables are filled, and from then on forks a ready worker whenever the
pool asks over the socket FD. It never touches an answer itself, so it cannot hang. A worker gets a
socket of its own, on which it reads one JSON object a line, ``{"mode": ..., "gold": ...,
"answer": ... | null}``, and writes ``{"parsed": bool}`` once a gold that it has not just had is
read, then ``{"equal": bool}`` if there was an answer, or ``{"error": ...}`` in place of either.

The server ends when its socket closes, however the pool's process ended, and its workers end with
it. math-verify's own timeouts are off: they do not stop what hangs in C, and the pool does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import mmap
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from r1lab.verify import algebra, open_r1
from r1lab.verify.process import BURY, REQUEST

#: CPU seconds that a worker outlives its item's deadline when nobody is left to kill it.
GRACE = 0.5
#: A little below the trainer, data loaders and inference servers, which win where both want the
#: core; not much below, since the trainer waits for the rewards.
NICENESS = 2
#: Sent to a whole process group or job; the workers end with their parent, which may yet need them.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1
#: Bytes without which a worker is of no use.
_LEAST_MEMORY = 64 << 20

#: One of each kind: the parser of LaTeX fills its tables, and sympy imports itself, on first use.
_WARM_UP = [
    ("x", "x+0"),
    (r"\frac{1}{2}", "0.25"),
    (r"2\sqrt{3}", r"\sqrt{11}"),
    (r"\{1,2\}", r"\{2,3\}"),
    ("(1,2)", "(2,1)"),
    ("[1,3)", "1<x<3"),
    (r"x^2+2x+1", "(x+2)^2"),
    ("y=2x+3", "2x-y=3"),
    (r"\frac{\pi}{3}", r"60^\circ"),
    (r"50\%", "0.4"),
    (r"(-\infty,2]\cup(3,\infty)", r"x\le 2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}"),
    (r"5\text{ cm}", r"6\text{ cm}"),
    (r"\frac{1}{\sqrt{n}}", r"\sqrt{\frac{2}{n}}"),
    (r"3+4i", "4+3i"),
    (r"\log_2 7", r"\ln 7"),
    (r"\sin x", r"\cos 2x"),
    ("n!", r"\binom{n}{2}"),
]


class _Channel:
    """A worker's end of the conversation."""

    def __init__(self, connection: socket.socket):
        self._connection = connection

    def say(self, **message: Any) -> None:
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def jobs(self) -> Iterator[dict[str, Any]]:
        with self._connection.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)


def _answers(job: dict[str, Any], gold_known: bool) -> Iterator[dict[str, bool]]:
    """What is to be said about a job, as it is found out."""
    mode, gold, answer = job["mode"], job["gold"], job["answer"]
    own = mode == "own"
    parsed = gold_known or (algebra.parses(gold) if own else open_r1.parses(gold, mode))
    if not gold_known:
        yield {"parsed": parsed}
    if parsed and answer is not None:
        same = algebra.equal(gold, answer) if own else open_r1.equal(gold, answer, mode)
        yield {"equal": same}


def work(connection: socket.socket, deadline: float, output: int) -> None:
    """Answer jobs until the other end closes; what an answer makes sympy raise is a reply.

    What the libraries print goes to the descriptor ``output``.
    """
    channel = _Channel(connection)
    channel.say(pid=os.getpid())
    for stream in (1, 2):  # what went wrong until here is worth reading
        os.dup2(output, stream)
    last: tuple[str, str] | None = None
    for job in channel.jobs():
        signal.setitimer(signal.ITIMER_PROF, deadline + GRACE)
        this = (job["mode"], job["gold"])
        try:
            for message in _answers(job, job["answer"] is not None and this == last):
                channel.say(**message, cpu=time.process_time())
                if "parsed" in message:
                    last = this if message["parsed"] else None
        except Exception as error:
            broken = isinstance(error, MemoryError)  # what is left may be in pieces
            reason = f"{type(error).__name__}: {error}"[:500]
            channel.say(error=reason, leaving=broken, cpu=time.process_time())
            if broken:
                return
        signal.setitimer(signal.ITIMER_PROF, 0)


def _become_worker(connection: socket.socket, server: int, deadline: float, mib: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            return
    null = os.open(os.devnull, os.O_WRONLY)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
    mmap.mmap(-1, _LEAST_MEMORY).close()  # too little stops the run here, not every item later
    work(connection, deadline, null)


def _warm_up() -> Iterator[None]:
    for gold, answer in _WARM_UP:
        # Only the tables that this fills are wanted; a comparison that fails is no news here.
        with contextlib.suppress(Exception):
            algebra.equal(gold, answer)
        yield
    with contextlib.suppress(Exception):
        open_r1.parses(r"$\frac{1}{2}$", "open_r1")
        open_r1.equal(r"$\frac{1}{2}$", r"\boxed{\frac{1}{3}}", "open_r1")


def serve(control: socket.socket) -> None:
    """Fork workers on request; between requests, warm up."""
    own = os.getpid()
    workers: dict[int, int] = {}
    warm_up: Iterator[None] | None = _warm_up()
    while True:
        if warm_up is not None and not select.select([control], [], [], 0)[0]:
            try:
                next(warm_up)
            except StopIteration:
                warm_up = None
                gc.collect()
                gc.freeze()  # what the workers share is not copied by their collections
            continue
        message, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        while message and len(message) < REQUEST.size:
            message += control.recv(REQUEST.size - len(message))
        if not message:
            return
        what, number, deadline, mib = REQUEST.unpack(message)
        if what == BURY:
            pid = workers.pop(number)
            os.kill(pid, signal.SIGKILL)  # a zombie by now, as a rule: nobody else can be hit
            os.waitpid(pid, 0)
            continue
        connection = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            control.close()
            try:
                _become_worker(connection, own, deadline, mib)
            finally:
                os._exit(0)
        workers[number] = pid
        connection.close()


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    for ignored in _IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    try:
        import math_verify  # noqa: F401
    except ImportError as error:
        control.sendall(json.dumps({"missing": str(error)}).encode() + b"\n")
        return
    control.sendall(b'{"ready": true}\n')
    serve(control)


if __name__ == "__main__":
    main()
