"""Looking for processes that tests leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from pathlib import Path

import pytest

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def no_process_left():
    """Orphans become children of this process while the test runs, and have to be dead after it."""
    before = _children()
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    deadline = time.monotonic() + 3
    while (left := _alive(_children() - before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert not left


def _children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if int(_stat(path)[1]) == os.getpid():
                found.add(int(path.parent.name))
    return found


def _alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # gone
            if _stat(Path(f"/proc/{pid}/stat"))[0] != b"Z":
                found.add(pid)
            else:
                os.waitpid(pid, os.WNOHANG)
    return found


def _stat(path: Path) -> list[bytes]:
    return path.read_bytes().rpartition(b")")[2].split()
