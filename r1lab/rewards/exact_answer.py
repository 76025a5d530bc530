"""1 for a marked answer that is written like the gold, without algebra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from r1lab.rewards.answer_marks import STYLES, AnswerStyle, gold_text, marked_answers
from r1lab.rewards.base import Completion, Reward, check_choice, check_number
from r1lab.verify.answers import MAX_CHARS, normalise, number, words
from r1lab.verify.verifier import OnUnparseable

#: A number and what it counts: "72 clips".
_NUMBER_AND_WORDS = re.compile(r"([+-]?[0-9][0-9,]*(?:\.[0-9]+)?|[+-]?\.[0-9]+)\s+(\D+)")
#: Words that change a number, or offer another.
_NO_UNITS = frozenset(
    [
        *("and", "or", "not", "dozen", "half", "hundred", "thousand"),
        *("million", "billion", "trillion", "percent"),
    ]
)


class ExactAnswer(Reward):
    r"""1.0 when the marked answer is written like the gold, ``format_value`` when it is another.

    An answer is marked by ``<answer>...</answer>``, by ``\boxed{...}`` or by ``####`` before it on
    its line, after the reasoning; without a mark the value is 0.0. So is it for several different
    answers in one place, which commit to none (counted as ``several``).

    Both sides are compared as text after their wrapping (``$``, ``\text``, a box), LaTeX's spacing
    and a final period are taken off; plain numbers by value, so that 1,234 = 1234.0; words without
    regard to case. A plain number may come with up to three words for what it counts ("72 clips").
    Nothing is computed: 1/2 is not 0.5 (``accuracy`` knows that it is).

    ``style`` says which mark counts: ``boxed``, ``hashes`` (gsm8k's), ``answer_tag``, or ``auto``:
    the first that is there of tag, box and hashes. ``format_value`` is what a marked answer earns
    that is wrong, below 1. ``on_unparseable``: a gold that is empty gives ``None`` (``skip``), or
    1.0 (``one``) or 0.0 (``zero``); a gold may be marked like an answer (gsm8k's are).

    Source: the scores of verl for gsm8k and MATH (score, format_score).
    """

    #: The gold is text here, and need not be mathematics that the verifier can parse.
    solution_is_math: ClassVar[bool] = False
    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = {
        "completions": ["3 + 4 = 7\n#### 7", "\\boxed{7.0}", "\\boxed{14/2}", "The answer is 7."],
        "solution": ["#### 7"] * 4,
    }

    def __init__(
        self,
        style: AnswerStyle = "auto",
        format_value: float = 0.0,
        on_unparseable: OnUnparseable = "skip",
    ):
        super().__init__()
        check_choice("style", style, STYLES)
        check_number("format_value", format_value, low=-1, high=1)
        check_choice("on_unparseable", on_unparseable, ("skip", "one", "zero"))
        self.style, self.format_value, self.on_unparseable = style, format_value, on_unparseable

    def __call__(  # type: ignore[override]
        self, completions: Sequence[Completion], solution: Sequence[Any], **kwargs: Any
    ) -> list[float | None]:
        pairs = zip(completions, solution, strict=True)
        return [self.value(self.text(completion), gold) for completion, gold in pairs]

    def value(self, text: str, gold: Any) -> float | None:
        """The reward of one completion."""
        wanted = gold_text(gold)
        if wanted is None:
            self.counts["unparseable"] += 1
            return {"skip": None, "one": 1.0, "zero": 0.0}[self.on_unparseable]
        found = marked_answers(text, self.style)
        if not found:
            self.counts["no_answer"] += 1
            return 0.0
        if len(found) > 1 and any(not written_alike(found[0], other) for other in found[1:]):
            self.counts["several"] += 1
            return 0.0
        return 1.0 if written_alike(wanted, found[-1]) else float(self.format_value)


def written_alike(first: str, second: str) -> bool:
    """Whether two answers are the same text, number or words; symmetric, and no algebra."""
    if max(len(first), len(second)) > MAX_CHARS:
        return False
    one, two = normalise(first), normalise(second)
    if one == two:
        return bool(one)
    if (words(one) or 0) == (words(two) or 1):
        return True
    values = [number(text) for text in (one, two)]
    if None not in values:
        return values[0] == values[1]
    if values == [None, None]:
        return False
    # One is a plain number: the other may name what it counts.
    counted = _NUMBER_AND_WORDS.fullmatch(two if values[1] is None else one)
    named = words(counted[2].strip()) if counted else None
    if counted is None or named is None:
        return False
    unit = named.split()
    return number(counted[1]) in values and len(unit) <= 3 and _NO_UNITS.isdisjoint(unit)
