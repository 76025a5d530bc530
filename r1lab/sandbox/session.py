"""The outside half of one sandbox: start it, send inputs, check what comes back, end it."""

from __future__ import annotations

import contextlib
import marshal
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any, cast

from r1lab.sandbox.base import Result, Status
from r1lab.sandbox.inside.main import ANSWER, LENGTH, STATUSES

#: Seconds beyond a limit after which the inside, which enforces it, is taken for dead.
GRACE = 10.0
#: Seconds in which the inside, told to end, does so; then it is killed.
PATIENCE = 2.0
#: Output may not be longer than the limit, messages and a compiler's words not than this.
MOST_OTHER_BYTES = 1 << 20


class SessionDied(Exception):
    """The sandbox ended, or said what it cannot say, before it answered."""


class Session:
    """One program in its sandbox. Use it as a context: leaving it kills all that is inside."""

    def __init__(self, command: list[str], specification: dict[str, Any]):
        self.output_bytes = max(
            specification[name]["output_bytes"] for name in ("limits", "compile_limits")
        )
        ours, theirs = socket.socketpair()
        # Says why, if the sandbox cannot start. A file: nobody has to read it meanwhile.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._channel = ours
        try:
            self.process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={"LANG": "C.UTF-8"},  # none of the caller's, which holds tokens
                start_new_session=True,  # Ctrl-C is for the caller
                cwd="/",
            )
        except BaseException:
            ours.close()
            self._stderr.close()
            raise
        finally:
            theirs.close()
        self._message = marshal.dumps(specification)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is inside, whatever it does."""
        with contextlib.suppress(OSError):  # the other side may be closed already
            self._channel.shutdown(socket.SHUT_RDWR)
        # Process 1 inside sees that and ends, and with it everything; the two above it wait for
        # one another. Killing them from the top would leave zombies to the machine's process 1,
        # which in a container may be one that never waits.
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def release(self) -> None:
        """Close the files; after ``close``, by whoever made the session."""
        self._channel.close()
        self._stderr.close()

    def ready(self, limit_s: float) -> Result:
        """How setting up and compiling went. Raises ``SessionDied``."""
        return self._ask(self._message, limit_s)

    def run(self, stdin: bytes, limit_s: float) -> Result:
        """One run on one input. Raises ``SessionDied``."""
        return self._ask(stdin, limit_s + GRACE)

    def _ask(self, message: bytes, limit_s: float) -> Result:
        deadline = time.monotonic() + limit_s
        try:
            self._channel.settimeout(limit_s)
            self._channel.sendall(LENGTH.pack(len(message)) + message)
            head = self._receive(ANSWER.size, deadline)
            index, exited, exit_code, seconds, *sizes = ANSWER.unpack(head)
            if index >= len(STATUSES) or max(sizes) > max(self.output_bytes, MOST_OTHER_BYTES):
                raise SessionDied("the sandbox sent what it cannot send")
            text, stdout, stderr = (
                self._receive(size, deadline).decode(errors="replace") for size in sizes
            )
        except OSError as error:
            raise SessionDied(
                f"the sandbox does not answer: {error}{self._last_words()}"
            ) from error
        status = cast(Status, STATUSES[index])
        code = exit_code if exited else None
        if status == "runtime_error" and not text:
            text = _why(exit_code)
        return Result(status, stdout, stderr, code, seconds, text)

    def _receive(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._channel.recv(min(size - len(parts), 1 << 20))
            if not data:
                raise SessionDied(f"the sandbox has ended{self._last_words()}")
            parts += data
        return bytes(parts)

    def _last_words(self) -> str:
        with contextlib.suppress(ValueError, OSError):  # closed meanwhile
            self._stderr.seek(0)
            said = self._stderr.read()[-2000:].decode(errors="replace").strip()
            return f"\n{said}" if said else ""
        return ""


def _why(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
