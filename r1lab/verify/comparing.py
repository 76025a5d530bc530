"""Whether two forms are the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from r1lab.verify import conditions, solving, verbal
from r1lab.verify.combining import as_zone
from r1lab.verify.equivalence import constant, equal_equations, equal_expressions
from r1lab.verify.forms import (
    Conditioned,
    Expr,
    Form,
    Many,
    Matrix,
    Prose,
    Quantity,
    Relation,
    Solutions,
    Text,
    Zone,
    values,
)
from r1lab.verify.piecewise import equal_branches
from r1lab.verify.tree import Node, num, rename, symbols

_HUNDRED: Node = ("num", Fraction(100), 0)
_FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "=": "=", "ne": "ne"}


def same(gold: Form, answer: Form) -> bool:
    """Whether an answer says what the gold says."""
    if gold == answer:
        return True
    gold, answer = _unlabelled(gold, answer), _unlabelled(answer, gold)
    if isinstance(gold, Conditioned) or isinstance(answer, Conditioned):
        return conditions.same_under_conditions(gold, answer)
    if isinstance(gold, Prose) or isinstance(answer, Prose):
        return verbal.same_prose(gold, answer)
    if isinstance(gold, Text) or isinstance(answer, Text):
        return verbal.same_texts(gold, answer)
    if isinstance(gold, Zone) or isinstance(answer, Zone):
        return conditions.same_zones(gold, answer)
    if solving.same_curves(gold, answer):
        return True
    if isinstance(gold, Solutions) or isinstance(answer, Solutions):
        return solving.same_solutions(gold, answer)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _relations(gold, answer)
    if isinstance(gold, Quantity) or isinstance(answer, Quantity):
        return _quantities(gold, answer)
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrices(gold, answer)
    if isinstance(gold, Many) or isinstance(answer, Many):
        return _many(gold, answer) or equal_branches(gold, answer) or equal_branches(answer, gold)
    node = answer.node
    if symbols(gold.node) ^ symbols(node) == {"c", "C"}:  # the constant of an integral
        node = rename(node, {"c": "C"} if "c" in symbols(node) else {"C": "c"})
    return equal_expressions(gold.node, node) is True


def _unlabelled(form: Form, other: Form) -> Form:
    """The value of what was asked for, where the other side does not say what that is."""
    described = isinstance(form, Solutions) and len(form.names) == 1 and form.names[0][0] == "@"
    return values(form) if described and not isinstance(other, Solutions) else form  # type: ignore[arg-type]


def matched(gold: Sequence[Form], answer: Sequence[Form]) -> bool:
    """Whether the items can be paired, whatever their order."""
    if len(gold) != len(answer):
        return False
    left = list(answer)
    for item in gold:
        for index, other in enumerate(left):
            if same(item, other):
                del left[index]
                break
        else:
            return False
    return True


def _many(gold: Form, answer: Form) -> bool:
    if not (isinstance(gold, Many) and isinstance(answer, Many)):
        one, other = (gold, answer) if isinstance(gold, Many) else (answer, gold)
        assert isinstance(one, Many)
        if one.kind in ("list", "set") and len(one.items) == 2 and same(*one.items):
            return same(gold, one.items[0]) if one is answer else same(one.items[0], answer)
        if one.kind == "ratio" or len(one.items) != 1:
            return False
        return same(one.items[0], other) if one is gold else same(other, one.items[0])
    kinds = {gold.kind, answer.kind}
    if "ratio" in kinds:
        return kinds == {"ratio"} and _proportional(gold.items, answer.items)
    if kinds <= {"list", "set"}:
        if "set" in kinds:
            return matched(distinct(gold.items), distinct(answer.items))
        return matched(gold.items, answer.items)
    if "set" in kinds:
        # {(1, 2)} against (1, 2)
        for many, other in ((gold, answer), (answer, gold)):
            if many.kind == "set" and len(many.items) == 1 and isinstance(many.items[0], Many):
                return same(many.items[0], other)
        return False
    if len(gold.items) != len(answer.items):
        for many, other in ((gold, answer), (answer, gold)):
            if many.kind == "list" and len(many.items) == 1:
                return same(many.items[0], other)
        return False
    if gold.kind == answer.kind == "tuple" and len(gold.items) == 2:
        square = [many.brackets == ("[", "]") for many in (gold, answer)]
        if square[0] != square[1]:
            return False  # a closed interval is not an open one
    return all(map(same, gold.items, answer.items))


def distinct(items: Sequence[Form]) -> list[Form]:
    """The items without repetitions."""
    found: list[Form] = []
    for item in items:
        if not any(same(item, other) for other in found):
            found.append(item)
    return found


def _proportional(gold: Sequence[Form], answer: Sequence[Form]) -> bool:
    nodes = [[item.node for item in items if isinstance(item, Expr)] for items in (gold, answer)]
    if len(nodes[0]) != len(nodes[1]) or len(nodes[0]) != len(gold) or len(answer) != len(gold):
        return False
    return all(
        equal_expressions(("mul", a, nodes[1][0]), ("mul", nodes[0][0], b)) is True
        for a, b in zip(*nodes, strict=True)
    )


def _relations(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        zones = [as_zone(form) for form in (gold, answer)]
        if zones[0] is not None and zones[1] is not None:
            return conditions.same_zones(zones[0], zones[1])
        return _same_chain(gold, answer)
    relation, other = (gold, answer) if isinstance(gold, Relation) else (answer, gold)
    assert isinstance(relation, Relation)
    if as_zone(relation) is not None or isinstance(other, Many):
        return conditions.same_zones(gold, answer)
    if relation.operators != ("=",) or not isinstance(other, Expr | Quantity):
        return False
    left, right = relation.sides
    named = left[0] in ("fn", "call")  # cos(2a) = 1/3
    if constant(left) is not None or (len(symbols(left)) < 2 and not named):
        return False  # 2x = 5 does not say what x is
    if relation is gold and left[0] in ("add", "sub") and {"x", "y"} <= symbols(left):
        return False  # x^2 + y^2 = 4 is a curve
    value = Expr(right)
    return same(value, other) if relation is gold else same(other, value)


def _same_chain(gold: Relation, answer: Relation) -> bool:
    if len(gold.sides) != len(answer.sides):
        return False
    if set(gold.operators) == {"="} and len(gold.sides) > 2:
        return set(answer.operators) == {"="} and matched(
            [Expr(side) for side in gold.sides], [Expr(side) for side in answer.sides]
        )
    if len(gold.sides) == 2 and gold.operators == answer.operators == ("=",):
        return equal_equations(gold.sides, answer.sides)  # type: ignore[arg-type]
    flipped = Relation(
        tuple(reversed(answer.sides)), tuple(_FLIPPED[o] for o in reversed(answer.operators))
    )
    for other in (answer, flipped):
        if gold.operators == other.operators:
            pairs = zip(gold.sides, other.sides, strict=True)
            if all(equal_expressions(a, b) is True for a, b in pairs):
                return True
            if len(gold.sides) == 2 and equal_expressions(
                ("sub", *gold.sides), ("sub", *other.sides)
            ):
                return True
    return False


def _quantities(gold: Form, answer: Form) -> bool:
    r"""Both with a unit: the same quantity. One without: the unit was understood.

    50\% is also 0.5, and 60 degrees is also \pi/3; a bare \pi/3 is not 60.
    """
    if isinstance(gold, Quantity) and isinstance(answer, Quantity):
        if gold.unit[0] == answer.unit[0]:
            scaled = [_scaled(form, form.unit[1]) for form in (gold, answer)]
            return same(gold.value, answer.value) if gold.unit == answer.unit else same(*scaled)
        if {gold.unit[0], answer.unit[0]} == {"degree", "radian"}:
            return same(_radians(gold, bare=True), _radians(answer, bare=True))
        return False
    quantity, other = (gold, answer) if isinstance(gold, Quantity) else (answer, gold)
    assert isinstance(quantity, Quantity)
    readings: list[Form] = [quantity.value]
    if isinstance(other, Expr | Many) and isinstance(quantity.value, Expr):
        if quantity.unit[0] == "percent":
            readings.append(Expr(("div", quantity.value.node, _HUNDRED)))
        elif quantity.unit[0] == "degree":
            readings.append(_radians(quantity))
    for reading in readings:
        if same(reading, other) if quantity is gold else same(other, reading):
            return True
    return _letter_unit(quantity, other)


def _letter_unit(quantity: Quantity, other: Form) -> bool:
    r"""``5 m`` in mathematics is a product; against ``5\text{ m}`` it is five meters."""
    letter = {("length", Fraction(1)): "m", ("time", Fraction(1)): "s", ("mass", Fraction(1)): "g"}
    name = letter.get(quantity.unit)
    if name is None or not isinstance(other, Expr) or not isinstance(quantity.value, Expr):
        return False
    return equal_expressions(("mul", quantity.value.node, ("sym", name)), other.node) is True


def _scaled(quantity: Quantity, factor: Fraction) -> Form:
    if isinstance(quantity.value, Expr):
        return Expr(("mul", ("num", factor, 0), quantity.value.node))
    return quantity.value


def _radians(quantity: Quantity, bare: bool = False) -> Form:
    """``bare`` without a degree sign, which counts as one that may be left out."""
    if quantity.unit[0] == "degree" and isinstance(quantity.value, Expr):
        if bare:
            return Expr(("mul", quantity.value.node, ("div", ("const", "pi"), num(180))))
        return Expr(("fn", "deg", quantity.value.node))
    return quantity.value


def determinant(matrix: Matrix) -> Node | None:
    """The value of a small determinant, expanded along its first row."""
    rows = [[entry.node for entry in row if isinstance(entry, Expr)] for row in matrix.rows]
    if len(rows) > 4 or any(len(row) != len(rows) for row in rows):
        return None
    return _expanded(rows)


def _expanded(rows: list[list[Node]]) -> Node:
    if len(rows) == 1:
        return rows[0][0]
    total: Node = ("num", Fraction(0), 0)
    for column, entry in enumerate(rows[0]):
        minor = [row[:column] + row[column + 1 :] for row in rows[1:]]
        total = ("sub" if column % 2 else "add", total, ("mul", entry, _expanded(minor)))
    return total


def _matrices(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Matrix) and isinstance(answer, Matrix):
        return (
            gold.bars == answer.bars
            and [len(row) for row in gold.rows] == [len(row) for row in answer.rows]
            and all(
                all(map(same, row, other))
                for row, other in zip(gold.rows, answer.rows, strict=True)
            )
        )
    matrix, other = (gold, answer) if isinstance(gold, Matrix) else (answer, gold)
    assert isinstance(matrix, Matrix)
    if matrix.bars and isinstance(other, Expr):
        value = determinant(matrix)
        return value is not None and equal_expressions(value, other.node) is True
    line = len(matrix.rows) == 1 or all(len(row) == 1 for row in matrix.rows)
    if isinstance(other, Many) and other.kind == "tuple" and line and not matrix.bars:
        entries = [entry for row in matrix.rows for entry in row]
        return len(entries) == len(other.items) and all(map(same, entries, other.items))
    return False
