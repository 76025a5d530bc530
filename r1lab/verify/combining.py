"""Several forms as one: the solutions of a system, alternatives, conditions that follow a value."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from r1lab.verify.equivalence import constant
from r1lab.verify.forms import (
    Conditioned,
    Expr,
    Form,
    Many,
    Quantity,
    Relation,
    Solutions,
    Text,
    Zone,
    form_symbols,
    number,
)
from r1lab.verify.regions import Region, holds, is_empty
from r1lab.verify.tokens import Unreadable
from r1lab.verify.tree import Node, symbols

Name = tuple[tuple[str, ...], tuple[str, ...]]
_OF_A_KIND = ("domain", "congruent", "family")
_ORDERS = frozenset(("<", ">", "le", "ge", "ne"))


def solved(name: Name, value: Form, several: bool = False) -> Form:
    """``name = value``; with several names, the value is a tuple or several tuples."""
    names, bound = name
    if isinstance(value, Conditioned):
        return Conditioned(solved(name, value.form, several), value.conditions)
    if len(names) == 1:
        values: tuple[Form, ...] = (value,)
        if isinstance(value, Many) and value.kind in (("list", "set") if several else ("list",)):
            values = value.items
        return Solutions(names, tuple((one,) for one in values), bound)
    rows = value.items if isinstance(value, Many) and value.kind in ("list", "set") else (value,)
    pair = isinstance(value, Many) and value.kind == "set" and len(names) == len(rows) == 2
    if pair and not any(isinstance(row, Many) for row in rows):  # {p, q} = {2, 5}
        return Solutions(names, (rows, rows[::-1]), bound)
    found = []
    for row in rows:
        if not isinstance(row, Many) or row.kind != "tuple" or len(row.items) != len(names):
            raise Unreadable("names without their values")
        found.append(row.items)
    return Solutions(names, tuple(found), bound)


def all_of(forms: Sequence[Form]) -> Form:
    """What stands between commas or "and": a system, a list, or a value and its conditions."""
    for index in range(1, len(forms)):
        rest = forms[index:]
        related = not is_condition(forms[0]) and all(map(is_condition, rest))
        if related and all(_is_about(form, forms[:index]) for form in rest):
            head = all_of(forms[:index]) if index > 1 else forms[0]
            beside = _beside(head, rest)
            if beside is not None:
                return beside
            if isinstance(head, Conditioned):
                return Conditioned(head.form, (*head.conditions, *rest))
            return Conditioned(head, tuple(rest))
    zones = [as_zone(form) for form in forms]
    if all(zone is not None for zone in zones):
        return _joined([zone for zone in zones if zone is not None], "and")
    kinds = [zone for zone in zones if zone is not None and zone.name is None]
    if kinds and all(zone.region[0] in _OF_A_KIND for zone in kinds):  # n = 1 and all primes
        mixed = _with_points(forms)
        if mixed is not None:
            return mixed
    first = forms[0]
    if isinstance(first, Solutions):
        if all(isinstance(form, Solutions) for form in forms):
            return _system([form for form in forms if isinstance(form, Solutions)])
        merged = _continued(first, forms[1:])
        if merged is not None:
            return merged
    if all(isinstance(form, Quantity) for form in forms):
        total = _mixed_units([form for form in forms if isinstance(form, Quantity)])
        if total is not None:
            return total
    return Many("list", _flat(forms))


def any_of(forms: Sequence[Form]) -> Form:
    """What stands between "or" or semicolons: alternatives."""
    zones = [as_zone(form) for form in forms]
    if all(zone is not None for zone in zones):
        return _joined([zone for zone in zones if zone is not None], "or")
    mixed = _with_points(forms)
    if mixed is not None:
        return mixed
    first = forms[0]
    if isinstance(first, Solutions):
        same = [form for form in forms if isinstance(form, Solutions)]
        if len(same) == len(forms) and all(set(s.names) == set(first.names) for s in same):
            return _stacked(same)
        if len(same) == len(forms):
            return _system(same)
        merged = _continued(first, forms[1:])
        if merged is not None:
            return merged
    conditions = tuple(
        c for form in forms if isinstance(form, Conditioned) for c in form.conditions
    )
    bare = [form.form if isinstance(form, Conditioned) else form for form in forms]
    if conditions and all(isinstance(form, Solutions) for form in bare) and all_same(forms):
        return Conditioned(any_of(bare), tuple(dict.fromkeys(conditions)))
    return Many("list", _flat(forms))


def _is_about(condition: Form, heads: Sequence[Form]) -> bool:
    """Whether a condition is on something that occurs before it; otherwise it is an answer too."""
    zone = as_zone(condition)
    if zone is None or zone.name is None:
        return True
    known = frozenset().union(*map(form_symbols, heads))
    for head in heads:
        if isinstance(head, Conditioned):
            head = head.form
        if isinstance(head, Solutions):
            known |= {*head.bound, *head.names, *"".join(head.names)}
    return zone.name in known


def _beside(head: Form, rest: Sequence[Form]) -> Form | None:
    """n = 3 and n >= 6 are alternatives; in x = 2, x > 0 the second restricts the first."""
    if not isinstance(head, Solutions) or len(head.names) != 1:
        return None
    zones = [as_zone(form) for form in rest]
    points = [row[0].node for row in head.rows if isinstance(row[0], Expr)]
    if len(points) < len(head.rows) or any(map(symbols, points)):
        return None
    for zone in zones:
        if zone is None or zone.name != head.names[0]:
            return None
        if any(holds(zone.region, point) for point in points):
            return None
    return _with_points([head, *rest])


def _with_points(forms: Sequence[Form]) -> Form | None:
    """x = 0 or x > 2, and {0} together with an interval."""
    if not any(as_zone(form) is not None for form in forms):
        return None
    zones = []
    for form in forms:
        zone = as_zone(form) or points(form)
        if zone is None:
            return None
        zones.append(zone)
    return _joined(zones, "or")


def points(form: Form) -> Zone | None:
    """x = 0, 1 as a set of numbers."""
    if not isinstance(form, Solutions) or len(form.names) > 1:
        return None
    nodes = [row[0].node for row in form.rows if isinstance(row[0], Expr)]
    if len(nodes) < len(form.rows) or any(map(symbols, nodes)):
        return None
    return Zone(("points", tuple(nodes)), form.names[0])


def all_same(forms: Sequence[Form]) -> bool:
    """Whether the conditions of alternatives are those of all: x = a or x = b, k an integer."""
    stated = {form.conditions for form in forms if isinstance(form, Conditioned)}
    return len(stated) == 1


def is_condition(form: Form) -> bool:
    """Whether a form restricts others rather than being an answer: k in Z, n > 1."""
    if isinstance(form, Zone):
        return form.name is not None
    if isinstance(form, Text):
        return form.words == ("declared",)
    return isinstance(form, Relation) and bool(_ORDERS & set(form.operators))


def as_zone(form: Form) -> Zone | None:
    """An inequality in one unknown as a region, and a region as itself."""
    if isinstance(form, Zone):
        return form
    if isinstance(form, Relation) and _ORDERS & set(form.operators):
        form = _of_values(form)
        names = sorted(frozenset().union(*(symbols(side) for side in form.sides)))
        alone = [side[1] for side in form.sides if side[0] == "sym"]
        if len(names) > 1:
            # A variable between its bounds: a < x < b.
            if len(form.sides) == 3 and form.sides[1][0] == "sym":
                alone = [form.sides[1][1]]
            elif len(alone) != 1:
                return None
            names = alone
        if len(names) == 1:
            return Zone(("relation", names[0], form.sides, form.operators), names[0])
    return None


def _of_values(form: Relation) -> Relation:
    """0 <= f(x) < 1 is about the values of f."""
    calls = {side for side in form.sides if side[0] == "call"}
    if len(calls) != 1:
        return form
    call = next(iter(calls))
    sides = tuple(("sym", call[1]) if side == call else side for side in form.sides)
    return Relation(sides, form.operators)


def as_region(form: Form) -> Region | None:
    """The region that a form describes where a set of numbers is expected."""
    match form:
        case Zone(region, _):
            return region
        case Many("tuple", (Expr(low), Expr(high)), (opened, closed)):
            if opened in "([" and closed in ")]":
                return ("interval", low, high, opened == "[", closed == "]")
        case Many("set" | "list", items) if all(isinstance(item, Expr) for item in items):
            return ("points", tuple(item.node for item in items if isinstance(item, Expr)))
        case Many("list" | "set", items):
            regions = [as_region(item) for item in items]
            if len({item.name for item in items if isinstance(item, Zone)}) > 1:
                return None  # x > 0, y > 0
            if all(region is not None for region in regions):
                return ("or", *regions)
        case Expr(node):
            return ("points", (node,))
        case Relation():
            zone = as_zone(form)
            return zone.region if zone is not None else None
    return None


def _joined(zones: list[Zone], kind: str) -> Form:
    named = {zone.name for zone in zones if zone.name is not None}
    if len(named) > 1:
        if kind == "and":
            return Many("list", tuple(zones))
        raise Unreadable("regions of several unknowns")
    region: Region = (kind, *(zone.region for zone in zones))
    if kind == "and" and is_empty(region):
        region = ("or", *region[1:])  # "x < 1, x > 3"
    return Zone(region, next(iter(named), None))


def _stacked(solutions: list[Solutions]) -> Solutions:
    """Solutions for the same unknowns, one after the other."""
    first, rows = solutions[0], []
    for one in solutions:
        order = [one.names.index(name) for name in first.names]
        rename = dict(zip(one.bound, first.bound, strict=False)) if one.bound else {}
        for row in one.rows:
            values = (row[index] for index in order)
            rows.append(tuple(_renamed(value, rename) for value in values))
    return Solutions(first.names, tuple(rows), first.bound)


def _renamed(form: Form, names: dict[str, str]) -> Form:
    from r1lab.verify.forms import renamed

    return renamed(form, names) if any(a != b for a, b in names.items()) else form


def _system(solutions: list[Solutions]) -> Form:
    """x = 1, y = 2 is one solution; x = 1, y = 2, x = 2, y = 1 are two; x = 1, x = 2 too."""
    groups: list[list[Solutions]] = [[]]
    for one in solutions:
        if any(set(one.names) & set(other.names) for other in groups[-1]):
            groups.append([])
        groups[-1].append(one)
    rows = []
    for group in groups:
        names = tuple(name for one in group for name in one.names)
        if any(len(one.rows) > 1 for one in group) and len(group) > 1:
            return Many("list", tuple(solutions))
        if len(group) == 1:
            rows.append(group[0])
        else:
            values = tuple(value for one in group for value in one.rows[0])
            bound = tuple(name for one in group for name in one.bound)
            rows.append(Solutions(names, (values,), bound))
    if any(set(one.names) != set(rows[0].names) for one in rows):
        return Many("list", tuple(solutions))
    return _stacked(rows)


def _continued(first: Solutions, rest: Sequence[Form]) -> Form | None:
    """x = 1, 2, 3; and (x, y) = (1, 2), (2, 1)."""
    rows = list(first.rows)
    for form in rest:
        if len(first.names) == 1 and isinstance(form, Expr | Quantity):
            rows.append((form,))
        elif isinstance(form, Many) and form.kind == "list":
            more = _continued(first, form.items)
            if not isinstance(more, Solutions):
                return None
            rows.extend(more.rows[len(first.rows) :])
        elif (
            isinstance(form, Many) and form.kind == "tuple" and len(form.items) == len(first.names)
        ):
            rows.append(form.items)
        else:
            return None
    return Solutions(first.names, tuple(rows), first.bound)


def _mixed_units(quantities: list[Quantity]) -> Quantity | None:
    """5 hours and 30 minutes: one quantity, in the smallest of its units."""
    dimensions = {quantity.unit[0] for quantity in quantities}
    sizes = [quantity.unit[1] for quantity in quantities]
    if len(dimensions) > 1 or sizes != sorted(set(sizes), reverse=True):
        return None
    total: Node | None = None
    for quantity, size in zip(quantities, sizes, strict=True):
        if not isinstance(quantity.value, Expr):
            return None
        scaled: Node = ("mul", quantity.value.node, ("num", size / sizes[-1], 0))
        total = scaled if total is None else ("add", total, scaled)
    assert total is not None
    value = constant(total)
    return Quantity(
        number(value) if isinstance(value, Fraction) else Expr(total), quantities[-1].unit
    )


def _flat(forms: Sequence[Form]) -> tuple[Form, ...]:
    found: list[Form] = []
    for form in forms:
        found.extend(form.items if isinstance(form, Many) and form.kind == "list" else (form,))
    return tuple(found)
