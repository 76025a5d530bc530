"""The left sides of equations: what they are said to be about."""

from __future__ import annotations

from r1lab.verify.combining import Name
from r1lab.verify.expression import parse_expression
from r1lab.verify.splitting import Tokens, is_comma, split, trim
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.words import EXTREMES

_TUPLES = (("(", ")"), ("\\{", "\\}"), ("langle", "rangle"))
_MARKS = ("angle", "triangle", "max", "min", "overline", "Delta", "det", "widehat")


def name_of(tokens: Tokens) -> Name | None:
    """The unknowns that the left side of an equation names, and a function's bound variables."""
    tokens = trim(tokens)
    if not tokens:
        return None
    if len(tokens) == 1 and tokens[0].kind == "group" and tokens[0].value in _TUPLES:
        names = [name_of(part) for part in split(tokens[0].inner, is_comma)]
        if all(name is not None and len(name[0]) == 1 and not name[1] for name in names):
            return tuple(name[0][0] for name in names if name is not None), ()
        return None
    first = tokens[0]
    if first == Token("op", "|") and not all(t.value == "|" or t.value.isupper() for t in tokens):
        return None  # |z| is no name, |AB| is
    if first.kind == "word" or first == Token("op", "|"):
        plain_words = all(t.kind in ("word", "sym", "group") or t.value in "|-,'" for t in tokens)
        return (("@" + _spelt(tokens),), ()) if plain_words else None
    if first.kind == "cmd" and first.value in _MARKS:
        return ("@" + _spelt(tokens),), ()
    try:
        node = parse_expression(tokens[:3]) if first.kind in ("sym", "cmd") else None
    except Unreadable:
        node = None
    if len(tokens) == 2 and first.kind == "sym" and tokens[1].kind == "group":
        inner = split(tokens[1].inner, is_comma)
        if tokens[1].value == ("(", ")") and all(len(i) == 1 and i[0].kind == "sym" for i in inner):
            return (first.value,), tuple(i[0].value for i in inner)
        return (("@" + _spelt(tokens),), ()) if tokens[1].value != ("{", "}") else None
    if len(tokens) > 1 and all(t.kind == "sym" and t.value.isupper() for t in tokens):
        return ("@" + _spelt(tokens),), ()
    if node is not None and node[0] == "sym" and len(tokens) in (1, 2, 3):
        complete = len(tokens) == 1 or tokens[1] in (Token("op", "_"), Token("op", "'"))
        return ((node[1],), ()) if complete else None
    if node is not None and node[0] == "const" and len(tokens) == 1 and node[1] in ("e", "i"):
        return (node[1],), ()
    return None


def _spelt(tokens: Tokens) -> str:
    said = (_spelt(t.inner) if t.kind == "group" else str(t.value).lower() for t in tokens)
    return " ".join(EXTREMES.get(word, word) for word in said)
