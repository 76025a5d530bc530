"""A value for each case of an integer against one formula: n/2 or (n-1)/2, and floor(n/2)."""

from __future__ import annotations

from fractions import Fraction

from r1lab.verify.forms import Conditioned, Expr, Form, Many, Solutions, Zone
from r1lab.verify.numeric import TooLarge, Undefined, evaluate, same_value
from r1lab.verify.regions import contains, is_whole
from r1lab.verify.tree import symbols

_TESTED = range(1, 31)


def equal_branches(branched: Form, formula: Form) -> bool:
    """Whether one formula gives, for every positive integer, the value of the branch it lies in."""
    if isinstance(formula, Solutions) and len(formula.names) == len(formula.rows) == 1:
        formula = formula.rows[0][0]
    if not (isinstance(branched, Many) and isinstance(formula, Expr)):
        return False
    names = symbols(formula.node)
    branches = []
    for item in branched.items:
        match item:
            case Conditioned(Expr(node), (Zone(region, name),)) if name is None or name in names:
                branches.append((node, region))
            case _:
                return False
    if len(names) != 1 or len(branches) < 2 or not any(is_whole(region) for _, region in branches):
        return False
    name = next(iter(names))
    try:
        for n in map(Fraction, _TESTED):
            inside = [node for node, region in branches if contains(region, n, {})]
            if len(inside) != 1 or symbols(inside[0]) - names:
                return False
            values = [evaluate(node, {name: n}) for node in (inside[0], formula.node)]
            if not same_value(*values):
                return False
    except (Undefined, TooLarge):
        return False
    return True
