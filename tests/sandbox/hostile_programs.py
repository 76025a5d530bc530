"""Programs that try to get out, to get more than they may, or to look as if they had passed.

``{secret}`` is the path of a file outside, ``{home}`` the home folder, ``{port}`` a TCP port and
``{abstract}`` an abstract Unix socket that somebody outside listens on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: What may come out of a program that is stopped by one limit or the other, whichever is first.
STOPPED = ("timeout", "memory", "output_limit", "runtime_error")

LIBC = """
import ctypes, os, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    code = getattr(libc, name)(*arguments)
    print(name, "let through" if code >= 0 else errno.errorcode[ctypes.get_errno()])
"""


@dataclass(frozen=True)
class Hostile:
    """``status``: what may come of it. ``prints`` must be, ``never`` may not be in its output."""

    name: str
    source: str
    status: tuple[str, ...]
    prints: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    language: str = "python"
    limits: dict[str, float] = field(default_factory=dict)
    slow: bool = False
    #: The architecture whose system calls' numbers it has, if any.
    machine: str | None = None


def one(name: str, source: str, *status: str, **rest: object) -> Hostile:
    return Hostile(name, source, status, **rest)  # type: ignore[arg-type]


SHORT = {"time_s": 0.5}

MORE_THAN_ITS_SHARE = [
    one("fork bomb", "import os\nwhile True:\n    os.fork()", *STOPPED, limits=SHORT),
    one(
        "fork bomb that goes on when a fork fails",
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        "timeout",
        "runtime_error",
        limits=SHORT,
    ),
    one("fork bomb in bash", ":(){ :|:& };:; sleep 9", *STOPPED, language="bash", limits=SHORT),
    one(
        "thread bomb",
        "import threading, time\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(9,)).start()",
        *STOPPED,
        limits=SHORT,
    ),
    one("memory at once", "x = bytearray(10 ** 10)", "memory"),
    one("memory bit by bit", "x = []\nwhile True:\n    x.append(bytearray(1 << 20))", "memory"),
    one(
        "memory in many processes, each below the limit",
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n"
        "        x = b'1' * (50 << 20); time.sleep(9)\ntime.sleep(9)",
        "memory",
        limits={"memory_mib": 128},
    ),
    one(
        "shared memory that no process counts",
        "import mmap\nx = [mmap.mmap(-1, 64 << 20) for _ in range(100)]\n"
        "for m in x:\n    m.write(bytes(64 << 20))",
        "runtime_error",
        prints=("Operation not permitted",),
    ),
    one(
        "memory in files without names",
        "import os\nwhile True:\n    os.write(os.memfd_create('x'), bytes(1 << 24))",
        "runtime_error",
        prints=("Operation not permitted",),
    ),
    one(
        "memory in System V segments",
        LIBC + "call('shmget', 0, ctypes.c_size_t(1 << 30), 0o1600)",
        "ok",
        prints=("shmget EPERM",),
    ),
    one(
        "memory in node",
        "const x = []; for (;;) x.push(new Array(1e6).fill(Math.random()))",
        "memory",
        language="javascript",
        limits={"memory_mib": 128, "time_s": 20.0},
    ),
    one(
        "memory in buffers of node, outside its heap",
        "const x = []; for (;;) x.push(Buffer.alloc(1 << 24, 1))",
        "memory",
        "runtime_error",
        language="javascript",
        limits={"memory_mib": 128, "time_s": 20.0},
    ),
    one("endless output", "while True:\n    print('x' * 1000)", "output_limit"),
    one(
        "endless standard error",
        "import sys\nwhile True:\n    sys.stderr.write('x' * 1000)",
        "output_limit",
    ),
    one(
        "one endless line",
        "import os\nwhile True:\n    os.write(1, bytes(1 << 20))",
        "output_limit",
    ),
    one(
        "output from many processes",
        "import os\nos.fork(); os.fork()\nwhile True:\n    os.write(2, b'y\\n')",
        "output_limit",
        limits={"output_bytes": 1 << 16},
    ),
    one(
        "a disk full",
        "import itertools\nfor n in itertools.count():\n"
        "    open(f'f{n}', 'wb').write(bytes(1 << 20))",
        "runtime_error",
    ),
    one(
        "one huge file",
        "f = open('x', 'wb')\nwhile True:\n    f.write(bytes(1 << 20))",
        "runtime_error",
    ),
    one("a huge file with a hole", "open('x', 'wb').truncate(1 << 40)", "runtime_error"),
    one(
        "a million files",
        "for n in range(10 ** 6):\n    open(f'/tmp/{n}', 'w').close()",
        "runtime_error",
        "timeout",
        limits={"time_s": 3.0},
    ),
    one(
        "folders deeper than a path is long",
        "import os\nfor n in range(3000):\n    os.mkdir('d' * 50); os.chdir('d' * 50)\nprint(n)",
        "ok",
        prints=("2999",),
    ),
    one(
        "/dev/shm full",
        "for n in range(99):\n    open(f'/dev/shm/{n}', 'wb').write(bytes(1 << 20))",
        "runtime_error",
    ),
    one(
        "limits raised again",
        "import resource as r\nfor kind in (r.RLIMIT_DATA, r.RLIMIT_FSIZE, r.RLIMIT_CPU):\n"
        "    r.setrlimit(kind, (-1, -1))",
        "runtime_error",
    ),
    one(
        "more CPU time than wall time",
        "import os\nfor _ in range(3):\n    os.fork()\nwhile True:\n    pass",
        "timeout",
        limits={"time_s": 3.0, "cpu_s": 0.3},
    ),
    one(
        "a stack without an end",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x):\n    return [f(x)]\nf(1)",
        "runtime_error",
        "memory",
        "timeout",
    ),
    one(
        "a stack without an end in C++",
        "int f(volatile int x) { volatile char y[9999]; y[0] = x; return f(x + y[0]) + y[1]; }\n"
        "int main() { return f(1); }",
        "runtime_error",
        language="cpp",
    ),
    one(
        "a higher priority",
        "import os\nfor _ in range(9):\n    os.nice(-5)",
        "runtime_error",
    ),
    one(
        "real-time scheduling",
        "import os\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))",
        "runtime_error",
    ),
]

LONGER_THAN_IT_MAY = [
    one("an endless loop", "while True:\n    pass", "timeout", limits=SHORT),
    one("sleep", "import time\ntime.sleep(1000)", "timeout", limits=SHORT),
    one("stuck in C", "print(len(str(7 ** 7 ** 9)))", "timeout", limits=SHORT),
    one(
        "signals ignored",
        "import signal, time\nfor n in range(1, 65):\n    try:\n"
        "        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n"
        "        pass\ntime.sleep(1000)",
        "timeout",
        limits=SHORT,
    ),
    one(
        "exceptions swallowed",
        "import time\nwhile True:\n    try:\n        time.sleep(1000)\n"
        "    except BaseException:\n        pass",
        "timeout",
        limits=SHORT,
    ),
    one("stopped by itself", "import os\nos.kill(os.getpid(), 19)", "timeout", limits=SHORT),
    one(
        "exec for ever",
        "import os\nos.execv('/bin/sh', ['sh', '-c', 'exec sh -c \"sleep 99\"'])",
        "timeout",
        limits=SHORT,
    ),
    one(
        "a daemon that outlives it",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        for n in range(3, 64):\n            try:\n                os.close(n)\n"
        "            except OSError:\n                pass\n        time.sleep(1000)\n"
        "    os._exit(0)\nprint('done')",
        "ok",
        prints=("done",),
    ),
    one(
        "a child that holds the output open",
        "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nprint('done')",
        "ok",
        prints=("done",),
    ),
    one(
        "a child that goes on printing",
        "import os\nif os.fork() == 0:\n    while True:\n        os.write(1, b'x')\nos._exit(0)",
        "ok",
        "output_limit",
    ),
]

PASSING_WITHOUT_HAVING_PASSED = [
    one("output, then a crash", "print(42, flush=True)\n1 / 0", "runtime_error", prints=("42",)),
    one(
        "output, then no end",
        "print(42, flush=True)\nwhile True:\n    pass",
        "timeout",
        prints=("42",),
        limits=SHORT,
    ),
    one(
        "output, then death by a signal",
        "import os\nprint(42, flush=True)\nos.kill(os.getpid(), 9)",
        "runtime_error",
        prints=("42",),
    ),
    one(
        "output, then a core dump",
        "import os\nprint(42, flush=True)\nos.abort()",
        "runtime_error",
        prints=("42",),
    ),
    one(
        "output, then an exit code",
        "import os\nos.write(1, b'42')\nos._exit(1)",
        "runtime_error",
        prints=("42",),
    ),
    one(
        "an answer forged for the provider",
        "import os, struct\nframe = struct.pack('>B?idIII', 0, True, 0, 0.1, 0, 2, 0) + b'42'\n"
        "for n in [0, *range(3, 256)]:\n    try:\n        os.write(n, frame)\n"
        "    except OSError:\n        pass\nos._exit(7)",
        "runtime_error",
        never=("42",),
    ),
    one(
        "files left open by the sandbox",
        "import os\nprint(sorted(os.listdir('/proc/self/fd')))",
        "ok",
        prints=("['0', '1', '2', '3']",),
    ),
    one(
        "bytes that are no text", "import os\nos.write(1, bytes(range(256)))", "ok", prints=("abc",)
    ),
    one(
        "all files closed",
        "import os\nfor n in range(3):\n    os.close(n)\nos._exit(0)",
        "ok",
    ),
]
