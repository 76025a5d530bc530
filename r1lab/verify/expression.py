r"""Mathematical expressions: from tokens to a tree.

A tree is nested tuples, so that trees are compared, hashed and cached like any value:
``("num", Fraction, places)``, ``("sym", name)``, ``("const", "pi")``, ``("add", a, b)``,
``("fn", name, arguments...)`` and so on. What the grammar does not know raises
:class:`~r1lab.verify.tokens.Unreadable`: a guess would be a false verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from r1lab.verify.tokens import Token, Unreadable

Node = tuple[Any, ...]

ONE_ARGUMENT = frozenset(
    ["sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "ln", "lg", "log", "exp", "floor", "ceil", "abs", "sgn"]
)
_MANY_ARGUMENTS = frozenset(("max", "min", "gcd", "lcm"))
_GREEK = frozenset(
    ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega", "Pi", "ell", "hbar", "aleph"]
)
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot"}
#: Letters that name a function when a bracket follows.
_FUNCTION_LETTERS = frozenset("fghFGHPQ")
_BRACKETS = frozenset((("(", ")"), ("[", "]"), ("{", "}")))


def num(value: int | Fraction, places: int = 0) -> Node:
    return ("num", Fraction(value), places)


def parse_expression(tokens: Sequence[Token]) -> Node:
    """The tree of a whole token sequence."""
    reader = _Reader(tokens)
    node = reader.sum()
    if reader.peek() is not None:
        raise Unreadable(f"{reader.peek()} after an expression")
    return node


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


class _Reader:
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
            elif self.at("op", "/", ":"):
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
            return token.value in _STARTERS
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
        reader = _Reader(group.inner)
        node = reader.sum()
        if reader.peek() is not None:
            raise Unreadable("several things in a bracket")
        return node

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
            rest = Token("num", Fraction(int(digits[1:])), (0, False))
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
            return self.based(node) if self.at("op", "_") else node
        if token.kind == "sym":
            return self.symbol(token.value)
        if token.kind == "group":
            return self.bracket(token)
        if token.kind == "op" and token.value == "|":
            reader = _Reader(self.tokens[self.position :], self.bars + 1)
            node = reader.sum()
            if not reader.at("op", "|"):
                raise Unreadable("a bar that is never closed")
            self.position += reader.position + 1
            return ("fn", "abs", node)
        if token.kind == "cmd":
            return self.command(token.value)
        raise Unreadable(str(token))

    def based(self, node: Node) -> Node:
        """Digits in a number base: 101_2, whose base is part of the answer."""
        self.next()
        token = self.next()
        base = token.inner[0] if token.kind == "group" and len(token.inner) == 1 else token
        if base.kind == "group" and len(base.inner) == 1:
            base = base.inner[0]
        if base.kind == "word" and base.value in ("two", "eight", "ten", "twelve", "sixteen"):
            return ("based", node[1], base.value)
        if base.kind != "num":
            raise Unreadable("a subscript of a number")
        return ("based", node[1], base.value)

    def bracket(self, token: Token) -> Node:
        if token.value in _BRACKETS:
            if len(token.inner) >= 3:
                split = next((i for i, t in enumerate(token.inner) if t.value == "choose"), None)
                if split is not None:
                    top, below = token.inner[:split], token.inner[split + 1 :]
                    return ("fn", "binom", parse_expression(top), parse_expression(below))
            return self.inside(token)
        if token.value == ("lfloor", "rfloor"):
            return ("fn", "floor", self.inside(token))
        if token.value == ("lceil", "rceil"):
            return ("fn", "ceil", self.inside(token))
        raise Unreadable("a bracket of another kind")

    def symbol(self, name: str) -> Node:
        if self.at("op", "_"):
            self.next()
            sub = self.next()
            name += "_" + _spell((sub,))
            if name[0] == "C" and self.at("op", "^"):  # C_n^k, as much of the world writes it
                self.next()
                return ("fn", "binom", _single(sub), self.exponent())
        elif name == "C" and self.at("op", "^") and self._combination():
            self.next()
            top = self.exponent()
            self.next()
            return ("fn", "binom", _single(self.next()), top)
        while self.at("op", "'"):
            self.next()
            name += "'"
        token = self.peek()
        if token is not None and token.kind == "group" and token.value == ("(", ")"):
            if name in ("C", "P", "A") and len(arguments := _commas(token.inner)) == 2:
                self.next()
                n, k = (parse_expression(argument) for argument in arguments)
                binomial = ("fn", "binom", n, k)
                return binomial if name == "C" else ("mul", binomial, ("fn", "factorial", k))
            if name[0] in _FUNCTION_LETTERS:
                self.next()
                arguments = _commas(token.inner)
                return ("call", name, *(parse_expression(argument) for argument in arguments))
        if name == "e":
            return ("const", "e")
        if name == "i":
            return ("const", "i")
        return ("sym", name)

    def _combination(self) -> bool:
        after = self.peek(2)
        return after == Token("op", "_")

    def command(self, name: str) -> Node:
        if name == "frac":
            top = self.argument()
            return ("div", top, self.argument())
        if name == "binom":
            top = self.argument()
            return ("fn", "binom", top, self.argument())
        if name == "sqrt":
            index: Node | None = None
            token = self.peek()
            if token is not None and token.kind == "group" and token.value == ("[", "]"):
                self.next()
                index = self.inside(token)
            body = self.argument()
            return ("fn", "sqrt", body) if index is None else ("fn", "root", body, index)
        if name == "pi":
            return ("const", "pi")
        if name == "infty":
            return ("const", "oo")
        if name in ("overline", "dot"):
            raise Unreadable("a bar over digits")
        if name in _GREEK or name in ("i", "R", "N"):
            return self.symbol(name if name != "i" else "i")
        if name in ("sum", "prod"):
            return self.series(name)
        if name in ("angle", "triangle"):
            return self.symbol(name + _spell((self.next(),)))
        if name in _MANY_ARGUMENTS:
            group = self.next()
            if group.kind != "group":
                raise Unreadable("a function without brackets")
            return ("fn", name, *(parse_expression(part) for part in _commas(group.inner)))
        if name in ONE_ARGUMENT:
            return self.function(name)
        raise Unreadable(f"command {name}")

    def function(self, name: str) -> Node:
        base: Node | None = None
        power: Node | None = None
        while self.at("op", "_", "^"):
            if self.next().value == "_":
                base = self.argument_of_script()
            else:
                power = self.exponent()
        token = self.peek()
        if token is not None and token.kind == "group" and token.value in _BRACKETS:
            self.next()
            body = self.inside(token)
            if self.at("op", "^") and token.value == ("(", ")"):
                self.next()
                body = ("pow", body, self.exponent()) if name not in _INVERSES else body
                if name in _INVERSES:
                    raise Unreadable("a power after a function's bracket")
        else:
            body = self.run_of_factors()
        if power == ("neg", num(1)) and name in _INVERSES:
            name, power = _INVERSES[name], None
        node: Node = ("fn", name, body) if base is None else ("fn", name, body, base)
        return node if power is None else ("pow", node, power)

    def argument_of_script(self) -> Node:
        token = self.peek()
        if token is not None and token.kind == "num":
            self.next()
            return ("num", token.value, token.inner[0])
        return self.argument()

    def run_of_factors(self) -> Node:
        r"""The argument of a function without brackets: ``2x`` in ``\sin 2x \cos x``."""
        if self.at("op", "-"):
            self.next()
            return ("neg", self.run_of_factors())
        node = self.power()
        while True:
            token = self.peek()
            plain = token is not None and (
                token.kind in ("sym", "num")
                or (token.kind == "cmd" and token.value in _GREEK | {"pi", "frac", "sqrt"})
            )
            if plain:
                node = ("mul", node, self.power())
            elif self.at("op", "/") and self.peek(1) is not None and self.peek(1).kind == "num":  # type: ignore[union-attr]
                self.next()
                node = ("div", node, self.power())
            else:
                return node

    def series(self, name: str) -> Node:
        low: Sequence[Token] = ()
        high: Node | None = None
        while self.at("op", "_", "^"):
            if self.next().value == "_":
                group = self.next()
                low = group.inner if group.kind == "group" else ()
            else:
                high = self.exponent()
        if high is None or len(low) < 3 or low[0].kind != "sym" or low[1] != Token("op", "="):
            raise Unreadable("a series without its bounds")
        body = self.product()
        index = low[0].value
        if index == "i":
            body = _index_i(body)
        return (name, index, parse_expression(low[2:]), high, body)


_STARTERS = (
    ONE_ARGUMENT
    | _MANY_ARGUMENTS
    | _GREEK
    | {"frac", "binom", "sqrt", "pi", "infty", "sum", "prod", "i", "angle", "triangle"}
)


def _commas(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    found: list[list[Token]] = [[]]
    for token in tokens:
        if token == Token("op", ","):
            found.append([])
        else:
            found[-1].append(token)
    return list(found)


def _single(token: Token) -> Node:
    return parse_expression(token.inner if token.kind == "group" else (token,))


def _spell(tokens: Sequence[Token]) -> str:
    """Tokens as a name's subscript."""
    spelt = (_spell(t.inner) if t.kind == "group" else str(t.value) for t in tokens)
    return "".join(spelt)


def _index_i(node: Node) -> Node:
    """The letter i counts inside a series that runs over it."""
    if node == ("const", "i"):
        return ("sym", "i")
    return tuple(_index_i(part) if isinstance(part, tuple) else part for part in node)
