"""Whether two forms are the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from r1lab.verify.combining import as_zone
from r1lab.verify.equivalence import constant, equal_equations, equal_expressions
from r1lab.verify.expression import Node, symbols
from r1lab.verify.families import equal_families
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
    form_symbols,
    renamed,
)
from r1lab.verify.phrases import as_region, core
from r1lab.verify.regions import Region, equal_regions, is_whole
from r1lab.verify.words import content, verdict_word

_HUNDRED: Node = ("num", Fraction(100), 0)
_FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "=": "=", "ne": "ne"}


def same(gold: Form, answer: Form) -> bool:
    """Whether an answer says what the gold says."""
    if gold == answer:
        return True
    if isinstance(gold, Conditioned) or isinstance(answer, Conditioned):
        return _conditioned(gold, answer)
    if isinstance(gold, Prose) or isinstance(answer, Prose):
        return _prose(gold, answer)
    if isinstance(gold, Text) or isinstance(answer, Text):
        return _texts(gold, answer)
    if isinstance(gold, Zone) or isinstance(answer, Zone):
        return _zones(gold, answer)
    if isinstance(gold, Solutions) or isinstance(answer, Solutions):
        return _solutions(gold, answer)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _relations(gold, answer)
    if isinstance(gold, Quantity) or isinstance(answer, Quantity):
        return _quantities(gold, answer)
    if isinstance(gold, Matrix) or isinstance(answer, Matrix):
        return _matrices(gold, answer)
    if isinstance(gold, Many) or isinstance(answer, Many):
        return _many(gold, answer)
    return equal_expressions(gold.node, answer.node) is True


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
        if one.kind == "ratio" or len(one.items) != 1:
            return False
        return same(one.items[0], other) if one is gold else same(other, one.items[0])
    kinds = {gold.kind, answer.kind}
    if "ratio" in kinds:
        return kinds == {"ratio"} and _proportional(gold.items, answer.items)
    if kinds <= {"list", "set"}:
        if "set" in kinds:
            return matched(_distinct(gold.items), _distinct(answer.items))
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


def _distinct(items: Sequence[Form]) -> list[Form]:
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


def _solutions(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Solutions) and isinstance(answer, Solutions):
        return _both_solved(gold, answer)
    solved, other = (gold, answer) if isinstance(gold, Solutions) else (answer, gold)
    assert isinstance(solved, Solutions)
    if isinstance(other, Relation):
        equation = _equation(solved)
        return (
            equation is not None
            and len(other.sides) == 2
            and other.operators == ("=",)
            and equal_equations(equation, (other.sides[0], other.sides[1]))
        )
    bare = values(solved)
    return same(bare, other) if solved is gold else same(other, bare)


def _both_solved(gold: Solutions, answer: Solutions) -> bool:
    if len(gold.names) != len(answer.names):
        roots = [_roots_of(one) for one in (gold, answer)]
        return len({name for name, _ in roots}) == 1 and matched(roots[0][1], roots[1][1])
    if len(gold.bound) == len(answer.bound) and gold.bound != answer.bound:
        names = dict(zip(answer.bound, gold.bound, strict=True))
        rows = tuple(tuple(renamed(value, names) for value in row) for row in answer.rows)
        answer = replace(answer, rows=rows, bound=gold.bound)
    order = _order(gold.names, answer.names)
    if order is None:
        return False
    rows = tuple(tuple(row[index] for index in order) for row in answer.rows)
    if gold.bound and answer.bound:
        rows = _same_constants(gold, rows)
    return matched([Many("row", row) for row in gold.rows], [Many("row", row) for row in rows])


def _roots_of(solved: Solutions) -> tuple[str | None, list[Form]]:
    """x_1 = 1, x_2 = 3 are the values of x."""
    stems = {name.partition("_")[0] for name in solved.names}
    if len(stems) != 1 or (len(solved.rows) > 1 and len(solved.names) > 1):
        return None, []
    return next(iter(stems)), [value for row in solved.rows for value in row]


def _order(gold: Sequence[str], answer: Sequence[str]) -> list[int] | None:
    """Where each of the gold's unknowns stands in the answer."""
    said = [name.lower() if len(set(map(str.lower, answer))) == len(answer) else name for name in answer]
    wanted = [name.lower() if len(set(map(str.lower, gold))) == len(gold) else name for name in gold]
    if sorted(said) == sorted(wanted):
        return [said.index(name) for name in wanted]
    if len(gold) == 1 and any(name[0] == "@" or "_" in name for name in (*gold, *answer)):
        return [0]  # S = 24 against "Area = 24"
    return None


def _same_constants(gold: Solutions, rows: tuple[tuple[Form, ...], ...]) -> tuple[tuple[Form, ...], ...]:
    """f(x) = cx against f(x) = kx: the one free constant of a family of functions has any name."""
    mine = frozenset().union(*(form_symbols(v) for row in gold.rows for v in row)) - set(gold.bound)
    theirs = frozenset().union(*(form_symbols(v) for row in rows for v in row)) - set(gold.bound)
    if len(mine) == len(theirs) == 1 and mine != theirs:
        names = {next(iter(theirs)): next(iter(mine))}
        return tuple(tuple(renamed(value, names) for value in row) for row in rows)
    return rows


def _equation(solved: Solutions) -> tuple[Node, Node] | None:
    if len(solved.names) == 1 and len(solved.rows) == 1 and solved.names[0][0] != "@":
        value = solved.rows[0][0]
        if isinstance(value, Expr):
            return ("sym", solved.names[0]), value.node
    return None


def values(solved: Solutions) -> Form:
    """The solutions without their names."""
    if len(solved.names) == 1:
        found = tuple(row[0] for row in solved.rows)
        return found[0] if len(found) == 1 else Many("list", found)
    kind = "row" if len(solved.rows) == 1 else "tuple"
    rows = tuple(Many(kind, row) for row in solved.rows)  # type: ignore[arg-type]
    return rows[0] if len(rows) == 1 else Many("list", rows)


def _real_families(gold: Form, answer: Form) -> bool:
    lists = []
    for form in (gold, answer):
        bare = values(form) if isinstance(form, Solutions) else form
        items = bare.items if isinstance(bare, Many) else (bare,)
        if not all(isinstance(item, Expr) for item in items):
            return False
        lists.append([item.node for item in items if isinstance(item, Expr)])
    return equal_families(*lists)


def _conditioned(gold: Form, answer: Form) -> bool:
    bare, stated = _parts(gold)
    other, other_stated = _parts(answer)
    regions = [_condition_zones(conditions) for conditions in (stated, other_stated)]
    declared = {zone.name for zones in regions for zone in zones if _is_declaration(zone)}
    mine, theirs = form_symbols(bare), form_symbols(other)
    extra, missing = theirs - mine, mine - theirs
    if len(extra) == len(missing) == 1 and (extra | missing) & declared:
        names = {next(iter(extra)): next(iter(missing))}
        other = renamed(other, names)
        regions[1] = [replace(zone, name=names.get(zone.name or "", zone.name)) for zone in regions[1]]
    if isinstance(bare, Zone) or isinstance(other, Zone):
        families = [_family(bare, regions[0]), _family(other, regions[1])]
        if None in families:
            return False
        return equal_regions(families[0], families[1])  # type: ignore[arg-type]
    if not same(bare, other):
        whole = [any(is_whole(zone.region) for zone in zones) for zones in regions]
        bound = any(isinstance(form, Solutions) and form.bound for form in (bare, other))
        return any(whole) and not bound and _real_families(bare, other)
    return _same_conditions(bare, stated, regions[0], other_stated, regions[1])


def _parts(form: Form) -> tuple[Form, tuple[Form, ...]]:
    if isinstance(form, Conditioned):
        inner, more = _parts(form.form)
        return inner, (*more, *form.conditions)
    return form, ()


def _condition_zones(conditions: Sequence[Form]) -> list[Zone]:
    zones = [as_zone(condition) for condition in conditions]
    return [zone for zone in zones if zone is not None]


def _is_declaration(zone: Zone) -> bool:
    """Whether it only says what kind of number a symbol stands for."""
    kind, *rest = zone.region
    if kind == "and":
        return all(_is_declaration(Zone(part)) for part in rest)
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
            elif not _is_declaration(zone) and zone.name in form_symbols(bare):
                return False
    texts = [
        [c for c in conditions if isinstance(c, Text | Prose) and c != Text(("declared",))]
        for conditions in (stated, other_stated)
    ]
    if texts[0] and texts[1] and Text(("remark",)) not in (*texts[0], *texts[1]):
        return matched(texts[0], texts[1])
    return True


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
            stated = next((zone.region for zone in zones if zone.name == name), None)
            low = {("domain", "N"): 1, ("domain", "N0"): 0}.get(stated) if stated else None
            regions.append(("family", item.node, name, low))
        else:
            return None
    return regions[0] if len(regions) == 1 else ("or", *regions)


def _zones(gold: Form, answer: Form) -> bool:
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
    return equal_regions(regions[0], regions[1])


def _relations(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        zones = [as_zone(form) for form in (gold, answer)]
        if zones[0] is not None and zones[1] is not None:
            return _zones(zones[0], zones[1])
        return _same_chain(gold, answer)
    relation, other = (gold, answer) if isinstance(gold, Relation) else (answer, gold)
    assert isinstance(relation, Relation)
    if as_zone(relation) is not None:
        return _zones(gold, answer)
    if relation.operators != ("=",) or not isinstance(other, Expr | Quantity):
        return False
    left, right = relation.sides
    if constant(left) is not None or len(symbols(left)) < 2:
        return False  # 2x = 5 does not say what x is
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
            return same(_radians(gold), _radians(answer))
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


def _radians(quantity: Quantity) -> Form:
    if quantity.unit[0] == "degree" and isinstance(quantity.value, Expr):
        return Expr(("fn", "deg", quantity.value.node))
    return quantity.value


def _texts(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Text) and isinstance(answer, Text):
        told = [_verdict(text) for text in (gold, answer)]
        if told[0] is not None or told[1] is not None:
            negative = {"no", "none"}
            return told[0] == told[1] or (told[0] in negative and told[1] in negative)
        one, two = content(list(gold.words)), content(list(answer.words))
        return one == two and bool(one)
    text, other = (gold, answer) if isinstance(gold, Text) else (answer, gold)
    assert isinstance(text, Text)
    said = _verdict(text)
    if said == "none":
        return isinstance(other, Zone) and other.region == ("points", ())
    if said == "infinite":
        return other == Expr(("const", "oo"))
    if text is gold and said in ("yes", "no") and isinstance(other, Many):
        return same(gold, other.items[0])  # "No, 7": the question was whether
    return False


def _verdict(text: Text) -> str | None:
    if len(text.words) == 1 and text.words[0] in ("yes", "no", "none", "infinite"):
        return text.words[0]
    return verdict_word(" ".join(word.lower() for word in text.words))


def _prose(gold: Form, answer: Form) -> bool:
    if isinstance(gold, Prose) and isinstance(answer, Prose):
        if _aligned(gold, answer):
            return True
        cores = [core(gold), core(answer)]
        return cores[0] is not None and cores[1] is not None and same(cores[0], cores[1])
    prose, other = (gold, answer) if isinstance(gold, Prose) else (answer, gold)
    assert isinstance(prose, Prose)
    inside = core(prose)
    if inside is None:
        return False
    return same(inside, other) if prose is gold else same(other, inside)


def _aligned(gold: Prose, answer: Prose) -> bool:
    """The same words around equal mathematics, in the same order."""
    said = []
    for prose in (gold, answer):
        parts: list[str | Form] = []
        for part in prose.parts:
            parts.extend(content([part]) if isinstance(part, str) else [part])
        said.append(parts)
    if len(said[0]) != len(said[1]):
        return False
    for mine, theirs in zip(*said, strict=True):
        if isinstance(mine, str) or isinstance(theirs, str):
            if mine != theirs:
                return False
        elif not same(mine, theirs):
            return False
    return True


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
    if isinstance(other, Many) and other.kind == "tuple" and not matrix.bars:
        if len(matrix.rows) == 1 or all(len(row) == 1 for row in matrix.rows):
            entries = [entry for row in matrix.rows for entry in row]
            return len(entries) == len(other.items) and all(map(same, entries, other.items))
    return False

