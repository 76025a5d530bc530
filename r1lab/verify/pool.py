"""A few persistent processes that compare answers, each with a deadline an item.

Fresh processes rather than forks: the caller may hold torch, CUDA and threads. They end by
themselves when their input closes, so none outlives the caller, however the caller ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import RewardError

#: A worker imports sympy in about a second; a busy machine may take many.
START_LIMIT = 120.0
#: When all workers have been busy this long with work waiting, something hangs: start another.
GROW_AFTER = 0.25
#: An item whose worker died is tried once more: somebody else may have killed the first.
ATTEMPTS = 2


@dataclass(frozen=True)
class Job:
    """Both normalised; ``answer`` is ``None`` to ask only whether the gold parses."""

    gold: str
    answer: str | None


@dataclass(frozen=True)
class Outcome:
    """``parsed`` is about the gold; ``failure`` is ``"timeout"``, ``"error"`` or ``None``."""

    parsed: bool
    equal: bool = False
    failure: str | None = None


class _Worker:
    def __init__(self, deadline_s: float, memory_mib: int):
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        module = "r1lab.verify.worker"
        # Says why, if the process cannot start; closed by `disown`.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            # -P: nothing in the current folder may stand in for a module of ours
            [sys.executable, "-P", "-m", module, str(deadline_s), str(memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self.ready = False
        self.job: int | None = None
        self.parsed = False
        self.since = time.monotonic()
        self._received = b""

    def send(self, index: int, job: Job) -> None:
        assert self.process.stdin is not None
        self.job, self.parsed, self.since = index, False, time.monotonic()
        line = json.dumps({"gold": job.gold, "answer": job.answer}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # dead: its closed output tells the pool
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """The complete messages that have come, or ``None`` once the process is gone."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def last_words(self) -> str:
        """The end of what the process wrote to its standard error."""
        with contextlib.suppress(ValueError):  # closed
            self._stderr.seek(0)
            return self._stderr.read()[-2000:].decode(errors="replace").strip()
        return ""

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.disown()

    def disown(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self._stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was buffered for a dead process
                    pipe.close()


def _stop_all(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().stop()


class Pool:
    """Runs batches of jobs; safe to share between threads (one batch at a time)."""

    def __init__(
        self, deadline_s: float, workers: int = 2, most_workers: int = 8, memory_mib: int = 2048
    ):
        self.deadline_s, self.memory_mib = deadline_s, memory_mib
        self.size, self.most = workers, most_workers
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._failed_starts = 0
        weakref.finalize(self, _stop_all, self._workers)
        _POOLS.add(self)

    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [worker.process.pid for worker in self._workers]

    def close(self) -> None:
        """End every worker; a later batch starts new ones."""
        with self._lock:
            _stop_all(self._workers)

    def forget(self) -> None:
        """In a forked child: let go of the parent's workers without ending them."""
        for worker in self._workers:
            worker.disown()
            worker.process.returncode = 0  # not our child: do not wait for it
        self._workers.clear()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the workers without waiting until they are ready."""
        with self._lock:
            while len(self._workers) < self.size:
                self._workers.append(_Worker(self.deadline_s, self.memory_mib))

    def run(self, jobs: list[Job]) -> list[Outcome]:
        """One outcome a job, in order; none takes longer than the deadline once it has begun."""
        if not jobs:
            return []
        with self._lock:
            try:
                outcomes = self._run(jobs)
            except BaseException:  # Ctrl-C included: a late reply must not meet the next batch
                _stop_all(self._workers)
                raise
            while len(self._workers) > self.size:
                self._workers.pop().stop()
            return outcomes

    def _run(self, jobs: list[Job]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        waiting = deque(range(len(jobs)))
        attempts = [0] * len(jobs)
        while len(outcomes) < len(jobs):
            self._staff(len(waiting))
            for worker in self._workers:
                if worker.ready and worker.job is None and waiting:
                    index = waiting.popleft()
                    attempts[index] += 1
                    worker.send(index, jobs[index])
            for worker in self._select():
                job = worker.job
                if self._hear(worker, jobs, outcomes) or job is None:
                    continue
                if attempts[job] < ATTEMPTS:
                    waiting.appendleft(job)
                else:
                    outcomes[job] = Outcome(worker.parsed, failure="error")
            for worker in self._overdue():
                if worker.job is not None:
                    outcomes[worker.job] = Outcome(worker.parsed, failure="timeout")
                self._remove(worker)
        return [outcomes[index] for index in range(len(jobs))]

    def _staff(self, waiting: int) -> None:
        """Start what the work needs, and more where all that are up seem to hang."""
        if not waiting:
            return
        now = time.monotonic()
        busy = [worker for worker in self._workers if worker.job is not None]
        wanted = min(self.size, waiting + len(busy))
        if len(busy) == len(self._workers) and all(now - w.since > GROW_AFTER for w in busy):
            wanted = max(wanted, min(self.most, len(busy) + min(waiting, self.size)))
        while len(self._workers) < wanted:
            self._workers.append(_Worker(self.deadline_s, self.memory_mib))

    def _select(self) -> list[_Worker]:
        """The workers that have something to say, waiting until the next moment to act."""
        now = time.monotonic()
        limits = [worker.since + self._limit(worker) - now for worker in self._workers]
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                assert worker.process.stdout is not None
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            events = selector.select(max(0.0, min([GROW_AFTER, *limits])))
        return [key.data for key, _ in events]

    def _hear(self, worker: _Worker, jobs: list[Job], outcomes: dict[int, Outcome]) -> bool:
        """Take in a worker's messages; ``False`` when it died, in which case it is removed."""
        messages = worker.receive()
        if messages is None:
            said = worker.last_words()
            self._remove(worker)
            if not worker.ready:
                self._failed_starts += 1
                if self._failed_starts >= 3:
                    self._failed_starts = 0
                    raise RewardError("verifier", None, f"its process fails to start\n{said}")
            return False
        for message in messages:
            if "missing" in message:
                raise PrerequisiteError(
                    "math-verify",
                    f"rewards that check answers parse them with it ({message['missing']})",
                    "pip install 'math-verify[antlr4-9-3]==0.9.0'",
                )
            if "ready" in message:
                worker.ready, self._failed_starts = True, 0
                continue
            index = worker.job
            assert index is not None
            if "error" in message:
                outcomes[index] = Outcome(worker.parsed, failure="error")
                worker.job = None
            elif "parsed" in message:
                worker.parsed = message["parsed"]
                if jobs[index].answer is None or not worker.parsed:
                    outcomes[index] = Outcome(worker.parsed)
                    worker.job = None
            else:
                outcomes[index] = Outcome(True, message["equal"])
                worker.job = None
        return True

    def _overdue(self) -> list[_Worker]:
        now = time.monotonic()
        late = [w for w in self._workers if now - w.since >= self._limit(w)]
        if any(not worker.ready for worker in late):
            message = f"its process was not ready after {START_LIMIT:.0f} s"
            raise RewardError("verifier", None, message)
        return late

    def _limit(self, worker: _Worker) -> float:
        if not worker.ready:
            return START_LIMIT
        return self.deadline_s if worker.job is not None else float("inf")

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.stop()


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_POOLS):
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)
