"""Asking from a Ray cluster: the client of this process, in actors on its nodes.

r1lab has to be installed on the nodes. Where ``RAY_ADDRESS`` names no cluster, Ray is started on
this machine and ended with the generation.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from r1lab.errors import PrerequisiteError
from r1lab.generation.asking import CONNECTIONS, Asker, Failed, Fatal
from r1lab.generation.outcome import answer_from, outcome_of
from r1lab.generation.request import Answer, Request

#: An actor that dies so often without an outcome between is not started again.
MOST_DEATHS = 3
#: Bytes, of a Ray of our own: answers are small, and Ray would take 30% of the memory.
_OBJECT_STORE = 128 * 2**20


class RayClient:
    """``replicas`` actors that ask; each request goes to the one with the fewest in flight.

    ``settings`` are the arguments of :class:`~r1lab.generation.asking.Asker`. The key goes to the
    actors as an argument: a runtime environment's variables are shown on Ray's dashboard.
    """

    def __init__(self, replicas: int, settings: Mapping[str, Any]):
        try:
            import ray
        except ImportError as error:
            raise PrerequisiteError(
                "ray", "generate.client=ray asks from a Ray cluster", "pip install 'r1lab[ray]'"
            ) from error
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            _start(ray)
        # No CPU is reserved: an actor that waits for one would wait for ever on a full cluster.
        options: dict[str, Any] = {
            "num_cpus": 0,
            "max_concurrency": CONNECTIONS,
            "scheduling_strategy": "SPREAD",
        }
        if self._ours and not os.environ.get("RAY_ADDRESS"):
            path = os.pathsep.join(part or os.getcwd() for part in sys.path)
            options["runtime_env"] = {"env_vars": {"PYTHONPATH": path}}
        kind = ray.remote(**options)(_Actor)
        self.replicas = [_Replica(ray, kind, dict(settings)) for _ in range(replicas)]

    async def ask(self, request: Request) -> Answer:
        """See :class:`~r1lab.generation.asking.Client`."""
        return await min(self.replicas, key=lambda each: each.load).ask(request)

    async def aclose(self) -> None:
        """End the actors, and Ray where it was started (or joined) here."""
        for each in self.replicas:
            self._ray.kill(each.actor)
        if self._ours:
            self._ray.shutdown()


class _Actor:
    """What runs on a node. A plain class: Ray may be missing where this module is imported."""

    def __init__(self, settings: dict[str, Any]):
        self._asker = Asker(**settings)

    async def ask(self, row: dict[str, Any]) -> dict[str, Any]:
        return await outcome_of(self._asker, Request(**row))

    async def pid(self) -> int:
        return os.getpid()


class _Replica:
    """One of the actors, or the one that took its place."""

    def __init__(self, ray: Any, kind: Any, settings: dict[str, Any]):
        self.load = 0
        self._ray, self._kind, self._settings = ray, kind, settings
        self._deaths, self._last_words = 0, ""
        self.actor = kind.remote(settings)

    async def ask(self, request: Request) -> Answer:
        if self._deaths >= MOST_DEATHS:
            raise Fatal(
                f"an actor of generate.client=ray died {self._deaths} times without an answer: "
                f"{self._last_words}",
                "see Ray's logs on the nodes; r1lab has to be installed there",
            )
        self.load += 1
        try:
            return answer_from(await self._outcome(request))
        finally:
            self.load -= 1

    async def _outcome(self, request: Request) -> dict[str, Any]:
        errors, actor = self._ray.exceptions, self.actor
        reference = actor.ask.remote(asdict(request))
        try:
            outcome: dict[str, Any] = await reference
        except asyncio.CancelledError:
            self._ray.cancel(reference)
            raise
        except errors.RayTaskError:  # a bug in the actor's code
            raise
        except errors.ActorUnavailableError as error:  # its node may come back
            raise Failed(f"Ray: {_last_line(error)}", kind="process") from error
        except errors.RayActorError as error:
            if actor is self.actor:  # the first of its requests to notice
                self._deaths += 1
                self._last_words = _last_line(error)
                self.actor = self._kind.remote(self._settings)
            raise Failed(f"an actor died: {_last_line(error)}", kind="process") from error
        except errors.RayError as error:
            raise Failed(f"Ray: {_last_line(error)}", kind="process") from error
        self._deaths = 0
        return outcome


def _last_line(error: Exception) -> str:
    """Of the page that Ray writes for each error, what comes last is what happened first."""
    return ([line.strip() for line in str(error).splitlines() if line.strip()] or ["unknown"])[-1]


def _start(ray: Any) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one here, without a dashboard."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "error"}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto", **quiet)
    else:
        ray.init(
            address="local", include_dashboard=False, object_store_memory=_OBJECT_STORE, **quiet
        )
    if main:  # Ray puts its own in place of whatever there was
        signal.signal(signal.SIGTERM, handler)
