"""The processes that a program has become: what they use, and their end."""

from __future__ import annotations

import os
import resource
import time
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_SIGKILL = 9
_MEMORY = (b"RssAnon", b"RssShmem", b"VmSwap", b"VmPTE")
_SHARES = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")


class Usage(NamedTuple):
    """Of all processes together: bytes, seconds, processes and threads."""

    memory: int
    cpu: float
    tasks: int


def reaped_cpu() -> float:
    """CPU seconds of all that ended and was waited for, so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def running(alone: bool) -> list[int]:
    """The program's processes: all but this one if ``alone``, else this one's descendants."""
    me = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    if alone:
        return [pid for pid in pids if pid != me]
    parents = {pid: int(stat[1]) for pid in pids if (stat := _stat(pid))}
    found = {me}
    grew = True
    while grew:
        new = {pid for pid, parent in parents.items() if parent in found} - found
        found |= new
        grew = bool(new)
    return sorted(found - {me})


def measure(alone: bool, memory_limit: int, tasks_limit: int) -> Usage:
    """What the program uses now. ``memory`` is exact where it is above ``memory_limit``.

    Below it, pages that forked processes share are counted once for each: an upper bound, cheaply.
    With more processes than ``tasks_limit`` only ``tasks`` is measured: reading about each would
    take longer than a fork bomb takes to double.
    """
    pids = running(alone)
    if len(pids) > tasks_limit:
        return Usage(0, 0.0, len(pids))
    memory, cpu, tasks = 0, 0.0, 0
    for pid in pids:
        fields = _fields(pid, "status")
        memory += sum(fields.get(name, 0) for name in _MEMORY) << 10
        tasks += fields.get(b"Threads", 1)
        cpu += sum(map(int, _stat(pid)[11:15])) / _TICKS
    if memory > memory_limit:
        memory = sum(_own_share(pid) for pid in pids)
    return Usage(memory, cpu, tasks)


def _own_share(pid: int) -> int:
    """Bytes of a process, with a page that n processes share counted as its n-th part."""
    shares = _fields(pid, "smaps_rollup")
    tables = _fields(pid, "status").get(b"VmPTE", 0)
    return (tables + sum(shares.get(name, 0) for name in _SHARES)) << 10


def _fields(pid: int, name: str) -> dict[bytes, int]:
    """The rows of a file in /proc that begin with a number; none of a process that has ended.

    Bytes, since a program may call itself what is no text.
    """
    fields = {}
    for row in _read(pid, name).split(b"\n"):
        key, _, value = row.partition(b":")
        first = value.split()[:1]
        if first and first[0].isdigit():
            fields[key] = int(first[0])
    return fields


def _stat(pid: int) -> list[bytes]:
    return _read(pid, "stat").rpartition(b")")[2].split()


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""  # it has just ended


def reap(pid: int) -> int | None:
    """Forget the children that have ended; the exit code of ``pid`` if it is among them."""
    status = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                status = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        return status
    return status


def end_all(alone: bool, pid: int) -> int | None:
    """Kill every process of the program and wait for them; the exit status of ``pid`` among them.

    ``alone`` must be true in process 1 of a pid namespace only: it kills all that can be seen.
    """
    if alone and os.getpid() != 1:
        raise RuntimeError(f"process {os.getpid()} would kill every process of the user")
    status = None
    while True:
        for victim in [-1] if alone else running(alone):
            try:
                os.kill(victim, _SIGKILL)
            except ProcessLookupError:
                continue  # it has just ended
        try:
            while True:
                ended, code = os.waitpid(-1, 0 if alone else os.WNOHANG)
                if ended == 0:
                    time.sleep(0.001)
                    break
                if ended == pid:
                    status = os.waitstatus_to_exitcode(code)
        except ChildProcessError:  # no child is left, and orphans become children of this process
            return status
