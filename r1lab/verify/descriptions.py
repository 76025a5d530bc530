"""Sets of numbers described in English: "all positive integers n that are not divisible by 3"."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from r1lab.verify.equivalence import constant
from r1lab.verify.forms import Expr, Form, Many, Solutions, Zone
from r1lab.verify.regions import Region
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.tree import Node, symbols
from r1lab.verify.words import number_word, vocabulary

Tokens = Sequence[Token]

_DOMAINS: dict[str, Region] = {
    word: ("domain", name)
    for name, words in {
        "R": "real reals constant constants arbitrary",
        "Q": "rational rationals",
        "Z": "integer integers whole integral",
        "N": "natural naturals",
        "positive": "positive",
        "negative": "negative",
        "non-negative": "nonnegative",
        "non-zero": "nonzero",
        "even": "even evens",
        "odd": "odd odds",
        "prime": "prime primes",
        "composite": "composite composites",
        "square": "square squares",
        "cube": "cube cubes",
    }.items()
    for word in words.split()
}
_FILLERS = vocabulary(
    """
    all every any each some certain the a an is are be which that such where with for of number
    numbers value values only exactly set satisfying satisfies satisfy must can it perfect form
    exist works work we have holds n't having sufficiently if and precisely those they let
    there condition given solution solutions answer
    """
)  # fmt: skip
_COMPARISONS = {
    ("greater", "than", "or", "equal", "to"): "ge", ("less", "than", "or", "equal", "to"): "le",
    ("greater", "than"): ">", ("larger", "than"): ">", ("bigger", "than"): ">",
    ("more", "than"): ">",
    ("less", "than"): "<", ("smaller", "than"): "<", ("at", "least"): "ge", ("at", "most"): "le",
    ("not", "less", "than"): "ge", ("not", "greater", "than"): "le", ("no", "less", "than"): "ge",
    ("no", "more", "than"): "le", ("not", "exceeding"): "le", ("exceeding",): ">", ("above",): ">",
    ("below",): "<", ("not", "equal", "to"): "ne", ("except", "for"): "ne", ("except",): "ne",
    ("other", "than"): "ne", ("excluding",): "ne", ("but", "not"): "ne",
    ("different", "from"): "ne", ("distinct", "from"): "ne", ("without",): "ne",
}  # fmt: skip
_ZERO = Fraction(0)


_BY_A_NUMBER = {"power", "powers", "multiple", "multiples", "divisible"}


def is_domain_word(words: Sequence[str]) -> bool:
    """Whether words may describe a set of numbers."""
    lower = {word.lower() for word in words}
    return bool(lower & (_DOMAINS.keys() | _BY_A_NUMBER)) and not lower & {"yes", "no", "none"}


def described(tokens: Tokens) -> Zone | None:
    """The region that a phrase describes; ``None`` if it says anything that is not known here."""
    try:
        return _Phrase(tokens).zone()
    except Unreadable:
        return None


class _Phrase:
    def __init__(self, tokens: Tokens):
        self.items = _chunks(tokens)
        if not any(isinstance(item, str) for item in self.items):
            raise Unreadable("no words")
        self.position = 0
        self.name: str | None = None
        self.formed = False
        self.found: list[Region] = []
        self.bare: list[Form] = []

    def zone(self) -> Zone | None:
        predicates = 0
        while self.position < len(self.items):
            item = self.items[self.position]
            if isinstance(item, str):
                region = self.word()
                if region is not None:
                    self.found.append(region)
                    predicates += 1
            else:
                self.position += 1
                self.mathematics(item)
        if not (predicates or self.formed) or not self.found:
            return None
        return Zone(self.found[0] if len(self.found) == 1 else ("and", *self.found), self.name)

    def word(self) -> Region | None:
        """The region that the words at the position describe, which are then behind it."""
        rest = [
            item.lower() if isinstance(item, str) else None for item in self.items[self.position :]
        ]
        for words, operator in _COMPARISONS.items():
            if tuple(rest[: len(words)]) == words:
                self.position += len(words)
                return self.compared(operator)
        word = rest[0]
        if word is None:
            raise Unreadable("no word")
        if word in ("not", "non"):
            self.position += 1
            while self.peek() in ("a", "the", "an", "-"):
                self.position += 1
            region = self.word()
            if region is None:
                raise Unreadable("not what?")
            return ("not", region)
        self.position += 1
        if word in ("divisible", "multiple", "multiples"):
            while self.peek() in ("by", "of"):
                self.position += 1
            return ("congruent", ("sym", "x"), "x", (("num", _ZERO, 0),), self.expression())
        if word in ("power", "powers"):
            if self.peek() == "of":
                self.position += 1
            return ("family", ("pow", self.expression(), ("sym", "k")), "k", ("domain", "N0"))
        if word in _DOMAINS:
            return _DOMAINS[word]
        if word not in _FILLERS:
            raise Unreadable(word)
        return None

    def peek(self) -> str | None:
        if self.position < len(self.items) and isinstance(self.items[self.position], str):
            return str(self.items[self.position]).lower()
        return None

    def expression(self) -> Node:
        item = self.items[self.position] if self.position < len(self.items) else None
        self.position += 1
        if isinstance(item, str) and (value := number_word(item.lower())) is not None:
            return ("num", _ZERO + value, 0)
        if not isinstance(item, list):
            raise Unreadable("a number that is missing")
        form = _read(item)
        if not isinstance(form, Expr) or constant(form.node) is None:
            raise Unreadable("no number")
        return form.node

    def listed(self) -> list[Token] | None:
        """The mathematics at the position, with what "and" joins to it; its last chunk is there."""
        item = self.items[self.position] if self.position < len(self.items) else None
        if not isinstance(item, list):
            return None
        while self.items[self.position + 1 : self.position + 2] in (["and"], ["or"]):
            following = self.items[self.position + 2 : self.position + 3]
            if not following or not isinstance(following[0], list):
                break
            item = [*item, Token("op", ","), *following[0]]
            self.position += 2
        return item

    def compared(self, operator: str) -> Region:
        if operator == "ne" and self.position < len(self.items):
            while (said := self.peek()) is not None and number_word(said) is None:
                region = self.word()  # except powers of 2
                if region is not None:
                    return ("not", region)
            item = self.listed()
            if item is not None:
                form = _read(item)
                points: list[Form] = []
                if isinstance(form, Many) and form.kind in ("list", "set"):
                    points = [*form.items]
                elif isinstance(form, Solutions) and len(form.names) == 1:
                    points = [row[0] for row in form.rows]
                if points:
                    self.position += 1
                    nodes = tuple(point.node for point in points if isinstance(point, Expr))
                    if len(nodes) < len(points):
                        raise Unreadable("all but what?")
                    return ("not", ("points", nodes))
        return ("relation", "x", (("sym", "x"), self.expression()), (operator,))

    def mathematics(self, tokens: list[Token]) -> None:
        from r1lab.verify.combining import as_zone

        if len(tokens) == 1 and tokens[0].kind == "sym":
            self.named(tokens[0].value)
            return
        form = _read(tokens)
        zone = as_zone(form)
        if zone is not None:
            if zone.name is not None:
                self.named(zone.name)
            self.found.append(zone.region)
            return
        before = self.items[self.position - 2] if self.position > 1 else None
        node: Any = None
        if isinstance(form, Solutions) and len(form.names) == 1 and len(form.rows) == 1:
            value = form.rows[0][0]
            self.named(form.names[0])
            node = value.node if isinstance(value, Expr) else None
        elif isinstance(form, Expr) and before in ("form", "of"):
            node = form.node
            self.formed = before == "form"
        names = symbols(node) if node is not None else frozenset()
        if len(names) != 1:
            raise Unreadable("mathematics in a phrase")
        self.found.append(("family", node, next(iter(names)), None))

    def named(self, name: str) -> None:
        if self.name not in (None, name):
            raise Unreadable("two variables")
        self.name = name


def _chunks(tokens: Tokens) -> list[Any]:
    found: list[Any] = []
    for token in tokens:
        if token.kind == "word":
            found.append(token.value.lower())
        elif token == Token("op", "-") and found and isinstance(found[-1], str):
            continue  # non-negative
        elif token == Token("op", ",") and (not found or isinstance(found[-1], str)):
            continue
        elif found and isinstance(found[-1], list):
            found[-1].append(token)
        else:
            found.append([token])
    for index, word in enumerate(found[:-1]):
        if word == "non" and found[index + 1] in ("negative", "zero", "positive"):
            found[index + 1] = "non" + found[index + 1]
            found[index] = "the"
    return found


def _read(tokens: Tokens) -> Form:
    from r1lab.verify.reading import read_tokens

    return read_tokens(tokens)
