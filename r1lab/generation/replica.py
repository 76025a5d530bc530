"""A process that asks for another: ``python -m r1lab.generation.replica``, started by replicas.py.

Standard input is lines of JSON: first how to ask, then requests (``{"id": 3, "request": {...}}``)
and those that nobody waits for any more (``{"cancel": 3}``). Standard output is what came of them
(``{"id": 3, "answer": {...}}``). The API key is in the environment, which other users cannot read,
as they can arguments. It ends when its input does, so it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, BinaryIO

from r1lab.generation.asking import Asker, Client
from r1lab.generation.outcome import outcome_of
from r1lab.generation.request import Request, Sampling

#: The variable that hands over the key.
KEY = "R1LAB_REPLICA_KEY"
#: Bytes; asyncio's own limit is 64 KiB, less than a long answer.
LONGEST_LINE = 2**30


class Replica:
    """Requests in flight, by the id that the parent gave them."""

    def __init__(self, asker: Client, output: BinaryIO, group: asyncio.TaskGroup):
        self._asker, self._output, self._group = asker, output, group
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Start on a request, or drop one."""
        if "cancel" in message:
            task = self._tasks.pop(message["cancel"], None)
            if task is not None:
                task.cancel()
            return
        number = message["id"]
        self._tasks[number] = self._group.create_task(self._work(number, message["request"]))

    def drop_all(self) -> None:
        """Nobody waits for any of them."""
        for task in self._tasks.values():
            task.cancel()

    async def _work(self, number: int, row: dict[str, Any]) -> None:
        outcome = await outcome_of(self._asker, Request(**row))
        self._tasks.pop(number, None)
        self._output.write(json.dumps({"id": number, **outcome}).encode() + b"\n")
        self._output.flush()


async def main() -> None:
    """Ask until the input ends. A bug in one request ends the process: its parent says so."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings = json.loads(await reader.readline())
    sampling = Sampling(**settings.pop("sampling"))
    asker = Asker(api_key=os.environ.pop(KEY, None), sampling=sampling, **settings)
    try:
        async with asyncio.TaskGroup() as group:
            replica = Replica(asker, _output(), group)
            while line := await reader.readline():
                replica.take(json.loads(line))
            replica.drop_all()
    except ExceptionGroup as failures:  # the parent shows the last line that is written
        raise failures.exceptions[0] from None
    finally:
        await asker.aclose()


def _output() -> BinaryIO:
    """Standard output for our lines alone: what a library may print goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


if __name__ == "__main__":
    asyncio.run(main())
