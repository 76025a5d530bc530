"""Values that run with an integer: x = k pi/2 against x = k pi or x = pi/2 + k pi."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from r1lab.verify.numeric import TooLarge, Undefined, as_float, evaluate, is_real
from r1lab.verify.tree import Node, symbols

_REACH = 60
_SCALE = 10**12


def equal_families(gold: Sequence[Node], answer: Sequence[Node]) -> bool:
    """Whether expressions of one integer parameter each take the same values together."""
    taken = []
    for family in (gold, answer):
        values = _values(family)
        if values is None:
            return False
        taken.append(values)
    reach = min(max(abs(v) for v in values) for values in taken) / 4
    inside = [{int(v * _SCALE + 0.5) for v in values if abs(v) <= reach} for values in taken]
    return len(inside[0]) >= 5 and inside[0] == inside[1]


def _values(family: Sequence[Node]) -> list[Any] | None:
    found: list[Any] = []
    for node in family:
        names = symbols(node)
        if len(names) > 1:
            return None
        name = next(iter(names), None)
        for k in range(-_REACH, _REACH + 1) if name else (0,):
            try:
                value = evaluate(node, {name: Fraction(k)} if name else {})
            except (Undefined, TooLarge):
                continue
            if not is_real(value):
                return None
            found.append(as_float(value))
    return found or None
