"""A server's process and all below it: started, watched, and gone afterwards, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from r1lab.engines import process
from r1lab.engines.process import ServerProcess, cause, tail
from tests.conftest import ROOT

FAKE = Path(__file__).with_name("fake_server.py")


def fake(folder: Path, *arguments: str) -> ServerProcess:
    command = [sys.executable, str(FAKE), "0", *arguments]
    return ServerProcess(command, dict(os.environ), folder / "server.log")


def until(true, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def up(server: ServerProcess) -> None:
    until(lambda: "is up" in server.log.read_text() or server.ended())


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != "zombie"]


def test_it_runs_until_it_is_stopped_and_nothing_is_left(tmp_path):
    server = fake(tmp_path, "--child", str(tmp_path / "child"))
    server.start()
    up(server)
    assert server.pid is not None
    started = below(server.pid)
    assert int((tmp_path / "child").read_text()) in [one.pid for one in started]
    assert server.ended() is None
    server.stop()
    assert alive(started) == []
    server.stop()  # again: nothing happens


def test_one_that_is_deaf_to_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    server = fake(tmp_path, "--deaf", "--child", str(tmp_path / "child"))
    server.start()
    up(server)
    started = below(server.pid or 0)
    server.stop()
    assert len(started) == 3  # the keeper's twin, server, its child
    assert alive(started) == []


def test_one_that_fails_says_why_and_leaves_nothing(tmp_path):
    server = fake(tmp_path, "--after", "0.2", "--child", str(tmp_path / "child"))
    server.start()
    up(server)
    started = below(server.pid or 0)
    until(lambda: server.ended() is not None)
    assert server.ended() == "ended with exit code 1: RuntimeError: the weights are torn"
    assert alive(started) == []


def test_one_that_is_killed_says_by_what(tmp_path):
    server = fake(tmp_path)
    server.start()
    up(server)
    below(server.pid or 0)[-1].kill()
    until(lambda: server.ended() is not None)
    assert (server.ended() or "").startswith("was killed by SIGKILL: the fake server is up")


def test_nothing_outlives_a_parent_that_is_killed_outright(tmp_path):
    script = f"""
import os, sys, time
from pathlib import Path
from r1lab.engines.process import ServerProcess
server = ServerProcess({[sys.executable, str(FAKE), "0", "--child", str(tmp_path / "child")]!r},
                       dict(os.environ), Path({str(tmp_path / "server.log")!r}))
server.start()
print("started", flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None and parent.stdout.readline()
    until(lambda: "is up" in (tmp_path / "server.log").read_text())
    started = below(parent.pid)
    assert len(started) == 4  # keeper, its twin, server, its child
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: alive(started) == [])


def test_a_server_whose_keeper_is_killed_ends_however_deaf(tmp_path):
    server = fake(tmp_path, "--deaf")
    server.start()
    up(server)
    assert server.pid is not None
    started = below(server.pid)
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: alive(started) == [])
    assert (server.ended() or "").startswith("was killed by SIGKILL")


def test_signals_that_the_parent_holds_back_reach_the_server(tmp_path):
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        server = fake(tmp_path)
        server.start()
        up(server)
        begin = time.monotonic()
        server.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    assert time.monotonic() - begin < process.GRACE_S / 2


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            "(EngineCore pid=7) ERROR 11-24 12:00:00 [a.py:9] Traceback (most recent call last):\n"
            "(EngineCore pid=7) ERROR 11-24 12:00:00 [a.py:9]   File x\n"
            "(EngineCore pid=7) ERROR 11-24 12:00:00 [a.py:9] torch.OutOfMemoryError: no room\n"
            "(APIServer pid=1) Traceback (most recent call last):\n"
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See above.\n",
            "torch.OutOfMemoryError: no room",
        ),
        (
            "Traceback (most recent call last):\n  File x\n"
            "a.ValidationError: 1 validation error for Model\n  Value error, too long [type=x]\n",
            "for Model: Value error, too long [type=x]",
        ),
        ("usage: api_server.py [-h]\napi_server.py: error: unrecognized: --x\n", "--x"),
        ("something\nSegmentation fault\n", "Segmentation fault"),
        ("", "it wrote nothing"),
    ],
)
def test_the_cause_is_the_first_one_in_the_log(tmp_path, log, said):
    (tmp_path / "log").write_text(log)
    assert cause(tmp_path / "log").endswith(said)


def test_the_tail_is_what_was_said_last(tmp_path):
    (tmp_path / "log").write_text("".join(f"line {i}\n\n" for i in range(50)))
    assert tail(tmp_path / "log", 2) == "line 48\nline 49"
