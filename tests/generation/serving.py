"""Servers to generate from, in processes of their own: started, stopped, killed, asked about."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("faulty_server.py")


class Served:
    """A server that can be stopped and started again at the same address."""

    def __init__(self, folder: Path, *options: str):
        self.options = options
        self.log = folder / "server.jsonl"
        self.url = ""
        self.port = 0
        self.process: subprocess.Popen[str]
        self.restart()
        #: Its options as it was started; to be given to :meth:`control`.
        self.plain: dict[str, Any] = self.control()["options"]

    def requests(self, fate: str | None = "answered") -> list[dict[str, Any]]:
        """What it was asked, by the time of the answer; None: whatever became of it."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        rows = [json.loads(line) for line in lines]
        return [row for row in rows if fate in (None, row["fate"])]

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change its options while it runs (``error_rate=1.0``); returns its counts."""
        body = json.dumps(changes).encode() if changes else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url.removesuffix("/v1") + "/control", body, timeout=30) as reply:
            return json.load(reply)

    def restart(self) -> None:
        """Start it, or again at the same port; the log goes on."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, str(SERVER), "--port", str(self.port), "--with-parent"),
                *("--log", str(self.log), *self.options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the server did not start"
        self.port = int(self.url.removesuffix("/v1").rpartition(":")[2])

    def stop(self) -> None:
        """Kill it: its connections break where they are."""
        self.process.kill()
        self.process.wait(timeout=30)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe and not pipe.closed:
                pipe.close()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Served]:
    """A server until the block is left; ``folder`` gets its log."""
    folder.mkdir(parents=True, exist_ok=True)
    served = Served(folder, *options)
    try:
        yield served
    finally:
        served.stop()
