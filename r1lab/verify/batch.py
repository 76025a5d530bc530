"""A batch of comparisons on its way: what waits, what is done, and how long anything may take."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

#: An item whose worker died is tried once more: somebody else may have killed the first.
ATTEMPTS = 2
#: CPU seconds that an item may take while others have not begun: its share of what is left of the
#: deadline, within these. Comparisons take milliseconds as a rule.
SHORTEST_SHARE, LONGEST_SHARE = 0.1, 0.25
#: Seconds that the slow ones get at least, once the last of a batch has begun.
LAST_CHANCE = 0.75
#: Jobs that a worker is sent at a time, to save round trips.
MOST_AHEAD = 4
#: A worker that hangs does not read; what it is sent beforehand has to fit into its socket.
MOST_CHARS_AHEAD = 8000


@dataclass(frozen=True, slots=True)
class Job:
    """``answer`` is ``None`` to ask only whether the gold parses.

    With ``mode`` ``"own"`` both are normalised; else see :mod:`r1lab.verify.open_r1`.
    """

    gold: str
    answer: str | None
    mode: str = "own"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``parsed`` is about the gold; ``failure`` is ``"timeout"``, ``"error"`` or ``None``.

    ``certain`` is false where the next try may end differently: the item had less than half of its
    deadline of a core to itself, or its worker was killed.
    """

    parsed: bool
    equal: bool = False
    failure: str | None = None
    certain: bool = True


class Batch:
    """How far a batch is."""

    def __init__(self, jobs: list[Job], deadline_s: float):
        self.jobs, self.deadline_s = jobs, deadline_s
        self.outcomes: dict[int, Outcome] = {}
        self.waiting = deque(range(len(jobs)))
        self.again: deque[int] = deque()  # begun, given up for the time being
        self.attempts = [0] * len(jobs)
        self._start: float | None = None
        self._ends: float | None = None

    @property
    def unfinished(self) -> bool:
        return len(self.outcomes) < len(self.jobs)

    def share(self, size: int, unbegun: int, hurry: bool = False) -> float:
        """CPU seconds that an item may take before others have their turn."""
        if not unbegun:
            return float("inf")
        left = self.deadline_s
        if self._start is not None:
            left += self._start - time.monotonic()
        fair = left * size / (2 * unbegun)  # half of the cores may be taken
        shortest = min(SHORTEST_SHARE, self.deadline_s / 20) / (3 if hurry else 1)
        return max(shortest, min(LONGEST_SHARE, self.deadline_s / 4, fair))

    def begin(self) -> None:
        """The clock runs from the first job that is sent."""
        self._start = self._start or time.monotonic()

    def restart(self) -> None:
        """The time that a new server takes is not the items' fault."""
        self._start = self._ends = None

    def end(self, unbegun: int) -> float:
        """When what is unfinished will count as timed out."""
        if self._start is None or unbegun:
            return float("inf")
        if self._ends is None:
            self._ends = max(self._start + self.deadline_s, time.monotonic() + LAST_CHANCE)
        return self._ends

    def take(self, size: int) -> list[int]:
        """The next jobs for one worker: one, or a few short ones to save round trips."""
        if not self.waiting:
            return [self.again.popleft()] if self.again else []
        taken, length = [self.waiting.popleft()], 0
        for _ in range(min(MOST_AHEAD, len(self.waiting) // (2 * size)) - 1):
            job = self.jobs[self.waiting[0]]
            length += len(job.gold) + len(job.answer or "")
            if length > MOST_CHARS_AHEAD:
                break
            taken.append(self.waiting.popleft())
        return taken

    def retry(self, index: int) -> bool:
        """Have an item done again whose worker died, unless that was its last attempt."""
        self.attempts[index] += 1
        if self.attempts[index] == ATTEMPTS:
            return False
        self.waiting.appendleft(index)
        self._ends = None
        return True
