"""Whether two expressions are equal, and whether two equations have the same solutions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from r1lab.verify.answers import GOLD_DIGITS
from r1lab.verify.numeric import (
    Environment,
    TooLarge,
    Undefined,
    Value,
    as_float,
    evaluate,
    same_value,
)
from r1lab.verify.tree import Node, parts, substitute, symbols

#: Letters that count things where factorials, binomials or floors are about.
_INTEGER_LETTERS = frozenset("nmkNMKjlpqrstiabcd")
_INTEGER_FUNCTIONS = frozenset(("factorial", "binom", "mod", "gcd", "lcm", "doublefactorial"))
_ROUNDING = frozenset(("floor", "ceil"))
#: Significant digits of an answer from which on it stands for the exact value that rounds to it.
ANSWER_DIGITS = 6
MOST_SYMBOLS = 8


def equal_expressions(gold: Node, answer: Node) -> bool | None:
    """Whether two trees are equal wherever both are defined; ``None`` if nobody can compute it."""
    if gold == answer:
        return True
    if _based(gold) or _based(answer):
        return False
    verdict = _compared(gold, answer)
    if not verdict and ("log" in _functions(gold)) != ("log" in _functions(answer)):
        # \log without a base, which is natural to some and decimal to others
        return _compared(_decimal_logarithms(gold), _decimal_logarithms(answer))
    if not verdict and ("deg" in _functions(gold)) != ("deg" in _functions(answer)):
        return _compared(_without_degrees(gold), _without_degrees(answer))
    return verdict


def _without_degrees(node: Node) -> Node:
    """180 - 2 alpha, whether the degrees are written or not; not inside a function."""
    if node[0] == "fn":
        return _without_degrees(node[2]) if node[1] == "deg" else node
    return tuple(_without_degrees(part) if isinstance(part, tuple) else part for part in node)


def _functions(node: Node) -> set[str]:
    """The names of functions, "log" only without its base."""
    found = {part[1] for part in parts(node) if part[0] == "fn" and len(part) == 3}
    return found


def _decimal_logarithms(node: Node) -> Node:
    inner = tuple(_decimal_logarithms(p) if isinstance(p, tuple) else p for p in node)
    return ("fn", "lg", inner[2]) if inner[:2] == ("fn", "log") and len(inner) == 3 else inner


def _compared(gold: Node, answer: Node) -> bool | None:
    names = symbols(gold) | symbols(answer)
    if len(names) > MOST_SYMBOLS:
        return None
    complex_values = any(part == ("const", "i") for tree in (gold, answer) for part in parts(tree))
    try:
        if not names:
            return _equal_numbers(gold, answer, complex_values)
        if symbols(gold) != symbols(answer) and not _may_cancel(gold, answer):
            return False
        return _equal_functions(gold, answer, sorted(names), complex_values)
    except TooLarge:
        return None


def equal_equations(first: tuple[Node, Node], second: tuple[Node, Node]) -> bool:
    """Whether two equations are one: their differences of sides have a constant, non-zero ratio."""
    one, two = ("sub", *first), ("sub", *second)
    names = symbols(one)
    if names != symbols(two) or not names or len(names) > MOST_SYMBOLS:
        return False
    ratios: list[Value] = []
    for env in _points(sorted(names), integers=False):
        try:
            top, below = as_float(evaluate(one, env)), as_float(evaluate(two, env))
        except Undefined:
            continue
        except TooLarge:
            return False
        if top == 0 or below == 0:
            if top != below:
                return False
            continue
        ratios.append(top / below)
    if len(ratios) < 4:
        return False
    return all(same_value(ratio, ratios[0]) for ratio in ratios) or _solved_for(first, second)


def _solved_for(first: tuple[Node, Node], second: tuple[Node, Node]) -> bool:
    """y = 1/x against xy = 1: linear in the symbol that the other is solved for."""
    for (left, right), (other_left, other_right) in ((first, second), (second, first)):
        if left[0] != "sym" or left[1] in symbols(right):
            continue
        other = ("sub", other_left, other_right)
        at = [substitute(other, left[1], ("num", Fraction(k), 0)) for k in (0, 1, -3, 7)]
        slope = ("sub", at[1], at[0])
        line = [("add", at[0], ("mul", ("num", Fraction(k), 0), slope)) for k in (-3, 7)]
        solved = substitute(other, left[1], right)
        zero: Node = ("num", Fraction(0), 0)
        if (
            all(equal_expressions(*pair) for pair in zip(at[2:], line, strict=True))
            and equal_expressions(solved, zero)
            and not equal_expressions(at[0], at[1])
        ):
            return True
    return False


def constant(node: Node) -> Value | None:
    """The value of a tree without symbols, or ``None``."""
    if symbols(node):
        return None
    for complex_values in (False, True):
        try:
            return evaluate(node, {}, complex_values)
        except Undefined:
            continue
        except TooLarge:
            return None
    return None


def rounds_to(value: Value, decimal: Node, digits: int) -> bool:
    """Whether a value is what a decimal of at least ``digits`` significant digits was rounded from.

    ``decimal`` may be a number with a sign. Rounded half up or half even, or cut off: not more than
    one half of its last place away.
    """
    places = decimal_places(decimal)
    if places < 2:
        return False
    stated = evaluate(decimal, {})
    if significant(stated, places) < digits:
        return False
    off = abs(as_float(value) - as_float(stated))
    return bool(off <= as_float(Fraction(1, 2 * 10**places)) * (1 + 1e-12))


def significant(value: Fraction, places: int) -> int:
    """Digits of a written decimal from its first that is not zero."""
    return len(str(abs(int(value * 10**places)))) if value else 0


def decimal_places(node: Node) -> int:
    """Digits after the point of a written decimal; 0 for anything else."""
    while node[0] == "neg":
        node = node[1]
    return int(node[2]) if node[0] == "num" else 0


def _equal_numbers(gold: Node, answer: Node, complex_values: bool) -> bool:
    try:
        first, second = (evaluate(tree, {}, complex_values) for tree in (gold, answer))
    except Undefined:
        if complex_values:
            return False
        try:
            first, second = (evaluate(tree, {}, True) for tree in (gold, answer))
        except Undefined:
            return False
    if same_value(first, second):
        return True
    return _approximates(gold, first, answer, second)


def _approximates(gold: Node, first: Value, answer: Node, second: Value) -> bool:
    """A decimal gold states its own precision; a decimal answer must have many digits.

    So a gold of 5.14 accepts 36/7, and a gold of 1/3 accepts 0.333333 but not 0.33. An irrational
    gold asks for the exact value: pi is not 3.14159.
    """
    if decimal_places(gold):
        return rounds_to(second, gold, GOLD_DIGITS)
    if decimal_places(answer) and isinstance(first, Fraction):
        terminating = first.denominator
        for prime in (2, 5):
            while terminating % prime == 0:
                terminating //= prime
        return terminating != 1 and rounds_to(first, answer, ANSWER_DIGITS)
    return False


def _equal_functions(
    gold: Node, answer: Node, names: list[str], complex_values: bool
) -> bool | None:
    kinds = {part[1] for tree in (gold, answer) for part in parts(tree) if part[0] == "fn"}
    series = any(part[0] in ("sum", "prod") for tree in (gold, answer) for part in parts(tree))
    integral = series or bool(kinds & _INTEGER_FUNCTIONS)
    rounding = bool(kinds & _ROUNDING) and all(name[0] in _INTEGER_LETTERS for name in names)
    agreed = 0
    if not integral and not rounding:
        for env in _points(names, integers=False):
            verdict = _agree(gold, answer, env, complex_values)
            if verdict is False:
                return False
            agreed += bool(verdict)
    whole = 0
    for env in _points(names, integers=True):
        verdict = _agree(gold, answer, env, complex_values)
        if verdict is False:
            return False
        whole += bool(verdict)
    if agreed >= 3 or whole >= 5:
        return True
    return None if agreed + whole == 0 else False


def _agree(gold: Node, answer: Node, env: Environment, complex_values: bool) -> bool | None:
    try:
        return same_value(
            evaluate(gold, env, complex_values), evaluate(answer, env, complex_values)
        )
    except (Undefined, TooLarge):
        return None


def _points(names: list[str], integers: bool) -> Iterator[dict[str, Value]]:
    """Points to compare at, the same ones every time; those of reals have both signs."""
    chance = random.Random(20_26)
    for trial in range(14 if integers else 16):
        if integers:
            yield {name: Fraction(chance.randint(1, 5 + trial)) for name in names}
            continue
        top = (1, 4, 4, 12)[trial % 4]
        env = {}
        for name in names:
            # Even denominators: at them (-1)^n has no real value, as it should not.
            value = Fraction(2 * chance.randint(1, 512 * top) + 1, 1024)
            env[name] = -value if trial >= 6 and chance.random() < 0.6 else value
        yield env


def _may_cancel(gold: Node, answer: Node) -> bool:
    """Whether the symbols that only one side has may drop out of it."""
    one, two = symbols(gold), symbols(answer)
    return one < two or two < one


def _based(node: Node) -> bool:
    return any(part[0] == "based" for part in parts(node))
