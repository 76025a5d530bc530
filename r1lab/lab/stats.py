"""What a matrix of completions by rewards says: spread, agreement, and rows worth a look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1lab.rewards.base import needed_columns
from r1lab.rewards.build import CheckedReward
from r1lab.rewards.cosine import Cosine

Values = Sequence[float | None]
#: Judges' values are made right or wrong here; partial credit of half or more counts as right.
RIGHT_FROM = 0.5
#: They read the gold, and say something else than right or wrong.
_NO_JUDGES = ("Length",)


def summary(values: Values, groups: Sequence[int]) -> dict[str, Any]:
    """Mean and sample std of the values that are there, share of ``None``, and dead groups.

    ``zero_variance`` is the share of groups (of two values or more) whose values are all equal,
    which give GRPO no signal; None where no group has two.
    """
    known = [value for value in values if value is not None]
    members: dict[int, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if value is not None:
            members.setdefault(group, []).append(value)
    several = [found for found in members.values() if len(found) > 1]
    dead = sum(max(found) - min(found) < 1e-9 for found in several)
    mean = sum(known) / len(known) if known else None
    return {
        "mean": mean,
        "std": _std(known),
        "none": (len(values) - len(known)) / len(values) if values else 0.0,
        "groups": len(several),
        "zero_variance": dead / len(several) if several else None,
    }


def correlations(rewards: Mapping[str, Values]) -> list[dict[str, Any]]:
    """Pearson's r of each pair of rewards over the ``n`` rows where both apply.

    ``r`` is None where one of the two is constant there, or n is below 2.
    """
    names = list(rewards)
    found = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            pairs = [
                (x, y)
                for x, y in zip(rewards[a], rewards[b], strict=True)
                if x is not None and y is not None
            ]
            found.append({"a": a, "b": b, "r": _pearson(pairs), "n": len(pairs)})
    return found


def judges(rewards: Sequence[CheckedReward]) -> dict[str, float]:
    """Rewards that say whether an answer is right, with the value from which it is."""
    found = {}
    for reward in rewards:
        inner = reward.__wrapped__
        if needed_columns(inner) and type(inner).__name__ not in _NO_JUDGES:
            # A right answer's cosine may be as low as 0, a wrong one's is never above it.
            found[reward.__name__] = math.ulp(0.0) if isinstance(inner, Cosine) else RIGHT_FROM
    return found


def disagreements(rewards: Mapping[str, Values], from_value: Mapping[str, float]) -> list[int]:
    """Rows that one judge calls right and another wrong."""
    rows = []
    columns = [(rewards[name], least) for name, least in from_value.items()]
    size = len(columns[0][0]) if columns else 0
    for row in range(size):
        said = {column[row] >= least for column, least in columns if column[row] is not None}  # type: ignore[operator]
        if len(said) > 1:
            rows.append(row)
    return rows


def _std(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _pearson(pairs: Sequence[tuple[float, float]]) -> float | None:
    if len(pairs) < 2:
        return None
    xs, ys = zip(*pairs, strict=True)
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread_x = math.fsum((x - mean_x) ** 2 for x in xs)
    spread_y = math.fsum((y - mean_y) ** 2 for y in ys)
    if spread_x < 1e-18 or spread_y < 1e-18:
        return None
    both = math.fsum((x - mean_x) * (y - mean_y) for x, y in pairs)
    return both / math.sqrt(spread_x * spread_y)
