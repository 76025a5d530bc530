"""math-verify for what our own reading does not know, with its known mistakes guarded.

Its issues #14 (dots dropped, small numbers rounded to zero), #41 (4 equal to 4 sqrt(2)), #60 (two
different lines equal) and #64 (quantifiers dropped) come from reading only a part of an answer,
from an absolute tolerance and from the solving of equations. So it sees no words, no dots and no
relations, and what it calls equal is checked again where it can be evaluated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from r1lab.verify.tokens import Token, Unreadable, tokenize
from r1lab.verify.words import vocabulary

#: math-verify rounds to 6 decimals, which makes all small numbers equal.
RELATIVE_TOLERANCE = 1e-9
_SPOILS = vocabulary(
    """
    dots forall exists pm mp in notin le ge ne equiv approx
    """
)
_SHOWN = re.compile(r"\\(?:int|lim|partial|begin|oint|frac|Gamma|zeta|sum|prod|prime)")


@lru_cache(maxsize=256)
def parse(body: str) -> tuple[Any, ...]:
    """math-verify's reading of an answer, if it is a formula without words; else nothing."""
    import math_verify

    if not _suitable(body):
        return ()
    for anchored in (f"\\boxed{{{body}}}", f"${body}$"):
        found = tuple(math_verify.parse(anchored, parsing_timeout=None))
        strings = tuple(item for item in found if isinstance(item, str))
        # Its unit stripping can cut a formula in the middle, and then reads what is left.
        whole = all(item.count("{") == item.count("}") for item in strings)
        if whole and len(strings) < len(found):
            return found
    return ()


def parses(body: str) -> bool:
    """Any text without an unbalanced brace can at least be compared as text."""
    return bool(re.search(r"\w", body))


def equal(gold: str, answer: str) -> bool:
    """math-verify's verdict, checked; ``False`` where it cannot be trusted."""
    import math_verify

    if re.sub(r"[\s$]", "", gold) == re.sub(r"[\s$]", "", answer):
        return True
    first, second = parse(gold), parse(answer)
    if not first or not second:
        return False
    if not math_verify.verify(list(first), list(second), timeout_seconds=None):
        return False
    return _confirmed(first[0], second[0])


def _suitable(body: str) -> bool:
    try:
        tokens = tokenize(body)
    except Unreadable:
        return False
    return bool(_SHOWN.search(body)) and not any(_spoils(token) for token in tokens)


def _spoils(token: Token) -> bool:
    if token.kind == "group":
        return any(_spoils(inner) for inner in token.inner if isinstance(inner, Token))
    return (
        token.kind == "word"
        or (token.kind == "cmd" and token.value in _SPOILS)
        or (token.kind == "op" and token.value in ("<", ">", ",", ";", "\\\\"))
    )


def _confirmed(first: Any, second: Any) -> bool:
    """Check "equal" again for numbers, with a tolerance relative to their size."""
    from sympy import Expr, nan, oo, simplify, zoo

    if not (isinstance(first, Expr) and isinstance(second, Expr)):
        return bool(first == second)
    if first == second:
        return True
    if first.free_symbols != second.free_symbols:
        return False
    if first.free_symbols:
        return bool(simplify(first.doit() - second.doit()) == 0)
    values = [value.doit().evalf(30) for value in (first, second)]
    if any(value.has(nan, oo, -oo, zoo) or not value.is_number for value in values):
        return bool(values[0] == values[1])
    largest = max(abs(values[0]), abs(values[1]))
    return bool(abs(values[0] - values[1]) <= RELATIVE_TOLERANCE * largest)
