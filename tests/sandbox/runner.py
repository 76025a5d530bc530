"""A provider for the tests of rewards: runs programs here, with no isolation at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from r1lab.sandbox import remote_driver
from r1lab.sandbox.base import Job, Limits, Program, Result

#: Results of what was run before: tests repeat themselves, and g++ takes seconds.
_KNOWN: dict[str, list[Result]] = {}


class Runner:
    """Keeps what it was asked to run; ``broken`` languages fail as infrastructure.

    With ``remember`` the same run is not done twice, in no test of a session.
    """

    name = "runner"

    def __init__(self, broken: Sequence[str] = (), remember: bool = False):
        self.remember = remember
        self.counts: Counter[str] = Counter()
        self.broken = set(broken)
        self.jobs: list[tuple[Program, list[str], Limits]] = []

    def run(self, program: Program, stdin: Sequence[str], limits: Limits) -> list[Result]:
        self.jobs.append((program, list(stdin), limits))
        if program.language in self.broken:
            self.counts["retries"] += 1
            return [Result("infrastructure", message="out of order") for _ in stdin]
        job = {
            "language": program.language,
            "source": program.source,
            "files": dict(program.files),
            "stdins": list(stdin),
            "limits": {**asdict(limits), "cpu_s": limits.cpu_s or limits.time_s},
        }
        key = repr(job)
        if key not in _KNOWN or not self.remember:
            _KNOWN[key] = [Result(*row) for row in remote_driver.results(job)]
        return list(_KNOWN[key])

    def run_many(self, jobs: Sequence[Job], limits: Limits) -> list[list[Result]]:
        return [self.run(job.program, job.stdins, limits) for job in jobs]

    def self_test(self) -> None:
        self.counts["tested"] += 1

    def close(self) -> None:
        self.jobs.clear()
