"""Solutions of named unknowns, definitions of functions, and equations that say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from r1lab.verify import comparing, conditions
from r1lab.verify.combining import as_zone
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
from r1lab.verify.groups import signs
from r1lab.verify.tree import Node, symbols

#: Letters of parameters, and of constants of integration, that no problem gives.
_PARAMETERS, _INTEGRATION = "tskuvl", "ABCDKc"
Rows = tuple[tuple[Form, ...], ...]


def same_solutions(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Solutions) and isinstance(answer, Solutions):
        return _both_solved(gold, answer)
    solved, other = (gold, answer) if isinstance(gold, Solutions) else (answer, gold)
    assert isinstance(solved, Solutions)
    if as_zone(other) is not None:
        return conditions.same_zones(gold, answer)
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
        (stem, mine), (other, theirs) = (_roots_of(one) for one in (gold, answer))
        return stem == other is not None and comparing.matched(
            comparing.distinct(mine), comparing.distinct(theirs)
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
    choices = _same_constants(gold, rows, bool(gold.bound and answer.bound))
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


def _same_constants(gold: Solutions, rows: Rows, functions: bool) -> list[Rows]:
    """f(x) = cx against f(x) = kx: the free constants of a family of functions have any name.

    So have the constants of y = C e^x and the parameter of (x, y) = (t^2, t), if they look it.
    """
    mine = frozenset().union(*(form_symbols(v) for row in gold.rows for v in row)) - set(gold.bound)
    theirs = frozenset().union(*(form_symbols(v) for row in rows for v in row)) - set(gold.bound)
    extra, missing = sorted(theirs - mine), sorted(mine - theirs)
    if len(extra) != len(missing) or len(extra) > 3:
        return [rows]
    if not functions:
        free = _PARAMETERS if len(gold.names) > 1 else _INTEGRATION
        named = [all(name[0] in free for name in names) for names in (extra, missing)]
        if not (any(named) if len(gold.names) > 1 else all(named) and gold.names == ("y",)):
            return [rows]
    return [
        tuple(
            tuple(renamed(value, dict(zip(extra, order, strict=True))) for value in row)
            for row in rows
        )
        for order in permutations(missing)
    ]


def same_curves(gold: Form, answer: Form) -> bool:
    """Whether equations in several letters, as of lines, can be paired: y = x + 1 or x + y = 3."""
    wanted, said = _equations(gold), _equations(answer)
    if not wanted or len(wanted) != len(said):
        return False
    if all(len(symbols(left) | symbols(right)) < 2 for left, right in wanted):
        return False
    for equation in wanted:
        index = next((i for i, one in enumerate(said) if equal_equations(equation, one)), None)
        if index is None:
            return False
        del said[index]
    return True


def _equations(form: Form) -> list[tuple[Node, Node]]:
    """The equations that a form lists; none if there is anything else in it."""
    if isinstance(form, Relation) and form.operators == ("=",):
        left, right = ([*signs(side), *signs(side)][:2] for side in form.sides)
        return list(dict.fromkeys(zip(left, right, strict=True)))
    if isinstance(form, Many) and form.kind == "list":
        found = [_equations(item) for item in form.items]
        return [one for some in found for one in some] if all(found) else []
    if not isinstance(form, Solutions) or form.bound or form.names[0][0] == "@":
        return []
    if len(form.names) > 1 and len(form.rows) > 1:
        return []
    values_of = [(name, row[i]) for row in form.rows for i, name in enumerate(form.names)]
    pairs = [(("sym", name), value.node) for name, value in values_of if isinstance(value, Expr)]
    return pairs if len(pairs) == len(values_of) else []


def _equation(solved: Solutions) -> tuple[Node, Node] | None:
    if len(solved.names) == 1 and len(solved.rows) == 1 and solved.names[0][0] != "@":
        value = solved.rows[0][0]
        if isinstance(value, Expr):
            return ("sym", solved.names[0]), value.node
    return None
