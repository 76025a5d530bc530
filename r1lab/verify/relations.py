r"""Equations, inequalities, memberships, congruences and divisibility."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from r1lab.verify import clauses, groups, reading
from r1lab.verify.combining import Name, as_region, is_condition, solved
from r1lab.verify.equivalence import constant, equal_expressions
from r1lab.verify.expression import parse_expression
from r1lab.verify.forms import Conditioned, Expr, Form, Many, Relation, Solutions, Text, Zone
from r1lab.verify.names import name_of
from r1lab.verify.regions import Region
from r1lab.verify.splitting import Tokens, is_comma, is_modulus, is_or, split, trim
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.tree import Node, symbols

RELATIONS = {
    ("op", "="): "=", ("op", "<"): "<", ("op", ">"): ">", ("cmd", "le"): "le", ("cmd", "ge"): "ge",
    ("cmd", "ne"): "ne", ("cmd", "in"): "in", ("cmd", "notin"): "notin", ("cmd", "equiv"): "equiv",
    ("cmd", "nequiv"): "nequiv",
    ("cmd", "approx"): "approx",
}  # fmt: skip


def restricted(tokens: Tokens) -> tuple[Tokens, Form | None]:
    """A condition in brackets at the end: n = 4m + 1 (m in Z)."""
    last = tokens[-1] if len(tokens) > 1 else None
    if last is None or last.kind != "group" or last.value != ("(", ")"):
        return tokens, None
    inside = [(t.kind, t.value) for t in last.inner if t.kind != "group"]
    if not any(mark in RELATIONS for mark in inside):
        return tokens, None
    form = clauses.condition(last.inner)
    return (tokens[:-1], form) if is_condition(form) else (tokens, None)


def divisibility(tokens: Tokens) -> Form | None:
    r"""``3 \mid n`` and ``3 \nmid n``."""
    marks = [i for i, t in enumerate(tokens) if t in (Token("op", "|"), Token("cmd", "nmid"))]
    if len(marks) != 1 or not 0 < marks[0] < len(tokens) - 1:
        return None
    divisor = parse_expression(tokens[: marks[0]])
    multiple = parse_expression(tokens[marks[0] + 1 :])
    names = symbols(multiple)
    if constant(divisor) is None or len(names) != 1:
        return None
    name = next(iter(names))
    region: Region = ("congruent", multiple, name, (("num", Fraction(0), 0),), divisor)
    return Zone(region if tokens[marks[0]].kind == "op" else ("not", region), name)


def relation(tokens: Tokens) -> Form:
    sides: list[list[Token]] = [[]]
    operators: list[str] = []
    for token in tokens:
        operator = RELATIONS.get((token.kind, token.value)) if token.kind != "group" else None
        if operator is None:
            sides[-1].append(token)
        else:
            sides.append([])
            operators.append(operator)
    if any(not side for side in sides):
        if len(operators) == 1 and operators[0] in ("=", "approx") and not sides[0]:
            return reading.read_tokens(sides[1])  # "= 5"
        raise Unreadable("a relation without a side")
    if "approx" in operators:
        # What follows rounds what stands before, unless that is only a name.
        cut = operators.index("approx")
        if cut == 0 and name_of(sides[0]) is not None:
            operators[0] = "="
        else:
            sides, operators = sides[: cut + 1], operators[:cut]
        return _relation_of(sides, operators)
    return _relation_of(sides, operators)


def _relation_of(sides: list[list[Token]], operators: list[str]) -> Form:
    if not operators:
        return reading.read_tokens(sides[0])
    if "equiv" in operators:
        return congruence(sides, operators)
    if operators == ["nequiv"]:
        zone = congruence(sides, ["equiv"])
        if not isinstance(zone, Zone):
            raise Unreadable("not congruent")
        return Zone(("not", zone.region), zone.name)
    if operators[-1] in ("in", "notin"):
        return _membership(sides, operators)
    if all(operator == "=" for operator in operators):
        return _equation(sides)
    nodes = tuple(parse_expression(side) for side in sides)
    return Relation(nodes, tuple(operators))


def _membership(sides: list[list[Token]], operators: list[str]) -> Form:
    last = trim(sides[-1])
    if last and last[0].kind == "sym" and last[0].value in "RZNQ":  # k in Z
        last = [Token("cmd", last[0].value), *last[1:]]
    right = reading.read_tokens(last)
    if len(operators) > 1:
        raise Unreadable("a chain of memberships")
    names = [name_of(part) for part in split(sides[0], is_comma)]
    if operators[0] == "notin":
        region = as_region(right)
        if region is None or names[0] is None:
            raise Unreadable("outside of no region")
        return Zone(("not", region), names[0][0][0])
    if len(names) == 1 and names[0] is not None:
        if isinstance(right, Many) and right.kind in ("set", "list"):
            return solved(names[0], right, several=True)
        if isinstance(right, Conditioned):  # x in {k pi | k in Z}
            return solved(names[0], right, several=True)
        region = as_region(right)
        if region is not None and len(names[0][0]) == 1:
            return Zone(region, names[0][0][0])
    elif all(name is not None for name in names) and isinstance(right, Zone):
        return Text(("declared",))  # "a, b in Z" says nothing that can be compared
    raise Unreadable("a membership")


def _equation(sides: list[list[Token]]) -> Form:
    names = [name_of(side) for side in sides]
    last = sides[-1]
    heads: list[Name] = []
    for name in names[:-1]:
        if name is None or name[0][0] in [head[0][0] for head in heads]:
            break
        heads.append(name)
    if all(token.kind == "sym" for token in last) and len(last) > 1 and names[-1] is not None:
        names[-1], heads = None, []  # AB = BC
    if names[-1] is None or not heads or len(names[-1][0]) > 1 or names[-1][0][0][0] == "@":
        if heads:
            value = reading.read_tokens(last)
            unknowns = {name for head in heads for name in head[0]}
            if not isinstance(value, Expr) or not unknowns & symbols(value.node):
                if len(heads) == 1 or len(heads) < len(sides) - 1:
                    return solved(heads[0], value)
                return Solutions(
                    tuple(head[0][0] for head in heads), (tuple(value for _ in heads),)
                )
        elif all(constant(parse_expression(side)) is not None for side in sides):
            nodes = [parse_expression(side) for side in sides]
            if all(equal_expressions(node, nodes[-1]) for node in nodes):
                return Expr(nodes[-1])  # 3 + 4 = 7
    elif len(heads) == 1 and len(sides) == 2 and (names[-1][1] or heads[0][1]):
        return solved(heads[0], reading.read_tokens(last))  # f(x) = x
    return Relation(tuple(parse_expression(side) for side in sides), ("=",) * (len(sides) - 1))


def congruence(sides: Sequence[Tokens], operators: Sequence[str]) -> Form:
    r"""``n \equiv 1, 3 \pmod{8}``; without a modulus, the sign is an equation's."""
    right = list(sides[-1])
    for index, token in enumerate(right):
        if not is_modulus(token):
            continue
        modulus = parse_expression(token.inner[1:] if token.kind == "group" else right[index + 1 :])
        listed = split(right[:index], lambda token: is_comma(token) or is_or(token))
        residues = [
            signed for residue in listed for signed in groups.signs(parse_expression(residue))
        ]
        left = parse_expression(sides[0])
        name = _only_symbol(left)
        if len(sides) > 2 or name is None or not residues:
            raise Unreadable("a congruence")
        return Zone(("congruent", left, name, tuple(residues), modulus), name)
    merged: list[Token] = []
    for side, operator in zip(sides, (*operators, None), strict=True):
        merged.extend(side)
        if operator is not None:
            merged.append(Token("op", "="))
    if set(operators) != {"equiv"}:
        raise Unreadable("a congruence without a modulus")
    return reading.read_tokens(merged)


def with_modulus(alternatives: Sequence[Tokens]) -> list[Tokens]:
    """n = 1 or n = 2 (mod 3): the modulus is that of both."""
    last = alternatives[-1]
    at = next((i for i, token in enumerate(last) if is_modulus(token)), None)
    others = alternatives[:-1]
    shared = at is not None and all(
        any(token.value == "equiv" for token in part) and not any(map(is_modulus, part))
        for part in others
    )
    return [[*part, *last[at:]] for part in others] + [last] if shared else [*alternatives]


def _only_symbol(node: Node) -> str | None:
    names = symbols(node)
    return next(iter(names)) if len(names) == 1 else None
