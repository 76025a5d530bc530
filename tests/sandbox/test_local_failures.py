"""The local provider where something fails: the sandbox, the caller, the machine's isolation."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.sandbox import seccomp
from r1lab.sandbox.base import Job, Limits, Program
from r1lab.sandbox.local import Local
from tests.sandbox.machine import isolated

ROOT = Path(__file__).resolve().parents[2]
PATIENT = Limits(time_s=20.0, memory_mib=1024)
ADD = Program("python", "print(sum(map(int, input().split())))")


def python(source: str) -> Program:
    return Program("python", source)


def processes_of(provider: Local) -> list[subprocess.Popen]:
    return [session.process for session in provider._sessions]


def kill_when_running(provider: Local, times: int) -> threading.Thread:
    def work() -> None:
        for _ in range(times):
            while not processes_of(provider):
                time.sleep(0.005)
            time.sleep(0.3)
            victim = processes_of(provider)[0]
            victim.kill()
            victim.wait()
            while victim in processes_of(provider):
                time.sleep(0.005)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.usefixtures("no_process_left")
def test_a_sandbox_that_somebody_kills_is_made_once_more():
    provider = Local()
    isolated()
    provider.isolation()
    killer = kill_when_running(provider, times=1)
    program = python("import time; time.sleep(1); print(input())")
    results = provider.run(program, ["1", "2"], PATIENT)
    killer.join()
    assert [(r.status, r.stdout) for r in results] == [("ok", "1\n"), ("ok", "2\n")]
    assert provider.counts == {"retries": 1}


@pytest.mark.usefixtures("no_process_left")
def test_a_sandbox_that_is_killed_again_is_no_verdict():
    provider = Local()
    isolated()
    provider.isolation()
    killer = kill_when_running(provider, times=2)
    results = provider.run(python("import time; time.sleep(1)\nprint(1)"), ["", ""], PATIENT)
    killer.join()
    assert [r.status for r in results] == ["infrastructure", "ok"]


@pytest.mark.usefixtures("no_process_left")
def test_close_ends_what_runs():
    provider = Local()
    isolated()
    provider.isolation()
    threading.Timer(0.5, provider.close).start()
    began = time.monotonic()
    jobs = [Job(python("import time; time.sleep(60)"), [""] * 3)] * 3
    results = provider.run_many(jobs, Limits(time_s=60.0))
    assert time.monotonic() - began < 20
    assert results[0][0].status == "infrastructure"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.usefixtures("no_process_left")
def test_nothing_outlives_the_caller(number):
    isolated()
    code = """
import signal
from r1lab.sandbox import seccomp
from r1lab.sandbox.base import Job, Limits, Program
from r1lab.sandbox.local import Local
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
provider = Local(parallel=2)
provider.isolation()
print("up", flush=True)
jobs = [Job(Program("python", "import os, time; os.fork(); time.sleep(100)"), [""])] * 2
provider.run_many(jobs, Limits(time_s=100.0))
"""
    caller = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    assert caller.stdout is not None
    caller.stdout.readline()
    time.sleep(0.5)
    caller.send_signal(number)
    assert caller.wait(20) != 0


@pytest.fixture
def unisolated(monkeypatch) -> Local:
    monkeypatch.setattr(Local, "_try", lambda self, isolation: "not on this machine")
    return Local(allow_unisolated=True)


def test_where_nothing_isolates_nothing_runs(monkeypatch):
    monkeypatch.setattr(Local, "_try", lambda self, isolation: f"no {isolation} on this machine")
    provider = Local()
    with pytest.raises(PrerequisiteError, match=r"no namespaces on.*no bubblewrap on") as caught:
        provider.self_test()
    assert "allow_unisolated" in str(caught.value)
    results = provider.run(ADD, ["1 2", "3 4"], PATIENT)
    assert [r.status for r in results] == ["infrastructure"] * 2
    assert "no namespaces" in results[0].message


def test_without_the_library_of_filters_nothing_runs(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(seccomp.ctypes, "CDLL", missing)
    seccomp.syscall_filter.cache_clear()
    try:
        with pytest.raises(PrerequisiteError, match="libseccomp is missing"):
            Local().isolation()
    finally:
        seccomp.syscall_filter.cache_clear()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_kernel_without_user_namespaces_is_refused():
    """The real thing: a user namespace that allows no further one."""
    isolated("namespaces")
    code = (
        "from r1lab.sandbox.local import Local\n"
        "try:\n    print(Local(mechanism='namespaces').isolation())\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    script = f'echo 0 > /proc/sys/user/max_user_namespaces; exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", script],
        env={**os.environ, "CODE": code, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert "PrerequisiteError isolation for untrusted programs is missing" in done.stdout, done
    assert "unshare" in done.stdout


def test_without_isolation_only_when_told_plainly(unisolated, caplog):
    with caplog.at_level(logging.WARNING):
        unisolated.self_test()
        [result] = unisolated.run(ADD, ["1 2"], PATIENT)
        assert (result.status, result.stdout) == ("ok", "3\n")
    warnings = [
        record.message for record in caplog.records if "WITHOUT isolation" in record.message
    ]
    assert len(warnings) == 1
    assert "not on this machine" in warnings[0]
    assert unisolated.counts == {"unisolated": 3}


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    ("source", "status", "printed"),
    [
        ("import os; print(os.environ.get('HF_TOKEN'))", "ok", "None"),
        ("import socket; socket.socket()", "runtime_error", ""),
        ("import time; time.sleep(60)", "timeout", ""),
        ("x = []\nwhile True:\n    x.append(bytearray(1 << 20))", "memory", ""),
        ("while True:\n    print('x' * 1000)", "output_limit", "x"),
        ("print(42, flush=True); 1 / 0", "runtime_error", "42"),
        (
            "import os, time\nfor _ in range(2):\n    if os.fork() == 0:\n        os.setsid()\n"
            "        os.fork(); time.sleep(60)\nprint(1)",
            "ok",
            "1",
        ),
        (
            "import os, time\nfor _ in range(40):\n    os.fork() or time.sleep(60)\ntime.sleep(60)",
            "runtime_error",
            "",
        ),
        ("import os\nos.mkdir('a'); os.chmod('a', 0); os.chmod('..', 0)\nprint(1)", "ok", "1"),
    ],
)
def test_limits_hold_without_isolation(unisolated, monkeypatch, tmp_path, source, status, printed):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limits = Limits(time_s=0.7 if status == "timeout" else 10.0, memory_mib=256)
    for result in unisolated.run(python(source), ["", ""], limits):
        assert result.status == status, result
        assert result.stdout.startswith(printed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_process_left")
def test_a_forked_child_leaves_its_parents_programs_alone():
    provider = Local()
    isolated()
    provider.isolation()
    found = []
    program = python("import time; time.sleep(1); print(1)")
    thread = threading.Thread(target=lambda: found.extend(provider.run(program, [""], PATIENT)))
    thread.start()
    time.sleep(0.5)
    child = os.fork()
    if child == 0:
        provider.close()
        [result] = provider.run(ADD, ["1 2"], PATIENT)
        os._exit(0 if result.stdout == "3\n" else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert [(r.status, r.stdout) for r in found] == [("ok", "1\n")]
    assert provider.counts == {}
