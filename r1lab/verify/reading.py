r"""From tokens to forms: lists, sets, tuples, intervals, equations, solutions.

Mathematics is read here; what has words in it goes to :mod:`r1lab.verify.phrases` and comes back for
its mathematical parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from r1lab.verify import phrases
from r1lab.verify.combining import all_of, any_of, solved
from r1lab.verify.equivalence import constant, equal_expressions
from r1lab.verify.expression import Node, parse_expression, parts, symbols
from r1lab.verify.forms import (
    Expr,
    Form,
    Many,
    Matrix,
    Quantity,
    Relation,
    Solutions,
    Text,
    Zone,
)
from r1lab.verify.regions import EMPTY, Region
from r1lab.verify.tokens import Token, Unreadable, tokenize

Tokens = Sequence[Token]

_RELATIONS = {
    ("op", "="): "=", ("op", "<"): "<", ("op", ">"): ">", ("cmd", "le"): "le", ("cmd", "ge"): "ge",
    ("cmd", "ne"): "ne", ("cmd", "in"): "in", ("cmd", "notin"): "notin", ("cmd", "equiv"): "equiv",
    ("cmd", "approx"): "approx",
}  # fmt: skip
_ORDERS = frozenset(("<", ">", "le", "ge", "ne"))
_DOMAINS = {"R": "R", "Z": "Z", "N": "N", "Q": "Q"}
_PUNCTUATION = frozenset(".,;:&?")
_DEGREES = ("degree", 1)
_PERCENT = ("percent", 1)


@lru_cache(maxsize=2048)
def read(body: str) -> Form:
    """The form of a normalised answer; raises :class:`~r1lab.verify.tokens.Unreadable`."""
    return read_tokens(tokenize(body))


def read_tokens(tokens: Tokens) -> Form:
    tokens = trim(tokens)
    if not tokens:
        raise Unreadable("nothing")
    if len(tokens) == 1 and _is_said(tokens[0]) and tokens[0].kind == "group":
        return read_tokens(tokens[0].inner)
    if len(tokens) == 1 and tokens[0].kind == "group" and tokens[0].value == ("{", "}"):
        inner = tokens[0].inner
        if not any(token == Token("op", ",") for token in inner):
            return read_tokens(inner)
        return _set(inner)
    if any(_is_said(token) for token in tokens):
        return phrases.read_words(tokens)
    return read_mathematics(tokens)


def read_mathematics(tokens: Tokens) -> Form:
    """Alternatives, each a list of items."""
    tokens = trim(tokens)
    if sum(token == Token("cmd", "equiv") for token in tokens) == 1 and any(map(is_modulus, tokens)):
        return _relation(tokens)
    alternatives = split(tokens, is_or)
    if len(alternatives) > 1:
        return any_of([read_tokens(part) for part in alternatives])
    items = split(tokens, is_comma)
    if len(items) > 1:
        return all_of([read_tokens(part) for part in items])
    return _item(tokens)


def _is_said(token: Token) -> bool:
    """A word that means something, or a remark in brackets."""
    if token.kind == "group" and token.value[0] in ("(", "["):
        return bool(token.inner) and token.inner[0].kind == "word"
    return token.kind == "word" and token.value.lower() not in ("and", "or")


def split(tokens: Tokens, separator: object) -> list[Tokens]:
    """The runs of tokens between separators, empty ones left out."""
    found: list[list[Token]] = [[]]
    for token in tokens:
        if separator(token):  # type: ignore[operator]
            found.append([])
        else:
            found[-1].append(token)
    return [part for part in found if part]


def is_or(token: Token) -> bool:
    return token in (Token("op", ";"), Token("op", "\\\\")) or (
        token.kind == "word" and token.value.lower() == "or"
    )


def is_comma(token: Token) -> bool:
    return token in (Token("op", ","), Token("op", "&")) or (
        token.kind == "word" and token.value.lower() == "and"
    )


def is_modulus(token: Token) -> bool:
    r"""``\pmod{4}``, ``(mod 4)`` or ``mod 4``."""
    if token.kind == "group":
        return bool(token.inner) and is_modulus(token.inner[0])
    return token.value in ("pmod", "mod", "modulo")


def trim(tokens: Tokens) -> Tokens:
    """Without punctuation at either end."""
    start, end = 0, len(tokens)
    while start < end and tokens[start].kind == "op" and tokens[start].value in _PUNCTUATION:
        start += 1
    while end > start and tokens[end - 1].kind == "op" and tokens[end - 1].value in _PUNCTUATION:
        end -= 1
    return tokens[start:end]


def _item(tokens: Tokens) -> Form:
    if any((token.kind, token.value) in _RELATIONS for token in tokens):
        return _relation(tokens)
    if tokens[-1] == Token("op", "%"):
        return Quantity(_item(tokens[:-1]), _PERCENT)  # type: ignore[arg-type]
    if len(tokens) > 1 and tokens[-1] == Token("cmd", "deg"):
        end = -2 if tokens[-2] == Token("op", "^") else -1
        return Quantity(_item(tokens[:end]), _DEGREES)  # type: ignore[arg-type]
    if len(tokens) > 3 and tokens[-2] == Token("cmd", "deg") and tokens[-1].value in ("C", "F"):
        return Quantity(_item(tokens[:-3]), (f"degree {tokens[-1].value}", 1))  # type: ignore[arg-type]
    region = _region(tokens)
    if region is not None:
        return Zone(region)
    if len(tokens) == 1 and tokens[0].kind == "group":
        return _group(tokens[0])
    if any(token == Token("op", ":") for token in tokens):
        sides = split(tokens, lambda token: token == Token("op", ":"))
        if len(sides) > 2:
            return Many("ratio", tuple(_item(side) for side in sides))
    if len(tokens) == 2 and tokens[1].kind == "group" and tokens[1].value == ("(", ")"):
        if _point_name(tokens):
            return _group(tokens[1])  # a named point: A(1, 2)
    return expanded(Expr(parse_expression(tokens)))


def _point_name(tokens: Tokens) -> bool:
    name, group = tokens
    commas = sum(token == Token("op", ",") for token in group.inner)
    return name.kind == "sym" and name.value.isupper() and name.value not in "CPA" and commas > 0


def expanded(form: Form) -> Form:
    r"""``1 \pm \sqrt{2}`` is two values; all signs of one expression go together."""
    if not isinstance(form, Expr) or not any(part[0] == "pm" for part in parts(form.node)):
        return form
    return Many("list", tuple(Expr(_signed(form.node, sign)) for sign in (1, -1)))


def _signed(node: Node, sign: int) -> Node:
    if node[0] == "pm":
        positive = (node[1] == "pm") == (sign > 0)
        inner = _signed(node[2], sign)
        return inner if positive else ("neg", inner)
    return tuple(_signed(part, sign) if isinstance(part, tuple) else part for part in node)


def _group(token: Token) -> Form:
    opened, closed = token.value
    if opened == "begin":
        return _environment(closed, token.inner)
    if opened == "\\{" or (opened == "{" and any(t == Token("op", ",") for t in token.inner)):
        return _set(token.inner)
    items = split(token.inner, lambda t: t in (Token("op", ","), Token("op", ";")))
    if len(items) < 2 or opened in ("lfloor", "lceil"):
        if opened == "[" or opened == "langle":
            return Many("tuple", (read_tokens(token.inner),), (opened, closed))
        if opened == "(" and len(items) == 1:
            return read_tokens(token.inner)
        return expanded(Expr(parse_expression((token,))))
    values = tuple(read_tokens(item) for item in items)
    doubled = [i for i, value in enumerate(values) if _is_plus_minus(items[i], value)]
    if len(doubled) == 1 and isinstance(both := values[doubled[0]], Many):
        index = doubled[0]
        rows = ((*values[:index], one, *values[index + 1 :]) for one in both.items)
        return Many("list", tuple(Many("tuple", row, (opened, closed)) for row in rows))
    return Many("tuple", values, (opened, closed))


def _is_plus_minus(tokens: Tokens, value: Form) -> bool:
    return isinstance(value, Many) and any(t.value in ("pm", "mp") for t in tokens)


def _set(inner: Tokens) -> Form:
    """The content of braces: elements, or a condition on one."""
    bars = [i for i, t in enumerate(inner) if t in (Token("op", "|"), Token("op", ":"))]
    if len(bars) == 1 and bars[0] > 0:
        return phrases.builder(inner[: bars[0]], inner[bars[0] + 1 :])
    if not inner:
        return Zone(EMPTY)
    values = read_tokens(inner)
    if isinstance(values, Many) and values.kind == "list":
        return Many("set", values.items)
    return Many("set", (values,))


def _environment(name: str, inner: Tokens) -> Form:
    if name.startswith(("array", "aligned", "align", "cases", "gathered", "split")):
        if name.startswith("array") and inner and inner[0].kind == "group":
            inner = inner[1:]
        rows = [
            phrases.piece(row) if name.startswith(("cases", "array")) else read_tokens(row)
            for row in split(inner, lambda t: t == Token("op", "\\\\"))
        ]
        return all_of(rows) if len(rows) > 1 else rows[0]
    if not name.endswith("matrix"):
        raise Unreadable(f"environment {name}")
    matrix = tuple(
        tuple(read_tokens(cell) for cell in split(row, lambda t: t == Token("op", "&")))
        for row in split(inner, lambda t: t == Token("op", "\\\\"))
    )
    if not matrix or len({len(row) for row in matrix}) > 1:
        raise Unreadable("a ragged matrix")
    return Matrix(matrix, name.startswith(("v", "V")))


def _region(tokens: Tokens) -> Region | None:
    """Intervals, domains and what unions and differences make of them; ``None`` for no region."""
    for mark, kind in (("cup", "or"), ("cap", "and"), ("setminus", "minus")):
        sides = split(tokens, lambda token, mark=mark: token == Token("cmd", mark))
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
            return phrases.as_region(Many("tuple", _ends(tokens[0]), (opened, closed)))
        return None
    first, rest = tokens[0], tokens[1:]
    if first == Token("cmd", "emptyset") and not rest:
        return EMPTY
    if first.kind == "cmd" and first.value in _DOMAINS:
        return _domain(_DOMAINS[first.value], rest)
    return None


def _side_region(tokens: Tokens) -> Region | None:
    region = _region(tokens)
    return region if region is not None else phrases.as_region(_item(tokens))


def _ends(group: Token) -> tuple[Form, ...]:
    items = split(group.inner, lambda t: t in (Token("op", ","), Token("op", ";")))
    if len(items) != 2:
        raise Unreadable("an interval has two ends")
    return tuple(Expr(parse_expression(item)) for item in items)


def _domain(name: str, rest: Tokens) -> Region | None:
    marks = [str(t.value) for t in _leaves(rest)]
    said = "".join(mark for mark in marks if mark not in "_^*{}")
    if any(t.value not in ("_", "^", "*") and t.kind == "op" and t.value not in "+->" for t in rest):
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


def _relation(tokens: Tokens) -> Form:
    sides: list[list[Token]] = [[]]
    operators: list[str] = []
    for token in tokens:
        operator = _RELATIONS.get((token.kind, token.value)) if token.kind != "group" else None
        if operator is None:
            sides[-1].append(token)
        else:
            sides.append([])
            operators.append(operator)
    if any(not side for side in sides):
        if len(operators) == 1 and operators[0] in ("=", "approx") and not sides[0]:
            return read_tokens(sides[1])  # "= 5"
        raise Unreadable("a relation without a side")
    if "approx" in operators:
        # What follows rounds what stands before, unless that is only a name.
        cut = operators.index("approx")
        if cut == 0 and phrases.name_of(sides[0]) is not None:
            operators[0] = "="
        else:
            sides, operators = sides[: cut + 1], operators[:cut]
        return _relation_of(sides, operators)
    return _relation_of(sides, operators)


def _relation_of(sides: list[list[Token]], operators: list[str]) -> Form:
    if not operators:
        return read_tokens(sides[0])
    if "equiv" in operators:
        return phrases.congruence(sides, operators)
    if operators[-1] in ("in", "notin"):
        return _membership(sides, operators)
    if all(operator == "=" for operator in operators):
        return _equation(sides)
    nodes = tuple(parse_expression(side) for side in sides)
    return Relation(nodes, tuple(operators))


def _membership(sides: list[list[Token]], operators: list[str]) -> Form:
    right = read_tokens(sides[-1])
    if len(operators) > 1:
        raise Unreadable("a chain of memberships")
    names = [phrases.name_of(part) for part in split(sides[0], is_comma)]
    if operators[0] == "notin":
        region = phrases.as_region(right)
        if region is None or names[0] is None:
            raise Unreadable("outside of no region")
        return Zone(("not", region), names[0][0][0])
    if len(names) == 1 and names[0] is not None:
        if isinstance(right, Many) and right.kind in ("set", "list"):
            return solved(names[0], right, several=True)
        region = phrases.as_region(right)
        if region is not None and len(names[0][0]) == 1:
            return Zone(region, names[0][0][0])
    elif all(name is not None for name in names) and isinstance(right, Zone):
        return Text(("declared",))  # "a, b in Z" says nothing that can be compared
    raise Unreadable("a membership")


def _equation(sides: list[list[Token]]) -> Form:
    names = [phrases.name_of(side) for side in sides]
    last = sides[-1]
    heads = []
    for name in names[:-1]:
        if name is None or name[0][0] in [head[0][0] for head in heads]:
            break
        heads.append(name)
    if names[-1] is None or not heads or names[-1][0][0][0] == "@":
        if heads:
            value = read_tokens(last)
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
        return solved(heads[0], read_tokens(last))  # f(x) = x
    return Relation(tuple(parse_expression(side) for side in sides), ("=",) * (len(sides) - 1))

