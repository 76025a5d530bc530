"""Accuracy scaled by length along a cosine: be right, and briefly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from r1lab.rewards.base import (
    Completion,
    LengthUnit,
    ParameterError,
    Reward,
    check_choice,
    check_count,
    check_number,
    lengths,
)
from r1lab.verify.verifier import (
    DEFAULT_DEADLINE_S,
    OnUnparseable,
    check_parameters,
    get_verifier,
    judge,
)


class Cosine(Reward):
    """The cosine reward of Yeo et al. 2025 (arXiv 2502.03373).

    With ``t`` the length over ``max_len``, clamped to 1, a value goes along half a cosine

    - right: from ``max_value_correct`` (t = 0) down to ``min_value_correct`` (t = 1);
    - wrong: from ``min_value_wrong`` (t = 0) up to ``max_value_wrong`` (t = 1), so that thinking
      on costs a wrong answer less than giving up early.

    Lengths are tokens as generated, end of sequence included, or characters (``length_unit``).
    ``exceed_value`` is what a completion of ``max_len`` or more earns, right or wrong (the paper's
    exceed penalty r_e); ``None`` leaves it out. ``on_unparseable``: a gold that cannot be parsed
    gives ``None`` (``skip``), or counts as answered right (``one``) or wrong (``zero``).
    """

    def __init__(
        self,
        min_value_wrong: float = -1.0,
        max_value_wrong: float = -0.5,
        min_value_correct: float = 0.5,
        max_value_correct: float = 1.0,
        max_len: int = 1000,
        exceed_value: float | None = None,
        length_unit: LengthUnit = "tokens",
        on_unparseable: OnUnparseable = "skip",
        deadline_s: float = DEFAULT_DEADLINE_S,
    ):
        super().__init__()
        not_positive = "a wrong answer must not be rewarded: give a number of at most 0"
        not_negative = "a right answer must not be punished: give a number of at least 0"
        check_number("min_value_wrong", min_value_wrong, high=0, fix=not_positive)
        check_number("max_value_wrong", max_value_wrong, high=0, fix=not_positive)
        check_number("min_value_correct", min_value_correct, low=0, fix=not_negative)
        check_number("max_value_correct", max_value_correct, low=0, fix=not_negative)
        for kind, low, high in (
            ("wrong", min_value_wrong, max_value_wrong),
            ("correct", min_value_correct, max_value_correct),
        ):
            if low > high:
                raise ParameterError(
                    f"min_value_{kind}",
                    low,
                    f"is greater than max_value_{kind} = {high:g}",
                    f"exchange the two: min_value_{kind}={high:g} max_value_{kind}={low:g}",
                )
        check_count("max_len", max_len)
        if exceed_value is not None:
            check_number("exceed_value", exceed_value, high=min_value_correct)
        check_choice("length_unit", length_unit, ("tokens", "chars"))
        check_parameters(on_unparseable, deadline_s)
        self.wrong = (min_value_wrong, max_value_wrong)
        self.correct = (max_value_correct, min_value_correct)
        self.max_len, self.exceed_value, self.length_unit = max_len, exceed_value, length_unit
        self.on_unparseable, self.deadline_s = on_unparseable, deadline_s

    def prepare(self) -> None:
        get_verifier(self.deadline_s).warm()

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        solution: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        sizes = lengths(completions, completion_ids, self.length_unit)
        texts = [self.text(completion) for completion in completions]
        right = judge(texts, solution, self.on_unparseable, self.deadline_s, self.counts)
        return [
            None if verdict is None else self.value(verdict, size)
            for verdict, size in zip(right, sizes, strict=True)
        ]

    def value(self, correct: bool, length: int) -> float:
        """The reward of a right or wrong answer of this length."""
        if self.exceed_value is not None and length >= self.max_len:
            return float(self.exceed_value)
        start, end = self.correct if correct else self.wrong
        progress = min(1.0, length / self.max_len)
        return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * progress))
