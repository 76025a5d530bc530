"""One process tree with limits: started, fed, watched, and ended to the last process."""

from __future__ import annotations

import os
import resource
import select
import time
from typing import Any, NamedTuple, NoReturn

from r1lab.sandbox.inside import processes, system
from r1lab.sandbox.inside.namespaces import PROGRAM_ID
from r1lab.sandbox.inside.scratch import MOST_FILES

#: Seconds between looks at what the processes use.
INTERVAL = 0.01
#: A process may reserve this much more than the limit: the watch, which sums up, comes first.
MEMORY_MARGIN = 64 << 20
_CHUNK = 1 << 16
_SIGXCPU = 24
#: What runtimes say when an allocation failed, as it does at the limit of one process.
_OUT_OF_MEMORY = (b"MemoryError", b"std::bad_alloc", b"heap out of memory", b"Out of memory")


class Outcome(NamedTuple):
    """How one run ended; ``status`` and ``exit_code`` as in ``r1lab.sandbox.base.Result``."""

    status: str
    exit_code: int | None
    seconds: float
    message: str
    stdout: bytes
    stderr: bytes


class Setting(NamedTuple):
    """What is the same for every run of a sandbox."""

    folder: str
    #: Programs change to ``PROGRAM_ID`` first, since this process runs as root.
    change_user: bool
    #: The system call filter.
    rules: bytes | None
    #: This is process 1 of a pid namespace: whatever else runs in it belongs to the program.
    alone: bool
    #: How many of the sandbox's own processes the kernel counts as this user's; ``None`` where it
    #: would count the user's processes everywhere, so that only the watch can limit them.
    own_processes: int | None


class _Stop(Exception):
    """A limit was passed."""

    def __init__(self, status: str, message: str):
        self.status, self.message = status, message


def run(
    argv: list[str],
    environment: dict[str, str],
    stdin: bytes,
    limits: dict[str, Any],
    setting: Setting,
) -> Outcome:
    """Run ``argv`` on ``stdin``; when this returns, none of its processes is left.

    ``limits`` has the fields of ``r1lab.sandbox.base.Limits``, ``disk_bytes`` (all that may lie in
    the folder), ``stack_mib``, and ``reserves``: whether the language's runtime reserves far more
    address space than it uses.
    """
    (in_r, in_w), (out_r, out_w), (err_r, err_w), (failed_r, failed_w) = (
        os.pipe() for _ in range(4)
    )
    pid = os.fork()
    if pid == 0:
        _become(argv, environment, (in_r, out_w, err_w), failed_w, limits, setting)
    for end in (in_r, out_w, err_w, failed_w):
        os.close(end)
    failure = os.read(failed_r, 1000)  # until exec closes it
    os.close(failed_r)
    started = _Run(pid, (in_w, out_r, err_r), stdin, limits, setting)
    if failure:
        started.end()
        message = f"cannot start {argv[0]}: {failure.decode(errors='replace')}"
        return Outcome("infrastructure", None, 0.0, message, b"", b"")
    return started.watch()


def _become(
    argv: list[str],
    environment: dict[str, str],
    streams: tuple[int, int, int],
    failed: int,
    limits: dict[str, Any],
    setting: Setting,
) -> NoReturn:
    """In the new process: take on the limits, then turn into the program."""
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(setting.folder)
        os.umask(0o022)
        if setting.change_user:
            for number in range(3):  # or /dev/stdin and the like could not be opened
                os.fchown(number, PROGRAM_ID, PROGRAM_ID)
            os.setgroups([])
            os.setresgid(PROGRAM_ID, PROGRAM_ID, PROGRAM_ID)
            os.setresuid(PROGRAM_ID, PROGRAM_ID, PROGRAM_ID)
        system.drop_capabilities()
        system.forbid_new_privileges()
        if not setting.alone:
            system.die_with_parent()
        system.default_signals()
        if setting.rules:
            system.install_filter(setting.rules)
        _limit(limits, setting)
        os.execve(argv[0], argv, environment)
    except Exception as error:
        os.write(failed, f"{type(error).__name__}: {error}".encode()[:1000])
    finally:
        os._exit(127)


def _limit(limits: dict[str, Any], setting: Setting) -> None:
    memory = limits["memory_mib"] << 20
    stacks = limits["processes"] * limits["stack_mib"] << 20  # reserved whole for each thread
    wanted = {
        # The kernel takes 0 to mean that a program which collects dumps may have them all.
        resource.RLIMIT_CORE: 1,
        resource.RLIMIT_CPU: int(limits["cpu_s"]) + 2,  # whole seconds; the watch is exact
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: 128,
        resource.RLIMIT_MEMLOCK: 64 << 10,
        resource.RLIMIT_STACK: limits["stack_mib"] << 20,
        # What can be written to. Address space would be the wrong thing to limit so tightly:
        # runtimes and threads reserve it without ever using it.
        resource.RLIMIT_DATA: memory + stacks + MEMORY_MARGIN,
    }
    if not limits["reserves"]:
        wanted[resource.RLIMIT_AS] = 2 * memory + stacks + (1 << 30)
    if setting.own_processes is not None:
        wanted[resource.RLIMIT_NPROC] = limits["processes"] + setting.own_processes
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


class _Run:
    def __init__(
        self,
        pid: int,
        ends: tuple[int, int, int],
        stdin: bytes,
        limits: dict[str, Any],
        setting: Setting,
    ):
        self.pid, self.limits, self.setting = pid, limits, setting
        self.begin = time.monotonic()
        self.cpu_before = processes.reaped_cpu()
        self.input, *self.outputs = ends
        self.waiting = memoryview(stdin)
        self.received = {end: bytearray() for end in self.outputs}
        self.exit_code: int | None = None
        for end in ends:
            os.set_blocking(end, False)

    def watch(self) -> Outcome:
        """Until it ends or passes a limit, and then until nothing of it is left."""
        status, message = "ok", ""
        try:
            self._watch()
        except _Stop as stop:
            status, message = stop.status, stop.message
        finally:
            seconds = time.monotonic() - self.begin
            self.end()
        if status == "ok":
            if self._overflowed():
                status, message = "output_limit", self._too_much_output()
            elif self.exit_code != 0:
                status, message = self._failure()
        most = self.limits["output_bytes"]
        stdout, stderr = (bytes(self.received[end][:most]) for end in self.outputs)
        return Outcome(status, self.exit_code, seconds, message, stdout, stderr)

    def end(self) -> None:
        """Kill what still runs, and take in what had been written by then."""
        ended = processes.end_all(self.setting.alone, self.pid)
        self.exit_code = ended if self.exit_code is None else self.exit_code
        for end in self.outputs:
            while self._read(end) and not self._overflowed():
                continue
            os.close(end)
        self._close_input()

    def _watch(self) -> None:
        process = os.pidfd_open(self.pid)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(0, select.POLLRDHUP)
        for end in self.outputs:
            poll.register(end, select.POLLIN)
        poll.register(self.input, select.POLLOUT)
        deadline = self.begin + self.limits["time_s"]
        look = self.begin + INTERVAL
        try:
            while True:
                now = time.monotonic()
                if now >= deadline:
                    raise _Stop("timeout", f"not done after {self.limits['time_s']:g} s")
                if now >= look:
                    self._look()
                    look = time.monotonic() + INTERVAL
                wait = max(0.0, min(deadline, look) - time.monotonic())
                for end, _ in poll.poll(int(wait * 1000) + 1):
                    if end == process:
                        return
                    if end == 0:  # nobody is left who would hear the result
                        processes.end_all(self.setting.alone, self.pid)
                        os._exit(1)
                    more = self._feed() if end == self.input else self._read(end) is not False
                    if not more:
                        poll.unregister(end)
                        if end == self.input:
                            self._close_input()
                if self._overflowed():
                    raise _Stop("output_limit", self._too_much_output())
        finally:
            os.close(process)

    def _close_input(self) -> None:
        if self.input >= 0:
            os.close(self.input)
            self.input = -1

    def _feed(self) -> bool:
        """Pass some input on; ``False`` when there is no more, or nobody who reads it."""
        try:
            written = os.write(self.input, self.waiting[:_CHUNK]) if self.waiting else 0
        except BlockingIOError:
            return True
        except BrokenPipeError:
            written = len(self.waiting)
        self.waiting = self.waiting[written:]
        return len(self.waiting) > 0

    def _read(self, end: int) -> bool | None:
        """Take some output in, up to one byte more than allowed.

        ``None`` when there is none now, ``False`` when there will be no more.
        """
        try:
            data = os.read(end, _CHUNK)
        except BlockingIOError:
            return None
        room = self.limits["output_bytes"] + 1 - len(self.received[end])
        self.received[end] += data[:room]
        return bool(data)

    def _overflowed(self) -> bool:
        most = self.limits["output_bytes"]
        return any(len(received) > most for received in self.received.values())

    def _too_much_output(self) -> str:
        return f"more than {self.limits['output_bytes']} bytes of output"

    def _look(self) -> None:
        limits = self.limits
        ended = processes.reap(self.pid)  # orphans, which would count as processes
        self.exit_code = ended if self.exit_code is None else self.exit_code
        most = limits["memory_mib"] << 20
        used = processes.measure(self.setting.alone, most, limits["processes"])
        if used.tasks > limits["processes"]:
            raise _Stop("runtime_error", f"more than {limits['processes']} processes")
        if used.memory > most:
            raise _Stop("memory", f"more than {limits['memory_mib']} MiB of memory")
        if used.cpu + processes.reaped_cpu() - self.cpu_before > limits["cpu_s"]:
            raise _Stop("timeout", f"more than {limits['cpu_s']:g} s of CPU time")
        if self.setting.alone:  # else the folder is on a disk that others write to as well
            disk = os.statvfs(self.setting.folder)
            if (disk.f_blocks - disk.f_bfree) * disk.f_frsize > limits["disk_bytes"]:
                raise _Stop("runtime_error", f"more than {limits['file_bytes']} bytes of files")
            if disk.f_files - disk.f_ffree > MOST_FILES:
                raise _Stop("runtime_error", f"more than {MOST_FILES} files")

    def _failure(self) -> tuple[str, str]:
        """Status and message of a run that passed no limit and did not exit with 0."""
        stderr = self.received[self.outputs[1]][-2000:]
        if any(words in stderr for words in _OUT_OF_MEMORY):
            return "memory", f"an allocation failed, at {self.limits['memory_mib']} MiB of memory"
        if self.exit_code == -_SIGXCPU:
            return "timeout", f"more than {self.limits['cpu_s']:g} s of CPU time"
        return "runtime_error", ""
