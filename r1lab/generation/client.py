"""Asking for every sample that is missing, whatever the server does meanwhile.

The client knows neither HTTP nor files: an asker (``asking.py``; on other processes or a Ray
cluster: ``replicas.py``, ``ray_client.py``) makes one attempt, the journal keeps what came. What
fails while others are answered is the request's fault, and counts against its retries; what fails
while nobody is answered is the server's, and is waited for.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from r1lab.errors import RunFailed
from r1lab.generation.asking import Failed, Fatal, Refused
from r1lab.generation.limit import Limit
from r1lab.generation.request import Answer, Request

#: Waits between tries of a request: doubling from the first to the longest, in seconds.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
#: Between tries of a server that answers nobody.
_LONGEST_OUTAGE_WAIT_S = 15.0
#: So many requests in a row that fail for good, and none answered, end the generation.
_IN_A_ROW = 50
#: A server with a rate limit turns a request away more often than it may fail.
_BUSY = 100
#: New prompts wait while more requests than so many times the limit wait for another try.
_WAITING = 4
_TICK_S = 0.5
#: Prompts that need nothing are passed over; every so many, the loop gets a turn.
_TURN = 500

_END = object()
_AGAIN = "what was answered is kept: the same line again goes on from there"


class GenerationFailed(RunFailed):
    """A generation that cannot go on, and why. What was answered is kept."""


class Asks(Protocol):
    """One attempt at a request: an answer, or Refused, Failed or Fatal of ``asking.py``."""

    async def ask(self, request: Request) -> Answer: ...
    async def aclose(self) -> None: ...


class Keeps(Protocol):
    """The part of the journal that the client needs."""

    def add(self, request: Request, answer: Answer, **facts: Any) -> bool: ...


@dataclass
class Counts:
    """What has come of a generation so far. ``kept`` samples were there when it began."""

    total: int | None = None
    kept: int = 0
    answered: int = 0
    dead: int = 0
    retried: int = 0
    truncated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0
    limit: int = 0
    seconds: float = 0.0
    latency: float = 0.0  # seconds of the answers so far, summed
    errors: Counter[str] = field(default_factory=Counter)
    waiting_for_server: str | None = None

    @property
    def done(self) -> int:
        """Samples that are there, or never will be."""
        return self.kept + self.answered + self.dead


@dataclass(eq=False)
class Attempt:
    """A request and what has been tried."""

    request: Request
    failures: int = 0
    busy: int = 0  # how often the server had no time for it
    blamed: bool = False  # whether it failed while others were answered
    began: float = 0.0  # the last try
    probes: bool = False  # whether it alone is tried, while the server answers nobody


class Client:
    """Asks for all of ``requests``, an iterator that is read as the server gets through it.

    ``bury`` is told of every request that fails for good: (request, reason, kind, attempts).
    ``gone`` says why the server will not come back, if that is known (one of our own that ended).
    """

    def __init__(
        self,
        asker: Asks,
        journal: Keeps,
        bury: Callable[[Request, str, str, int], None],
        *,
        retries: int,
        start: int,
        maximum: int,
        server_timeout: float,
        counts: Counts | None = None,
        progress: Callable[[Counts], None] = lambda counts: None,
        gone: Callable[[], str | None] = lambda: None,
    ):
        self.counts = counts if counts is not None else Counts()
        self.limit = Limit(start, maximum)
        self._asker, self._journal, self._bury = asker, journal, bury
        self._retries, self._server_timeout = retries, server_timeout
        self._progress, self._gone = progress, gone
        self._requests: Iterator[Request | None] = iter(())
        self._exhausted = False
        self._again: list[tuple[float, int, Attempt]] = []  # by when they are due
        self._order = 0
        self._group: asyncio.TaskGroup
        self._workers = 0
        self._idle = asyncio.Event()
        self._not_before = 0.0
        self._flying: set[Attempt] = set()
        # While the server answers nobody, one worker at a time tries; the others leave.
        self._outage = self._probing = False
        self._outages = 0
        self._failing_since: float | None = None
        self._in_a_row = 0
        self._begin = 0.0

    async def run(self, requests: Iterable[Request | None]) -> Counts:
        """Ask for everything. ``None`` among the requests stands for one that needs nothing.

        :class:`GenerationFailed` where the server refuses everything, or answers nobody for
        ``server_timeout`` seconds.
        """
        self._requests = iter(requests)
        self._begin = time.monotonic()
        try:
            async with asyncio.TaskGroup() as self._group:
                ticker = self._group.create_task(self._tick())
                while not self._exhausted or self._again:
                    self._idle.clear()
                    self._hire()
                    await self._idle.wait()
                ticker.cancel()
        except BaseExceptionGroup as failures:
            first: BaseException = failures
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        finally:
            await self._asker.aclose()
            self._say()
        return self.counts

    def _hire(self) -> None:
        """As many workers as the limit allows, while there is work."""
        while self._workers < self.limit.current and not (self._exhausted and not self._again):
            self._workers += 1
            self._group.create_task(self._work())
            if self._outage:
                return  # one is enough to see whether it is back

    async def _work(self) -> None:
        while self._workers <= self.limit.current:
            attempt = await self._next()
            if attempt is None:
                break
            await self._try(attempt)
            self._hire()
        self._workers -= 1
        if not self._workers:
            self._idle.set()

    async def _next(self) -> Attempt | None:
        """What to try now; None when there is nothing left to start.

        (What others have in flight may fail: whoever has it tries it again.)
        """
        passed, probes = 0, False
        while True:
            if self._outage:
                if self._probing and not probes:
                    return None
                self._probing = probes = True
            elif probes:
                self._probing = probes = False
            now = time.monotonic()
            if now < self._not_before:
                self._check_wait(self._not_before - now)
                wait = self._not_before - now + random.uniform(0.0, 0.1)
                await asyncio.sleep(min(wait, _LONGEST_OUTAGE_WAIT_S))
                continue
            due = self._again[0][0] if self._again else None
            if due is not None and due <= now:
                attempt = heapq.heappop(self._again)[2]
                attempt.probes = probes
                return attempt
            if len(self._again) < _WAITING * self.limit.current and not self._exhausted:
                request = next(self._requests, _END)
                if isinstance(request, Request):
                    return Attempt(request, probes=probes)
                self._exhausted = request is _END
                passed += 1
                if passed % _TURN == 0:
                    await asyncio.sleep(0)
                continue
            if due is None:
                self._probing = self._probing and not probes
                return None
            await asyncio.sleep(min(due - now, 1.0))

    async def _try(self, attempt: Attempt) -> None:
        counts = self.counts
        before, attempt.began = counts.answered, time.monotonic()
        self._flying.add(attempt)
        counts.in_flight += 1
        self.limit.asked(counts.in_flight)
        try:
            answer = await self._asker.ask(attempt.request)
        except Refused as error:
            self._dead(attempt, str(error), "refused")
        except Fatal as error:
            if not counts.answered:
                raise GenerationFailed(f"{error.reason}\n    fix: {error.fix}") from error
            # It did answer with this key and address before.
            self._failed(attempt, Failed(error.reason, server=True, kind="refused"), before)
        except Failed as error:
            self._failed(attempt, error, before)
        else:
            self._answered(attempt, answer)
        finally:
            self._flying.discard(attempt)
            counts.in_flight -= 1
            self._probing = self._probing and not attempt.probes

    def _answered(self, attempt: Attempt, answer: Answer) -> None:
        counts, now = self.counts, time.monotonic()
        self._journal.add(attempt.request, answer, attempts=attempt.failures + 1)
        counts.answered += 1
        counts.truncated += answer.truncated
        counts.prompt_tokens += answer.prompt_tokens or 0
        counts.completion_tokens += answer.completion_tokens or 0
        counts.latency += now - attempt.began
        self.limit.answered(now, answer.completion_tokens or 1)
        self._in_a_row = self._outages = 0
        self._failing_since = counts.waiting_for_server = None
        self._outage = False

    def _failed(self, attempt: Attempt, error: Failed, before: int) -> None:
        """Another try, or the end of it: of the request's, or of all."""
        counts, now = self.counts, time.monotonic()
        counts.errors[error.kind] += 1
        counts.retried += 1
        if error.server or not attempt.blamed:
            self._check_server(attempt, error, now)
        attempt.blamed = attempt.blamed or counts.answered != before
        busy = error.kind == "busy" or error.retry_after is not None
        if busy or error.kind == "timeout":
            self.limit.overloaded(now)
        asked = error.retry_after or 0.0
        if asked:
            self._not_before = max(self._not_before, now + asked)
        if error.server and counts.answered == before:
            if not self._outage or now >= self._not_before:  # the first of those in flight
                self._outages += 1
                wait = _wait(self._outages, _LONGEST_OUTAGE_WAIT_S)
                self._not_before = max(self._not_before, now + wait)
            self._outage = True
            # A server that ends whenever it gets this one is told from one that is away by that.
            attempt.failures += error.kind == "closed"
            if attempt.failures > self._retries:
                self._dead(attempt, error.reason, error.kind)
                return
            counts.waiting_for_server = error.reason
            self._push(attempt, now)
        elif busy and attempt.busy < _BUSY:
            attempt.busy += 1
            self._push(attempt, now + max(asked, _wait(1, _LONGEST_WAIT_S)))
        else:
            attempt.failures += 1
            if attempt.failures > self._retries:
                counts.retried -= 1
                self._dead(attempt, error.reason, error.kind)
            else:
                self._push(attempt, now + max(asked, _wait(attempt.failures, _LONGEST_WAIT_S)))

    def _check_server(self, attempt: Attempt, error: Failed, now: float) -> None:
        """Whether it has been away for too long. It is not while it may work on something."""
        if self._failing_since is None:
            self._failing_since = now
        since = self._failing_since
        if now - since <= self._server_timeout:
            return
        if all(each.began > since for each in self._flying - {attempt}):
            raise GenerationFailed(
                f"the server has answered nobody for {self._server_timeout:g} s "
                f"(generate.server_timeout); the last try: {error}\n"
                f"    fix: see why it did not; {_AGAIN}"
            )

    def _check_wait(self, seconds: float) -> None:
        """A server may ask for more patience (Retry-After) than there is."""
        if seconds > self._server_timeout and not self._flying:
            raise GenerationFailed(
                f"the server asks to wait {seconds:.0f} s, longer than generate.server_timeout="
                f"{self._server_timeout:g}\n    fix: come back then, or set that; {_AGAIN}"
            )

    def _push(self, attempt: Attempt, due: float) -> None:
        self._order += 1
        heapq.heappush(self._again, (due, self._order, attempt))

    def _dead(self, attempt: Attempt, reason: str, kind: str) -> None:
        counts = self.counts
        counts.dead += 1
        self._in_a_row += 1
        self._bury(attempt.request, reason, kind, attempt.failures or 1)
        # Refusals are quick: of prompts that are too long, say, fifty may stand in a row.
        its_own = kind == "refused" and counts.answered + counts.kept > 0
        if self._in_a_row >= _IN_A_ROW and not its_own:
            see = "mend what it says" if kind == "refused" else "see the server's log"
            raise GenerationFailed(
                f"the last {_IN_A_ROW} requests failed for good, and none was answered; the last: "
                f"{reason}\n    fix: {see}; {_AGAIN}"
            )

    async def _tick(self) -> None:
        while True:
            self._say()
            gone = self._gone()
            if gone is not None:
                raise GenerationFailed(f"{gone}\n    fix: see its log; {_AGAIN}")
            await asyncio.sleep(_TICK_S)

    def _say(self) -> None:
        self.counts.seconds = time.monotonic() - self._begin
        self.counts.limit = self.limit.current
        self._progress(self.counts)


def _wait(tries: int, longest: float) -> float:
    """Seconds before the next try: exponential, half of it jitter."""
    return float(min(longest, _FIRST_WAIT_S * 2 ** (tries - 1)) * random.uniform(0.5, 1.0))
