"""``hydra/launcher=local``, the default of ``-m``: each point in a fresh process of this machine.

A point writes into its ``log.txt`` itself; this process only reads along. So a point survives what
happens to the terminal, and one that is still running when the sweep is started again is waited
for. Ctrl-C stops the points that run with a checkpoint, and the sweep once they have saved.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from r1lab.sweep import points
from r1lab.sweep.launching import SweepLauncher
from r1lab.sweep.points import Point

_POLL_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


class _Running(NamedTuple):
    """A point's process, and its log from where this start of it begins."""

    point: Point
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float


class LocalLauncher(SweepLauncher):
    """Runs points as child processes, ``parallel`` of them at once."""

    attends_first = True  # what an earlier start left running has the memory

    def __init__(self, parallel: int = 1):
        super().__init__()
        self.parallel = parallel
        self._running: list[_Running] = []
        self._stopping = False

    def run(self, todo: list[Point], sweep_dir: Path) -> None:
        waiting = list(todo)
        count = len(todo)
        with self._passing_on_signals():
            while self._running or (waiting and not self._stopping):
                while waiting and len(self._running) < self.parallel and not self._stopping:
                    self._start(waiting.pop(0), count - len(waiting), count)
                for row in list(self._running):
                    self._look(row)
                time.sleep(_POLL_S)
        if self._stopping:
            raise KeyboardInterrupt

    def _start(self, point: Point, number: int, count: int) -> None:
        print(f"point  {number}/{count} {point.label}  log {point.log}", flush=True)
        log = point.log.open("a+b")
        log.seek(0, os.SEEK_END)
        with point.log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "r1lab.sweep.run_point", str(point.folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([part or os.getcwd() for part in sys.path]),
                    "PYTHONUNBUFFERED": "1",
                },
                process_group=0,  # Ctrl-C reaches this process, which passes it on once
            )
        self._running.append(_Running(point, process, log, time.monotonic()))
        if self._stopping:  # the signal came while the process was made
            process.send_signal(signal.SIGTERM)

    def _look(self, row: _Running) -> None:
        """Show what a point has printed, if it is alone, and whether it has ended."""
        code = row.process.poll()
        if self.parallel == 1:
            sys.stdout.buffer.write(row.log.read())
            sys.stdout.flush()
        if code is None:
            return
        row.log.close()
        self._running.remove(row)
        status = points.read_status(row.point.folder)
        if status["state"] in (points.PENDING, points.RUNNING):
            state = points.KILLED if self._stopping else points.FAILED_STATE
            status = {"state": state, "error": _silent_end(code), "exit_code": code}
            points.update_status(row.point.folder, ended=points.now(), **status)
        print(f"point  {row.point.label}: {_result(row.point, status, row.started)}", flush=True)

    @contextmanager
    def _passing_on_signals(self) -> Iterator[None]:
        def stop(number: int, frame: Any) -> None:
            if not self._stopping:
                print("\nsweep  stopping: the points that run save a checkpoint first", flush=True)
            self._stopping = True
            passed = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
            for row in self._running:
                if row.process.poll() is None:
                    row.process.send_signal(passed)

        before = {
            number: signal.signal(number, stop)
            for number in _SIGNALS
            # nohup's wish; a shell also ignores SIGINT for jobs in the background, where it is sent
            # by somebody who means it.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _silent_end(code: int) -> str:
    if code >= 0:
        return f"the point's process ended with exit code {code} and left no message: see its log"
    name = signal.Signals(-code).name
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"the point's process was killed by {name}{hint}"


def _result(point: Point, status: dict[str, Any], started: float) -> str:
    took = f"({time.monotonic() - started:.0f} s)"
    if status["state"] == points.FINISHED and status.get("objective") is not None:
        return f"finished, {point.config['objective']} {status['objective']:.4g} {took}"
    said = status.get("error") or status.get("note")
    return f"{status['state']}{f': {said}' if said else ''} {took}"
