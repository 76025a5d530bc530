r"""Answers that algebra cannot finish with, recognized by their text.

The exponent of ``9^{9^{9^9}}`` alone has 370 million digits. Such a thing can be compared as text
only; handing it to sympy costs a deadline. What is here takes time linear in the text, and lets
pass what it is not sure of: the pool deals with what gets through.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

#: Decimal digits of a number that sympy still handles at once (2^{1000000} has 301,030).
MOST_DIGITS = 400_000
#: The argument of a factorial: 20000! has 77,338 digits.
MOST_FACTORIAL = 100_000
#: Brackets within brackets, or commands in a row: the parsers recurse.
MOST_NESTED = 20
#: Terms of a sum or product between numeric bounds.
MOST_TERMS = 100_000

_SUSPICIOUS = re.compile(r"\^|\*\*|!|\\[dt]?binom|\\sum|\\prod")
_COMMANDS_IN_A_ROW = re.compile(rf"(?:\\[a-zA-Z]+[\s{{]*){{{MOST_NESTED},}}")
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|\*\*|\S", re.DOTALL)
_OPEN, _CLOSE = {"(", "[", "{", r"\{", r"\lbrace"}, {")", "]", "}", r"\}", r"\rbrace"}
_PLUS = {"+", "-", "±", r"\pm", r"\mp"}
_TIMES = {"*", "·", "×", r"\cdot", r"\times"}
_TIMES |= {r"\,", r"\!", r"\;", r"\:", r"\ ", r"\left", r"\right"}
_OVER = {"/", "÷", r"\div", ":"}
_APART = {",", ";", "=", "<", ">", "&", "|", r"\\", r"\le", r"\ge", r"\leq", r"\geq", r"\ne"}
_APART |= {r"\neq", r"\in", r"\cup", r"\cap", r"\to", r"\mid", r"\land", r"\lor", r"\approx"}


class _TooLargeError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Size:
    """``log`` is the decimal logarithm of the value, ``digits`` what writing it as a fraction
    takes; ``fixed`` if it cannot be worked out to a fraction (letters, roots).
    """

    log: float = 0.0
    digits: float = 0.0
    fixed: bool = False

    def times(self, other: _Size, sign: int = 1) -> _Size:
        log, digits = self.log + sign * other.log, self.digits + other.digits
        return _Size(log, digits, self.fixed or other.fixed)

    def plus(self, other: _Size) -> _Size:
        log, digits = max(self.log, other.log), self.digits + other.digits
        return _Size(log, digits, self.fixed or other.fixed)

    @property
    def value(self) -> float:
        """Its size as a number; infinite from 1e18."""
        return math.inf if self.log > 18 else 10.0**self.log


_SYMBOL = _Size(0.4, 0.0, fixed=True)


@lru_cache(maxsize=4096)
def too_large(body: str) -> bool:
    """Whether an answer's body is beyond what algebra finishes with in a second or so."""
    if _nested(body) > MOST_NESTED or _COMMANDS_IN_A_ROW.search(body):
        return True
    if not _SUSPICIOUS.search(body):
        return False
    try:
        _Reader(body).sequence()
    except _TooLargeError:
        return True
    return False


def same_text(gold: str, answer: str) -> bool:
    """Whether two bodies are the same up to spaces and to braces around a single sign."""
    return _plain(gold) == _plain(answer)


def _plain(body: str) -> str:
    body = re.sub(r"\s+", "", body)
    while True:
        shorter = re.sub(r"([\^_])\{(\w)\}", r"\1\2", body)
        if shorter == body:
            return body
        body = shorter


def _nested(body: str) -> int:
    depth = deepest = 0
    for bracket in re.finditer(r"[\[({\])}]", body):
        depth = max(0, depth + (1 if bracket[0] in _OPEN else -1))
        deepest = max(deepest, depth)
    return deepest


def _power(base: _Size, exponent: _Size) -> _Size:
    if exponent.fixed:
        return _SYMBOL
    digits = exponent.value * base.digits if base.digits else 0.0
    if digits > MOST_DIGITS:
        raise _TooLargeError
    if base.fixed:
        return _Size(_SYMBOL.log, digits, fixed=True)
    return _Size(exponent.value * base.log if base.log else 0.0, digits)


def _factorial(of: _Size, step: int) -> _Size:
    """``n!``, or with a step of two ``n!!``."""
    if of.fixed:
        return _SYMBOL
    if of.value > MOST_FACTORIAL:
        raise _TooLargeError
    log = math.lgamma(of.value + 1) / math.log(10) / step
    return _Size(log, log)


def _binomial(upper: _Size, lower: _Size) -> _Size:
    if upper.fixed or lower.fixed:
        return _SYMBOL
    digits = min(upper.value * 0.302, max(0.0, lower.value * upper.log))
    if digits > MOST_DIGITS or min(upper.value, lower.value) > MOST_FACTORIAL:
        raise _TooLargeError
    return _Size(digits, digits)


class _Reader:
    """Reads LaTeX just well enough to tell what stands over what."""

    def __init__(self, body: str):
        self._tokens, self._at, self._depth = _TOKEN.findall(body), 0, 0

    def _next(self) -> str:
        token = self._tokens[self._at] if self._at < len(self._tokens) else ""
        self._at += 1
        return token

    def _is(self, *tokens: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] in tokens

    def sequence(self, inside: bool = False) -> _Size:
        """What stands up to the closing bracket, or to the end."""
        added: _Size | None = None
        term: _Size | None = None
        sign = 1
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token in _CLOSE:
                self._at += 1
                if inside:
                    break
            elif token in _PLUS or token in _APART:
                self._at += 1
                if term is not None:
                    added = term if added is None else added.plus(term)
                term, sign = None, 1
                added = None if token in _APART else added
            elif token in _TIMES or token in _OVER:
                self._at += 1
                sign = -1 if token in _OVER else sign
            else:
                operand = self._operand()
                term = operand if term is None else term.times(operand, sign)
                sign = 1
        if term is None:
            return added or _Size()
        return term if added is None else added.plus(term)

    def _operand(self) -> _Size:
        """One factor, with its exponents and factorials."""
        found = self._atom()
        while True:
            if self._is("^", "**"):
                self._at += 1
                found = _power(found, self._script())
            elif self._is("!"):
                self._at += 1
                double = self._is("!")
                self._at += double
                found = _factorial(found, 2 if double else 1)
            elif self._is("_"):
                self._at += 1
                self._atom()
            else:
                return found

    def _script(self) -> _Size:
        """An exponent; of several in a row, each stands over the one before."""
        while self._is("-", "+"):
            self._at += 1
        found = self._atom()
        if self._is("^", "**"):
            self._at += 1
            self._depth += 1
            found = _power(found, self._script())
            self._depth -= 1
        return found

    def _atom(self) -> _Size:
        """What an operator stands beside, without its exponents."""
        self._depth += 1
        if self._depth > 3 * MOST_NESTED:
            raise _TooLargeError
        found = self._read_atom()
        self._depth -= 1
        return found

    def _read_atom(self) -> _Size:
        token = self._next()
        if token[:1].isdigit() or (token[:1] == "." and len(token) > 1):
            whole, _, decimals = token.partition(".")
            digits = (whole + decimals).lstrip("0")
            log = math.log10(int(digits[:15])) + max(0, len(digits) - 15) if digits else 0.0
            return _Size(log - len(decimals), max(log, float(len(decimals))))
        if token in _OPEN:
            return self.sequence(inside=True)
        if token in (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"):
            return self._atom().times(self._atom(), -1)
        if token in (r"\binom", r"\dbinom", r"\tbinom"):
            return _binomial(self._atom(), self._atom())
        if token == r"\sqrt":
            if self._is("["):
                self._atom()
            inner = self._atom()
            return _Size(inner.log / 2, inner.digits, fixed=True)
        if token in (r"\sum", r"\prod"):
            self._bounds()
        return _SYMBOL

    def _bounds(self) -> None:
        while self._is("_", "^"):
            upper = self._next() == "^"
            bound = self._atom()
            if upper and not bound.fixed and bound.value > MOST_TERMS:
                raise _TooLargeError
