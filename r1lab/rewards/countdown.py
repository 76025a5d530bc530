"""1 for an arithmetic expression of the given numbers that makes the target."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from r1lab.rewards.answer_marks import marked_answers
from r1lab.rewards.base import (
    Completion,
    ParameterError,
    Reward,
    check_choice,
    check_number,
)
from r1lab.verify.verifier import OnUnparseable

#: Longer answers are degenerate; this also bounds how deep an expression nests.
MAX_EXPRESSION = 400
_SPELLINGS = {"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"}
_LATEX = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": "", r"\,": " "}
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")


class Countdown(Reward):
    r"""1.0 for an expression of the given numbers that equals the target.

    The answer is what the last ``<answer>`` holds, else the last box, after the reasoning: an
    expression of whole numbers, ``+ - * /`` and brackets (× ÷ ``\times`` ``\frac{}{}`` are read
    too), with or without "= 24" behind it. It must use no number more often than it is given, and
    with ``use_all`` each exactly as often. It is computed exactly, in fractions; powers, ``//``
    and digits put together are no part of the game. A well-formed expression that does not make
    it earns ``format_value`` (TinyZero's 0.1), anything else 0.0.

    The columns are ``nums``, a list of whole numbers, and ``target``; where the data has another
    name for one, ``+data.columns.nums=numbers``. ``on_unparseable``: a row whose numbers or target
    are none gives ``None`` (``skip``), or 1.0 (``one``) or 0.0 (``zero``).

    Source: TinyZero's countdown score; data such as Jiayi-Pan/Countdown-Tasks-3to4.
    """

    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = {
        "completions": [
            "<answer>(8 - 2) * 4</answer>",
            "<answer>8 / 4 + 2 = 4</answer>",
            "<answer>8 * 3</answer>",
            "It cannot be done.",
        ],
        "nums": [[8, 2, 4]] * 4,
        "target": [24] * 4,
    }

    def __init__(
        self,
        use_all: bool = True,
        format_value: float = 0.1,
        on_unparseable: OnUnparseable = "skip",
    ):
        super().__init__()
        if not isinstance(use_all, bool):
            raise ParameterError("use_all", use_all, "is not a switch", "use true or false")
        check_number("format_value", format_value, low=-1, high=1)
        check_choice("on_unparseable", on_unparseable, ("skip", "one", "zero"))
        self.use_all, self.format_value = use_all, format_value
        self.on_unparseable = on_unparseable

    def __call__(  # type: ignore[override]
        self,
        completions: Sequence[Completion],
        nums: Sequence[Any],
        target: Sequence[Any],
        **kwargs: Any,
    ) -> list[float | None]:
        rows = zip(completions, nums, target, strict=True)
        return [self.value(self.text(completion), given, goal) for completion, given, goal in rows]

    def value(self, text: str, given: Any, target: Any) -> float | None:
        """The reward of one completion."""
        goal = _whole(target)
        numbers = [_whole(item) for item in given] if isinstance(given, Iterable) else []
        if goal is None or not numbers or None in numbers:
            self.counts["unparseable"] += 1
            return {"skip": None, "one": 1.0, "zero": 0.0}[self.on_unparseable]
        marked = marked_answers(text, "answer_tag") or marked_answers(text, "boxed")
        if not marked:
            self.counts["no_answer"] += 1
            return 0.0
        read = evaluate(marked[-1])
        if read is None or len(set(marked)) > 1:
            self.counts["malformed"] += 1
            return 0.0
        value, used = read
        allowed, said = Counter(numbers), Counter(used)
        fits = said == allowed if self.use_all else said <= allowed
        return 1.0 if fits and value == goal else float(self.format_value)


def evaluate(text: str) -> tuple[Fraction | None, list[int]] | None:
    """An expression's exact value and the numbers in it; ``None`` for what is no expression.

    The value is ``None`` after a division by zero, or where "= 24" claims another value.
    """
    expression, claims = _sides(_read(text))
    if expression is None:
        return None
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        used: list[int] = []
        value = _compute(tree.body, used)
        if any(Fraction(claim.strip()) != value for claim in claims):
            return None, used
    except ZeroDivisionError:
        return None, used
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what ast.parse and we raise
        return None
    return value, used


def _read(text: str) -> str:
    """The text in Python's notation, without what surrounds or decorates it."""
    text = text.strip().strip("$`*").strip()
    if len(text) > MAX_EXPRESSION:
        return ""
    boxed = marked_answers(text, "boxed")
    text = boxed[-1] if boxed else text
    for old, new in {**_LATEX, **_SPELLINGS}.items():
        text = text.replace(old, new)
    for _ in range(8):  # fractions in fractions, from the inside
        text, found = _FRACTION.subn(r"((\1)/(\2))", text)
        if not found:
            break
    return re.sub(r"\s+", " ", text)


def _sides(text: str) -> tuple[str | None, list[str]]:
    """The expression, and the plain numbers that it is said to equal."""
    sides = text.split("=")
    plain = [side for side in sides if re.fullmatch(r" *-? *[0-9]+(?:\.[0-9]+)? *", side)]
    others = [side for side in sides if side not in plain] or plain[:1]
    claims = plain if others[0] not in plain else plain[1:]
    if len(others) != 1 or not re.fullmatch(r"[0-9+\-*/() ]+", others[0]):
        return None, []
    return others[0], [claim.replace(" ", "") for claim in claims]


def _compute(node: ast.expr, used: list[int]) -> Fraction:
    """The value of a tree of the four operations; raises ``ValueError`` for anything else."""
    match node:
        case ast.Constant(value=int(number)):
            used.append(number)
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compute(operand, used)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _compute(operand, used)
        case ast.BinOp(left=left, op=op, right=right):
            one, two = _compute(left, used), _compute(right, used)
            match op:
                case ast.Add():
                    return one + two
                case ast.Sub():
                    return one - two
                case ast.Mult():
                    return one * two
                case ast.Div():
                    return one / two
    raise ValueError("no arithmetic")


def _whole(value: Any) -> int | None:
    """A whole number from a column of numbers or of text."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value and abs(value) < 1e18 and value == int(value) else None
