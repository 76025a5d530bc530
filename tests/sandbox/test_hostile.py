"""Hostile programs: what comes of each, and that nothing is different after it.

After every one of them a right program must still run, no process may be left, and neither the
user's file nor the user's environment may have been read or changed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from r1lab.sandbox.base import Limits, Program
from r1lab.sandbox.local import Local
from tests.sandbox import hostile_escapes, hostile_programs
from tests.sandbox.hostile_escapes import SECRET
from tests.sandbox.hostile_programs import Hostile
from tests.sandbox.machine import isolated, needs

TABLE = [
    *hostile_programs.MORE_THAN_ITS_SHARE,
    *hostile_programs.LONGER_THAN_IT_MAY,
    *hostile_programs.PASSING_WITHOUT_HAVING_PASSED,
    *hostile_escapes.FILES_AND_SECRETS,
    *hostile_escapes.OTHER_PROCESSES,
    *hostile_escapes.NETWORK,
    *hostile_escapes.KERNEL,
]
GOOD = Program("python", "print(sum(map(int, input().split())))")
#: In the hostile program itself, which then proves nothing.
BUG = re.compile(r"(Syntax|Name|Type|Attribute|Index|Key|Import)Error|error: expected")


class Outside:
    """What there is to be found outside, and whether it was."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.secret = folder / "secret.txt"
        self.secret.write_text(SECRET)
        self.before = self.listing()
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.abstract = f"r1lab-test-{os.getpid()}-{id(self)}"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind("\0" + self.abstract)
        self.unix.listen()
        for server in (self.tcp, self.unix):
            threading.Thread(target=self._serve, args=(server,), daemon=True).start()
        self.visitors = 0

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed at the end of the tests
            while True:
                connection, _ = server.accept()
                self.visitors += 1
                connection.sendall(SECRET.encode())
                connection.close()

    def listing(self) -> list[tuple[str, int]]:
        return [(str(path), path.stat().st_mtime_ns) for path in sorted(self.folder.rglob("*"))]

    def program(self, hostile: Hostile) -> Program:
        source = hostile.source
        values = {
            "secret": str(self.secret),
            "home": str(Path.home()),
            "port": str(self.tcp.getsockname()[1]),
            "abstract": self.abstract,
        }
        for name, value in values.items():
            source = source.replace("{" + name + "!r}", repr(value))
            source = source.replace("{" + name + "}", value)
        return Program(hostile.language, source)


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    found = Outside(tmp_path_factory.mktemp("outside"))
    yield found
    found.tcp.close()
    found.unix.close()


@pytest.fixture(
    scope="module", params=["namespaces", pytest.param("bubblewrap", marks=pytest.mark.slow)]
)
def provider(request):
    return isolated(request.param)


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(row, id=row.name.replace(" ", "-"), marks=[pytest.mark.slow] * row.slow)
        for row in TABLE
    ],
)
def test_hostile(hostile: Hostile, provider: Local, outside: Outside, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    needs(provider, hostile.language)
    if hostile.machine not in (None, platform.machine()):
        pytest.skip(f"written for {hostile.machine}")
    limits = Limits(**{"time_s": 10.0, **hostile.limits})  # type: ignore[arg-type]
    began = time.monotonic()
    # Twice, since what the first leaves behind must not reach the second.
    inputs = ["", ""] if limits.time_s > 1 else [""]
    results = provider.run(outside.program(hostile), inputs, limits)
    seconds = time.monotonic() - began

    for result in results:
        assert result.status in hostile.status, result
        seen = result.stdout + result.stderr
        assert all(text in seen for text in hostile.prints), result
        assert not any(text in result.stdout for text in hostile.never), result
        assert SECRET not in seen
        assert not BUG.search(result.stderr), result
        assert len(result.stdout) <= limits.output_bytes
        assert len(result.stderr) <= limits.output_bytes
    if "ok" not in hostile.status and hostile.status != ("compile_error",):
        assert seconds < 2 * limits.time_s + 5
    [after] = provider.run(GOOD, ["3 4"], Limits(time_s=10.0))
    assert (after.status, after.stdout) == ("ok", "7\n")
    assert outside.listing() == outside.before
    assert outside.visitors == 0


def test_the_table_is_long_enough():
    names = [row.name for row in TABLE]
    assert len(names) == len(set(names)) >= 30
