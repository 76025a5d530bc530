r"""Mathematical expressions: from tokens to a tree.

A tree is nested tuples, so that trees are compared, hashed and cached like any value:
``("num", Fraction, places)``, ``("sym", name)``, ``("const", "pi")``, ``("add", a, b)``,
``("fn", name, arguments...)`` and so on. What the grammar does not know raises
:class:`~r1lab.verify.tokens.Unreadable`: a guess would be a false verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from r1lab.verify import commands, dots
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.tree import Node, num

#: TeX's own forms of a fraction and a binomial, for all of a group: {n \choose k}.
_BETWEEN = (Token("cmd", "over"), Token("cmd", "choose"))


def parse_expression(tokens: Sequence[Token]) -> Node:
    """The tree of a whole token sequence."""
    at = next((i for i, token in enumerate(tokens) if token in _BETWEEN), None)
    if at is not None:
        top, below = parse_expression(tokens[:at]), parse_expression(tokens[at + 1 :])
        return ("div", top, below) if tokens[at].value == "over" else ("fn", "binom", top, below)
    if dots.DOTS in tokens and (node := _with_dots(tokens)) is not None:
        return node
    reader = Reader(tokens)
    node = reader.whole()
    if reader.peek() is not None:
        raise Unreadable(f"{reader.peek()} after an expression")
    return node


def _with_dots(tokens: Sequence[Token]) -> Node | None:
    for kind, pieces in (("sum", dots.terms(tokens)), ("prod", dots.factors(tokens))):
        if pieces is None:
            continue
        read = [(sign, parse_expression(piece)) for sign, piece in pieces if piece != [dots.DOTS]]
        *written, last = (node if sign > 0 else ("neg", node) for sign, node in read)
        return dots.series(kind, written, last)
    return None


class Reader:
    """Recursive descent over one level of tokens; groups are read by readers of their own."""

    def __init__(self, tokens: Sequence[Token], bars: int = 0):
        self.tokens = tokens
        self.position = 0
        self.bars = bars  # absolute values that are open: the next bar closes one

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def at(self, kind: str, *values: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == kind and token.value in values

    def next(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("an expression that ends early")
        self.position += 1
        return token

    def whole(self) -> Node:
        """A ratio a:b, whose colon binds less than anything else, or just a sum."""
        node = self.sum()
        if self.at("op", ":"):
            self.next()
            return ("div", node, self.sum())
        return node

    def sum(self) -> Node:
        node = self.signed()
        while True:
            if self.at("op", "+", "-"):
                kind = "add" if self.next().value == "+" else "sub"
                node = (kind, node, self.product())
            elif self.at("cmd", "pm", "mp"):
                node = ("add", node, ("pm", self.next().value, self.product()))
            else:
                return node

    def signed(self) -> Node:
        if self.at("op", "-"):
            self.next()
            return ("neg", self.signed())
        if self.at("op", "+"):
            self.next()
            return self.signed()
        if self.at("cmd", "pm", "mp"):
            return ("pm", self.next().value, self.signed())
        return self.product()

    def product(self) -> Node:
        node = self.power()
        while True:
            if self.at("op", "*"):
                self.next()
                node = ("mul", node, self.factor())
            elif self.at("op", "/"):
                self.next()
                node = ("div", node, self.factor())
            elif self.at("cmd", "mod"):
                self.next()
                node = ("fn", "mod", node, self.factor())
            elif self.starts_factor():
                mixed = self.mixed(node)
                node = mixed if mixed is not None else ("mul", node, self.power())
            else:
                return node

    def factor(self) -> Node:
        """What may follow an operator: a power with a sign of its own."""
        if self.at("op", "-"):
            self.next()
            return ("neg", self.factor())
        if self.at("op", "+"):
            self.next()
            return self.factor()
        return self.power()

    def mixed(self, node: Node) -> Node | None:
        r"""A mixed number, ``1\frac{1}{2}`` or ``1 1/2``, once its whole part has been read."""
        if node[0] != "num" or node[2] or not self._previous_is_number():
            return None
        start = self.position
        token = self.peek()
        if token is not None and token.kind == "num":
            top = self.next()
            if self.at("op", "/"):
                self.next()
                below = self.peek()
                if below is not None and below.kind == "num" and not below.inner[0]:
                    self.next()
                    if not top.inner[0] and 0 < top.value < below.value:
                        return num(node[1] + top.value / below.value)
            raise Unreadable("two numbers side by side")
        if token == Token("cmd", "frac"):
            fraction = self.power()
            if (
                fraction[0] == "div"
                and all(part[0] == "num" and not part[2] for part in fraction[1:])
                and 0 < fraction[1][1] < fraction[2][1]
            ):
                return num(node[1] + fraction[1][1] / fraction[2][1])
            self.position = start
        return None

    def _previous_is_number(self) -> bool:
        return self.position > 0 and self.tokens[self.position - 1].kind == "num"

    def starts_factor(self) -> bool:
        token = self.peek()
        if token is None or token.kind in ("word", "begin", "end"):
            return False
        if token.kind == "op":
            return token.value == "|" and not self.bars
        if token.kind == "cmd":
            return token.value in commands.STARTERS
        return True

    def power(self) -> Node:
        node = self.postfix(self.atom())
        if self.at("op", "^"):
            self.next()
            if self.at("cmd", "deg"):
                self.next()
                return self.postfix(("fn", "deg", node))
            if self.at("op", "'"):
                raise Unreadable("a derivative")
            node = self.postfix(("pow", node, self.exponent()))
            if self.at("op", "^"):
                raise Unreadable("two exponents")
        return node

    def exponent(self) -> Node:
        token = self.peek()
        if token is not None and token.kind == "group" and token.value == ("{", "}"):
            self.next()
            if token.inner == (Token("cmd", "deg"),):
                raise Unreadable("degrees in a group")
            return self.inside(token)
        if self.at("op", "-"):
            self.next()
            return ("neg", self.exponent())
        node = self.atom()
        if self.at("op", "^"):  # a tower: 2^3^4
            self.next()
            return ("pow", node, self.exponent())
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            if self.at("op", "!"):
                self.next()
                if self.at("op", "!"):
                    self.next()
                    node = ("fn", "doublefactorial", node)
                else:
                    node = ("fn", "factorial", node)
            elif self.at("op", "%"):
                self.next()
                node = ("div", node, num(100))
            elif self.at("cmd", "deg"):
                self.next()
                node = ("fn", "deg", node)
            else:
                return node

    def inside(self, group: Token) -> Node:
        return parse_expression(group.inner)

    def argument(self) -> Node:
        r"""One argument of a command: a group, or the next single digit or symbol."""
        token = self.peek()
        if token is None:
            raise Unreadable("a missing argument")
        if token.kind == "group" and token.value == ("{", "}"):
            self.next()
            return self.inside(token)
        if token.kind == "num" and not token.inner[0] and token.value >= 10:
            # \frac12 and \sqrt23: LaTeX takes one digit, and leaves the others.
            digits = str(token.value)
            rest = Token("num", Fraction(int(digits[1:])), (0, False, digits[1:]))
            self.tokens = [*self.tokens[: self.position], rest, *self.tokens[self.position + 1 :]]
            return num(int(digits[0]))
        if token.kind in ("num", "sym", "cmd"):
            return self.atom()
        if token.kind == "group" and token.value == ("(", ")"):
            self.next()
            return self.inside(token)
        raise Unreadable("an argument")

    def atom(self) -> Node:
        token = self.next()
        if token.kind == "num":
            node = ("num", token.value, token.inner[0])
            if self.at("cmd", "overline", "dots"):
                return commands.repeating(self, token)
            return commands.based(self, node) if self.at("op", "_") else node
        if token.kind == "sym":
            return commands.symbol(self, token.value)
        if token.kind == "group":
            return self.bracket(token)
        if token.kind == "op" and token.value == "|":
            reader = Reader(self.tokens[self.position :], self.bars + 1)
            node = reader.sum()
            if not reader.at("op", "|"):
                raise Unreadable("a bar that is never closed")
            self.position += reader.position + 1
            return ("fn", "abs", node)
        if token.kind == "cmd":
            return commands.command(self, token.value)
        raise Unreadable(str(token))

    def bracket(self, token: Token) -> Node:
        if token.value in commands.BRACKETS:
            return self.inside(token)
        if token.value == ("lfloor", "rfloor"):
            return ("fn", "floor", self.inside(token))
        if token.value == ("lceil", "rceil"):
            return ("fn", "ceil", self.inside(token))
        raise Unreadable("a bracket of another kind")
