"""A Piston server (https://github.com/engineer-man/piston), its API v2."""

from __future__ import annotations

import base64
import itertools
import os
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from r1lab.sandbox.base import Limits, Program, Result, Status
from r1lab.sandbox.json_client import RemoteError, with_scheme
from r1lab.sandbox.remote import MARGIN_S, Remote

#: open-r1's name of the variable that holds addresses, comma-separated.
ENDPOINTS_VARIABLE = "PISTON_ENDPOINTS"
#: The public server is closed to training; a server of one's own needs no key.
KEY_VARIABLE = "PISTON_API_KEY"
DEFAULT_URL = "http://localhost:2000"

#: Language here -> Piston's names of runtimes that run it, the first one installed is taken.
RUNTIMES: dict[str, tuple[str, ...]] = {
    "python": ("python", "python3", "py"),
    "cpp": ("c++", "cpp", "g++"),
    "c": ("c", "gcc"),
    "javascript": ("javascript", "js"),
    "bash": ("bash", "sh"),
}
_ENDINGS = {"python": "py", "cpp": "cpp", "c": "c", "javascript": "js", "bash": "sh"}
#: Characters that a server has to let through.
TRIAL_OUTPUT = 100_000
#: What Piston's own shell says when the server has no processes left; not the program's doing.
_OVERLOADED = "fork: retry: Resource temporarily unavailable"


class Piston(Remote):
    """Sends a program and an input a request; each request compiles anew.

    ``url`` is one address or several, comma-separated, which take turns; null: the variable
    ``PISTON_ENDPOINTS``, else ``http://localhost:2000``. A server that nobody configured refuses
    more than 3 s and ends a program after 1,024 characters of output; the self-test finds out.
    """

    name = "piston"
    trial_s = 2.5  # within the limit of a server that nobody configured
    hint = (
        "start a server: docker run --privileged -p 2000:2000 -e PISTON_RUN_TIMEOUT=60000 "
        "-e PISTON_RUN_CPU_TIME=60000 -e PISTON_COMPILE_TIMEOUT=60000 "
        "-e PISTON_OUTPUT_MAX_SIZE=10000000 ghcr.io/engineer-man/piston; and set provider_url to "
        "its address"
    )

    def __init__(self, url: str | None = None, **options: Any):
        super().__init__(url=url, **options)
        given = url or os.environ.get(ENDPOINTS_VARIABLE) or DEFAULT_URL
        self.endpoints = [_api(part) for part in given.split(",") if part.strip()]
        self._turns = itertools.cycle(self.endpoints)
        self._lock = threading.Lock()
        self._runtimes: dict[str, list[dict[str, Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a provider holds locks: make another one instead of pickling it")

    def self_test(self) -> None:
        for endpoint in self.endpoints:
            try:
                self._runtime(endpoint, "python")
            except RemoteError as error:
                raise self._failed(str(error)) from error
        super().self_test()
        long = Program("python", f"print('x' * {TRIAL_OUTPUT})")
        result = self.run(long, [""], Limits(time_s=self.trial_s))[0]
        if result.status != "ok" or len(result.stdout) <= TRIAL_OUTPUT:
            why = f"a program that prints {TRIAL_OUTPUT} characters came out as {result.status}"
            raise self._failed(f"{why}, with {len(result.stdout)} of them")

    def execute(self, program: Program, stdins: Sequence[str], limits: Limits) -> list[Result]:
        found: list[Result] = []
        for stdin in stdins:
            result = self._one(program, stdin, limits)
            if result.status == "compile_error":
                return [result] * len(stdins)
            found.append(result)
        return found

    def _one(self, program: Program, stdin: str, limits: Limits) -> Result:
        with self._lock:
            endpoint = next(self._turns)
        body = {
            "language": self._runtime(endpoint, program.language),
            "version": "*",
            "files": _files(program),
            "stdin": stdin,
            "run_timeout": round(limits.time_s * 1000),
            # Of newer servers; older ones do not look at it.
            "run_cpu_time": round((limits.cpu_s or limits.time_s) * 1000),
            "run_memory_limit": limits.memory_mib << 20,
        }
        for attempt in range(1, self.client.tries + 1):
            started = time.monotonic()
            answer = self.client.json(
                "POST",
                f"{endpoint}/execute",
                body,
                headers=_headers(),
                timeout_s=limits.time_s + 2 * MARGIN_S,
            )
            result = read_answer(answer, limits, time.monotonic() - started)
            if result.status != "infrastructure" or attempt == self.client.tries:
                return result
            self.counts["retries"] += 1
            time.sleep(self.client.wait_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable: the last try returns")

    def _runtime(self, endpoint: str, language: str) -> str:
        """The server's name for a language; asked once a server."""
        if endpoint not in self._runtimes:
            listed = self.client.json("GET", f"{endpoint}/runtimes", headers=_headers())
            if not isinstance(listed, list):
                raise RemoteError(f"{endpoint}/runtimes is not a list of runtimes")
            self._runtimes[endpoint] = listed
        runtimes = self._runtimes[endpoint]
        names = {row.get("language"): row.get("language") for row in runtimes}
        aliases = {alias: row["language"] for row in runtimes for alias in row.get("aliases", [])}
        for name in RUNTIMES.get(language, (language,)):
            if name in names or name in aliases:
                return str(names.get(name) or aliases[name])
        there = ", ".join(sorted(str(name) for name in names)) or "none"
        raise RemoteError(
            f"{endpoint} has no runtime for {language} (it has: {there}); install one with "
            f"""curl -X POST {endpoint}/packages -H 'Content-Type: application/json' """
            f"""-d '{{"language": "{_package(language)}", "version": "*"}}'"""
        )


def read_answer(answer: Any, limits: Limits, elapsed: float) -> Result:
    """A result from Piston's answer, of the versions with and without ``run.status``."""
    if not isinstance(answer, dict) or not isinstance(answer.get("run"), dict):
        said = answer.get("message") if isinstance(answer, dict) else None
        return Result("infrastructure", message=f"Piston ran nothing: {said or answer!r}"[:300])
    compiled = answer.get("compile")
    if isinstance(compiled, dict) and compiled.get("code") != 0:
        if compiled.get("status") == "XX":
            return Result("infrastructure", message=str(compiled.get("message"))[:300])
        why = str(compiled.get("message") or compiled.get("signal") or "")
        return Result(
            "compile_error", "", str(compiled.get("stderr") or "")[-4000:], None, elapsed, why
        )
    run = answer["run"]
    stdout, stderr = str(run.get("stdout") or ""), str(run.get("stderr") or "")
    seconds = float(run.get("wall_time") or elapsed * 1000) / 1000
    status = _status(run, stdout, stderr, limits, seconds)
    message = str(run.get("message") or run.get("signal") or "")
    return Result(status, stdout, stderr, run.get("code"), seconds, message)


def _status(
    run: dict[str, Any], stdout: str, stderr: str, limits: Limits, seconds: float
) -> Status:
    named = run.get("status")
    if named == "XX" or (_OVERLOADED in stderr and not stdout):
        return "infrastructure"
    if named == "TO":
        return "timeout"
    if named in ("OL", "EL") or len(stdout) > limits.output_bytes:
        return "output_limit"
    if run.get("code") == 0 and not run.get("signal"):
        return "ok"
    if "MemoryError" in stderr or "bad_alloc" in stderr:
        return "memory"
    # A server without `status` kills for time, memory and output alike.
    if run.get("signal") == "SIGKILL" and seconds >= limits.time_s:
        return "timeout"
    return "runtime_error"


def _files(program: Program) -> list[dict[str, str]]:
    """The program first, since Piston runs the first file.

    Files in base64 are not handed to the compiler: headers go that way, further C++ sources do not.
    """
    ending = _ENDINGS.get(program.language, "txt")
    files = [{"name": f"main.{ending}", "content": program.source}]
    for name, text in program.files.items():
        if program.language in ("cpp", "c") and name.endswith((".cpp", ".cc", ".c")):
            files.append({"name": name, "content": text})
        else:
            content = _base64(text)
            files.append({"name": name, "content": content, "encoding": "base64"})
    return files


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def _headers() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return {"Authorization": key} if key else {}


def _package(language: str) -> str:
    return {"cpp": "gcc", "c": "gcc", "javascript": "node"}.get(language, language)


def _api(url: str) -> str:
    """The address of API v2: appended to a bare host, kept where a path is given."""
    url = with_scheme(url)
    return url if urlsplit(url).path.strip("/") else f"{url}/api/v2"
