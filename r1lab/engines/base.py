"""What answers prompts over OpenAI's protocol: start, healthy, url, stop.

``serve``, ``evaluate`` and ``generate`` use any engine the same way::

    with engine.running():
        client = openai.OpenAI(base_url=engine.url, api_key=engine.api_key or "none")
        client.chat.completions.create(model=engine.model, ...)
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1lab.engines import address
from r1lab.engines.process import ServerProcess, tail
from r1lab.errors import RunFailed

_POLL_S = 0.2


class EngineFailed(RunFailed):
    """A server that did not come up, or went away, and why."""


class Engine(ABC):
    """A server, ours or another's. ``model`` is the name that requests give."""

    #: In messages: ``vLLM 0.31.0 (cpu)``.
    name: str
    model: str
    #: Ends with ``/v1``.
    url: str
    api_key: str | None = None
    #: Seconds from :meth:`start` until it must answer.
    start_timeout: float = 900.0
    #: What a user should know of it beforehand.
    doubt: str | None = None

    @abstractmethod
    def start(self) -> None:
        """Begin to start it; returns at once. What cannot work at all raises here."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether it answers requests now; never raises and never waits long."""

    @abstractmethod
    def failure(self) -> str | None:
        """Why it will never be healthy (again), as far as is known; None while it may be."""

    @abstractmethod
    def stop(self) -> None:
        """End what :meth:`start` started, with all its processes; may be called twice."""

    def wait(self) -> None:
        """Return once it is healthy; :class:`EngineFailed` when it ended or took too long."""
        deadline = time.monotonic() + self.start_timeout
        while not self.healthy():
            reason = self.failure()
            if reason is not None:
                raise EngineFailed(f"{self.name} {reason}")
            if time.monotonic() > deadline:
                raise EngineFailed(
                    f"{self.name} did not answer at {self.url} within {self.start_timeout:g} s"
                    f"{self.said()}\n    fix: set a larger engine.start_timeout, if it was loading"
                )
            time.sleep(_POLL_S)

    def said(self) -> str:
        """What its log ends with, for messages; empty where there is none."""
        return ""

    @contextmanager
    def running(self) -> Iterator[Engine]:
        """Started and healthy inside, stopped afterwards."""
        try:
            self.start()
            self.wait()
            yield self
        finally:
            self.stop()


class OwnServer(Engine):
    """A server that r1lab starts as a process, from the ``engine`` node."""

    def __init__(
        self, engine: Mapping[str, Any], served_name: str, log: Path, api_key: str | None = None
    ):
        self.model, self.log, self.api_key = served_name, log, api_key
        self.host = str(engine["host"])
        self.start_timeout = float(engine["start_timeout"])
        self.port = address.port(engine)
        self.url = f"{self.root}/v1"
        self._process: ServerProcess | None = None

    @property
    def root(self) -> str:
        """Where this machine reaches it."""
        return f"http://{address.here(self.host)}:{self.port}"

    @abstractmethod
    def command(self) -> list[str]:
        """What is run. Every user of the machine can read it, so it holds no secret."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""

    def start(self) -> None:
        address.check_free(self.host, self.port)
        self._process = ServerProcess(self.command(), self.environment(), self.log)
        self._process.start()

    def healthy(self) -> bool:
        # Without the process, it would be another server that took the port.
        running = self._process is not None and self._process.ended() is None
        return running and address.answers(f"{self.root}/health")

    def failure(self) -> str | None:
        reason = None if self._process is None else self._process.ended()
        return None if reason is None else f"{reason}{self.said()}"

    @property
    def pid(self) -> int | None:
        """Of the process that ends it when it is sent SIGTERM; None before :meth:`start`."""
        return None if self._process is None else self._process.pid

    def said(self) -> str:
        if not self.log.is_file():
            return ""
        indented = "".join(f"\n    | {line}" for line in tail(self.log).splitlines())
        return f"\n  the end of {self.log}:{indented}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
