"""What hanging, dying and greedy comparisons do to a batch: nothing, beside their own verdict.

The algebra of the worker processes is replaced by one that does as it is told.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import RewardError
from r1lab.verify.batch import Job, Outcome
from r1lab.verify.pool import MOST_JOBS, MOST_STOPPED, START_LIMIT, Pool

SCRIPTED = """
import os, signal, time
from r1lab.verify import algebra

def obey(body):
    order, _, what = body.partition(" ")
    if order == "hang":
        while True:
            pass
    if order == "tower":
        9 ** 9 ** 9  # one call in C, deaf to Python's signals
    if order == "sleep":
        time.sleep(60)
    if order == "work":
        end = time.process_time() + float(what.split()[0])
        while time.process_time() < end:
            pass
    if order == "allocate":
        hoard = [bytearray(1 << 24) for _ in range(1000)]
    if order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "raise":
        raise RecursionError("too deep")
    if order == "print":
        print("{'equal': true}", flush=True)
    return body

algebra.parses = lambda gold: obey(gold) != "unparseable"
algebra.equal = lambda gold, answer: obey(answer) != "wrong"
"""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("scripted")
    (folder / "sitecustomize.py").write_text(SCRIPTED)
    return str(folder)


@pytest.fixture
def obeying(scripted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that start during the test fork workers that obey."""
    monkeypatch.setenv("PYTHONPATH", scripted)


@pytest.fixture(scope="module")
def pools(scripted: str) -> Iterator[Callable[[float], Pool]]:
    """Pools of two workers that obey, up and running, one for each deadline."""
    made: dict[float, Pool] = {}

    def with_deadline(deadline_s: float) -> Pool:
        if deadline_s not in made:
            made[deadline_s] = Pool(deadline_s, workers=2, memory_mib=300)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", scripted)
            assert made[deadline_s].run([Job("7", "right"), Job("7", "wrong")]) == [RIGHT, WRONG]
        return made[deadline_s]

    yield with_deadline
    for pool in made.values():
        pool.close()


@pytest.fixture
def pool(request: pytest.FixtureRequest, pools: Callable[[float], Pool]) -> Pool:
    """One with a deadline of 2 s unless parametrized."""
    return pools(getattr(request, "param", 2.0))


RIGHT, WRONG = Outcome(True, True), Outcome(True, False)


def hanging(count: int) -> list[Job]:
    kinds = ("hang", "tower", "hang", "tower", "hang", "sleep")
    return [Job("7", f"{kinds[n % 6]} {n}") for n in range(count)]


def ordinary(count: int) -> list[Job]:
    return [Job(f"gold {n // 8}", f"work 0.002 {n}" if n % 2 else "wrong") for n in range(count)]


def test_one_that_hangs_costs_a_deadline_and_the_others_nothing(pool: Pool) -> None:
    jobs = [*ordinary(30), Job("7", "hang"), *ordinary(33)]
    started = time.monotonic()
    outcomes = pool.run(jobs)
    assert 2 <= time.monotonic() - started < 3
    hung = outcomes.pop(30)
    assert (hung.parsed, hung.equal, hung.failure) == (True, False, "timeout")
    assert outcomes == pool.run([*ordinary(30), *ordinary(33)])
    assert len(pool.pids()) <= 2


@pytest.mark.parametrize("where", ["first", "last", "spread"])
def test_twelve_that_hang_cost_one_deadline_together(pool: Pool, where: str) -> None:
    jobs = ordinary(52)
    if where == "spread":
        for n, job in enumerate(hanging(12)):
            jobs.insert(5 * n, job)
    else:
        jobs = [*hanging(12), *jobs] if where == "first" else [*jobs, *hanging(12)]
    started = time.monotonic()
    outcomes = pool.run(jobs)
    assert time.monotonic() - started < 5  # 12 s one after the other; 3 on an idle machine
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.answer in [bad.answer for bad in hanging(12)]:
            assert outcome.failure == "timeout"
        else:
            assert outcome == (WRONG if job.answer == "wrong" else RIGHT)


def test_more_that_hang_than_can_be_stopped_at_a_time(pool: Pool) -> None:
    jobs = [*hanging(2 * MOST_STOPPED), *ordinary(16)]
    most: list[int] = []
    watch = threading.Timer(1.0, lambda: most.append(len(pool.pids())))
    watch.start()
    started = time.monotonic()
    outcomes = pool.run(jobs)
    assert time.monotonic() - started < 6  # 24 s one after the other
    assert [o.failure for o in outcomes[: 2 * MOST_STOPPED]] == ["timeout"] * 2 * MOST_STOPPED
    assert outcomes[2 * MOST_STOPPED :] == [WRONG, RIGHT] * 8
    assert most[0] <= MOST_STOPPED + 2


@pytest.mark.slow
@pytest.mark.parametrize("pool", [6.0], indirect=True)
def test_slow_items_keep_their_deadline_beside_hanging_ones(pool: Pool) -> None:
    jobs = [*hanging(4), Job("7", "work 0.3 a"), *ordinary(16), Job("7", "work 0.3 b")]
    outcomes = pool.run(jobs)
    assert [outcomes[4], outcomes[-1]] == [RIGHT, RIGHT]


def test_gold_that_hangs_has_not_parsed(pool: Pool) -> None:
    outcomes = pool.run([Job("hang", "right"), Job("7", "right"), Job("unparseable", "right")])
    assert [(o.parsed, o.failure) for o in outcomes] == [
        (False, "timeout"),
        (True, None),
        (False, None),
    ]


def test_timeout_is_certain_only_of_what_had_a_core(pool: Pool) -> None:
    hang, sleep = pool.run([Job("7", "hang"), Job("7", "sleep")])
    assert (hang.failure, sleep.failure) == ("timeout", "timeout")
    assert not sleep.certain
    assert all(o.certain for o in pool.run([Job("7", "right"), Job("7", "raise")]))


def test_memory_is_limited_item_by_item(pool: Pool) -> None:
    jobs = [*ordinary(10), Job("7", "allocate"), *ordinary(10), Job("allocate", "right")]
    outcomes = pool.run(jobs)
    assert outcomes.pop() == Outcome(False, failure="error")
    assert outcomes.pop(10) == Outcome(True, failure="error")
    assert outcomes == [WRONG, RIGHT] * 10


def test_item_that_kills_its_worker_is_tried_twice(pool: Pool) -> None:
    outcomes = pool.run([*ordinary(10), Job("7", "die"), *ordinary(10)])
    assert outcomes.pop(10) == Outcome(True, failure="error", certain=False)
    assert outcomes == [WRONG, RIGHT] * 10


def test_exceptions_and_prints_are_no_replies(pool: Pool) -> None:
    assert pool.run([Job("7", "raise"), Job("raise", None), Job("7", "print")]) == [
        Outcome(True, failure="error"),
        Outcome(False, failure="error"),
        RIGHT,
    ]


def test_whether_a_gold_parses(pool: Pool) -> None:
    jobs = [Job("7", None), Job("unparseable", None), Job("7", "right"), Job("unparseable", "x")]
    assert pool.run(jobs) == [Outcome(True), Outcome(False), RIGHT, Outcome(False)]


def test_long_texts_do_not_block(pool: Pool) -> None:
    jobs = [Job("7", "x" * 1_000_000 + str(n)) for n in range(4)]
    assert pool.run([Job("7", "hang"), *jobs])[1:] == [RIGHT] * 4


def test_batches_of_any_size(pool: Pool) -> None:
    jobs = [Job(str(n), "wrong" if n % 3 else "right") for n in range(2 * MOST_JOBS + 3)]
    assert [o.equal for o in pool.run(jobs)] == [n % 3 == 0 for n in range(len(jobs))]
    assert pool.run([]) == []


def test_idle_workers_that_were_killed_are_replaced(pool: Pool) -> None:
    for _ in range(3):
        for pid in pool.pids():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        assert pool.run([Job("7", "right")] * 4) == [RIGHT] * 4


def test_workers_killed_at_work_do_not_lose_their_items(pool: Pool) -> None:
    outcomes: list[Outcome] = []
    jobs = [Job("7", f"work 0.05 {n}") for n in range(20)]
    thread = threading.Thread(target=lambda: outcomes.extend(pool.run(jobs)))
    thread.start()
    time.sleep(0.2)
    for pid in pool.pids():
        os.kill(pid, signal.SIGKILL)
    thread.join(timeout=60)
    assert outcomes == [RIGHT] * 20


@pytest.mark.parametrize("busy", [False, True])
def test_a_killed_server_is_replaced(pool: Pool, busy: bool, obeying: None) -> None:
    outcomes: list[Outcome] = []
    jobs = [Job("7", f"work 0.05 {n}") for n in range(20)]
    thread = threading.Thread(target=lambda: outcomes.extend(pool.run(jobs)))
    if busy:
        thread.start()
        time.sleep(0.2)
    os.kill(pool._server[0].process.pid, signal.SIGKILL)
    if not busy:
        time.sleep(0.05)
        thread.start()
    thread.join(timeout=60)
    assert outcomes == [RIGHT] * 20


def test_threads_take_turns(pool: Pool) -> None:
    results: dict[int, list[Outcome]] = {}

    def ask(n: int) -> None:
        results[n] = pool.run([Job("7", "wrong" if n % 2 else "right"), Job("7", "raise")])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [results[n][0] for n in range(8)] == [RIGHT, WRONG] * 4


def test_a_worker_that_cannot_start_stops_the_run() -> None:
    pool, started = Pool(5.0, memory_mib=1), time.monotonic()
    with pytest.raises(RewardError, match="fails to start"):
        pool.run([Job("7", "8")])
    assert time.monotonic() - started < START_LIMIT
    assert pool.pids() == []


def test_missing_math_verify_is_a_prerequisite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no such thing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="pip install"):
        Pool(5.0).run([Job("7", "8")])
