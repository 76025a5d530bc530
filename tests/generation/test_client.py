"""The client: tries, waits, outages, what ends it. Server and clock are fakes (pretended.py)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from r1lab.generation import client as tested
from r1lab.generation.asking import Failed, Fatal, Refused
from r1lab.generation.client import Client, GenerationFailed
from r1lab.generation.request import Answer, Request
from tests.generation.pretended import World, request, worlds


def away(kind: str = "connect") -> Failed:
    return Failed("nobody there", server=True, kind=kind)


def stumble() -> Failed:
    return Failed("HTTP 500", kind="http_500")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    with worlds(monkeypatch) as make:
        yield make


def test_every_request_is_answered_once(world):
    server = world(lambda *_: Answer("x", completion_tokens=5, finish_reason="length"))
    counts = server.run(100)
    assert sorted(server.kept) == list(range(100)) and len(server.tries) == 100
    assert (counts.answered, counts.dead, counts.retried, counts.in_flight) == (100, 0, 0, 0)
    assert (counts.completion_tokens, counts.truncated, counts.done) == (500, 100, 100)
    assert counts.latency == pytest.approx(100.0)


def test_nothing_to_ask_is_no_error(world):
    assert world(lambda *_: Answer("")).run(0).done == 0
    assert world(lambda *_: Answer("")).run(iter([None] * 2000)).done == 0


def test_a_failed_request_is_tried_again_after_longer_and_longer_waits(world):
    server = world(lambda _, asked, tries: stumble() if asked.sample == 5 else Answer("x"), 0.0001)
    counts = server.run(20, retries=6)
    times = server.times(5)
    assert len(times) == 7
    waits = [after - before for before, after in pairwise(times)]
    for number, wait in enumerate(waits):
        assert 0.5 * 0.5 * 2**number <= wait <= 0.5 * 2**number + 1.1, waits
    assert len({round(wait / 2**number, 6) for number, wait in enumerate(waits)}) > 1, "no jitter"
    assert server.dead == {5: ("HTTP 500", "http_500", 7)}
    assert (counts.answered, counts.dead, counts.errors) == (19, 1, Counter(http_500=7))


def test_a_request_that_works_the_second_time_is_not_lost(world):
    server = world(lambda _, asked, tries: stumble() if tries == 1 else Answer("x"))
    counts = server.run(50)
    assert sorted(server.kept) == list(range(50)) and not server.dead
    assert counts.retried == 50


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_request_ends_once(world, seed):
    drawn = random.Random(seed)

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception | float:
        if drawn.random() < 0.5:
            return Answer("x")
        kinds = ("connect", "closed", "busy")
        return drawn.choice(
            [
                stumble(),
                Failed("slow", kind="timeout"),
                Failed("later", server=True, kind="busy", retry_after=drawn.uniform(0, 3)),
                away(drawn.choice(kinds)),
                Fatal("HTTP 401", "a key") if server.kept else stumble(),
                Refused("no") if asked.sample % 10 == 0 else stumble(),
                drawn.uniform(0, 5),
            ]
        )

    server = world(fate)
    server.run(300, start=32)
    assert sorted([*server.kept, *server.dead]) == list(range(300))


def test_nothing_is_sent_before_the_time_that_the_server_named(world):
    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        if asked.sample == 30 and tries == 1:
            return Failed("HTTP 429", server=True, kind="busy", retry_after=40.0)
        return Answer("x")

    server = world(fate)
    server.run(100)
    told = server.times(30)[0] + 1.0  # it takes a second to say so
    assert not [when for when, _ in server.tries if told + 0.001 < when < told + 40.0]
    assert sorted(server.kept) == list(range(100))


def test_more_patience_than_there_is_ends_it_after_what_is_in_flight(world):
    def fate(server: World, asked: Request, tries: int) -> Answer | Exception | float:
        if asked.sample == 30:
            return Failed("HTTP 429", server=True, kind="busy", retry_after=3600.0)
        return 50.0 if asked.sample > 25 else Answer("x")

    server = world(fate)
    with pytest.raises(GenerationFailed, match=r"asks to wait 3\d+ s, longer than .*=600") as said:
        server.run(100)
    assert "the same line again goes on from there" in str(said.value)
    assert {26, 27, 28, 29} < set(server.kept)
    assert server.now < 120


def test_a_busy_server_does_not_use_up_the_tries(world):
    """A rate limit turns requests away more often than ``retries``."""

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        if server.flying > 10:
            return Failed("HTTP 429", server=True, kind="busy")
        return Answer("x")

    server = world(fate)
    server.run(500, start=64, retries=0)
    assert sorted(server.kept) == list(range(500)) and not server.dead
    assert server.client.limit.current < 20


def test_busy_for_ever_with_one_request_alone_ends_that_one(world):
    busy = Failed("HTTP 503", server=False, kind="busy")
    server = world(lambda _, asked, tries: busy if asked.sample == 3 else Answer("x"))
    server.run(3000)
    assert [*server.dead] == [3] and len(server.kept) == 2999


def test_an_outage_is_probed_by_one_request_at_a_time(world):
    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        return away() if 20.0 < server.now < 320.0 else Answer("x")

    server = world(fate)
    server.run(2000, start=32)
    assert sorted(server.kept) == list(range(2000)) and not server.dead
    during = [when for when, _ in server.tries if 25.0 < when < 320.0]
    assert 300 / 17 <= len(during) <= 300 / 7
    assert min(b - a for a, b in pairwise(during)) > 1.0
    assert "nobody there" in {why for _, why in server.progress}
    assert server.progress[-1] == (2000, None)


def test_a_server_that_is_away_for_too_long_ends_it(world):
    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        return away() if server.now > 20.0 else Answer("x")

    server = world(fate)
    with pytest.raises(GenerationFailed, match=r"answered nobody for 100 s.*nobody there") as said:
        server.run(10_000, server_timeout=100.0)
    assert "what was answered is kept" in str(said.value)
    assert not server.dead and 120 <= server.now < 150


def test_a_server_that_works_is_not_away_however_long_it_takes(world):
    """Answers of 800 s, and meanwhile some requests fail at once."""

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception | float:
        return stumble() if asked.sample % 8 == 0 and server.now < 750.0 else 800.0

    server = world(fate)
    server.run(24, server_timeout=600.0, retries=30)
    assert sorted(server.kept) == list(range(24))

    def turned_away(server: World, asked: Request, tries: int) -> Answer | Exception | float:
        full = Failed("HTTP 502", server=True, kind="http_502")
        return full if server.flying > 4 else 800.0

    server = world(turned_away)
    server.run(24, server_timeout=600.0, retries=3)
    assert sorted(server.kept) == list(range(24)) and not server.dead


def test_the_last_ones_that_never_end_are_given_up_and_no_outage(world):
    """Answers that take longer than the timeout, at the end of a generation with good answers."""

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        return Failed("no answer within 900 s", kind="timeout") if asked.sample > 95 else Answer("")

    server = world(fate)
    ask, server.latency = server.ask, 1.0

    async def slowly(asked: Request) -> Answer:
        if asked.sample > 95:
            await asyncio.sleep(900.0)
        return await ask(asked)

    server.ask = slowly
    server.run(100, server_timeout=600.0, start=32)
    assert sorted(server.dead) == [96, 97, 98, 99] and len(server.kept) == 96
    assert {kind for _, kind, _ in server.dead.values()} == {"timeout"}


def test_a_server_that_only_hangs_ends_it(world):
    server = world(lambda *_: Failed("no answer within 300 s", kind="timeout"), latency=300.0)
    with pytest.raises(GenerationFailed, match="answered nobody for 600 s"):
        server.run(1000, server_timeout=600.0, retries=10)
    assert not server.dead and server.now < 1800


@pytest.mark.parametrize("others", [0, 1, 200])
def test_a_request_that_ends_the_connection_each_time_is_given_up(world, others):
    """It may crash the server: told from one that is away by that others are answered."""

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        return away("closed") if asked.sample == others else Answer("x")

    server = world(fate)
    server.run(others + 1, retries=5)
    assert server.dead == {others: ("nobody there", "closed", 6)}
    assert sorted(server.kept) == list(range(others))


def test_a_poison_in_the_middle_does_not_hold_up_the_others(world):
    server = world(lambda _, asked, n: away("closed") if asked.sample == 10 else Answer("x"))
    server.run(500, retries=5, start=16)
    assert [*server.dead] == [10] and len(server.kept) == 499
    assert server.now < 120


def test_none_is_lost_when_the_limit_shrinks_at_the_end(world):
    """A worker that left while the others waited once hung the run."""

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        return Failed("slow", kind="timeout") if tries <= 2 else Answer("x")

    for requests in range(1, 40):
        server = world(fate)
        server.run(requests, start=64, maximum=64)
        assert sorted(server.kept) == list(range(requests))


def test_a_refused_request_is_buried_and_the_others_go_on(world):
    server = world(lambda _, asked, n: Refused("too long") if asked.sample == 7 else Answer("x"))
    server.run(50)
    assert server.dead == {7: ("too long", "refused", 1)}
    assert len(server.times(7)) == 1 and len(server.kept) == 49


def test_fifty_refusals_at_the_beginning_end_it(world):
    server = world(lambda *_: Refused("HTTP 400: no such field"))
    with pytest.raises(GenerationFailed, match=r"last 50 requests failed for good.*no such field"):
        server.run(100_000)
    assert 50 <= len(server.tries) < 70


def test_fifty_long_prompts_in_a_row_do_not_end_it(world):
    server = world(lambda _, asked, n: Refused("long") if asked.sample >= 100 else Answer("x"))
    counts = server.run(300)
    assert (counts.answered, counts.dead) == (100, 200)
    # Nor when nothing else is left to ask: they are there already.
    kept = tested.Counts(kept=100)
    assert world(lambda *_: Refused("long")).run(200, counts=kept).dead == 200


def test_fifty_failures_in_a_row_end_it_even_after_answers(world):
    server = world(lambda _, asked, n: stumble() if asked.sample >= 100 else Answer("x"), 0.01)
    with pytest.raises(GenerationFailed, match="the last 50 requests failed for good"):
        server.run(1000, retries=2)
    assert len(server.kept) == 100


def test_what_no_request_can_get_past_ends_it_at_once(world):
    server = world(lambda *_: Fatal("HTTP 401: Unauthorized", "set R1LAB_API_KEY"))
    with pytest.raises(GenerationFailed, match="401: Unauthorized\n    fix: set R1LAB_API_KEY"):
        server.run(1000)
    assert not server.dead and len(server.tries) == 8


def test_the_same_after_answers_is_a_state_of_the_server(world):
    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        gone = 10.0 < server.now < 60.0
        return Fatal("HTTP 404: no such model", "name it") if gone else Answer("x")

    server = world(fate)
    server.run(500)
    assert sorted(server.kept) == list(range(500))


def test_requests_are_read_as_they_are_asked(world):
    read: list[int] = []
    ahead = 0

    def fate(server: World, asked: Request, tries: int) -> Answer:
        nonlocal ahead
        ahead = max(ahead, len(read) - len(server.kept))
        return Answer("x")

    def lazily() -> Iterator[Request | None]:
        for sample in range(5000):
            read.append(sample)
            yield request(sample)
            yield None

    server = world(fate)
    server.run(lazily(), maximum=16)
    assert len(server.kept) == 5000
    assert ahead <= 16


def test_those_that_wait_for_another_try_are_a_bounded_number(world):
    read = 0

    def lazily() -> Iterator[Request]:
        nonlocal read
        for sample in range(100_000):
            read += 1
            yield request(sample)

    server = world(lambda server, asked, n: Answer("x") if asked.sample % 50 == 0 else stumble())
    most = 0

    def fate(server: World, asked: Request, tries: int) -> Answer | Exception:
        nonlocal most
        most = max(most, read - len(server.kept) - len(server.dead))
        if server.now > 50:
            raise RuntimeError("enough seen")
        return Answer("x") if asked.sample % 50 == 0 else stumble()

    server.fate = fate
    with pytest.raises(RuntimeError, match="enough seen"):
        server.run(lazily(), retries=10, start=16, maximum=16)
    assert most <= 16 * 4 + 16


def test_prompts_that_need_nothing_leave_the_loop_its_turns(world):
    server = world(lambda *_: Answer("x"))
    requests = [*map(request, range(8)), *[None] * 5000, request(8)]
    assert server.run(iter(requests)).answered == 9


def test_a_server_of_ours_that_ended_ends_it(world):
    server = world(lambda *_: away())
    gone = iter([None] * 20)
    with pytest.raises(GenerationFailed, match="vLLM was killed by SIGKILL\n    fix: see its log"):
        server.run(100, gone=lambda: next(gone, "vLLM was killed by SIGKILL"))
    assert not server.dead and server.now < 15


def test_a_journal_that_cannot_be_written_ends_it_with_its_own_words(world):
    server = world(lambda *_: Answer("x"))

    def full(asked: Request, answer: Answer, **facts: Any) -> bool:
        raise tested.RunFailed("the disk is full")

    server.add = full
    with pytest.raises(tested.RunFailed, match=r"^the disk is full$"):
        server.run(100)


def test_a_bug_in_the_asker_is_not_taken_for_a_failure(world):
    server = world(lambda *_: ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        server.run(100)


def test_what_is_cut_off_is_ended_and_closed(world):
    server = world(lambda *_: 10_000.0)

    async def briefly() -> None:
        settings = {"retries": 3, "start": 8, "maximum": 64, "server_timeout": 600.0}
        client = Client(server, server, server.bury, **settings)
        task = asyncio.create_task(client.run(map(request, range(100))))
        await asyncio.sleep(50)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=lambda: server.loop) as runner:
        runner.run(briefly())
    assert not server.kept and not server.dead
