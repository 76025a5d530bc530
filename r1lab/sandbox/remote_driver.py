"""Runs a program on its inputs inside a remote machine, and prints a report.

This file is sent there as text, with a call of :func:`main` behind it, so it uses the standard
library only and imports nothing of r1lab. The remote machine is the isolation; the limits here keep
one run from spoiling the next. What the tests expect is not sent.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from typing import Any

MARK = "R1LAB-REPORT"
COMPILE_SECONDS = 60
#: Of the user in the remote machine, whose other processes count: enough to stop a fork bomb.
MOST_PROCESSES = 1024

SOURCES = {
    "python": "main.py",
    "cpp": "main.cpp",
    "c": "main.c",
    "javascript": "main.js",
    "bash": "main.sh",
}


def commands(language: str, folder: str) -> tuple[list[str] | None, list[str]]:
    """(compile command or None, run command) for a folder that holds the program."""
    if language in ("cpp", "c"):
        endings = (".cpp", ".cc") if language == "cpp" else (".c",)
        units = sorted(name for name in os.listdir(folder) if name.endswith(endings))
        compiler = ["g++", "-std=c++17"] if language == "cpp" else ["gcc", "-std=c11"]
        return [*compiler, "-O2", "-o", "program", *units, "-lm"], ["./program"]
    interpreter = {"python": sys.executable or "python3", "javascript": "node", "bash": "bash"}
    return None, [interpreter[language], SOURCES[language]]


def kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def read_some(
    stream: Any, limit: int, process: subprocess.Popen[bytes], kept: list[bytes], over: list[bool]
) -> None:
    """Keep up to ``limit`` bytes of a stream; more of them end the program."""
    size = 0
    while True:
        piece = os.read(stream.fileno(), 65536)
        if not piece:
            return
        if size < limit:
            kept.append(piece[: limit - size])
        size += len(piece)
        if size > limit and not over:
            over.append(True)
            kill(process)


def feed(stream: Any, data: bytes) -> None:
    try:
        stream.write(data)
        stream.close()
    except (BrokenPipeError, OSError):  # it does not read all of its input, which is its choice
        return


def run(
    command: list[str], folder: str, stdin: str, limits: dict[str, Any], address_space: bool
) -> list[Any]:
    """One run: [status, stdout, stderr, exit code, seconds, message]."""

    def restrict() -> None:
        cpu = int(limits["cpu_s"]) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"], limits["file_bytes"]))
        if limits["processes"]:
            resource.setrlimit(resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))
        if address_space:
            memory = limits["memory_mib"] << 20
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": folder, "LANG": "C.UTF-8"},
        start_new_session=True,
        preexec_fn=restrict,
    )
    out: list[bytes] = []
    err: list[bytes] = []
    over: list[bool] = []
    cap = limits["output_bytes"]
    threads = [
        threading.Thread(target=read_some, args=(process.stdout, cap, process, out, over)),
        threading.Thread(target=read_some, args=(process.stderr, cap, process, err, over)),
        threading.Thread(target=feed, args=(process.stdin, stdin.encode("utf-8", "replace"))),
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    late = False
    try:
        process.wait(limits["time_s"])
    except subprocess.TimeoutExpired:
        late = True
    kill(process)
    code = process.wait()
    for thread in threads:
        thread.join(5)
    stdout, stderr = (b"".join(part).decode("utf-8", "replace") for part in (out, err))
    seconds = time.monotonic() - started
    if late or code == -signal.SIGXCPU:
        status = "timeout"
    elif over:
        status = "output_limit"
    elif code == 0:
        status = "ok"
    elif "MemoryError" in stderr or "bad_alloc" in stderr:
        status = "memory"
    else:
        status = "runtime_error"
    return [status, stdout, stderr, code, seconds, ""]


def results(job: dict[str, Any]) -> list[list[Any]]:
    """One result an input."""
    language, limits = job["language"], job["limits"]
    folder = tempfile.mkdtemp(prefix="r1lab-")
    try:
        if language not in SOURCES:
            unknown = ["infrastructure", "", "", None, 0.0, "no language " + repr(language)]
            return [unknown for _ in job["stdins"]]
        for name, text in {**job["files"], SOURCES[language]: job["source"]}.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
        build, command = commands(language, folder)
        needed = (build or command)[0]
        if shutil.which(needed) is None and not os.path.exists(needed):
            message = needed + " is not installed in the sandbox"
            return [["infrastructure", "", "", None, 0.0, message] for _ in job["stdins"]]
        if build:
            roomy = dict(limits, time_s=COMPILE_SECONDS, cpu_s=COMPILE_SECONDS)
            roomy |= {"file_bytes": 256 << 20, "processes": None}
            made = run(build, folder, "", roomy, False)
            if made[0] != "ok":
                failed = ["compile_error", "", made[2][-4000:], made[3], made[4], made[0]]
                return [failed for _ in job["stdins"]]
        found = []
        for stdin in job["stdins"]:
            # A node reserves address space by the gigabyte without using it.
            found.append(run(command, folder, stdin, limits, language != "javascript"))
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(payload: str, nonce: str) -> None:
    """Run the job in ``payload`` (JSON, compressed, in base64) and print the report."""
    job = json.loads(zlib.decompress(base64.b64decode(payload)))
    try:
        report = results(job)
    except Exception as error:
        message = "the sandbox failed: " + repr(error)
        report = [["infrastructure", "", "", None, 0.0, message] for _ in job["stdins"]]
    packed = base64.b64encode(zlib.compress(json.dumps(report).encode("utf-8"))).decode()
    print(MARK, nonce, packed, flush=True)
