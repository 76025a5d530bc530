"""What the clients of remote sandboxes share: a pool of requests, a self-test, the driver script.

E2B and Morph run Python scripts. :func:`driver_script` is one that holds a program with its inputs,
runs them there one after the other, and prints a report that :func:`read_report` finds. Only
programs and inputs are sent: outputs come back to be compared here.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import check_count
from r1lab.sandbox.base import Job, Limits, Program, Result
from r1lab.sandbox.json_client import JsonClient, RemoteError
from r1lab.sandbox.remote_driver import COMPILE_SECONDS, MARK

#: Requests at a time where nothing else is said: they wait for another machine.
DEFAULT_PARALLEL = 8
#: Beside the program's own time: making the sandbox, sending the inputs.
MARGIN_S = 30.0
#: No sandbox is asked to live longer: E2B's smaller plans refuse more than an hour.
LONGEST_S = 3500.0


class Remote:
    """Base of the remote providers; a subclass defines ``execute``."""

    name = "remote"
    #: What to do when the self-test fails; a subclass says it better.
    hint = "check the address and the network"
    #: Wall time of the self-test's programs.
    trial_s = 10.0

    def __init__(
        self,
        url: str | None = None,
        parallel: int = DEFAULT_PARALLEL,
        tries: int = 4,
        retry_wait_s: float = 0.5,
    ):
        check_count("parallel", parallel)
        self.url, self.parallel = url, parallel
        self.counts: Counter[str] = Counter()
        self.client = JsonClient(self.counts, tries=tries, wait_s=retry_wait_s)

    def execute(self, program: Program, stdins: Sequence[str], limits: Limits) -> list[Result]:
        """One result an input; :class:`RemoteError` where the sandbox cannot be asked."""
        raise NotImplementedError

    def run(self, program: Program, stdin: Sequence[str], limits: Limits) -> list[Result]:
        try:
            return self.execute(program, list(stdin), limits)
        except RemoteError as error:
            return [Result("infrastructure", message=str(error)) for _ in stdin]

    def run_many(self, jobs: Sequence[Job], limits: Limits) -> list[list[Result]]:
        with ThreadPoolExecutor(max_workers=min(self.parallel, max(1, len(jobs)))) as pool:
            return list(pool.map(lambda job: self.run(job.program, job.stdins, limits), jobs))

    def self_test(self) -> None:
        limits = Limits(time_s=self.trial_s)
        try:
            good = self.execute(Program("python", "print(int(input()) * 2)"), ["21"], limits)[0]
            bad = self.execute(Program("python", "raise SystemExit(3)"), [""], limits)[0]
        except RemoteError as error:
            raise self._failed(str(error)) from error
        if good.status != "ok" or good.stdout.strip() != "42":
            said = good.message or good.stderr.strip()[-300:] or repr(good.stdout[:100])
            raise self._failed(f"a program that is right came out as {good.status}: {said}")
        if bad.status != "runtime_error":
            raise self._failed(f"a program that fails came out as {bad.status}: {bad.message}")

    def close(self) -> None:
        """Nothing is kept open."""

    def _failed(self, why: str) -> PrerequisiteError:
        return PrerequisiteError(f"a working sandbox of the provider {self.name!r}", why, self.hint)


def api_key(variable: str, provider: str, where: str) -> str:
    """A key from the environment, the only place where one may be."""
    key = os.environ.get(variable, "").strip()
    if not key:
        why = f"the provider {provider!r} needs an API key, unless provider_url names a router"
        raise PrerequisiteError(variable, why, f"export {variable}=... (from {where})")
    return key


def driver_script(program: Program, stdins: Sequence[str], limits: Limits) -> tuple[str, str]:
    """(script, nonce): Python that runs the program on each input and prints the report."""
    wanted = {
        "language": program.language,
        "source": program.source,
        "files": dict(program.files),
        "stdins": list(stdins),
        "limits": {**asdict(limits), "cpu_s": limits.cpu_s or limits.time_s},
    }
    payload = base64.b64encode(zlib.compress(json.dumps(wanted).encode())).decode()
    nonce = secrets.token_hex(8)
    return f"{_driver()}\n\nmain({payload!r}, {nonce!r})\n", nonce


def script_seconds(stdins: Sequence[str], limits: Limits) -> float:
    """The most that a driver script may take, its compiler included."""
    needed = COMPILE_SECONDS + MARGIN_S + len(stdins) * (limits.time_s + 1.0)
    return min(LONGEST_S, needed)


def read_report(text: str, nonce: str, count: int) -> list[Result]:
    """The results in what a driver script printed; :class:`RemoteError` without a whole report."""
    mark = f"{MARK} {nonce} "
    _, found, rest = text.rpartition(mark)
    if not found:
        raise RemoteError(f"the sandbox sent no report: {text[-300:]!r}")
    try:
        rows = json.loads(zlib.decompress(base64.b64decode(rest.split()[0])))
        results = [Result(*row) for row in rows]
    except (ValueError, TypeError, IndexError, zlib.error) as error:
        raise RemoteError(f"the sandbox's report cannot be read: {error}") from error
    if len(results) != count:
        raise RemoteError(f"the sandbox's report has {len(results)} results for {count} inputs")
    return results


@cache
def _driver() -> str:
    return Path(__file__).with_name("remote_driver.py").read_text(encoding="utf-8")
