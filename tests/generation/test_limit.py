"""The limit on requests in flight, against servers that exist in numbers alone."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from r1lab.generation.limit import Limit


@dataclass
class Simulated:
    """A server that works on ``slots`` requests at once, the others wait; ``seconds(working)`` is
    what an answer takes. A client keeps it busy. What comes beyond ``most`` is turned away.
    """

    limit: Limit
    slots: int
    seconds: Callable[[int], float] = lambda working: 1.0
    most: int = 10**9
    tokens: Callable[[random.Random], int] = lambda drawn: 100
    clock: float = 0.0
    answers: int = 0
    limits: list[int] = field(default_factory=list)
    turned_away: int = 0

    def run(self, answers: int) -> Simulated:
        drawn = random.Random(0)
        due: list[tuple[float, bool]] = []
        free: list[float] = []  # when each slot in use is free again
        end = self.answers + answers
        while self.answers < end:
            while len(due) < self.limit.current:
                self.limit.asked(len(due) + 1)
                busy = len(due) >= self.most
                ready = self.clock
                if not busy:
                    if len(free) >= self.slots:
                        ready = max(ready, heapq.heappop(free))
                    working = min(len(due) + 1, self.slots)
                    ready += self.seconds(working) * drawn.uniform(0.9, 1.1)
                    heapq.heappush(free, ready)
                heapq.heappush(due, (ready + 0.01 * busy, busy))
            self.clock, busy = heapq.heappop(due)
            if busy:
                self.turned_away += 1
                self.limit.overloaded(self.clock)
            else:
                self.answers += 1
                self.limit.answered(self.clock, self.tokens(drawn))
            self.limits.append(self.limit.current)
        return self

    def settled(self, low: int, high: int) -> float:
        """The share of the second half in which the limit was within these."""
        late = self.limits[len(self.limits) // 2 :]
        return sum(low <= each <= high for each in late) / len(late)


@pytest.mark.parametrize("capacity", [40, 200, 800])
def test_it_grows_to_what_the_server_takes_and_stays(capacity):
    server = Simulated(Limit(8, 1024), capacity).run(300_000)
    # More than it works on only waits there; noise must not drive it up without end.
    assert server.settled(int(capacity * 0.9), capacity * 4) > 0.95
    # What is reached of what can be: the whole run, the way there included.
    assert server.answers / server.clock > 0.93 * capacity


def test_long_answers_of_very_different_lengths_do_not_mislead_it():
    server = Simulated(
        Limit(64, 1024),
        256,
        lambda working: 60.0,
        tokens=lambda drawn: int(drawn.paretovariate(1.5) * 500),
    ).run(50_000)
    assert server.settled(128, 1024) > 0.9
    assert server.answers / server.clock > 0.8 * 256 / 60


def test_a_batch_that_gains_less_and_less_is_not_grown_without_end():
    """As GPUs do: an answer takes longer with each request beside it, long before it queues."""
    server = Simulated(Limit(8, 4096), 10**6, lambda working: 1.0 + working / 64).run(60_000)
    assert server.settled(128, 2048) > 0.9  # 64 a second at most: 43 at 128, 62 at 2048
    assert server.answers / server.clock > 0.65 * 64


def test_the_maximum_holds():
    server = Simulated(Limit(64, 100), 5000).run(20_000)
    assert max(server.limits) == 100
    assert Limit(64, 10).current == 10
    assert Limit(0, 0).current == 1


def test_it_shrinks_once_for_what_fails_together_and_comes_back():
    limit = Limit(100, 100)
    for _ in range(100):
        limit.overloaded(5.0)
    assert limit.current == 70
    for _ in range(100 * 20):
        limit.answered(5.0, 1)
    assert limit.current == 90  # not all of it: that was too much
    limit.overloaded(7.0)
    assert limit.current in (62, 63)


def test_it_never_goes_below_one():
    limit = Limit(2, 100)
    for second in range(50):
        limit.overloaded(float(second * 2))
    assert limit.current == 1
    for _ in range(10):
        limit.answered(200.0, 1)
    assert limit.current == 1  # 90% of one


def test_a_server_that_turns_away_what_is_too_much_is_kept_near_that():
    server = Simulated(Limit(64, 1024), 1000, most=50).run(60_000)
    assert server.settled(25, 60) > 0.95
    assert server.turned_away < 0.05 * server.answers
    assert server.answers / server.clock > 0.75 * 50


def test_a_server_that_becomes_larger_is_noticed():
    server = Simulated(Limit(16, 1024), 50).run(20_000)
    before = server.limits[-1]
    server.slots = 400
    server.run(200_000)
    assert server.limits[-1] > 1.5 * before


def test_too_little_to_ask_says_nothing_of_the_server():
    """An iterator that is slow, or has ended: throughput falls, and that is not the server's."""
    limit = Limit(64, 1024)
    clock = 0.0
    for _ in range(2000):
        limit.asked(3)
        clock += 0.1
        limit.answered(clock, 1)
    assert limit.current == 64
