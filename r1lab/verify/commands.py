r"""What symbols and commands stand for in an expression: functions, fractions, series, C_n^k."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from r1lab.verify import expression
from r1lab.verify.tokens import Token, Unreadable
from r1lab.verify.tree import Node, num
from r1lab.verify.words import vocabulary

if TYPE_CHECKING:
    from r1lab.verify.expression import Reader

ONE_ARGUMENT = vocabulary(
    """
    sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh ln lg log exp floor
    ceil abs sgn
    """
)
_MANY_ARGUMENTS = frozenset(("max", "min", "gcd", "lcm"))
_GREEK = vocabulary(
    """
    alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi
    chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega Pi ell hbar aleph
    """
)
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot"}
#: Letters that name a function when a bracket follows.
_FUNCTION_LETTERS = frozenset("fgFG")
STARTERS = (
    ONE_ARGUMENT
    | _MANY_ARGUMENTS
    | _GREEK
    | {"frac", "binom", "sqrt", "pi", "infty", "sum", "prod", "i", "angle", "triangle"}
)
BRACKETS = frozenset((("(", ")"), ("[", "]"), ("{", "}")))


def repeating(reader: Reader, token: Token) -> Node:
    r"""``0.1\overline{6}``, and ``0.333\dots`` where the digits show what repeats."""
    written, places = token.value, token.inner[0]
    kind = reader.next().value
    if kind == "overline":
        group = reader.next()
        inner = group.inner[0] if group.kind == "group" and len(group.inner) == 1 else group
        if inner.kind != "num" or inner.inner[0]:
            raise Unreadable("a bar over digits")
        period = inner.inner[2]
        shift = Fraction(int(period), (10 ** len(period) - 1) * 10**places)
        return num(written + shift)
    digits = str(int(written * 10**places)).zfill(places)[-places:] if places else ""
    for length in range(1, len(digits) // 2 + 1):
        period = digits[-length:]
        if digits.endswith(period * max(2, 3 if length < 3 else 2)):
            shift = Fraction(int(period), (10**length - 1) * 10**places)
            return num(written + shift)
    raise Unreadable("a decimal that goes on")


def based(reader: Reader, node: Node) -> Node:
    """Digits in a number base: 101_2, whose base is part of the answer."""
    reader.next()
    token = reader.next()
    base = token.inner[0] if token.kind == "group" and len(token.inner) == 1 else token
    if base.kind == "group" and len(base.inner) == 1:
        base = base.inner[0]
    if base.kind == "word" and base.value in ("two", "eight", "ten", "twelve", "sixteen"):
        return ("based", node[1], base.value)
    if base.kind != "num":
        raise Unreadable("a subscript of a number")
    return ("based", node[1], base.value)


def symbol(reader: Reader, name: str) -> Node:
    if reader.at("op", "_"):
        reader.next()
        sub = reader.next()
        name += "_" + _spell((sub,))
        if name[0] == "C" and reader.at("op", "^"):  # C_n^k, as much of the world writes it
            reader.next()
            return ("fn", "binom", _single(sub), reader.exponent())
    elif name == "C" and reader.at("op", "^") and _combination(reader):
        reader.next()
        top = reader.exponent()
        reader.next()
        return ("fn", "binom", _single(reader.next()), top)
    while reader.at("op", "'"):
        reader.next()
        name += "'"
    token = reader.peek()
    if token is not None and token.kind == "group" and token.value == ("(", ")"):
        if name in ("C", "P", "A") and len(arguments := _commas(token.inner)) == 2:
            reader.next()
            n, k = (expression.parse_expression(argument) for argument in arguments)
            binomial = ("fn", "binom", n, k)
            return binomial if name == "C" else ("mul", binomial, ("fn", "factorial", k))
        if name[0] in _FUNCTION_LETTERS:
            reader.next()
            arguments = _commas(token.inner)
            return (
                "call",
                name,
                *(expression.parse_expression(argument) for argument in arguments),
            )
    if name == "e":
        return ("const", "e")
    if name == "i":
        return ("const", "i")
    return ("sym", name)


def _combination(reader: Reader) -> bool:
    after = reader.peek(2)
    return after == Token("op", "_")


def command(reader: Reader, name: str) -> Node:
    if name == "frac":
        top = reader.argument()
        return ("div", top, reader.argument())
    if name == "binom":
        top = reader.argument()
        return ("fn", "binom", top, reader.argument())
    if name == "sqrt":
        index: Node | None = None
        token = reader.peek()
        if token is not None and token.kind == "group" and token.value == ("[", "]"):
            reader.next()
            index = reader.inside(token)
        body = reader.argument()
        return ("fn", "sqrt", body) if index is None else ("fn", "root", body, index)
    if name == "pi":
        return ("const", "pi")
    if name == "infty":
        return ("const", "oo")
    if name in ("overline", "dot"):
        raise Unreadable("a bar over digits")
    if name in _GREEK or name in ("i", "R", "N"):
        return symbol(reader, name if name != "i" else "i")
    if name in ("sum", "prod"):
        return series(reader, name)
    if name in ("angle", "triangle"):
        return symbol(reader, name + _spell((reader.next(),)))
    if name in _MANY_ARGUMENTS:
        group = reader.next()
        if group.kind != "group":
            raise Unreadable("a function without brackets")
        return ("fn", name, *(expression.parse_expression(part) for part in _commas(group.inner)))
    if name in ONE_ARGUMENT:
        return function(reader, name)
    raise Unreadable(f"command {name}")


def function(reader: Reader, name: str) -> Node:
    base: Node | None = None
    power: Node | None = None
    while reader.at("op", "_", "^"):
        if reader.next().value == "_":
            base = argument_of_script(reader)
        else:
            power = reader.exponent()
    token = reader.peek()
    if token is not None and token.kind == "group" and token.value in BRACKETS:
        reader.next()
        body = reader.inside(token)
        if reader.at("op", "^") and token.value == ("(", ")"):
            reader.next()
            body = ("pow", body, reader.exponent()) if name not in _INVERSES else body
            if name in _INVERSES:
                raise Unreadable("a power after a function's bracket")
    else:
        body = run_of_factors(reader)
    if power == ("neg", num(1)) and name in _INVERSES:
        name, power = _INVERSES[name], None
    node: Node = ("fn", name, body) if base is None else ("fn", name, body, base)
    return node if power is None else ("pow", node, power)


def argument_of_script(reader: Reader) -> Node:
    token = reader.peek()
    if token is not None and token.kind == "num":
        reader.next()
        return ("num", token.value, token.inner[0])
    return reader.argument()


def run_of_factors(reader: Reader) -> Node:
    r"""The argument of a function without brackets: ``2x`` in ``\sin 2x \cos x``."""
    if reader.at("op", "-"):
        reader.next()
        return ("neg", run_of_factors(reader))
    node = reader.power()
    while True:
        token = reader.peek()
        plain = token is not None and (
            token.kind in ("sym", "num")
            or (token.kind == "cmd" and token.value in _GREEK | {"pi", "frac", "sqrt"})
        )
        if plain:
            node = ("mul", node, reader.power())
        elif reader.at("op", "/") and reader.peek(1) is not None and reader.peek(1).kind == "num":  # type: ignore[union-attr]
            reader.next()
            node = ("div", node, reader.power())
        else:
            return node


def series(reader: Reader, name: str) -> Node:
    low: Sequence[Token] = ()
    high: Node | None = None
    while reader.at("op", "_", "^"):
        if reader.next().value == "_":
            group = reader.next()
            low = group.inner if group.kind == "group" else ()
        else:
            high = reader.exponent()
    if high is None or len(low) < 3 or low[0].kind != "sym" or low[1] != Token("op", "="):
        raise Unreadable("a series without its bounds")
    body = reader.product()
    index = low[0].value
    if index == "i":
        body = _index_i(body)
    return (name, index, expression.parse_expression(low[2:]), high, body)


def _commas(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    found: list[list[Token]] = [[]]
    for token in tokens:
        if token == Token("op", ","):
            found.append([])
        else:
            found[-1].append(token)
    return list(found)


def _single(token: Token) -> Node:
    return expression.parse_expression(token.inner if token.kind == "group" else (token,))


def _spell(tokens: Sequence[Token]) -> str:
    """Tokens as a name's subscript."""
    spelt = (_spell(t.inner) if t.kind == "group" else str(t.value) for t in tokens)
    return "".join(spelt)


def _index_i(node: Node) -> Node:
    """The letter i counts inside a series that runs over it."""
    if node == ("const", "i"):
        return ("sym", "i")
    return tuple(_index_i(part) if isinstance(part, tuple) else part for part in node)
