"""Prompts that the model answers right neither almost always nor almost never."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from r1lab.errors import Problem
from r1lab.generation.steps.base import Context, Group, Step
from r1lab.rewards.base import ParameterError, check_number


class PassRate(Step):
    """Keep prompts whose share of right answers is above ``min`` and below ``max``.

    The bounds themselves are outside, as in open-r1's filter; ``null`` leaves a side open. What is
    always right teaches little, and a prompt that is never solved is hard or has a wrong gold. A
    prompt of which nothing could be verified has no rate and is dropped.

    The rate is set by ``verify``, which has to come before; with n samples a prompt it is a
    multiple of 1/n.
    """

    def __init__(self, min: float | None = 0.1, max: float | None = 0.9):
        super().__init__()
        for name, bound in (("min", min), ("max", max)):
            if bound is not None:
                check_number(name, bound, low=0, high=1, fix="give a share between 0 and 1")
        if min is not None and max is not None and min >= max:
            fix = "give a min below max, or null for an open side"
            raise ParameterError("min", min, f"is not below max ({max:g})", fix)
        self.min, self.max = min, max

    def check(self, key: str, context: Context) -> list[Problem]:
        name = key.rpartition(".")[2]
        if not any(kind.verifies for kind in context.before):
            message = "filters by a rate that no step before it finds out"
            return [Problem(key, None, message, f"put verify before it: 'steps=[verify,{name}]'")]
        samples = context.has_samples
        if any(self._place(right / samples) is None for right in range(samples + 1)):
            return []
        shares = "0 or 1" if samples == 1 else f"a multiple of 1/{samples}"
        message = f"keeps nothing: with generate.num_generations={samples} a pass rate is {shares}"
        return [Problem(key, None, message, f"ask for more samples a prompt, or leave {name} out")]

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for group in groups:
            place = "not verified" if group.pass_rate is None else self._place(group.pass_rate)
            if place is None:
                yield group
            else:
                self.counts[f"dropped prompts: {place}"] += 1

    def _place(self, rate: float) -> str | None:
        """Outside of which bound, None: inside."""
        if self.min is not None and rate <= self.min:
            return "too hard"
        if self.max is not None and rate >= self.max:
            return "too easy"
        return None
