"""A server, a journal and a clock that are fakes, for the client alone: hours pass in milliseconds.

test_chaos.py has the real ones.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from r1lab.generation import client as tested
from r1lab.generation.client import Client
from r1lab.generation.request import Answer, Request


class Loop(asyncio.SelectorEventLoop):
    """Where it would wait, its clock is moved on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def skip(timeout: float | None) -> Any:
            assert timeout is not None, "nothing would ever happen again"
            self.now += timeout
            return select(0)

        selector.select = skip

    def time(self) -> float:
        return self.now


Fate = Callable[["World", Request, int], Answer | Exception | float]


class World:
    """A fake server, journal and dead-letter file. ``fate`` is asked for every try: an answer, what
    to raise, or a number of seconds until it is asked again.
    """

    def __init__(self, fate: Fate, latency: float = 1.0):
        self.fate, self.latency = fate, latency
        self.loop = Loop()
        self.begin = self.loop.now
        self.tries: list[tuple[float, int]] = []  # seconds since the beginning, sample
        self.kept: list[int] = []
        self.dead: dict[int, tuple[str, str, int]] = {}
        self.flying = self.most = 0
        self.closed = False
        self.progress: list[tuple[int, str | None]] = []
        self.client: Client

    @property
    def now(self) -> float:
        return self.loop.now - self.begin

    def times(self, sample: int) -> list[float]:
        return [when for when, tried in self.tries if tried == sample]

    async def ask(self, request: Request) -> Answer:
        self.tries.append((self.now, request.sample))
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            came = self.fate(self, request, len(self.times(request.sample)))
            await asyncio.sleep(came if isinstance(came, float) else self.latency)
            came = Answer("late") if isinstance(came, float) else came
        finally:
            self.flying -= 1
        if isinstance(came, Exception):
            raise came
        return came

    async def aclose(self) -> None:
        self.closed = True

    def add(self, request: Request, answer: Answer, **facts: Any) -> bool:
        assert request.sample not in self.kept
        self.kept.append(request.sample)
        return True

    def bury(self, request: Request, reason: str, kind: str, attempts: int) -> None:
        assert request.sample not in self.dead
        self.dead[request.sample] = (reason, kind, attempts)

    def run(self, requests: Iterable[Request | None] | int, **changes: Any) -> tested.Counts:
        settings = {"retries": 3, "start": 8, "maximum": 64, "server_timeout": 600.0}
        self.client = Client(
            self,
            self,
            self.bury,
            progress=lambda counts: self.progress.append((counts.done, counts.waiting_for_server)),
            **{**settings, **changes},
        )
        if isinstance(requests, int):
            requests = map(request, range(requests))
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(self.client.run(requests))


def request(sample: int) -> Request:
    return Request("0" * 32, sample, 0, [])


@contextmanager
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Makes worlds, on whose clock the client then is; afterwards nothing of them goes on."""
    made: list[World] = []
    clock = SimpleNamespace(monotonic=lambda: made[-1].loop.now)
    monkeypatch.setattr(tested, "time", clock)
    random.seed(0)

    def make(fate: Fate, latency: float = 1.0) -> World:
        made.append(World(fate, latency))
        return made[-1]

    yield make
    for each in made:
        assert each.closed and each.flying == 0
        each.loop.close()
