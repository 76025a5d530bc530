"""Asking from several processes, for servers that are faster than one process can ask.

Each is a ``replica.py`` with a client of its own; requests and what comes of them are lines of JSON
in pipes, which costs this process a tenth of what asking would.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from r1lab.errors import first_cause
from r1lab.generation.asking import Failed, Fatal
from r1lab.generation.outcome import answer_from
from r1lab.generation.replica import KEY, LONGEST_LINE
from r1lab.generation.request import Answer, Request, Sampling

#: A process that dies so often without an outcome between is not started again.
MOST_DEATHS = 3
#: Of what a process wrote before it died.
_TAIL = 4000
_STOP_S = 5.0


class Replicas:
    """``replicas`` processes that ask; each request goes to the one with the fewest in flight.

    ``settings`` are the arguments of :class:`~r1lab.generation.asking.Asker`. A process is started
    when it is first needed, and again when it has died.
    """

    def __init__(self, replicas: int, settings: Mapping[str, Any]):
        sampling: Sampling = settings["sampling"]
        told = {**settings, "sampling": {**asdict(sampling), "extra": dict(sampling.extra)}}
        key = told.pop("api_key")
        self.replicas = [_Replica(told, key) for _ in range(replicas)]

    async def ask(self, request: Request) -> Answer:
        """See :class:`~r1lab.generation.asking.Client`."""
        return await min(self.replicas, key=lambda each: each.load).ask(request)

    async def aclose(self) -> None:
        """Close their input, and wait until they have ended."""
        await asyncio.gather(*(each.aclose() for each in self.replicas))


class _Replica:
    """One of the processes, or the one that took its place."""

    def __init__(self, settings: dict[str, Any], api_key: str | None):
        self.load = 0
        self.process: Process | None = None
        self._settings, self._api_key = settings, api_key
        self._starting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._deaths, self._last_words = 0, ""

    async def ask(self, request: Request) -> Answer:
        self.load += 1
        try:
            process = await self._running()
            return answer_from(await self._outcome(process, request))
        finally:
            self.load -= 1

    async def _outcome(self, process: Process, request: Request) -> dict[str, Any]:
        number = next(self._numbers)
        outcome = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            _send(process, {"id": number, "request": asdict(request)})
            return await outcome
        except asyncio.CancelledError:
            _send(process, {"cancel": number})
            raise
        finally:
            del self._waiting[number]

    async def _running(self) -> Process:
        async with self._starting:
            if self.process is None:
                if self._deaths >= MOST_DEATHS:
                    raise Fatal(
                        f"a process that asks (generate.client_replicas) died {self._deaths} times "
                        f"without an answer: {self._last_words}",
                        "see why; generate.client_replicas=1 asks from this process",
                    )
                self.process = await self._start()
            return self.process

    async def _start(self) -> Process:
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "r1lab.generation.replica"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, KEY: self._api_key or "", "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the parent, which then closes their input
        )
        _send(process, self._settings)
        self._reading = asyncio.create_task(self._read(process))
        return process

    async def _read(self, process: Process) -> None:
        """Hand out what comes until the process ends; then fail what it has not answered."""
        words = asyncio.create_task(_last_words(process))
        assert process.stdout
        try:
            while (line := await process.stdout.readline()).endswith(b"\n"):
                outcome = json.loads(line)
                waiting = self._waiting.get(outcome.pop("id"))
                if waiting is not None and not waiting.done():
                    waiting.set_result(outcome)
                self._deaths = 0
        finally:
            # The next process may have requests while this one's last words are read.
            self.process, orphans = None, list(self._waiting.values())
            code = await process.wait()
            self._deaths += 1
            self._last_words = f"exit code {code}; {first_cause(await words)}"
            for waiting in orphans:
                if not waiting.done():
                    reason = f"a process that asks died ({self._last_words})"
                    waiting.set_exception(Failed(reason, kind="process"))

    async def aclose(self) -> None:
        process = self.process
        if process is None or self._reading is None:
            return
        assert process.stdin
        process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(self._reading), _STOP_S)
        except TimeoutError:
            process.kill()
            await self._reading


def _send(process: Process, message: dict[str, Any]) -> None:
    """Write without waiting: what is in flight is limited, and ``_read`` sees a dead process."""
    assert process.stdin
    if not process.stdin.is_closing():
        process.stdin.write(json.dumps(message).encode() + b"\n")


async def _last_words(process: Process) -> str:
    assert process.stderr
    tail = b""
    while chunk := await process.stderr.read(2**16):
        tail = (tail + chunk)[-_TAIL:]
    return tail.decode("utf-8", "replace")
