"""Solutions of named unknowns, definitions of functions, and equations that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from r1lab.verify import comparing
from r1lab.verify.equivalence import equal_equations
from r1lab.verify.forms import (
    Expr,
    Form,
    Many,
    Relation,
    Solutions,
    form_symbols,
    renamed,
    values,
)
from r1lab.verify.tree import Node, symbols

Rows = tuple[tuple[Form, ...], ...]


def same_solutions(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Solutions) and isinstance(answer, Solutions):
        return _both_solved(gold, answer)
    solved, other = (gold, answer) if isinstance(gold, Solutions) else (answer, gold)
    assert isinstance(solved, Solutions)
    if isinstance(other, Relation):
        equation = _equation(solved)
        # 2x = 10 is no answer where x = 5 is: it may be the question.
        return (
            equation is not None
            and (solved is answer or bool(symbols(equation[1])))
            and len(other.sides) == 2
            and other.operators == ("=",)
            and equal_equations(equation, (other.sides[0], other.sides[1]))
        )
    bare = values(solved)
    return comparing.same(bare, other) if solved is gold else comparing.same(other, bare)


def _both_solved(gold: Solutions, answer: Solutions) -> bool:
    if len(gold.names) != len(answer.names):
        roots = [_roots_of(one) for one in (gold, answer)]
        return len({name for name, _ in roots}) == 1 and comparing.matched(
            comparing.distinct(roots[0][1]), comparing.distinct(roots[1][1])
        )
    if len(gold.bound) == len(answer.bound) and gold.bound != answer.bound:
        names = dict(zip(answer.bound, gold.bound, strict=True))
        rows = tuple(tuple(renamed(value, names) for value in row) for row in answer.rows)
        answer = replace(answer, rows=rows, bound=gold.bound)
    order = _order(gold.names, answer.names)
    if order is None and _is_graph(gold, answer):
        order = [0]
    if order is None:
        return False
    rows = tuple(tuple(row[index] for index in order) for row in answer.rows)
    wanted = [Many("row", row) for row in gold.rows]
    choices = _same_constants(gold, rows) if gold.bound and answer.bound else [rows]
    return any(
        comparing.matched(wanted, [Many("row", row) for row in choice]) for choice in choices
    )


def _is_graph(gold: Solutions, answer: Solutions) -> bool:
    """f(x) = 2x against y = 2x."""
    for one, other in ((gold, answer), (answer, gold)):
        if len(one.bound) == 1 and one.names[0] in "fgh" and other.names == ("y",):
            values = {name for row in other.rows for value in row for name in form_symbols(value)}
            return values <= set(one.bound)
    return False


def _roots_of(solved: Solutions) -> tuple[str | None, list[Form]]:
    """x_1 = 1, x_2 = 3 are the values of x."""
    stems = {name.partition("_")[0] for name in solved.names}
    if len(stems) != 1 or (len(solved.rows) > 1 and len(solved.names) > 1):
        return None, []
    return next(iter(stems)), [value for row in solved.rows for value in row]


def _order(gold: Sequence[str], answer: Sequence[str]) -> list[int] | None:
    """Where each of the gold's unknowns stands in the answer."""
    said = [
        name.lower() if len(set(map(str.lower, answer))) == len(answer) else name for name in answer
    ]
    wanted = [
        name.lower() if len(set(map(str.lower, gold))) == len(gold) else name for name in gold
    ]
    if sorted(said) == sorted(wanted):
        return [said.index(name) for name in wanted]
    if len(gold) == 1 and _may_name_the_same(gold[0], answer[0]):
        return [0]
    return None


def _may_name_the_same(gold: str, answer: str) -> bool:
    """S = 24 against "the area is 24", but not "the radius is 5" against "the diameter is 5"."""
    described = gold[0] == "@", answer[0] == "@"
    if all(described):
        one, two = set(gold[1:].split()), set(answer[1:].split())
        return one <= two or two <= one
    return any(described) or ("_" in gold) != ("_" in answer)


def _same_constants(gold: Solutions, rows: Rows) -> list[Rows]:
    """f(x) = cx against f(x) = kx: the free constants of a family of functions have any name."""
    mine = frozenset().union(*(form_symbols(v) for row in gold.rows for v in row)) - set(gold.bound)
    theirs = frozenset().union(*(form_symbols(v) for row in rows for v in row)) - set(gold.bound)
    extra, missing = sorted(theirs - mine), sorted(mine - theirs)
    if len(extra) != len(missing) or len(extra) > 3:
        return [rows]
    return [
        tuple(
            tuple(renamed(value, dict(zip(extra, order, strict=True))) for value in row)
            for row in rows
        )
        for order in permutations(missing)
    ]


def _equation(solved: Solutions) -> tuple[Node, Node] | None:
    if len(solved.names) == 1 and len(solved.rows) == 1 and solved.names[0][0] != "@":
        value = solved.rows[0][0]
        if isinstance(value, Expr):
            return ("sym", solved.names[0]), value.node
    return None
