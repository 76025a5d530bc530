"""A server's process: started with a log of its own, watched, ended with all that it started."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from r1lab.engines import keeper

#: Seconds that a server may take to end after it was asked to; then it is killed.
GRACE_S = 15.0
_TAIL_LINES = 15
_LOG_BYTES = 2**20  # of a log's beginning, where the first cause is looked for
#: What vLLM writes before each line: ``(EngineCore pid=7) ERROR 11-24 12:00:00 [core.py:1] text``.
_PREFIX = re.compile(r"^(\(\w+[^)]*pid=\d+\) ?)?([A-Z]+ [\d-]+ [\d:]+ \[[^\]]+\] ?)?")
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Failure)\b")
_VALIDATION = re.compile(r"\d validation errors? for \w+$")
_USAGE = re.compile(r"\berror: ")


class ServerProcess:
    """One run of ``command``; its output goes to ``log``, which is emptied first."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path):
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._keeper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it below a keeper (see :mod:`r1lab.engines.keeper`)."""
        if self._keeper is not None:
            raise RuntimeError(f"{self.command[0]} was started already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        script = str(Path(keeper.__file__).resolve())
        with open(self.log, "wb") as output:
            self._keeper = subprocess.Popen(
                # -P: that script's folder has modules named vllm and transformers.
                [sys.executable, "-P", script, str(GRACE_S), *self.command],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches r1lab, which stops the server
            )

    @property
    def pid(self) -> int | None:
        """Of the process that ends the server when it is sent SIGTERM."""
        return None if self._keeper is None else self._keeper.pid

    def ended(self) -> str | None:
        """How the server ended by itself, and why as far as its log tells; None while it runs."""
        if self._keeper is None or self._keeper.poll() is None:
            return None
        code = self._keeper.returncode  # below 0: the keeper's own
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code if code < 0 else code - 128).name
            return f"was killed by {name}: {cause(self.log)}"
        return f"ended with exit code {code}: {cause(self.log)}"

    def stop(self) -> None:
        """End it and everything below it; returns when they are gone. Nothing where it ended."""
        if self._keeper is None:
            return
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper.wait()


def cause(log: Path) -> str:
    """One line of a log: the first exception in it, else a usage error, else the last line.

    The first: vLLM's later tracebacks say only that its engine failed, in several processes.
    """
    with open(log, "rb") as file:
        lines = _lines(file.read(_LOG_BYTES).decode(errors="replace"))
    in_traceback = False
    for line, after in itertools.pairwise([*lines, ""]):
        if line.startswith("Traceback (most recent call last)"):
            in_traceback = True
        elif in_traceback and _EXCEPTION.match(line):
            # pydantic's message begins on the next line.
            return f"{line}: {after.strip()}" if _VALIDATION.search(line) else line
    usage = [line for line in lines if _USAGE.search(line)]
    if usage:
        return usage[0]
    last = tail(log, 1).strip()
    return last or "it wrote nothing"


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log that say something."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2**16))
        text = file.read().decode(errors="replace")
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


def _lines(text: str) -> list[str]:
    stripped = (_PREFIX.sub("", line).rstrip() for line in text.splitlines())
    return [line for line in stripped if line]
