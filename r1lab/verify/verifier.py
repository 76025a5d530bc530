"""One answer to "does this completion's final answer equal this gold?", for every reward.

The certain cases are settled here by string work; the others go to the worker processes of
:mod:`r1lab.verify.pool`, once for each distinct (gold, answer).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Literal

from r1lab.rewards.base import check_choice, check_number
from r1lab.verify.answers import final_answer, gold_answer, normalise, number, quick_verdict, words
from r1lab.verify.pool import Job, Outcome, Pool

OnUnparseable = Literal["skip", "one", "zero"]
_CHOICES = ("skip", "one", "zero")
DEFAULT_DEADLINE_S = 5.0
CACHE_SIZE = 65536


@dataclass(frozen=True)
class Verdict:
    """``correct`` is ``None`` when the gold cannot be parsed, so that nothing can be said.

    ``failure`` says why an answer that counts as wrong was never compared: it passed the
    deadline (``"timeout"``) or broke the comparison (``"error"``).
    """

    correct: bool | None
    failure: str | None = None

    @property
    def timeout(self) -> bool:
        return self.failure == "timeout"


class Verifier:
    """Checks batches of answers; safe to share between threads.

    ``deadline_s`` is what one item may take, seconds. The workers start with the first answer
    that needs them. ``close`` ends them; so does the end of this process, in any way.
    """

    def __init__(
        self,
        deadline_s: float = DEFAULT_DEADLINE_S,
        workers: int = 2,
        memory_mib: int = 2048,
        cache_size: int = CACHE_SIZE,
    ):
        check_number("deadline_s", deadline_s, low=0.1, high=3600)
        self.pool = Pool(deadline_s, workers, memory_mib=memory_mib)
        self._cache: OrderedDict[Job, Outcome] = OrderedDict()
        self._cache_size = cache_size
        self._cache_lock = Lock()

    def verify_batch(self, pairs: Sequence[tuple[str, Any]]) -> list[Verdict]:
        """A verdict for each ``(completion's text, gold)``; each distinct pair is worked on once.

        Everything up to the last ``</think>`` is ignored, and reasoning without an end is wrong.
        """
        golds = {str(gold): _gold(gold) for _, gold in pairs}
        settled: list[Verdict | Job] = []
        for text, original in pairs:
            gold, answer = golds[str(original)], final_answer(text)
            if gold is None:
                settled.append(Verdict(None))
            elif answer is None:
                settled.append(Verdict(False))
            else:
                answer = normalise(answer)
                quick = quick_verdict(gold, answer)
                settled.append(Job(gold, answer) if quick is None else Verdict(quick))
        found = self._outcomes([item for item in settled if isinstance(item, Job)])
        return [_verdict(found[item]) if isinstance(item, Job) else item for item in settled]

    def verify(self, text: str, gold: Any) -> Verdict:
        """The verdict on one completion."""
        return self.verify_batch([(text, gold)])[0]

    def parses(self, gold: Any) -> bool:
        """Whether answers can be compared with this gold at all."""
        return self.parses_batch([gold])[0]

    def parses_batch(self, golds: Sequence[Any]) -> list[bool]:
        """:meth:`parses` for many golds, which is much faster than one by one."""
        bodies = [_gold(gold) for gold in golds]
        # A plain number or words need no algebra, so no worker either.
        unsure = [
            Job(body, None)
            for body in bodies
            if body is not None and number(body) is None and words(body) is None
        ]
        found = self._outcomes(unsure)
        bad = {job.gold for job, outcome in found.items() if not outcome.parsed}
        return [body is not None and body not in bad for body in bodies]

    def warm(self) -> None:
        """Start the worker processes now, without waiting: the first batch then finds them up."""
        self.pool.start()

    def close(self) -> None:
        """End the worker processes; a later batch starts new ones."""
        self.pool.close()

    def _outcomes(self, jobs: list[Job]) -> dict[Job, Outcome]:
        found: dict[Job, Outcome] = {}
        with self._cache_lock:
            for job in jobs:
                if job in self._cache:
                    self._cache.move_to_end(job)
                    found[job] = self._cache[job]
        missing = [job for job in dict.fromkeys(jobs) if job not in found]
        for job, outcome in zip(missing, self.pool.run(missing), strict=True):
            found[job] = outcome
        with self._cache_lock:
            for job in missing:
                self._cache[job] = found[job]
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return found


@cache
def get_verifier(deadline_s: float = DEFAULT_DEADLINE_S) -> Verifier:
    """The verifier that all rewards of this process with that deadline share."""
    return Verifier(deadline_s)


def check_parameters(on_unparseable: str, deadline_s: float) -> None:
    """The checks of the two parameters that every reward with a gold has."""
    check_choice("on_unparseable", on_unparseable, _CHOICES)
    check_number("deadline_s", deadline_s, low=0.1, high=3600)


def judge(
    texts: Sequence[str],
    golds: Sequence[Any],
    on_unparseable: OnUnparseable,
    deadline_s: float,
    counts: Counter[str],
) -> list[bool | None]:
    """Right, wrong or not applicable, with what to do about a gold that does not parse applied.

    ``counts`` receives the unparseable golds, and the answers that timed out or broke.
    """
    verdicts = get_verifier(deadline_s).verify_batch(list(zip(texts, golds, strict=True)))
    instead = {"skip": None, "one": True, "zero": False}[on_unparseable]
    for verdict in verdicts:
        if verdict.correct is None:
            counts["unparseable"] += 1
        if verdict.failure is not None:
            counts[verdict.failure] += 1
    return [instead if v.correct is None else v.correct for v in verdicts]


def _gold(gold: Any) -> str | None:
    """A gold may come as a number from a typed column; a missing one cannot be parsed."""
    return None if gold is None or isinstance(gold, bool) else gold_answer(str(gold))


def _verdict(outcome: Outcome) -> Verdict:
    if not outcome.parsed:
        return Verdict(None, outcome.failure)
    return Verdict(outcome.equal, outcome.failure)
