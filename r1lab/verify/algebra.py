"""Comparing answers by computer algebra: math-verify's reading, with its known mistakes guarded.

Runs in the worker processes only: what a model writes can keep sympy busy for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

#: math-verify rounds to 6 decimals, which makes all small numbers equal (its issue #14).
RELATIVE_TOLERANCE = 2e-6
_SAMPLES = (0.37, 1.83, 2.71, -0.59, -1.47, 3.19)


@lru_cache(maxsize=256)
def parse(body: str) -> tuple[Any, ...]:
    """math-verify's reading of an answer: expressions first, the bare string last."""
    import math_verify

    best: tuple[Any, ...] = ()
    for anchored in (f"\\boxed{{{body}}}", f"${body}$"):
        found = tuple(math_verify.parse(anchored, parsing_timeout=None))
        strings = tuple(item for item in found if isinstance(item, str))
        # Its unit stripping can cut a formula in the middle, and then reads what is left.
        whole = all(item.count("{") == item.count("}") for item in strings)
        if whole and len(strings) < len(found):
            return found
        best = best or (strings if whole else (body,))
    return best


def equal(gold: tuple[Any, ...], answer: tuple[Any, ...]) -> bool:
    """Whether two parsed answers are equal, with math-verify's known mistakes guarded."""
    import math_verify
    from sympy import Set
    from sympy.core.relational import Relational
    from sympy.logic.boolalg import And

    if not gold or not answer:
        return False
    first, second = gold[0], answer[0]
    same = math_verify.verify(list(gold), list(answer), timeout_seconds=None)
    if not same and isinstance(first, Set) and isinstance(second, Relational | And):
        # An interval and the inequality that says the same: math-verify knows one order only.
        same = math_verify.verify(list(answer), list(gold), timeout_seconds=None)
    return _close_enough(first, second) if same else _same_function(first, second)


def _close_enough(first: Any, second: Any) -> bool:
    """Check math-verify's "equal" for numbers again, with a tolerance relative to their size."""
    from sympy import Expr, Rational, UnevaluatedExpr, nan, oo, simplify, zoo

    if not (isinstance(first, Expr) and isinstance(second, Expr)):
        return True
    if first.free_symbols or second.free_symbols or first == second:
        return True
    percent, values = UnevaluatedExpr(Rational(1, 100)), []
    for value in (first, second):
        if value.has(percent):  # math-verify compares percentages in its own way
            return True
        values.append(value.doit().evalf(30))
    if any(value.has(nan, oo, -oo, zoo) or not value.is_number for value in values):
        return bool(values[0] == values[1])
    largest = max(abs(values[0]), abs(values[1]))
    if largest < 1e-25:  # tiny, or zero with noise: only algebra can tell
        return bool(simplify(first.doit() - second.doit()) == 0)
    return bool(abs(values[0] - values[1]) <= RELATIVE_TOLERANCE * largest)


def _same_function(first: Any, second: Any) -> bool:
    r"""Whether two expressions agree wherever both are real: \sqrt{1/n} and 1/\sqrt{n} (#64).

    Only for roots and logarithms, where sympy's complex branches keep it from simplifying.
    """
    from sympy import Expr, Pow, log

    if not (isinstance(first, Expr) and isinstance(second, Expr)):
        return False
    symbols = sorted(first.free_symbols, key=str)
    if not 0 < len(symbols) <= 4 or first.free_symbols != second.free_symbols:
        return False
    branches = (*first.atoms(Pow, log), *second.atoms(Pow, log))
    if all(isinstance(part, Pow) and part.exp.is_integer for part in branches):
        return False
    agreed = 0
    for shift in range(len(_SAMPLES)):
        points = {s: _SAMPLES[(shift + 2 * i) % len(_SAMPLES)] for i, s in enumerate(symbols)}
        values = [expression.subs(points).evalf(20) for expression in (first, second)]
        if not all(value.is_real and value.is_finite for value in values):
            continue
        if abs(values[0] - values[1]) > 1e-9 * max(1, abs(values[0])):
            return False
        agreed += 1
    return agreed >= 2
