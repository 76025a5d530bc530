"""Which rows cost the time: each is scored alone, with nothing remembered from the others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from r1lab.lab.lengths import Lengths, wants_tokens
from r1lab.lab.rows import Rows
from r1lab.lab.scoring import columns_of
from r1lab.rewards.build import CheckedReward
from r1lab.verify.verifier import get_verifier

#: Seconds after which no further row is timed; the row that is at it ends by its deadline.
BUDGET = 3.0


def slowest(
    rows: Rows,
    build: Callable[[], Sequence[CheckedReward]],
    lengths: Lengths,
    count: int,
    budget: float = BUDGET,
) -> dict[str, Any]:
    """The ``count`` slowest rows: ``{"timed": rows timed, "rows": [{row, seconds, counts}, ...]}``.

    ``build`` makes the rewards anew. Where the budget does not reach for all rows, a seeded sample
    of them is timed. A row's time is that of all rewards together.
    """
    rewards = build()
    inner = [reward.__wrapped__ for reward in rewards]
    deadlines = {float(item.deadline_s) for item in inner if hasattr(item, "deadline_s")}
    _forget_verdicts(deadlines)
    for reward in rewards:
        reward.prepare()
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    with_prompts = rows.fields["prompt"] == len(rows)
    with_ids = any(wants_tokens(reward) for reward in rewards)

    def timed(index: int) -> dict[str, Any]:
        row = rows.read([index])
        arguments = columns_of(row, with_prompts)
        if with_ids:
            arguments["completion_ids"] = lengths(row)
        start = time.perf_counter()
        for reward in rewards:
            reward(completions=[row[0]["completion"]], **arguments)
        seconds = time.perf_counter() - start
        counts = {r.__name__: found for r in rewards if (found := r.drain_counts())}
        return {"row": index, "seconds": seconds, "counts": counts}

    found: list[dict[str, Any]] = []
    _wake(deadlines, 0)  # where the machine is busy, that alone may take longer than the budget
    replaced, until = False, time.perf_counter() + budget
    for index in order:
        if time.perf_counter() > until:
            break
        if replaced:  # a worker's start is not the next row's time
            _wake(deadlines, len(found))
        found.append(timed(index))
        replaced = bool(found[-1]["counts"])
    found.sort(key=lambda item: -item["seconds"])
    return {"timed": len(found), "rows": found[:count]}


def _forget_verdicts(deadlines: Iterable[float]) -> None:
    """Take leave of the shared verifiers, whose caches know the answers by now."""
    for deadline in deadlines:
        get_verifier(deadline).close()
    get_verifier.cache_clear()


def _wake(deadlines: Iterable[float], number: int) -> None:
    """Have worker processes up: ask what string work cannot settle and no row has asked."""
    for deadline in deadlines:
        get_verifier(deadline).verify(rf"\boxed{{wake+{number}}}", f"wake^2+{number}")
