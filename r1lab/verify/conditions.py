"""Answers with conditions, and sets of numbers: k in Z, n > 1, all even integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from r1lab.verify import comparing
from r1lab.verify.combining import as_region, as_zone, points
from r1lab.verify.families import equal_families
from r1lab.verify.forms import (
    Conditioned,
    Expr,
    Form,
    Many,
    Prose,
    Relation,
    Solutions,
    Text,
    Zone,
    form_symbols,
    renamed,
    values,
)
from r1lab.verify.piecewise import equal_branches
from r1lab.verify.regions import Region, equal_regions, holds, is_solved, is_whole, may_be_whole
from r1lab.verify.tree import symbols

#: n >= 0 and n >= 2 only say that n counts something.
_INTEGERS: Region = ("domain", "Z")
_SMALL = tuple(("num", Fraction(n)) for n in range(6))


def _real_families(gold: Form, answer: Form) -> bool:
    lists = []
    for form in (gold, answer):
        bare = values(form) if isinstance(form, Solutions) else form
        if isinstance(bare, Many) and bare.kind not in ("list", "set"):
            return False
        items = bare.items if isinstance(bare, Many) else (bare,)
        if not all(isinstance(item, Expr) for item in items):
            return False
        lists.append([item.node for item in items if isinstance(item, Expr)])
    return equal_families(*lists)


def same_under_conditions(gold: Form, answer: Form) -> bool:
    bare, stated = _parts(gold)
    other, other_stated = _parts(answer)
    regions = [_condition_zones(bare, stated), _condition_zones(other, other_stated)]
    declared = {zone.name for zones in regions for zone in zones if _is_declaration(zone)}
    mine, theirs = form_symbols(bare), form_symbols(other)
    extra, missing = theirs - mine, mine - theirs
    if len(extra) == len(missing) == 1 and (extra | missing) & declared:
        names = {next(iter(extra)): next(iter(missing))}
        other = renamed(other, names)
        regions[1] = [
            replace(zone, name=names.get(zone.name or "", zone.name)) for zone in regions[1]
        ]
    if isinstance(bare, Zone) or isinstance(other, Zone):
        families = [_family(bare, regions[0]), _family(other, regions[1])]
        if None in families:
            return False
        return equal_regions(families[0], families[1])  # type: ignore[arg-type]
    if equal_branches(bare, other) or equal_branches(other, bare):
        return True
    if not comparing.same(bare, other):
        whole = [any(is_whole(zone.region) for zone in zones) for zones in regions]
        bound = any(isinstance(form, Solutions) and form.bound for form in (bare, other))
        only_declared = all(map(_is_declaration, (*regions[0], *regions[1])))
        return any(whole) and only_declared and not bound and _real_families(bare, other)
    return _same_conditions(bare, stated, regions[0], other_stated, regions[1])


def _parts(form: Form) -> tuple[Form, tuple[Form, ...]]:
    if isinstance(form, Conditioned):
        inner, more = _parts(form.form)
        return inner, (*more, *form.conditions)
    return form, ()


def _condition_zones(form: Form, conditions: Sequence[Form]) -> list[Zone]:
    zones = [as_zone(condition) for condition in conditions]
    listed = [points(condition) for condition in conditions]  # c in {0, 1}
    known = form_symbols(form)
    return [
        *(zone for zone in zones if zone is not None),
        *(zone for zone in listed if zone is not None and zone.name in known),
    ]


def _is_declaration(zone: Zone) -> bool:
    """Whether it only says what kind of number a symbol stands for."""
    kind, *rest = zone.region
    if kind == "and":
        return all(_is_declaration(Zone(part)) for part in rest)
    if kind == "relation" and zone.name is not None and zone.name[0] in "nmkNMK":
        bound = rest[1][1] if rest[1][0] == ("sym", zone.name) else None
        return rest[2] in (("ge",), (">",)) and bound is not None and bound[:2] in _SMALL
    return bool(kind == "domain" and rest[0] in ("R", "Z", "N", "N0", "Q"))


def _same_conditions(
    bare: Form,
    stated: Sequence[Form],
    mine: Sequence[Zone],
    other_stated: Sequence[Form],
    theirs: Sequence[Zone],
) -> bool:
    """Conditions on the same unknown must agree; what only one side says must not restrict."""
    for zones, others in ((mine, theirs), (theirs, mine)):
        for zone in zones:
            partners = [other for other in others if other.name == zone.name]
            if partners:
                if not any(equal_regions(zone.region, other.region) for other in partners):
                    return False
            elif not _is_declaration(zone) and (
                isinstance(bare, Text)
                or zone.name in form_symbols(bare)
                or zone.region[0] in ("domain", "congruent", "not")
            ):
                return False
    texts = [
        [c for c in conditions if isinstance(c, Text | Prose) and c != Text(("declared",))]
        for conditions in (stated, other_stated)
    ]
    if texts[0] and texts[1] and Text(("remark",)) not in (*texts[0], *texts[1]):
        return comparing.matched(texts[0], texts[1])
    said = [text for text in (*texts[0], *texts[1]) if text != Text(("remark",))]
    return not (said and isinstance(bare, Text))


def _family(form: Form, zones: Sequence[Zone]) -> Region | None:
    """The region of a form in which a declared integer runs: n = 4k, k an integer."""
    if isinstance(form, Zone):
        return form.region
    bare = values(form) if isinstance(form, Solutions) else form
    items = bare.items if isinstance(bare, Many) and bare.kind in ("list", "set") else (bare,)
    regions: list[Region] = []
    for item in items:
        if not isinstance(item, Expr):
            return None
        names = symbols(item.node)
        if not names:
            regions.append(("points", (item.node,)))
        elif len(names) == 1:
            name = next(iter(names))
            limits = [zone.region for zone in zones if zone.name == name]
            stated = ("and", *limits) if limits else None
            regions.append(("family", item.node, name, stated))
        else:
            return None
    return regions[0] if len(regions) == 1 else ("or", *regions)


def _make_whole(regions: list[Region], names: set[str]) -> None:
    """n = 2, 3, 4 is 2 <= n <= 4 where n counts something."""
    for region in regions:
        if region[0] != "points" or len(region[1]) < 3:
            continue
        counted = bool(names) and all(name[0] in "nmkNMK" for name in names)
        if counted and all(holds(_INTEGERS, point) for point in region[1]):
            regions[:] = [("and", one, _INTEGERS) for one in regions]
            return


def _range(relation: Relation) -> Region | None:
    """The values of a quantity of several letters: [4, 8] for 4 <= x + y <= 8."""
    inside = {side for side in relation.sides if symbols(side)}
    if len(inside) != 1 or len(symbols(next(iter(inside)))) < 2:
        return None
    sides = tuple(("sym", "x") if side in inside else side for side in relation.sides)
    return as_region(Relation(sides, relation.operators))


def same_zones(gold: Form, answer: Form) -> bool:
    zones = [as_zone(form) for form in (gold, answer)]
    names = {zone.name for zone in zones if zone is not None and zone.name is not None}
    if len(names) > 1 and len({name.lower() for name in names}) > 1:
        return False
    regions: list[Region] = []
    for form, zone in zip((gold, answer), zones, strict=True):
        region = zone.region if zone is not None else None
        if region is None and isinstance(form, Text):
            if form.words == ("none",):
                region = ("points", ())
        elif region is None and isinstance(form, Solutions):
            if len(form.names) > 1 or (names and form.names[0] not in names):
                return False
            region = _family(form, ()) if form_symbols(form) else as_region(values(form))
        elif region is None and isinstance(form, Relation) and not names:
            region = _range(form)
        elif region is None and not isinstance(form, Expr):
            region = as_region(form)
        elif region is None and isinstance(form, Expr) and symbols(form.node):
            region = _family(form, ())
        elif region is None and isinstance(form, Expr):
            region = ("points", (form.node,))
        if region is None:
            return False
        regions.append(region)
    if all(region == ("points", ()) for region in regions):
        return True
    _make_whole(regions, names)
    whole = [is_whole(region) for region in regions]
    for index in (0, 1):
        zone = zones[index]
        named = zone.name if zone is not None else None
        if whole[1 - index] and not whole[index] and not may_be_whole(regions[index], named):
            return False
    if is_solved(regions[0]) and not is_solved(regions[1]):
        return False  # 2x + 1 > 7 may be the question
    return equal_regions(regions[0], regions[1])
