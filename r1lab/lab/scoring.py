"""Scoring rows with the rewards of a config, as a trainer calls them."""

from __future__ import annotations

import inspect
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1lab.errors import ConfigError, Problem, RunFailed
from r1lab.lab.lengths import Lengths, wants_tokens
from r1lab.lab.rows import OWN_FIELDS, TAKEN, Rows
from r1lab.rewards.base import RewardError, needed_columns
from r1lab.rewards.build import CheckedReward

_SHOWN = 10


@dataclass
class Scores:
    """Values by reward in the rows' order, and what was seen on the way.

    ``total`` is the weighted sum as TRL makes it: ``None`` counts as 0, a row of nothing but
    ``None`` has none. ``seconds`` is wall time of the calls, ``by_reward`` its parts: what rewards
    share (an answer is verified once) is on the account of the first that asks.
    """

    rewards: dict[str, list[float | None]]
    total: list[float | None]
    counts: dict[str, dict[str, int]]
    seconds: float
    by_reward: dict[str, float]
    warnings: list[str] = field(default_factory=list)


def score(
    rows: Rows,
    rewards: Sequence[CheckedReward],
    weights: Sequence[float],
    lengths: Lengths,
    progress: Callable[[int], None] = lambda rows: None,
) -> Scores:
    """Score all rows; groups are kept together, and all rows are one call where that is possible.

    The rewards are prepared. Raises :class:`ConfigError` for columns that rewards need and rows
    lack, ``RunFailed`` where a reward fails on a row.
    """
    check_columns(rows, rewards)
    names = [reward.__name__ for reward in rewards]
    values: dict[str, list[float | None]] = {name: [None] * len(rows) for name in names}
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    by_reward = dict.fromkeys(names, 0.0)
    with_prompts = rows.fields["prompt"] == len(rows)
    with_ids = any(wants_tokens(reward) for reward in rewards)
    for batch in rows.batches():
        read = rows.read(batch)
        arguments = columns_of(read, with_prompts)
        if with_ids:
            arguments["completion_ids"] = lengths(read)
        completions = [row["completion"] for row in read]
        for reward in rewards:
            start = time.perf_counter()
            found = _call(reward, completions, arguments, rows, batch)
            by_reward[reward.__name__] += time.perf_counter() - start
            counts[reward.__name__].update(reward.drain_counts())
            for index, value in zip(batch, found, strict=True):
                values[reward.__name__][index] = value
        progress(len(batch))
    return Scores(
        rewards=values,
        total=[total(row, weights) for row in zip(*values.values(), strict=True)],
        counts={name: dict(found) for name, found in counts.items() if found},
        seconds=sum(by_reward.values()),
        by_reward=by_reward,
        warnings=_warnings(rows, rewards, with_prompts, lengths),
    )


def total(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The weighted sum of one row's values, as TRL makes it."""
    known = [w * v for w, v in zip(weights, values, strict=True) if v is not None]
    return sum(known) if known else None


def columns_of(read: Sequence[Mapping[str, Any]], with_prompts: bool) -> dict[str, Any]:
    """A batch's columns as a trainer passes them; a row without an optional one has None there."""
    names = dict.fromkeys(name for row in read for name in row)
    columns: dict[str, Any] = {
        name: [row.get(name) for row in read]
        for name in names
        # Names with a slash are metrics that a run logged beside the row.
        if name not in OWN_FIELDS | TAKEN and "/" not in name
    }
    if with_prompts:
        columns["prompts"] = [row["prompt"] for row in read]
    return columns


def check_columns(rows: Rows, rewards: Sequence[CheckedReward]) -> None:
    """Raise where rows lack what a reward cannot do without, naming the rows."""
    problems = []
    for reward in rewards:
        for column in [*needed_columns(reward), *_needs_prompts(reward)]:
            missing = rows.lacking(column)
            if not missing:
                continue
            listed = ", ".join(rows.where(index) for index in missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            if rows.fields[column]:
                lacks = f"lacks it in {listed}{more}"
            else:
                has = ", ".join(sorted(name for name in rows.fields if "/" not in name))
                lacks = f"has it in no row (columns: {has})"
            message = f"needs the column {column!r}, and {rows.name} {lacks}"
            fix = f"add {column!r} to those rows (null: not known), or leave the reward out"
            problems.append(Problem(f"rewards.{reward.__name__}", None, message, fix))
    if problems:
        raise ConfigError(problems)


def _needs_prompts(reward: CheckedReward) -> list[str]:
    prompts = inspect.signature(reward.__wrapped__).parameters.get("prompts")
    return ["prompt"] if prompts is not None and prompts.default is prompts.empty else []


def _call(
    reward: CheckedReward,
    completions: list[Any],
    arguments: dict[str, Any],
    rows: Rows,
    batch: Sequence[int],
) -> list[float | None]:
    try:
        return reward(completions=completions, **arguments)
    except RewardError as error:
        where = rows.name if error.row is None else f"{rows.name}, {rows.where(batch[error.row])}"
        raise RunFailed(f"rewards.{reward.__name__} failed on {where}: {error.message}") from error


def _warnings(
    rows: Rows, rewards: Sequence[CheckedReward], with_prompts: bool, lengths: Lengths
) -> list[str]:
    said = []
    if rows.blank:
        said.append(f"{rows.blank} blank line{'s' if rows.blank != 1 else ''} passed over")
    if lengths.note:
        said.append(lengths.note)
    prompts = rows.fields["prompt"]
    if prompts and not with_prompts:
        said.append(f"only {prompts} of {len(rows)} rows hold a prompt, so rewards see none")
    named = [reward.__name__ for reward in rewards if _by_group(reward)]
    if named and not with_prompts and rows.fields["group"] < len(rows):
        several = len(rows.batches()) > 1
        over = "the rows of a batch" if several else "all rows"
        said.append(
            f"{', '.join(named)} compares within a prompt's group; rows have neither `prompt` nor "
            f"`group`, so {over} are one group"
        )
    return said


def _by_group(reward: CheckedReward) -> bool:
    parameters = inspect.signature(reward.__wrapped__).parameters
    return "prompts" in parameters or "group" in parameters
