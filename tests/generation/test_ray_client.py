"""Asking from Ray actors, on a Ray of this machine."""

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

from r1lab.errors import PrerequisiteError
from r1lab.generation.asking import Failed, Fatal, Refused
from r1lab.generation.ray_client import MOST_DEATHS, RayClient
from r1lab.generation.request import Answer, Request, Sampling
from tests.generation.serving import Served, serving

ROOT = Path(__file__).resolve().parents[2]


def test_ray_that_is_missing_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'r1lab\[ray\]'"):
        RayClient(1, {})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A small Ray that the tests share, as a user's own process may have one already."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, "--refuse", "forbidden") as running:
        yield running


def request(number: int, prompt: str = "What is 2 + 3?") -> Request:
    return Request("0" * 32, number, 0, [{"role": "user", "content": prompt}], number)


def with_actors(
    served: Served, work: Callable[[Any], Awaitable[None]], replicas: int = 1, **changes: Any
) -> None:
    settings = {
        "base_url": served.url,
        "api_key": None,
        "model": "tiny",
        "sampling": Sampling(max_new_tokens=100, extra={"top_k": 3}),
        "timeout_s": 30.0,
    }

    async def run() -> None:
        client = RayClient(replicas, {**settings, **changes})
        try:
            await work(client)
        finally:
            await client.aclose()

    asyncio.run(run())


def pid_of(cluster: Any, client: Any, replica: int = 0) -> int:
    return cluster.get(client.replicas[replica].actor.pid.remote())


@pytest.mark.slow
def test_actors_share_the_requests_and_each_has_its_own_answer(cluster, served):
    async def work(client: Any) -> None:
        answers = await asyncio.gather(*(client.ask(request(n)) for n in range(60)))
        assert len({answer.content for answer in answers}) == 60
        assert pid_of(cluster, client, 0) != pid_of(cluster, client, 1)

    with_actors(served, work, replicas=2)
    assert sorted(row["seed"] for row in served.requests()) == list(range(60))
    assert cluster.is_initialized(), "a Ray that was there before stays"


@pytest.mark.slow
def test_failures_are_those_of_one_process(cluster, served):
    async def work(client: Any) -> None:
        with pytest.raises(Refused, match="no forbidden here"):
            await client.ask(request(0, "forbidden"))
        served.control(busy_rate=1.0, retry_after=4)
        with pytest.raises(Failed) as busy:
            await client.ask(request(1))
        assert (busy.value.kind, busy.value.server, busy.value.retry_after) == ("busy", True, 4.0)

    with_actors(served, work)

    async def of_other_model(client: Any) -> None:
        with pytest.raises(Fatal, match="`tini` does not exist"):
            await client.ask(request(2))

    with_actors(served, of_other_model, model="tini")


@pytest.mark.slow
def test_an_actor_that_dies_fails_its_requests_and_is_started_again(cluster, served):
    async def work(client: Any) -> None:
        await client.ask(request(0))
        served.control(latency=30.0)
        asked = [asyncio.create_task(client.ask(request(n))) for n in range(1, 5)]
        await asyncio.sleep(0.5)
        pid = await asyncio.to_thread(pid_of, cluster, client)
        os.kill(pid, signal.SIGKILL)
        for each in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(each, Failed), each
            assert (each.kind, each.server) == ("process", False)
        served.control(latency=0.0)
        assert isinstance(await client.ask(request(6)), Answer)
        assert await asyncio.to_thread(pid_of, cluster, client) != pid

    with_actors(served, work)


@pytest.mark.slow
def test_an_actor_that_cannot_start_is_told_not_started_for_ever(cluster, served):
    async def work(client: Any) -> None:
        for _ in range(MOST_DEATHS):
            with pytest.raises(Failed) as failed:
                await client.ask(request(0))
            assert failed.value.kind == "process"
        with pytest.raises(Fatal, match="modell") as fatal:
            await client.ask(request(0))
        assert "installed" in fatal.value.fix

    with_actors(served, work, modell="a bug stands in for a node without r1lab")


@pytest.mark.slow
def test_a_request_that_nobody_waits_for_is_dropped(cluster, served):
    async def work(client: Any) -> None:
        await client.ask(request(0))
        served.control(latency=0.5)
        asked = asyncio.create_task(client.ask(request(1)))
        await asyncio.sleep(0.2)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.sleep(0.6)
        assert [row["seed"] for row in served.requests("gone")] == [1]

    with_actors(served, work)


ALONE = """
import asyncio, signal, sys
from r1lab.generation.clients import make
from r1lab.generation.request import Request, Sampling

async def main(url, wait):
    before = signal.signal(signal.SIGTERM, lambda *_: None), signal.getsignal(signal.SIGTERM)
    client = make("ray", 1, base_url=url, api_key=None, model="tiny", sampling=Sampling(100),
                  timeout_s=60)
    assert signal.getsignal(signal.SIGTERM) is before[1], "our handler of SIGTERM stays"
    answer = await client.ask(Request("0", 0, 0, [{"role": "user", "content": "2 + 3"}], 0))
    import ray
    print(ray.get(client.replicas[0].actor.pid.remote()), answer.content, flush=True)
    await asyncio.sleep(wait)
    await client.aclose()
    print(ray.is_initialized(), flush=True)

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""


def alone(served: Served, wait: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)  # pytest's own Ray
    return subprocess.Popen(
        [sys.executable, "-c", ALONE, served.url, str(wait)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=served.log.parent,
    )


@pytest.mark.slow
def test_a_ray_of_our_own_is_started_and_ended(served):
    with alone(served, 0.0) as process:
        output, _ = process.communicate(timeout=120)
    first, second = output.splitlines()[-2:]
    assert process.returncode == 0 and "\\boxed{5}" in first and second == "False"


@pytest.mark.slow
def test_a_ray_of_our_own_ends_with_a_killed_process(served):
    with alone(served, 60.0) as process:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        pid = int(next(line for line in lines if "boxed" in line).split()[0])
        process.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
