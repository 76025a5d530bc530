"""Running submissions against their tests: in batches, side by side, no further than needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from r1lab.sandbox.base import Job, Limits, Program, Provider, Result
from r1lab.sandbox.checkers import CHECKER_LIMITS, Checker, read_verdict
from r1lab.sandbox.judging import Judge, Score


@dataclass
class Attempt:
    """A submission, its tests and, after :func:`run_attempts`, what they earned."""

    program: Program
    stdins: Sequence[str]
    limits: Limits
    #: One a test; none where there is a ``checker``.
    judges: Sequence[Judge] = ()
    checker: Checker | None = None
    #: What the checker is told to expect, one a test.
    expected: Sequence[str] = ()
    #: Whether to leave the tests after the first batch with a failed one.
    stop_early: bool = False
    scores: list[Score] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to run, or nothing left that would change the reward."""
        if len(self.scores) >= len(self.stdins):
            return True
        if self.results and self.results[0].status in ("compile_error", "infrastructure"):
            return True
        return self.stop_early and 0.0 in self.scores

    @property
    def compiles(self) -> bool:
        return all(result.status != "compile_error" for result in self.results)


def run_attempts(
    provider: Provider, attempts: Sequence[Attempt], batch_size: int, counts: Counter[str]
) -> None:
    """Run the tests of all attempts, ``batch_size`` tests of each at a time where it may stop.

    Programs whose limits are the same share one call of the provider, which runs them side by
    side. ``counts`` gets each way of failing once a submission, and the checkers' failures.
    """
    while active := [attempt for attempt in attempts if not attempt.done]:
        ordered = sorted(active, key=lambda attempt: repr(attempt.limits))
        for _, group in groupby(ordered, key=lambda attempt: repr(attempt.limits)):
            _run_batch(provider, list(group), batch_size, counts)
    for attempt in attempts:
        for status in {result.status for result in attempt.results} - {"ok"}:
            counts[status] += 1


def _run_batch(
    provider: Provider, attempts: list[Attempt], batch_size: int, counts: Counter[str]
) -> None:
    starts = [len(attempt.scores) for attempt in attempts]
    jobs = []
    for attempt, start in zip(attempts, starts, strict=True):
        end = start + batch_size if attempt.stop_early else len(attempt.stdins)
        jobs.append(Job(attempt.program, attempt.stdins[start:end]))
    outcomes = provider.run_many(jobs, attempts[0].limits)
    for attempt, job, results in zip(attempts, jobs, outcomes, strict=True):
        if len(results) != len(job.stdins):
            message = f"{provider.name} gave {len(results)} results for {len(job.stdins)} tests"
            raise RuntimeError(message)
        attempt.results += results
        attempt.scores += [None if r.status == "infrastructure" else 0.0 for r in results]
    _check(provider, attempts, starts, counts)
    for attempt, start in zip(attempts, starts, strict=True):
        if attempt.checker is None:
            for index in range(start, len(attempt.results)):
                if attempt.results[index].status == "ok":
                    attempt.scores[index] = attempt.judges[index](attempt.results[index])


def _check(
    provider: Provider, attempts: list[Attempt], starts: list[int], counts: Counter[str]
) -> None:
    """Let the checkers score what ran; one that crashes, hangs or names no number scores 0.

    A checker that does not compile, or cannot be run, leaves the test open.
    """
    jobs, targets = [], []
    for attempt, start in zip(attempts, starts, strict=True):
        tests = [i for i in range(start, len(attempt.results)) if attempt.results[i].status == "ok"]
        if attempt.checker is not None and tests:
            checker = attempt.checker
            stdins = [
                checker.stdin(attempt.stdins[i], attempt.expected[i], attempt.results[i].stdout)
                for i in tests
            ]
            jobs.append(Job(checker.program, stdins))
            targets.append((attempt, tests))
    if not jobs:
        return
    for (attempt, tests), verdicts in zip(
        targets, provider.run_many(jobs, CHECKER_LIMITS), strict=True
    ):
        for index, verdict in zip(tests, verdicts, strict=True):
            if verdict.status in ("infrastructure", "compile_error"):
                attempt.scores[index] = None
                counts["checker_unavailable"] += 1
                continue
            score = read_verdict(verdict.stdout) if verdict.status == "ok" else None
            attempt.scores[index] = 0.0 if score is None else score
            if score is None:
                counts["checker_failed"] += 1
