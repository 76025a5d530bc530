"""What an answer can be: the forms that reading makes of it and that comparison compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from r1lab.verify.regions import Region
from r1lab.verify.tree import Node, rename, symbols
from r1lab.verify.units import Unit


@dataclass(frozen=True)
class Expr:
    """An expression: 5, or 2x + 1."""

    node: Node


@dataclass(frozen=True)
class Quantity:
    """An expression with a unit, a currency, a percent or degree sign, or a counted noun."""

    value: Form
    unit: Unit


@dataclass(frozen=True)
class Many:
    """Several things: an unordered list or set, or a tuple, whose order and brackets matter.

    A "row" came without brackets but has an order: the values of x = 1, y = 2. A "ratio" is 1:2:3.
    """

    kind: Literal["list", "set", "tuple", "row", "ratio"]
    items: tuple[Form, ...]
    brackets: tuple[str, str] = ("(", ")")


@dataclass(frozen=True)
class Solutions:
    """Values of named unknowns, one row a solution; ``bound`` are a defined function's variables.

    A name that begins with ``@`` only describes what was asked for: an area, or f(2).
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Form, ...], ...]
    bound: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """A chain of equations or inequalities that is solved for nothing."""

    sides: tuple[Node, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Zone:
    """A set of numbers, with the name of the variable that runs over it if it has one."""

    region: Region
    name: str | None = None


@dataclass(frozen=True)
class Conditioned:
    """A form that holds under conditions, or where some of its symbols are explained."""

    form: Form
    conditions: tuple[Form, ...]


@dataclass(frozen=True)
class Text:
    """Words alone, as they were written."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Prose:
    """Words with mathematics among them."""

    parts: tuple[str | Form, ...]


@dataclass(frozen=True)
class Matrix:
    """Rows of entries; ``bars`` if it is a determinant."""

    rows: tuple[tuple[Form, ...], ...]
    bars: bool = False


Form = Expr | Quantity | Many | Solutions | Relation | Zone | Conditioned | Text | Prose | Matrix


def form_symbols(form: Form) -> frozenset[str]:
    """The symbols in a form, names of unknowns and bound variables left out."""
    found: set[str] = set()

    def look(node: Node) -> Node:
        found.update(symbols(node))
        return node

    mapped(form, look)
    return frozenset(found) - (frozenset(form.bound) if isinstance(form, Solutions) else set())


def renamed(form: Form, names: dict[str, str]) -> Form:
    """The form with symbols renamed."""
    if isinstance(form, Zone) and form.name in names:
        form = replace(form, name=names[form.name])
    return mapped(form, lambda node: rename(node, names))


def mapped(form: Form, change: Callable[[Node], Node]) -> Form:
    """The form with a function applied to each of its expressions."""
    match form:
        case Expr(node):
            return Expr(change(node))
        case Quantity(value, unit):
            return Quantity(mapped(value, change), unit)
        case Many(kind, items, brackets):
            return Many(kind, tuple(mapped(item, change) for item in items), brackets)
        case Solutions(names, rows, bound):
            new = tuple(tuple(mapped(value, change) for value in row) for row in rows)
            return Solutions(names, new, bound)
        case Relation(sides, operators):
            return Relation(tuple(change(side) for side in sides), operators)
        case Conditioned(inner, conditions):
            return Conditioned(
                mapped(inner, change), tuple(mapped(condition, change) for condition in conditions)
            )
        case Prose(parts):
            return Prose(
                tuple(part if isinstance(part, str) else mapped(part, change) for part in parts)
            )
        case Matrix(rows, bars):
            return Matrix(tuple(tuple(mapped(e, change) for e in row) for row in rows), bars)
    return form


def number(value: int | Fraction) -> Expr:
    return Expr(("num", Fraction(value), 0))


def values(solved: Solutions) -> Form:
    """The solutions without their names."""
    if len(solved.names) == 1:
        found = tuple(row[0] for row in solved.rows)
        return found[0] if len(found) == 1 else Many("list", found)
    kind = "row" if len(solved.rows) == 1 else "tuple"
    rows = tuple(Many(kind, row) for row in solved.rows)  # type: ignore[arg-type]
    return rows[0] if len(rows) == 1 else Many("list", rows)
