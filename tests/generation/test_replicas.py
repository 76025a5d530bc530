"""Asking from several processes: the same answers and failures, and processes that die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from r1lab.generation.asking import Failed, Fatal, Refused
from r1lab.generation.replicas import MOST_DEATHS, Replicas
from r1lab.generation.request import Answer, Request, Sampling
from tests.generation.serving import Served, serving

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, "--refuse", "forbidden", "--api-key", "sesame") as running:
        yield running


def request(number: int, prompt: str = "What is 2 + 3?") -> Request:
    return Request("0" * 32, number, 0, [{"role": "user", "content": prompt}], number)


def with_replicas(
    served: Served, work: Callable[[Replicas], Awaitable[Any]], replicas: int = 2, **changes: Any
) -> Any:
    async def run() -> Any:
        settings = {
            "base_url": served.url,
            "api_key": "sesame",
            "model": "tiny",
            "sampling": Sampling(max_new_tokens=30_000, extra={"top_k": 3}),
            "timeout_s": 10.0,
        }
        client = Replicas(replicas, {**settings, **changes})
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def processes(client: Replicas) -> list[int]:
    return [each.process.pid for each in client.replicas if each.process]


def test_every_request_has_its_own_answer_and_all_processes_ask(served):
    async def work(client: Replicas) -> list[Answer]:
        served.control(words=20_000)
        long = await client.ask(request(99))
        assert len(long.content) > 200_000, "longer than asyncio's lines and a pipe's buffer"
        served.control(words=8)
        answers = await asyncio.gather(*(client.ask(request(n)) for n in range(60)))
        assert len(set(processes(client))) == 2
        for pid in processes(client):  # other users can read this, but not the environment
            assert b"sesame" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        return answers

    answers = with_replicas(served, work)
    assert len({answer.content for answer in answers}) == 60, "each seed has an answer of its own"
    asked = served.requests()
    assert sorted(row["seed"] for row in asked) == [*range(60), 99]
    assert {row["top_k"] for row in asked} == {3}


def test_failures_are_those_of_one_process(served):
    async def work(client: Replicas) -> None:
        with pytest.raises(Refused, match="no forbidden here"):
            await client.ask(request(0, "forbidden"))
        served.control(busy_rate=1.0, retry_after=4)
        with pytest.raises(Failed) as busy:
            await client.ask(request(1))
        assert (busy.value.kind, busy.value.server, busy.value.retry_after) == ("busy", True, 4.0)

    with_replicas(served, work, replicas=1)

    async def without_key(client: Replicas) -> None:
        with pytest.raises(Fatal) as refused:
            await client.ask(request(2))
        assert "R1LAB_API_KEY" in refused.value.fix

    with_replicas(served, without_key, replicas=1, api_key="wrong")


def test_a_process_that_dies_fails_its_requests_and_is_started_again(served):
    async def work(client: Replicas) -> None:
        await client.ask(request(0))
        served.control(latency=30.0)
        asked = [asyncio.create_task(client.ask(request(n))) for n in range(1, 5)]
        await asyncio.sleep(0.2)
        (pid,) = processes(client)
        os.kill(pid, signal.SIGKILL)
        for each in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(each, Failed), each
            assert (each.kind, each.server) == ("process", False)
            assert "exit code -9" in each.reason
        served.control(latency=0.0)
        assert isinstance(await client.ask(request(6)), Answer)
        assert processes(client) != [pid]

    with_replicas(served, work, replicas=1)


def test_a_process_that_always_dies_is_told_not_started_for_ever(served, monkeypatch):
    (served.log.parent / "openai.py").write_text("raise ImportError('openai is broken here')\n")
    monkeypatch.syspath_prepend(str(served.log.parent))

    async def work(client: Replicas) -> None:
        for _ in range(MOST_DEATHS):
            with pytest.raises(Failed, match="openai is broken here"):
                await client.ask(request(0))
        with pytest.raises(Fatal, match="openai is broken here") as fatal:
            await client.ask(request(0))
        assert "client_replicas=1" in fatal.value.fix

    with_replicas(served, work, replicas=1)


@pytest.mark.launch
def test_a_request_that_nobody_waits_for_is_dropped_by_its_process(served):
    async def work(client: Replicas) -> None:
        await client.ask(request(0))
        served.control(latency=0.3)
        asked = asyncio.create_task(client.ask(request(1)))
        await asyncio.sleep(0.1)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.sleep(0.4)
        assert [row["seed"] for row in served.requests("gone")] == [1]
        assert sum(each.load for each in client.replicas) == 0

    with_replicas(served, work, replicas=1)


PARENT = """
import asyncio, sys
from r1lab.generation.replicas import Replicas
from r1lab.generation.request import Request, Sampling

async def main(url):
    how = {"base_url": url, "api_key": "sesame", "model": "tiny", "timeout_s": 60}
    client = Replicas(2, {**how, "sampling": Sampling(100)})
    asked = [client.ask(Request("0", n, 0, [{"role": "user", "content": "x"}], n)) for n in (0, 1)]
    await asyncio.gather(*asked)
    print(*(each.process.pid for each in client.replicas), flush=True)
    await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.launch
def test_processes_do_not_outlive_a_killed_parent(served):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, served.url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 2
    parent.kill()
    parent.wait(timeout=30)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
