r"""From tokens to forms: lists, sets, tuples, intervals, equations, solutions.

Mathematics is read here; what has words in it goes to :mod:`r1lab.verify.phrases` and comes back
for its mathematical parts.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from r1lab.verify import groups, phrases, relations
from r1lab.verify.combining import all_of, any_of
from r1lab.verify.commands import ONE_ARGUMENT
from r1lab.verify.expression import parse_expression
from r1lab.verify.forms import (
    Expr,
    Form,
    Many,
    Quantity,
    Zone,
)
from r1lab.verify.splitting import Tokens, is_comma, is_modulus, is_or, split, trim
from r1lab.verify.tokens import Token, Unreadable, tokenize

_LABEL = re.compile(r"(?:^|(?<=[\s,;.\d})\]]))\s*(?:[Pp]art\s*)?\(?([a-e]|[1-5]|i{1,3})\)\s*:?")
_LABELS = [[*"abcde"], [*"12345"], ["i", "ii", "iii"]]
_DEGREES = ("degree", 1)
_PERCENT = ("percent", 1)


@lru_cache(maxsize=2048)
def read(body: str) -> Form:
    """The form of a normalised answer; raises :class:`~r1lab.verify.tokens.Unreadable`."""
    labelled = parts_of(body)
    if labelled:
        return Many("row", tuple(read_tokens(tokenize(part)) for part in labelled))
    return read_tokens(tokenize(body))


def parts_of(body: str) -> list[str]:
    """The answers of a question with parts: "(a) 5, (b) 7"."""
    labels = [*_LABEL.finditer(body)]
    if len(labels) < 2 or labels[0].start() > 0:
        return []
    said = [label[1] for label in labels]
    if not any(said == names[: len(said)] for names in _LABELS):
        return []
    ends = [*(label.start() for label in labels[1:]), len(body)]
    parts = [body[label.end() : end] for label, end in zip(labels, ends, strict=True)]
    return parts if all(part.strip(" ,;.") for part in parts) else []


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
        return groups.braces(inner)
    if any(_is_said(token) for token in tokens):
        return phrases.read_words(tokens)
    return read_mathematics(tokens)


def read_mathematics(tokens: Tokens) -> Form:
    """Alternatives, each a list of items."""
    tokens = trim(tokens)
    related = [t.value for t in tokens if (t.kind, t.value) in relations.RELATIONS]
    if related in (["equiv"], ["nequiv"]) and any(map(is_modulus, tokens)):
        return relations.relation(tokens)
    tokens, restriction = relations.restricted(tokens)
    if restriction is not None:
        return all_of([read_tokens(tokens), restriction])
    alternatives = split(tokens, is_or)
    if len(alternatives) > 1:
        return any_of([read_tokens(part) for part in relations.with_modulus(alternatives)])
    items = split(tokens, is_comma)
    if len(items) > 3 and (run := groups.progression(tokens)) is not None:
        return run
    if len(items) > 1:
        return all_of([read_tokens(part) for part in relations.with_modulus(items)])
    return item(tokens)


def _is_said(token: Token) -> bool:
    """A word that means something, or a remark in brackets."""
    if token.kind == "group" and token.value[0] in ("(", "["):
        return bool(token.inner) and token.inner[0].kind == "word"
    return token.kind == "word" and token.value.lower() not in ("and", "or")


def item(tokens: Tokens) -> Form:
    """One thing: a relation, a quantity, a region, a group or an expression."""
    if any((token.kind, token.value) in relations.RELATIONS for token in tokens):
        return relations.relation(tokens)
    dividing = relations.divisibility(tokens)
    if dividing is not None:
        return dividing
    if tokens[-1] == Token("op", "%"):
        return Quantity(item(tokens[:-1]), _PERCENT)  # type: ignore[arg-type]
    angular = any(t.kind == "cmd" and t.value in ONE_ARGUMENT for t in tokens)
    if len(tokens) > 1 and tokens[-1] == Token("cmd", "deg") and not angular:
        end = -2 if tokens[-2] == Token("op", "^") else -1
        return Quantity(item(tokens[:end]), _DEGREES)  # type: ignore[arg-type]
    if len(tokens) > 3 and tokens[-2] == Token("cmd", "deg") and tokens[-1].value in ("C", "F"):
        return Quantity(item(tokens[:-3]), (f"degree {tokens[-1].value}", 1))  # type: ignore[arg-type]
    points = groups.union(tokens)
    if points is not None:
        return points
    region = groups.region_of(tokens)
    if region is not None:
        return Zone(region)
    if len(tokens) == 1 and tokens[0].kind == "group":
        return groups.group(tokens[0])
    last = tokens[-1]
    if last.kind == "group" and last.value[0] == "begin" and last.value[1].endswith("matrix"):
        return groups.scaled(parse_expression(tokens[:-1]), groups.group(last))
    if tokens[0].kind == "cmd" and tokens[0].value == "pm" and len(tokens) == 2:
        form = item(tokens[1:])
        if isinstance(form, Many) and form.kind == "tuple":
            return Many("list", (form, groups.scaled(("num", Fraction(-1), 0), form)))
    if any(token == Token("op", ":") for token in tokens):
        sides = split(tokens, lambda token: token == Token("op", ":"))
        if len(sides) > 2:
            return Many("ratio", tuple(item(side) for side in sides))
    if groups.is_point(tokens):
        return groups.group(tokens[1])  # a named point: A(1, 2)
    return groups.expanded(Expr(parse_expression(tokens)))
