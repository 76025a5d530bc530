"""A few persistent processes that compare answers; what hangs costs its batch one deadline.

One fresh server process (not a fork: the caller may hold torch, CUDA and threads) forks the
workers in milliseconds, so replacing one costs next to nothing. An item that takes longer than its
share is stopped where it is while the others have their turn with a new worker, and goes
on when all have begun. So many hanging items together cost about one deadline, and nothing else.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import weakref

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import RewardError
from r1lab.verify.batch import Batch, Job, Outcome
from r1lab.verify.process import Server, Worker

#: The server imports sympy in about a second; a busy machine may take many.
START_LIMIT = 120.0
#: Stopped workers at a time; with more slow items, the one that ran longest begins again later.
MOST_STOPPED = 12
#: With more jobs than this at a time, the slow ones of the first would wait for all of the rest.
MOST_JOBS = 256


class Pool:
    """Runs batches of jobs; safe to share between threads (one batch at a time).

    No batch takes more than ``deadline_s`` plus a second once the server is up, unless the
    ordinary work in it does: CPU time for that, and ``SHORTEST_SHARE`` for each item that hangs (a
    third of it from the thirteenth on), have to fit into the deadline. ``memory_mib`` bounds the
    address space of each worker.
    """

    def __init__(self, deadline_s: float, workers: int = 2, memory_mib: int = 1024):
        self.deadline_s, self.size, self.memory_mib = deadline_s, workers, memory_mib
        self._server: list[Server] = []  # one or none; a list so that the finalizer can empty it
        self._workers: list[Worker] = []
        self._stopped: list[Worker] = []
        self._lock = threading.Lock()
        self._failed_starts = 0
        weakref.finalize(self, _end, self._server, self._workers, self._stopped)
        _POOLS.add(self)

    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [w.pid for w in (*self._workers, *self._stopped) if w.pid is not None]

    def close(self) -> None:
        """End every process; a later batch starts new ones."""
        with self._lock:
            _end(self._server, self._workers, self._stopped)

    def forget(self) -> None:
        """In a forked child: let go of the parent's processes without ending them."""
        for worker in (*self._workers, *self._stopped):
            worker.connection.close()
        for server in self._server:
            server.disown()
        for owned in (self._server, self._workers, self._stopped):
            owned.clear()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the server without waiting until it is ready."""
        with self._lock:
            self._serve()

    def run(self, jobs: list[Job]) -> list[Outcome]:
        """One outcome a job, in order; the bound is for each ``MOST_JOBS`` of them."""
        outcomes: list[Outcome] = []
        for first in range(0, len(jobs), MOST_JOBS):
            with self._lock:
                try:
                    outcomes += self._run(Batch(jobs[first : first + MOST_JOBS], self.deadline_s))
                except BaseException:  # Ctrl-C included: a late reply must not meet the next batch
                    _end(self._server, self._workers, self._stopped)
                    raise
        return outcomes

    def _run(self, batch: Batch) -> list[Outcome]:
        self._bury_dead()
        while batch.unfinished:
            server = self._serve()
            while server.ready and len(self._workers) < min(
                self.size, self._busy() + len(batch.waiting) + len(batch.again)
            ):
                self._workers.append(server.fork(self.deadline_s, self.memory_mib))
            for worker in self._workers:
                if worker.pid is not None and not worker.jobs:
                    self._send(worker, batch)
            self._listen(batch)
            self._preempt(batch)
            self._expire(batch)
        for worker in [w for w in (*self._workers, *self._stopped) if w.jobs]:
            self._remove(worker)
        return [batch.outcomes[index] for index in range(len(batch.jobs))]

    def _bury_dead(self) -> None:
        """Let go of what died since the last batch: its items would be taken for the culprits."""
        for server in list(self._server):
            if _has_news(server.control):
                self._hear_server(server)
        for worker in list(self._workers):
            if worker.pid is not None and _has_news(worker.connection):  # idle: it can only be EOF
                self._remove(worker)

    def _serve(self) -> Server:
        if not self._server:
            self._server.append(Server())
        return self._server[0]

    def _busy(self) -> int:
        return sum(1 for worker in self._workers if worker.jobs)

    def _send(self, worker: Worker, batch: Batch) -> None:
        indices = batch.take(self.size)
        if indices:
            batch.begin()
            jobs = [batch.jobs[index] for index in indices]
            worker.send(indices, [(job.mode, job.gold, job.answer) for job in jobs])

    def _listen(self, batch: Batch) -> None:
        """Take in what the processes say, waiting for it until the next moment to act."""
        server, now = self._server[0], time.monotonic()
        everyone = {w.connection.fileno(): w for w in (*self._workers, *self._stopped)}
        poll = select.poll()
        for descriptor in (server.control.fileno(), *everyone):
            poll.register(descriptor, select.POLLIN)
        limits = [batch.end(self._unbegun(batch))]
        if not server.ready:
            limits.append(server.since + START_LIMIT)
        elif self._busy():
            share = self._share(batch)
            limits += [max(w.since + share, w.look_again) for w in self._workers if w.jobs]
        wait = min(limits) - now
        events = poll.poll(min(1000.0, max(0.0, wait * 1000 + 1)))
        for descriptor, _ in events:
            if descriptor in everyone:
                self._hear(everyone[descriptor], batch)
        if any(descriptor == server.control.fileno() for descriptor, _ in events):
            self._hear_server(server)
        if not self._server:
            batch.restart()
        if not server.ready and time.monotonic() - server.since > START_LIMIT:
            message = f"its process was not ready after {START_LIMIT:.0f} s"
            raise RewardError("verifier", None, message)

    def _hear_server(self, server: Server) -> None:
        missing = server.receive()
        if missing is not None:
            raise PrerequisiteError(
                "math-verify",
                f"rewards that check answers parse them with it ({missing})",
                "pip install 'math-verify[antlr4-9-3]==0.9.0'",
            )
        if server.dead:  # its workers have died with it, and say so themselves
            if not server.ready:
                self._failed_start(server)
            server.close()
            self._server.clear()

    def _failed_start(self, server: Server) -> None:
        self._failed_starts += 1
        if self._failed_starts >= 3:
            self._failed_starts = 0
            message = f"its process fails to start\n{server.last_words()}"
            raise RewardError("verifier", None, message)

    def _hear(self, worker: Worker, batch: Batch) -> None:
        """Take in a worker's messages; one that died is removed, and its item tried again."""
        messages = worker.receive()
        if messages is None:
            if worker.pid is None and self._server and not self._server[0].dead:
                self._failed_start(self._server[0])
            if worker.jobs:
                index, rest = worker.jobs[0], worker.rest()
                worker.jobs.clear()
                batch.waiting.extendleft(reversed(rest))
                if not batch.retry(index):
                    failed = Outcome(worker.parsed, failure="error", certain=False)
                    batch.outcomes[index] = failed
            self._remove(worker)
            return
        for message in messages:
            if "pid" in message:
                worker.pid, self._failed_starts = message["pid"], 0
                continue
            if not worker.jobs:
                break  # it went on with what has been given to others
            index = worker.jobs[0]
            if "parsed" in message:
                worker.learn(message["parsed"])
                if worker.parsed and batch.jobs[index].answer is not None:
                    continue
                batch.outcomes[index] = Outcome(worker.parsed)
            elif "error" in message:
                batch.outcomes[index] = Outcome(worker.parsed, failure="error")
            else:
                batch.outcomes[index] = Outcome(True, message["equal"])
            worker.done(message["cpu"])
            if message.get("leaving"):
                batch.waiting.extendleft(reversed(worker.jobs))
                worker.jobs.clear()
                self._remove(worker)
                return
        if worker in self._stopped and not worker.jobs:
            self._remove(worker)  # one more than is needed

    def _unbegun(self, batch: Batch) -> int:
        """Jobs that no worker has begun, those behind a busy worker's first included."""
        return len(batch.waiting) + sum(len(w.jobs) - 1 for w in self._workers if w.jobs)

    def _share(self, batch: Batch) -> float:
        """A third of the usual once so many hang that there is no place for more."""
        hurry = len(self._stopped) >= MOST_STOPPED
        return batch.share(self.size, self._unbegun(batch), hurry)

    def _preempt(self, batch: Batch) -> None:
        """Stop what takes longer than its share; let all go on when nobody waits any more."""
        unbegun = self._unbegun(batch)
        if not unbegun:
            for worker in self._stopped:
                worker.go_on()
            return
        share = self._share(batch)
        for worker in [w for w in self._workers if w.jobs and w.exceeds(share)]:
            batch.waiting.extendleft(reversed(worker.rest()))
            worker.stop()
            self._workers.remove(worker)
            self._stopped.append(worker)
        while len(self._stopped) > MOST_STOPPED:
            longest = max(self._stopped, key=lambda w: w.ran)
            batch.again.append(longest.jobs.popleft())
            self._remove(longest)

    def _expire(self, batch: Batch) -> None:
        """When the batch's time is up, what is unfinished has timed out."""
        if time.monotonic() < batch.end(self._unbegun(batch)):
            return
        for worker in [w for w in (*self._workers, *self._stopped) if w.jobs]:
            index = worker.jobs.popleft()
            certain = (worker.used or 0.0) >= self.deadline_s / 2
            batch.outcomes[index] = Outcome(worker.parsed, failure="timeout", certain=certain)
            self._remove(worker)
        for index in batch.again:
            batch.outcomes[index] = Outcome(True, failure="timeout", certain=False)
        batch.again.clear()

    def _remove(self, worker: Worker) -> None:
        (self._workers if worker in self._workers else self._stopped).remove(worker)
        worker.end()


def _has_news(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _end(servers: list[Server], workers: list[Worker], stopped: list[Worker]) -> None:
    for group in (workers, stopped):
        while group:
            group.pop().end()
    while servers:
        servers.pop().close()


def _forget_all() -> None:
    for pool in list(_POOLS):
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)
