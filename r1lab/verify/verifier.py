"""One answer to "does this completion's final answer equal this gold?", for every reward.

The certain cases are settled here by string work; the others go to the worker processes of
:mod:`r1lab.verify.pool`, once for each distinct (gold, answer), and are remembered. The rewards of
a training step ask about the same batch one after the other: all but the first are told what was
found for it.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any, Literal
from weakref import WeakSet

from r1lab.rewards.base import check_choice, check_number
from r1lab.verify.answers import (
    MAX_CHARS,
    VERSION,
    final_answer,
    gold_answer,
    normalise,
    number,
    quick_verdict,
    words,
)
from r1lab.verify.batch import Job, Outcome
from r1lab.verify.guards import same_text, too_large
from r1lab.verify.open_r1 import MODES
from r1lab.verify.pool import Pool

OnUnparseable = Literal["skip", "one", "zero"]
_CHOICES = ("skip", "one", "zero")
#: Whose verdict: ours, or one of open-r1's (see :mod:`r1lab.verify.open_r1`).
Compat = str | None
DEFAULT_DEADLINE_S = 5.0
CACHE_SIZE = 65536
#: More processes than this only help where nearly every answer of a batch takes algebra.
MOST_WORKERS = 4
#: A batch of more than this is not one that the next reward will ask about again.
_MOST_REMEMBERED = 8192
#: What is many times as long as :mod:`r1lab.verify.answers` allows is not even normalised.
_LONGEST_READ = 4 * MAX_CHARS
#: A completion and its gold's text, ``None`` where there is no gold.
_Pair = tuple[str, str | None]


@dataclass(frozen=True)
class Verdict:
    """``correct`` is ``None`` when the gold cannot be parsed, so that nothing can be said.

    ``failure`` says why an answer that counts as wrong was never compared: it passed the deadline,
    or is known to without trying (``"timeout"``, see :mod:`r1lab.verify.guards`), or it broke the
    comparison (``"error"``).
    """

    correct: bool | None
    failure: str | None = None

    @property
    def timeout(self) -> bool:
        return self.failure == "timeout"


_VERIFIERS: WeakSet[Verifier] = WeakSet()


class Verifier:
    """Checks batches of answers; safe to share between threads.

    ``deadline_s`` is what one item may take, seconds; what a batch of hanging ones may take is said
    in :class:`~r1lab.verify.pool.Pool`. ``workers`` is by default the number of cores, shared with
    the other ranks of this machine, and at most 4: beside the answers that need algebra a batch is
    string work. The processes start with the first answer that needs them, or with :meth:`warm`.
    :meth:`close` ends them; so does the end of this process, in any way.

    Verdicts are kept for the last ``cache_size`` distinct pairs of gold and answer. A timeout is
    kept if the item had half of its deadline of a core to itself; one on a busy machine is tried
    once more, in a later batch.
    """

    def __init__(
        self,
        deadline_s: float = DEFAULT_DEADLINE_S,
        workers: int | None = None,
        memory_mib: int = 1024,
        cache_size: int = CACHE_SIZE,
    ):
        check_number("deadline_s", deadline_s, low=0.1, high=3600)
        self.pool = Pool(deadline_s, workers or default_workers(), memory_mib=memory_mib)
        self._cache: OrderedDict[tuple[str, Job], Outcome] = OrderedDict()
        self._cache_size = cache_size
        self._doubtful: set[Job] = set()
        self._cache_lock = Lock()
        _VERIFIERS.add(self)
        self._last: dict[Compat, dict[_Pair, Verdict]] = {}

    def verify_batch(
        self, pairs: Sequence[tuple[str, Any]], compat: Compat = None
    ) -> list[Verdict]:
        """A verdict for each ``(completion's text, gold)``; each distinct pair is worked on once.

        Everything up to the last ``</think>`` is ignored, and reasoning without an end is wrong;
        with ``compat`` the verdict is open-r1's on the text and gold as they are.
        """
        if compat is not None:
            check_choice("compat", compat, MODES)
        keys: list[_Pair] = [(text, _text(gold)) for text, gold in pairs]
        last = self._last.get(compat, {})
        verdicts = {key: last[key] for key in keys if key in last}
        missing = [key for key in dict.fromkeys(keys) if key not in verdicts]
        if missing:
            judged = self._judge(missing) if compat is None else self._compare(missing, compat)
            verdicts.update(zip(missing, judged, strict=True))
        self._last[compat] = verdicts if len(verdicts) <= _MOST_REMEMBERED else {}
        return [verdicts[key] for key in keys]

    def verify(self, text: str, gold: Any) -> Verdict:
        """The verdict on one completion."""
        return self.verify_batch([(text, gold)])[0]

    def parses(self, gold: Any) -> bool:
        """Whether answers can be compared with this gold at all."""
        return self.parses_batch([gold])[0]

    def parses_batch(self, golds: Sequence[Any]) -> list[bool]:
        """:meth:`parses` for many golds, which is much faster than one by one."""
        bodies = [_gold(_text(gold)) for gold in golds]
        unsure = [Job(body, None) for body in bodies if body is not None and not _certain(body)]
        found = self._outcomes(unsure)
        bad = {job.gold for job, outcome in found.items() if not outcome.parsed}
        return [body is not None and body not in bad for body in bodies]

    def warm(self) -> None:
        """Start the processes now, without waiting: the first batch then finds them up."""
        self.pool.start()

    def close(self) -> None:
        """End the processes; a later batch starts new ones."""
        self.pool.close()

    def _judge(self, pairs: Sequence[_Pair]) -> list[Verdict]:
        settled = [_settle(text, _gold(gold)) for text, gold in pairs]
        found = self._outcomes([item for item in settled if isinstance(item, Job)])
        return [_verdict(found[item]) if isinstance(item, Job) else item for item in settled]

    def _compare(self, pairs: Sequence[_Pair], compat: str) -> list[Verdict]:
        """As open-r1 does: raw text and raw gold, which all need a worker."""
        jobs = [None if gold is None else Job(gold, text, compat) for text, gold in pairs]
        found = self._outcomes([job for job in jobs if job is not None])
        return [Verdict(None) if job is None else _verdict(found[job], compat) for job in jobs]

    def _outcomes(self, jobs: list[Job]) -> dict[Job, Outcome]:
        found: dict[Job, Outcome] = {}
        with self._cache_lock:
            for job in jobs:
                if (VERSION, job) in self._cache:
                    self._cache.move_to_end((VERSION, job))
                    found[job] = self._cache[VERSION, job]
        missing = [job for job in dict.fromkeys(jobs) if job not in found]
        for job, outcome in zip(missing, self.pool.run(missing), strict=True):
            found[job] = outcome
        with self._cache_lock:
            for job in missing:
                if found[job].certain or job in self._doubtful:
                    self._cache[VERSION, job] = found[job]
                    self._doubtful.discard(job)
                elif len(self._doubtful) < self._cache_size:
                    self._doubtful.add(job)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return found


def _renew_locks() -> None:
    for verifier in list(_VERIFIERS):
        verifier._cache_lock = Lock()


# A fork has no thread left that could give back what another thread held.
os.register_at_fork(after_in_child=_renew_locks)


def default_workers() -> int:
    """This process's share of the cores, between 1 and 4."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        cores = os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, min(MOST_WORKERS, cores // max(1, int(ranks) if ranks.isdigit() else 1)))


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
    compat: Compat = None,
) -> list[bool | None]:
    """Right, wrong or not applicable, with what to do about a gold that does not parse applied.

    ``counts`` receives the unparseable golds, and the answers that timed out or broke. With
    ``compat`` the verdicts are open-r1's: ``open_r1`` those of its accuracy, and
    ``open_r1_latex_gold`` those of its cosine and length rewards.
    """
    pairs = list(zip(texts, golds, strict=True))
    verdicts = get_verifier(deadline_s).verify_batch(pairs, compat)
    instead = {"skip": None, "one": True, "zero": False}[on_unparseable]
    for verdict in verdicts:
        if verdict.correct is None:
            counts["unparseable"] += 1
        if verdict.failure is not None:
            counts[verdict.failure] += 1
    return [instead if v.correct is None else v.correct for v in verdicts]


def _text(gold: Any) -> str | None:
    """A gold may come as a number from a typed column; a missing one cannot be parsed."""
    return None if gold is None or isinstance(gold, bool) else str(gold)


@lru_cache(maxsize=4096)
def _gold(gold: str | None) -> str | None:
    return None if gold is None else gold_answer(gold)


def _certain(gold: str) -> bool:
    """Whether a gold needs no algebra to be known to parse: numbers, words, and what is too large
    for algebra and will be compared as text.
    """
    return number(gold) is not None or words(gold) is not None or too_large(gold)


def _settle(text: str, gold: str | None) -> Verdict | Job:
    """What string work can say about a completion, or the job that is left."""
    if gold is None:
        return Verdict(None)
    found = final_answer(text)
    if found is None or len(found) > _LONGEST_READ:
        return Verdict(False)
    answer = normalise(found)
    quick = quick_verdict(gold, answer)
    if quick is not None:
        return Verdict(quick)
    if too_large(gold) or too_large(answer):
        same = same_text(gold, answer)
        return Verdict(same, None if same else "timeout")
    return Job(gold, answer)


def _verdict(outcome: Outcome, compat: str | None = None) -> Verdict:
    # open-r1's accuracy skips what raises, and takes it for wrong when it times out.
    skipped = compat == "open_r1" and outcome.failure == "error"
    if not outcome.parsed or skipped:
        return Verdict(None, outcome.failure)
    return Verdict(outcome.equal, outcome.failure)
