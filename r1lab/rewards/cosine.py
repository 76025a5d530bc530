"""Accuracy scaled by length along a cosine: be right, and briefly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

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
from r1lab.rewards.compat import Compat, check_compat, first_message
from r1lab.verify.verifier import (
    DEFAULT_DEADLINE_S,
    OnUnparseable,
    check_parameters,
    get_verifier,
    judge,
)


class Cosine(Reward):
    """Being right, scaled by length: brief right answers earn more, long wrong ones lose less.

    With ``t = min(1, length / max_len)`` the value is ``end + (start - end) (1 + cos(pi t)) / 2``:

    - right: from ``start = max_value_correct`` down to ``end = min_value_correct``;
    - wrong: from ``start = min_value_wrong`` up to ``end = max_value_wrong``, so that thinking on
      costs a wrong answer less than giving up early.

    Lengths are tokens as generated, end of sequence included, or characters (``length_unit``).
    ``exceed_value`` is what a completion of ``max_len`` or more earns, right or wrong (the paper's
    exceed penalty r_e); ``None`` leaves it out. ``on_unparseable``: a gold that cannot be parsed
    gives ``None`` (``skip``), or counts as answered right (``one``) or wrong (``zero``).
    ``deadline_s`` is the most that one comparison may take, seconds.

    ``compat: open_r1`` counts characters, does not clamp (past ``max_len`` the cosine turns back),
    judges as open-r1's ``cosine`` does (a gold without LaTeX does not parse), gives 1.0 for a gold
    that does not parse, and takes the bounds in any order, as open-r1's own defaults for wrong
    answers need (0.0 and -0.5).

    Source: Yeo et al. 2025, arXiv 2502.03373.
    """

    example: ClassVar[dict[str, Any]] = {
        "completions": ["\\boxed{7}", "\\boxed{7}", "\\boxed{8}", "\\boxed{8}"],
        "solution": ["7"] * 4,
        "completion_ids": [[0] * 100, [0] * 900, [0] * 100, [0] * 900],
    }

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
        compat: Compat = None,
    ):
        super().__init__()
        check_compat(
            compat, exceed_value=(exceed_value, None), on_unparseable=(on_unparseable, "skip")
        )
        bounds = {
            "min_value_wrong": min_value_wrong,
            "max_value_wrong": max_value_wrong,
            "min_value_correct": min_value_correct,
            "max_value_correct": max_value_correct,
        }
        for parameter, value in bounds.items():
            _check_bound(parameter, value, compat)
        if compat is None:
            _check_order("wrong", min_value_wrong, max_value_wrong)
            _check_order("correct", min_value_correct, max_value_correct)
        check_count("max_len", max_len)
        if exceed_value is not None:
            check_number("exceed_value", exceed_value, high=min_value_correct)
        check_choice("length_unit", length_unit, ("tokens", "chars"))
        check_parameters(on_unparseable, deadline_s)
        self.wrong = (min_value_wrong, max_value_wrong)
        self.correct = (max_value_correct, min_value_correct)
        self.max_len, self.exceed_value, self.length_unit = max_len, exceed_value, length_unit
        self.on_unparseable, self.deadline_s, self.compat = on_unparseable, deadline_s, compat

    def prepare(self) -> None:
        get_verifier(self.deadline_s).warm()

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        solution: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        if self.compat:
            texts = [first_message(completion) for completion in completions]
            sizes = [len(text) for text in texts]
        else:
            texts = [self.text(completion) for completion in completions]
            sizes = lengths(completions, completion_ids, self.length_unit)
        right = judge(
            texts,
            solution,
            self.on_unparseable,
            self.deadline_s,
            self.counts,
            compat="open_r1_latex_gold" if self.compat else None,
        )
        unjudged = 1.0 if self.compat else None
        return [
            unjudged if verdict is None else self.value(verdict, size)
            for verdict, size in zip(right, sizes, strict=True)
        ]

    def value(self, correct: bool, length: int) -> float:
        """The reward of a right or wrong answer of this length."""
        if self.exceed_value is not None and length >= self.max_len:
            return float(self.exceed_value)
        start, end = self.correct if correct else self.wrong
        progress = length / self.max_len
        if self.compat is None:
            progress = min(1.0, progress)
        return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * progress))


def _check_bound(parameter: str, value: float, compat: Compat) -> None:
    if compat is not None:
        check_number(parameter, value)
    elif parameter.endswith("wrong"):
        fix = "a wrong answer must not be rewarded: give a number of at most 0"
        check_number(parameter, value, high=0, fix=fix)
    else:
        fix = "a right answer must not be punished: give a number of at least 0"
        check_number(parameter, value, low=0, fix=fix)


def _check_order(kind: str, low: float, high: float) -> None:
    if low > high:
        raise ParameterError(
            f"min_value_{kind}",
            low,
            f"is greater than max_value_{kind} = {high:g}",
            f"exchange the two: min_value_{kind}={high:g} max_value_{kind}={low:g}",
        )
