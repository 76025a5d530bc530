"""Comparing answers that string work cannot decide; runs in the worker processes only.

An answer is read into a form (:mod:`r1lab.verify.reading`) and forms are compared
(:mod:`r1lab.verify.comparing`). What that language does not know (integrals, limits, derivatives)
goes to math-verify, behind the guards of :mod:`r1lab.verify.fallback`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import lru_cache

from r1lab.verify import fallback
from r1lab.verify.answers import choice
from r1lab.verify.answers import number as plain_number
from r1lab.verify.comparing import same
from r1lab.verify.expression import parse_expression
from r1lab.verify.forms import Expr, Form, Many, Quantity, Solutions, number
from r1lab.verify.reading import read
from r1lab.verify.tokens import Unreadable, tokenize
from r1lab.verify.tree import parts

_CLOCK = re.compile(
    r"(?i)(\d{1,2})\s*:\s*(\d{2})\s*(?:\\(?:text|mathrm)\s*\{)?\s*(?:([ap])\.?\s*m\.?)?\s*\}?"
)
_LETTERS = re.compile(r"[A-J](?:(?:,|and|,and|\s)*[A-J])+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+")
#: [x] is how older texts write the floor of x.
_GAUSS = re.compile(r"\[([^\[\],]*)\]")
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")


@lru_cache(maxsize=1024)
def _form(body: str) -> Form | None:
    try:
        return read(body)
    except (Unreadable, RecursionError):
        return None


def parses(gold: str) -> bool:
    """Whether a gold's body can be compared with anything."""
    return _form(gold) is not None or fallback.parses(gold)


def equal(gold: str, answer: str) -> bool:
    """Whether two normalised answers are equal.

    The verdict is symmetric but for three things in which the gold is the standard: a decimal gold
    of three significant digits accepts what rounds to it, an exact one asks for the exact value;
    an answer that is still to be worked out (2 + 3, 2x = 10, 2x + 1 > 7) may be the question; and
    "No" accepts "No, 7", not the other way round.
    """
    if gold == answer:
        return True
    (letter, rest), (said, beside) = choice(gold), choice(answer)
    if letter and said:
        return letter == said
    if letter and rest:
        return equal(rest, answer)
    if said and beside:
        return letter is None and equal(gold, beside)
    clocks = _CLOCK.fullmatch(gold), _CLOCK.fullmatch(answer)
    if clocks[0] and clocks[1]:
        one, two = clocks[0].groups(), clocks[1].groups()
        return one[:2] == two[:2] and (None in (one[2], two[2]) or one[2].lower() == two[2].lower())
    singles = [re.sub(r"\(([A-J])\)", r"\1", body) for body in (gold, answer)]
    if all(map(_LETTERS.fullmatch, singles)) and not gold.isalpha() & answer.isalpha():
        chosen = [sorted(re.findall("[A-J]", body)) for body in singles]
        return chosen[0] == chosen[1]
    first, second = _form(gold), _form(answer)
    if _is_undone(first, second):
        return False
    if first is None or second is None:
        return fallback.equal(gold, answer)
    if same(first, second):
        return True
    return any(same(*pair) for pair in _other_readings(gold, answer, first, second))


def _other_readings(
    gold: str, answer: str, first: Form, second: Form
) -> Iterator[tuple[Form, Form]]:
    """Commas that may separate thousands, items or decimals: "100,200" and "0,5"."""
    for body, swap in ((gold, False), (answer, True)):
        other = first if swap else second
        found: list[Form] = []
        if _THOUSANDS.fullmatch(body) and isinstance(other, Many):
            items = [plain_number(item) for item in body.split(",")]
            found.append(Many("list", tuple(number(item) for item in items if item is not None)))
        decimal = _DECIMAL_COMMA.fullmatch(body)
        if decimal and not _THOUSANDS.fullmatch(body) and isinstance(other, Expr | Quantity):
            form = _form(f"{decimal[1]}.{decimal[2]}")
            found.extend([form] if form is not None else [])
        floors = r"\lfloor" in (answer if body is gold else gold)
        if floors and "[" in body and (form := _form(_GAUSS.sub(r"\\lfloor \1\\rfloor ", body))):
            found.append(form)
        if re.match(r"[AP]\(", body) and isinstance(other, Expr | Quantity):
            with contextlib.suppress(Unreadable):  # then it is a point, and has been compared
                found.append(Expr(parse_expression(tokenize(body))))
        for reading in found:
            yield (first, reading) if swap else (reading, second)


def _value(form: Form | None) -> Form | None:
    """What a form says about a single number, without its name and unit."""
    match form:
        case Solutions(_, ((value,),), ()) | Quantity(value, _):
            return _value(value)
    return form


def _is_undone(gold: Form | None, answer: Form | None) -> bool:
    """Whether the answer is the question: an arithmetic problem where the gold is its result."""
    gold, answer = _value(gold), _value(answer)
    if not (isinstance(gold, Expr) and isinstance(answer, Expr)):
        return False
    if {part[0] for part in parts(gold.node)} - {"num", "neg", "div"}:
        return False
    kinds = {part[0] for part in parts(answer.node)}
    return bool(kinds & {"add", "sub", "mul"}) and not kinds - {
        "num",
        "neg",
        "div",
        "add",
        "sub",
        "mul",
    }
