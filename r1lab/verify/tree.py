"""Trees of expressions, as nested tuples: compared, hashed and cached like any value.

``("num", Fraction, places)``, ``("sym", name)``, ``("const", "pi")``, ``("add", a, b)``,
``("fn", name, arguments...)`` and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

Node = tuple[Any, ...]


def num(value: int | Fraction, places: int = 0) -> Node:
    return ("num", Fraction(value), places)


def symbols(node: Node) -> frozenset[str]:
    """The free symbols of a tree."""
    if node[0] == "sym":
        return frozenset((node[1],))
    if node[0] in ("sum", "prod"):
        _, index, low, high, body = node
        return (symbols(body) - {index}) | symbols(low) | symbols(high)
    return frozenset().union(*(symbols(part) for part in node[1:] if isinstance(part, tuple)))


def parts(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for part in node[1:]:
        if isinstance(part, tuple):
            yield from parts(part)


def rename(node: Node, names: dict[str, str]) -> Node:
    """The same tree with symbols renamed."""
    if node[0] == "sym":
        return ("sym", names.get(node[1], node[1]))
    return tuple(rename(part, names) if isinstance(part, tuple) else part for part in node)


def substitute(node: Node, name: str, value: Node) -> Node:
    """The same tree with a tree in a symbol's place."""
    if node == ("sym", name):
        return value
    return tuple(substitute(p, name, value) if isinstance(p, tuple) else p for p in node)
