"""Several forms as one: the solutions of a system, alternatives, conditions that follow a value."""

from __future__ import annotations

from collections.abc import Sequence

from r1lab.verify.expression import symbols
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
)
from r1lab.verify.regions import Region, is_empty
from r1lab.verify.tokens import Unreadable

Name = tuple[tuple[str, ...], tuple[str, ...]]
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
        if not is_condition(forms[0]) and all(is_condition(form) for form in rest):
            head = all_of(forms[:index]) if index > 1 else forms[0]
            if isinstance(head, Conditioned):
                return Conditioned(head.form, (*head.conditions, *rest))
            return Conditioned(head, tuple(rest))
    zones = [as_zone(form) for form in forms]
    if all(zone is not None for zone in zones):
        return _joined([zone for zone in zones if zone is not None], "and")
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
    conditions = tuple(c for form in forms if isinstance(form, Conditioned) for c in form.conditions)
    bare = [form.form if isinstance(form, Conditioned) else form for form in forms]
    if conditions and all(isinstance(form, Solutions) for form in bare) and all_same(forms):
        return Conditioned(any_of(bare), tuple(dict.fromkeys(conditions)))
    return Many("list", _flat(forms))


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
        elif isinstance(form, Many) and form.kind == "tuple" and len(form.items) == len(first.names):
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
    total = None
    for quantity, size in zip(quantities, sizes, strict=True):
        if not isinstance(quantity.value, Expr):
            return None
        scaled = ("mul", quantity.value.node, ("num", size / sizes[-1], 0))
        total = scaled if total is None else ("add", total, scaled)
    assert total is not None
    return Quantity(Expr(total), quantities[-1].unit)


def _flat(forms: Sequence[Form]) -> tuple[Form, ...]:
    found: list[Form] = []
    for form in forms:
        found.extend(form.items if isinstance(form, Many) and form.kind == "list" else (form,))
    return tuple(found)

