"""Sets of numbers, however they are written: intervals, inequalities, conditions, families.

A region is a tree of nested tuples:

- ``("interval", low, high, low_closed, high_closed)``, the ends expressions;
- ``("points", (expression, ...))``;
- ``("domain", name)``, a name of :data:`DOMAINS`;
- ``("relation", name of the variable, sides, operators)``;
- ``("congruent", expression of the variable, name, residues, modulus)``;
- ``("family", expression, name of its integer parameter, region of that or None)``: its values;
- ``("and", ...)``, ``("or", ...)``, ``("not", region)``.

Two regions are equal if the same points lie in them, among the ends of either, points beside and
between those, and a fixed grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from r1lab.verify.numeric import (
    TooLarge,
    Undefined,
    Value,
    as_float,
    context,
    evaluate,
    is_real,
    same_value,
)
from r1lab.verify.tree import Node, symbols
from r1lab.verify.words import vocabulary

Region = tuple[Any, ...]

_SIEVE = {n for n in range(2, 400) if all(n % d for d in range(2, math.isqrt(n) + 1))}
REALS: Region = ("domain", "R")
EMPTY: Region = ("points", ())


def _integer(x: Value) -> bool:
    return isinstance(x, Fraction) and x.denominator == 1


def _power_of(root: int) -> Callable[[Value], bool]:
    return lambda x: _integer(x) and x >= 0 and round(abs(x) ** (1 / root)) ** root == x


DOMAINS: dict[str, Callable[[Value], bool]] = {
    "R": is_real,
    "Q": lambda x: isinstance(x, Fraction),
    "Z": _integer,
    "N": lambda x: _integer(x) and x >= 1,
    "N0": lambda x: _integer(x) and x >= 0,
    "positive": lambda x: as_float(x) > 0,
    "negative": lambda x: as_float(x) < 0,
    "non-negative": lambda x: as_float(x) >= 0,
    "non-zero": lambda x: x != 0,
    "even": lambda x: _integer(x) and x % 2 == 0,
    "odd": lambda x: _integer(x) and x % 2 == 1,
    "prime": lambda x: _integer(x) and x in _SIEVE,
    "composite": lambda x: _integer(x) and x > 3 and x not in _SIEVE,
    "square": _power_of(2),
    "cube": _power_of(3),
}
_WHOLE = vocabulary(
    """
    Z N N0 even odd prime composite square cube
    """
)
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": same_value,
    "ne": lambda a, b: not same_value(a, b),
    "<": lambda a, b: not same_value(a, b) and as_float(a) < as_float(b),
    ">": lambda a, b: not same_value(a, b) and as_float(a) > as_float(b),
    "le": lambda a, b: same_value(a, b) or as_float(a) < as_float(b),
    "ge": lambda a, b: same_value(a, b) or as_float(a) > as_float(b),
}
_GRID = [Fraction(n) for n in (-1000, -100, -37, -10, *range(-6, 7), 10, 37, 100, 1000)] + [
    Fraction(n, 1024) for n in (-40503, -5121, -3583, -1537, -777, -301, -55, -3, 3, 55, 301, 777)
] + [Fraction(n, 1024) for n in (1537, 3583, 5121, 40503)]  # fmt: skip
#: Parameters that a family is tried with.
_REACH = 260
_TRIALS = (Fraction(7, 3), Fraction(17, 5), Fraction(9, 8))


def equal_regions(first: Region, second: Region) -> bool:
    """Whether two regions hold the same numbers, as far as their samples tell."""
    others = sorted(_parameters(first) | _parameters(second))
    if len(others) > 3:
        return False
    whole = is_whole(first) or is_whole(second)
    seen = 0
    for shift in range(3 if others else 1):
        env = {
            name: _TRIALS[(shift + i) % 3] * (2 * i + 1) * (-1) ** (shift * i)
            for i, name in enumerate(others)
        }
        try:
            points = list(_samples(first, second, env, whole))
            inside = [[contains(region, x, env) for x in points] for region in (first, second)]
        except (Undefined, TooLarge):
            return False
        if inside[0] != inside[1]:
            return False
        seen += sum(inside[0])
    return seen > 0 or (not others and first == second)


def is_whole(region: Region) -> bool:
    """Whether a region says that its numbers are integers."""
    kind = region[0]
    if kind == "domain":
        return region[1] in _WHOLE
    if kind in ("and", "or"):
        told = [is_whole(part) for part in region[1:]]
        return any(told) if kind == "and" else all(told)
    if kind == "family":
        return _integer_valued(region)
    return kind in ("congruent", "divides")


def may_be_whole(region: Region, name: str | None) -> bool:
    """Whether a region that does not say so may be of integers: n > 1 may, [2, 5] and x > 1 not."""
    kind, *rest = region
    if kind in ("and", "or", "not"):
        return all(may_be_whole(part, name) for part in rest)
    if kind == "relation":
        return name is None or name[0] not in "xyztuvw"
    return kind != "interval" and region not in (("domain", "R"), ("domain", "Q"))


def contains(region: Region, x: Value, env: dict[str, Value]) -> bool:
    """Whether a number lies in a region; undefined there means no."""
    kind, *rest = region
    if kind == "and":
        return all(contains(part, x, env) for part in rest)
    if kind == "or":
        return any(contains(part, x, env) for part in rest)
    if kind == "not":
        return not contains(rest[0], x, env)
    if kind == "domain":
        return DOMAINS[rest[0]](x)
    if kind == "points":
        return any(same_value(x, evaluate(point, env)) for point in rest[0])
    if kind == "interval":
        low, high = evaluate(rest[0], env), evaluate(rest[1], env)
        above = _RELATIONS["ge" if rest[2] else ">"](x, low)
        return above and _RELATIONS["le" if rest[3] else "<"](x, high)
    if kind == "family":
        return _integer(x) and int(x) in _family(region, tuple(sorted(env.items())))
    try:
        if kind == "congruent":
            value = evaluate(rest[0], {**env, rest[1]: x})
            modulus = evaluate(rest[3], env)
            residues = [evaluate(residue, env) for residue in rest[2]]
            return _integer(value) and any((value - r) % modulus == 0 for r in residues)
        if kind == "relation":
            sides = [evaluate(side, {**env, rest[0]: x}) for side in rest[1]]
            if not all(is_real(side) for side in sides):
                return False
            return all(
                _RELATIONS[op](*pair) for op, pair in zip(rest[2], pairwise(sides), strict=True)
            )
    except Undefined:
        return False
    raise Undefined(kind)


def is_solved(region: Region) -> bool:
    """Whether its relations are about the variable itself, or its absolute value."""
    kind, *rest = region
    if kind in ("and", "or", "not"):
        return all(is_solved(part) for part in rest)
    if kind != "relation":
        return True
    bare = (("sym", rest[0]), ("fn", "abs", ("sym", rest[0])))
    return all(side in bare for side in rest[1] if rest[0] in symbols(side))


def holds(region: Region, point: Node) -> bool:
    """Whether a number that an expression without symbols names lies in a region."""
    try:
        return contains(region, evaluate(point, {}), {})
    except (Undefined, TooLarge):
        return False


def is_empty(region: Region) -> bool:
    """Whether none of the samples lies in it: the sign of "x < 1, x > 3", which means "or"."""
    try:
        samples = _samples(region, region, {}, is_whole(region))
        return not any(contains(region, x, {}) for x in samples)
    except (Undefined, TooLarge, KeyError):
        return False


def _samples(first: Region, second: Region, env: dict[str, Value], whole: bool) -> Iterator[Value]:
    ends = [end for region in (first, second) for end in _ends(region, env)]
    if whole:
        low = -60 if _signed(first) and _signed(second) else 1
        yield from map(Fraction, range(low, 200))
        for end in ends:
            middle = int(context().nint(as_float(end)))
            yield from (Fraction(n) for n in range(middle - 2, middle + 3) if n >= low)
        return
    yield from _GRID
    yield context().sqrt(2)
    ends.sort(key=as_float)
    for index, end in enumerate(ends):
        yield end
        step = Fraction(1, 10**9)
        exact = isinstance(end, Fraction)
        yield end + step if exact else end + as_float(step)
        yield end - step if exact else end - as_float(step)
        if index and not same_value(end, ends[index - 1]):
            yield (as_float(end) + as_float(ends[index - 1])) / 2


def _ends(region: Region, env: dict[str, Value]) -> list[Value]:
    """The numbers at which membership may change."""
    kind, *rest = region
    if kind in ("and", "or", "not"):
        return [end for part in rest for end in _ends(part, env)]
    nodes: list[Node] = []
    if kind == "points":
        nodes = list(rest[0])
    elif kind == "interval":
        nodes = rest[:2]
    elif kind == "relation":
        nodes = [side for side in rest[1] if rest[0] not in symbols(side)]
        nodes += _roots(rest[0], rest[1], env)
    values = [evaluate(node, env) for node in nodes]
    return [v for v in values if is_real(v) and not context().isinf(as_float(v))]


def _roots(name: str, sides: tuple[Node, ...], env: dict[str, Value]) -> list[Node]:
    """Where neighboring sides that are linear in the variable meet: 2x + 1 > 7."""
    found: list[Node] = []
    for left, right in pairwise(sides):
        try:
            at = [evaluate(("sub", left, right), {**env, name: Fraction(k)}) for k in (0, 1, 2)]
        except (Undefined, TooLarge):
            continue
        exact = all(isinstance(value, Fraction) for value in at)
        if exact and at[0] != at[1] and at[2] - at[1] == at[1] - at[0]:
            found.append(("num", at[0] / (at[0] - at[1]), 0))
    return found


def _parameters(region: Region) -> frozenset[str]:
    """Symbols that stand for fixed numbers, such as the ends of an interval from a to b."""
    kind, *rest = region
    if kind in ("and", "or", "not"):
        return frozenset().union(*(_parameters(part) for part in rest))
    if kind == "interval":
        return symbols(rest[0]) | symbols(rest[1])
    if kind == "points":
        return frozenset().union(*(symbols(point) for point in rest[0]))
    if kind == "relation":
        return frozenset().union(*(symbols(side) for side in rest[1])) - {rest[0]}
    if kind == "family":
        return symbols(rest[0]) - {rest[1]}
    return frozenset()


def _signed(region: Region) -> bool:
    """Whether a region says something about negative numbers, if only by naming all integers."""
    kind = region[0]
    if kind in ("and", "or"):
        return any(_signed(part) for part in region[1:])
    if kind == "domain":
        return region[1] in ("Z", "N", "N0", "positive", "negative", "non-negative", "prime")
    return kind in ("relation", "interval", "points")


@lru_cache(maxsize=64)
def _family(region: Region, others: tuple[tuple[str, Value], ...]) -> frozenset[int]:
    _, node, name, limits = region
    values: set[int] = set()
    env = dict(others)
    for k in range(-_REACH, _REACH):
        try:
            if limits is not None and not contains(limits, Fraction(k), env):
                continue
            value = evaluate(node, {**env, name: Fraction(k)})
        except (Undefined, TooLarge):
            continue
        if _integer(value) and abs(value) < 10**6:
            values.add(int(value))
    return frozenset(values)


def _integer_valued(region: Region) -> bool:
    _, node, name, _ = region
    try:
        return all(_integer(evaluate(node, {name: Fraction(k)})) for k in range(1, 9))
    except (Undefined, TooLarge):
        return False
