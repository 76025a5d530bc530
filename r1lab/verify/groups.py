r"""Brackets and environments: tuples, sets, intervals, unions, matrices, cases."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise, product

from r1lab.verify import clauses, reading
from r1lab.verify.combining import all_of, as_region
from r1lab.verify.equivalence import constant
from r1lab.verify.expression import parse_expression
from r1lab.verify.forms import (
    Conditioned,
    Expr,
    Form,
    Many,
    Matrix,
    Solutions,
    Zone,
    mapped,
    number,
)
from r1lab.verify.names import name_of
from r1lab.verify.regions import EMPTY, Region
from r1lab.verify.splitting import Tokens, is_comma, split
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.tree import Node, parts

_DOMAINS = {"R": "R", "Z": "Z", "N": "N", "Q": "Q"}


def is_point(tokens: Tokens) -> bool:
    """A point with its name: A(1, 2)."""
    if len(tokens) != 2 or tokens[1].kind != "group" or tokens[1].value != ("(", ")"):
        return False
    name, group = tokens
    commas = sum(token == Token("op", ",") for token in group.inner)
    return name.kind == "sym" and name.value.isupper() and name.value != "C" and commas > 0


def expanded(form: Form) -> Form:
    r"""``1 \pm \sqrt{2}`` is two values; all signs of one expression go together."""
    if not isinstance(form, Expr) or len(nodes := signs(form.node)) == 1:
        return form
    return Many("list", tuple(map(Expr, nodes)))


def signs(node: Node) -> list[Node]:
    """What an expression stands for: two values if there is a plus-minus in it."""
    if not any(part[0] == "pm" for part in parts(node)):
        return [node]
    return [_signed(node, sign) for sign in (1, -1)]


def _signed(node: Node, sign: int) -> Node:
    if node[0] == "pm":
        positive = (node[1] == "pm") == (sign > 0)
        inner = _signed(node[2], sign)
        return inner if positive else ("neg", inner)
    return tuple(_signed(part, sign) if isinstance(part, tuple) else part for part in node)


def scaled(factor: Node, form: Form) -> Form:
    """A number times a vector or a matrix."""
    if not isinstance(form, Many | Matrix):
        raise Unreadable("a multiple of something else")
    return mapped(form, lambda node: ("mul", factor, node))


def group(token: Token) -> Form:
    opened, closed = token.value
    if opened == "begin":
        return _environment(closed, token.inner)
    if opened == "\\{" or (opened == "{" and any(t == Token("op", ",") for t in token.inner)):
        return braces(token.inner)
    items = split(token.inner, lambda t: t in (Token("op", ","), Token("op", ";")))
    inner = token.inner[0] if len(token.inner) == 1 else None
    if inner is not None and inner.kind == "group" and inner.value[0] == "begin":
        return _environment(inner.value[1].replace("array", "bmatrix"), inner.inner)
    if len(items) < 2 or opened in ("lfloor", "lceil"):
        if opened == "[" or opened == "langle":
            return Many("tuple", (reading.read_tokens(token.inner),), (opened, closed))
        if opened == "(" and len(items) == 1:
            return reading.read_tokens(token.inner)
        return expanded(Expr(parse_expression((token,))))
    values = tuple(reading.read_tokens(item) for item in items)
    signs = [_is_plus_minus(item, value) for item, value in zip(items, values, strict=True)]
    if any(signs):
        choices = [
            value.items if sign and isinstance(value, Many) else (value,)
            for sign, value in zip(signs, values, strict=True)
        ]
        together = any(t.value == "mp" for item in items for t in item)
        rows = list(product(*choices))
        if together:  # (\pm 1, \mp 1): upper signs belong together, and so do lower ones
            rows = [tuple(choice[min(i, len(choice) - 1)] for choice in choices) for i in (0, 1)]
        return Many("list", tuple(Many("tuple", row, (opened, closed)) for row in rows))
    return Many("tuple", values, (opened, closed))


def _is_plus_minus(tokens: Tokens, value: Form) -> bool:
    return isinstance(value, Many) and any(t.value in ("pm", "mp") for t in tokens)


def braces(inner: Tokens) -> Form:
    """The content of braces: elements, or a condition on one."""
    bars = [i for i, t in enumerate(inner) if t in (Token("op", "|"), Token("op", ":"))]
    if len(bars) == 1 and bars[0] > 0:
        return builder(inner[: bars[0]], inner[bars[0] + 1 :])
    if not inner:
        return Zone(EMPTY)
    values = progression(inner)
    if values is None:
        values = reading.read_tokens(inner)
    if isinstance(values, Many) and values.kind == "list":
        return Many("set", values.items)
    return Many("set", (values,))


def progression(tokens: Tokens) -> Form | None:
    """1, 2, ..., 10 written out, where the terms and the last one leave no doubt."""
    items = split(tokens, is_comma)
    dots = [i for i, item in enumerate(items) if list(item) == [Token("cmd", "dots")]]
    if len(dots) != 1 or dots[0] < 2 or dots[0] != len(items) - 2:
        return None
    values = [constant(parse_expression(item)) for i, item in enumerate(items) if i != dots[0]]
    terms = [value for value in values if isinstance(value, Fraction)]
    if len(terms) < len(values):
        return None
    first, second, *others, last = terms
    step = second - first
    between = [first, second, *others]
    if not step or any(b - a != step for a, b in pairwise(between)):
        return None
    count = (last - first) / step
    if count.denominator != 1 or not len(between) <= count <= 1000:
        return None
    return Many("list", tuple(number(first + step * k) for k in range(int(count) + 1)))


def _environment(name: str, inner: Tokens) -> Form:
    if name.startswith(("align", "gather", "split")):
        inner = [token for token in inner if token != Token("op", "&")]
    if name.endswith("matrix") and inner and inner[0].kind == "group":
        columns = "".join(str(t.value) for t in inner[0].inner)
        inner = inner[1:] if set(columns) <= set("crl|") else inner
    if name.startswith(("array", "aligned", "align", "cases", "gathered", "split")):
        if name.startswith("array") and inner and inner[0].kind == "group":
            inner = inner[1:]
        rows = [
            clauses.piece(row) if name.startswith(("cases", "array")) else reading.read_tokens(row)
            for row in split(inner, lambda t: t == Token("op", "\\\\"))
        ]
        return all_of(rows) if len(rows) > 1 else rows[0]
    if not name.endswith("matrix"):
        raise Unreadable(f"environment {name}")
    matrix = tuple(
        tuple(reading.read_tokens(cell) for cell in split(row, lambda t: t == Token("op", "&")))
        for row in split(inner, lambda t: t == Token("op", "\\\\"))
    )
    if not matrix or len({len(row) for row in matrix}) > 1:
        raise Unreadable("a ragged matrix")
    return Matrix(matrix, name.startswith(("v", "V")))


def union(tokens: Tokens) -> Form | None:
    r"""``\{(0, 1)\} \cup \{(t, t)\}``: one set of what is no number."""
    sides = split(tokens, Token("cmd", "cup").__eq__)
    if len(sides) < 2 or not all(len(side) == 1 and side[0].kind == "group" for side in sides):
        return None
    forms = [group(side[0]) for side in sides]
    conditions: list[Form] = []
    items: list[Form] = []
    for form in forms:
        if isinstance(form, Conditioned):
            conditions.extend(form.conditions)
            form = Many("set", (form.form,)) if isinstance(form.form, Many) else form.form
        if not isinstance(form, Many) or form.kind != "set":
            return None
        items.extend(form.items)
    if not all(isinstance(item, Many) and item.kind == "tuple" for item in items):
        return None
    whole = Many("set", tuple(items))
    return Conditioned(whole, tuple(conditions)) if conditions else whole


def region_of(tokens: Tokens) -> Region | None:
    """Intervals, domains and what unions and differences make of them; ``None`` for no region."""
    for mark, kind in (("cup", "or"), ("cap", "and"), ("setminus", "minus")):
        sides = split(tokens, Token("cmd", mark).__eq__)
        if len(sides) < 2:
            continue
        regions = [_side_region(side) for side in sides]
        if any(region is None for region in regions):
            raise Unreadable("a union of no regions")
        if kind == "minus":
            return ("and", regions[0], *(("not", region) for region in regions[1:]))
        return (kind, *regions)
    if len(tokens) == 1 and tokens[0].kind == "group":
        opened, closed = tokens[0].value
        if (opened, closed) in (("(", "]"), ("[", ")")):
            return as_region(Many("tuple", _ends(tokens[0]), (opened, closed)))
        return None
    first, rest = tokens[0], tokens[1:]
    if first == Token("cmd", "emptyset") and not rest:
        return EMPTY
    if first.kind == "cmd" and first.value in _DOMAINS:
        return _domain(_DOMAINS[first.value], rest)
    return None


def _side_region(tokens: Tokens) -> Region | None:
    region = region_of(tokens)
    return region if region is not None else as_region(reading.item(tokens))


def _ends(group: Token) -> tuple[Form, ...]:
    items = split(group.inner, lambda t: t in (Token("op", ","), Token("op", ";")))
    if len(items) != 2:
        raise Unreadable("an interval has two ends")
    return tuple(Expr(parse_expression(item)) for item in items)


def _domain(name: str, rest: Tokens) -> Region | None:
    marks = [str(t.value) for t in _leaves(rest)]
    said = "".join(mark for mark in marks if mark not in "_^*{}")
    if any(
        t.value not in ("_", "^", "*") and t.kind == "op" and t.value not in "+->" for t in rest
    ):
        return None
    star = "*" in marks
    if said not in ("", "+", "-", "0", "+0", "0+", "ge0", ">0", "le0", "<0"):
        return None
    base: Region = ("domain", name)
    if name == "N":
        return ("domain", "N0") if said in ("0", "ge0") else base
    sign = {
        "+": "positive", ">0": "positive", "-": "negative", "<0": "negative", "+0": "non-negative",
        "0+": "non-negative", "ge0": "non-negative",
    }.get(said)  # fmt: skip
    if sign is None and (star or said):
        sign = "non-zero"
    if sign is None:
        return base
    if name == "Z" and sign in ("positive", "non-negative"):
        return ("domain", "N" if sign == "positive" else "N0")
    return ("and", base, ("domain", sign))


def _leaves(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        if token.kind == "group":
            yield from _leaves(token.inner)
        else:
            yield token


def builder(left: Tokens, right: Tokens) -> Form:
    """Braces with a condition: {x | x > 0}, {2k : k an integer}."""
    base: Region | None = None
    if any(token == Token("cmd", "in") for token in left):
        declared = reading.read_tokens(left)
        if not isinstance(declared, Zone):
            raise Unreadable("a set of elements of no set")
        base, name = declared.region, declared.name
    else:
        named = name_of(left)
        name = named[0][0] if named is not None and len(named[0]) == 1 else None
    stated = clauses.condition(right)
    if name is None:
        return Conditioned(reading.read_tokens(left), (stated,))
    if isinstance(stated, Zone) and stated.name in (None, name):
        region = stated.region if base is None else ("and", base, stated.region)
        return Zone(region, name)
    if isinstance(stated, Solutions | Conditioned):
        return stated
    raise Unreadable("a condition")
