r"""Sums and products written with dots: ``1 + 2 + \dots + n`` and ``1 \cdot 3 \cdots (2n - 1)``.

The last term is the general one. It is believed if it also gives the terms that are written out.
"""

from __future__ import annotations

from collections.abc import Sequence

from r1lab.verify.equivalence import equal_expressions
from r1lab.verify.tokens import Token
from r1lab.verify.tree import Node, num, substitute, symbols

Signed = tuple[int, list[Token]]

DOTS = Token("cmd", "dots")
#: Where a series may begin.
_STARTS = range(-1, 4)
_COUNTERS = frozenset("nmkNMK")
_INDEX = "the index"


def terms(tokens: Sequence[Token]) -> list[Signed] | None:
    """The terms of a sum, each with its sign, if dots are one of them."""
    found: list[Signed] = [(1, [])]
    for before, token in zip([None, *tokens], tokens, strict=False):
        sign = {"+": 1, "-": -1}.get(token.value) if token.kind == "op" else None
        if sign is None or (before is not None and before.kind == "op" and before.value != "!"):
            found[-1][1].append(token)
        else:
            found.append((sign, []))
    found = [term for term in found if term[1]]
    return found if _in_the_middle([term == [DOTS] for _, term in found]) else None


def factors(tokens: Sequence[Token]) -> list[Signed] | None:
    """The factors of a product, if dots are among them."""
    found: list[list[Token]] = [[]]
    for token in tokens:
        if token == Token("op", "*"):
            found.append([])
        elif token == DOTS:
            found.extend([[DOTS], []])
        else:
            found[-1].append(token)
    found = [factor for factor in found if factor]
    middle = _in_the_middle([factor == [DOTS] for factor in found])
    return [(1, factor) for factor in found] if middle else None


def series(kind: str, written: Sequence[Node], last: Node) -> Node | None:
    """The sum or product (``kind`` sum or prod) whose general term is the last one."""
    for name in sorted(symbols(last) & _COUNTERS):
        for start in _STARTS:
            general = [substitute(last, name, num(start + i)) for i in range(len(written))]
            if all(equal_expressions(*pair) for pair in zip(written, general, strict=True)):
                term = substitute(last, name, ("sym", _INDEX))
                return (kind, _INDEX, num(start), ("sym", name), term)
    return None


def _in_the_middle(marks: Sequence[bool]) -> bool:
    """Whether dots stand before the last of at least three others."""
    return len(marks) > 3 and [i for i, mark in enumerate(marks) if mark] == [len(marks) - 2]
