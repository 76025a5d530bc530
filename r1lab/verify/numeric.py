"""Values of expressions: exact where they are rational, to many digits where they are not.

Two expressions are equal if they agree at sample points. That decides in milliseconds what
symbolic simplification may not in minutes, and at this precision it does not err on what people
write.
Everything is real unless an expression names the imaginary unit: a root of a negative number is
then undefined rather than complex, so that ``\\sqrt{1/n}`` equals ``1/\\sqrt{n}``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from r1lab.verify.tree import Node

#: Decimal digits of work, and the relative difference below which two values are one.
DIGITS = 60
TOLERANCE = 1e-35
#: Exact rationals grow to this many bits, then become floats.
EXACT_BITS = 60_000
MOST_TERMS = 3000


class Undefined(ArithmeticError):
    """The expression has no (real) value here: 1/0, or a root of a negative number."""


class TooLarge(ArithmeticError):
    """The value is beyond what can be computed: 9^{9^{9^9}}."""


Value = Any  # Fraction, or mpmath's mpf or mpc
Environment = Mapping[str, Value]


@cache
def context() -> Any:
    """mpmath with a precision of its own, so that nobody else's changes."""
    import mpmath

    own = mpmath.MPContext()
    own.dps = DIGITS
    return own


def evaluate(node: Node, env: Environment, complex_values: bool = False) -> Value:
    """The value of a tree with its symbols set; raises :class:`Undefined`, :class:`TooLarge`."""
    try:
        return _Evaluator(env, complex_values).value(node)
    except (ZeroDivisionError, ValueError, KeyError) as error:
        raise Undefined(str(error)) from error
    except (OverflowError, MemoryError) as error:
        raise TooLarge(str(error)) from error


def as_float(value: Value) -> Any:
    """A number of mpmath's."""
    if isinstance(value, Fraction):
        return context().mpf(value.numerator) / value.denominator
    return value


def same_value(first: Value, second: Value) -> bool:
    """Whether two values are one, up to the rounding of inexact ones."""
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return first == second
    a, b = as_float(first), as_float(second)
    ctx = context()
    if ctx.isinf(a) or ctx.isinf(b):
        return bool(a == b)
    return bool(abs(a - b) <= TOLERANCE * max(abs(a), abs(b)))


def is_real(value: Value) -> bool:
    return isinstance(value, Fraction | context().mpf)


class _Evaluator:
    def __init__(self, env: Environment, complex_values: bool):
        self.env = dict(env)
        self.complex = complex_values
        self.ctx = context()

    def value(self, node: Node) -> Value:
        result = getattr(self, "_" + node[0])(*node[1:])
        if isinstance(result, Fraction):
            if result.numerator.bit_length() + result.denominator.bit_length() > EXACT_BITS:
                return as_float(result)
            return result
        if isinstance(result, self.ctx.mpc) and not self.complex:
            raise Undefined("not real")
        if self.ctx.isnan(result):
            raise Undefined("not a number")
        return result

    def _num(self, value: Fraction, places: int) -> Value:
        return value

    def _based(self, digits: Fraction, base: Any) -> Value:
        raise TooLarge("digits in a base are compared as they stand")

    def _sym(self, name: str) -> Value:
        return self.env[name]

    def _const(self, name: str) -> Value:
        if name == "oo":
            return self.ctx.inf
        if name == "i":
            return self.ctx.mpc(0, 1)
        return +getattr(self.ctx, name)

    def _pair(self, a: Node, b: Node) -> tuple[Value, Value]:
        first, second = self.value(a), self.value(b)
        if isinstance(first, Fraction) and isinstance(second, Fraction):
            return first, second
        return as_float(first), as_float(second)

    def _add(self, a: Node, b: Node) -> Value:
        first, second = self._pair(a, b)
        return self._settle(first + second, first)

    def _sub(self, a: Node, b: Node) -> Value:
        first, second = self._pair(a, b)
        return self._settle(first - second, first)

    def _settle(self, total: Value, part: Value) -> Value:
        """Nothing but rounding is left of a difference: it is zero."""
        if isinstance(total, Fraction) or abs(total) > abs(part) * self.ctx.mpf(10) ** (5 - DIGITS):
            return total
        return Fraction(0)

    def _mul(self, a: Node, b: Node) -> Value:
        first, second = self._pair(a, b)
        return first * second

    def _div(self, a: Node, b: Node) -> Value:
        first, second = self._pair(a, b)
        return first / second

    def _neg(self, a: Node) -> Value:
        return -self.value(a)

    def _pow(self, a: Node, b: Node) -> Value:
        base, power = self._pair(a, b)
        if isinstance(base, Fraction) and isinstance(power, Fraction):
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if power.denominator == 1 and size * abs(power) <= EXACT_BITS:
                return base ** int(power)
            if base < 0 and power.denominator % 2 and not self.complex:
                root = self._real_power(-base, power)
                return -root if power.numerator % 2 else root
        return self._real_power(base, power)

    def _real_power(self, base: Value, power: Value) -> Value:
        base, power = as_float(base), as_float(power)
        if base == 0:
            if is_real(power) and power > 0:
                return Fraction(0)
            raise Undefined("zero to a power that is not positive")
        if self.ctx.isinf(base) or self.ctx.isinf(power):
            raise Undefined("infinite power")
        if abs(power) * (abs(self.ctx.log(abs(base))) + 1) > 1e7:
            raise TooLarge("a power")
        if not self.complex and is_real(base) and base < 0 and power != int(power):
            raise Undefined("a root of a negative number")
        return base**power

    def _call(self, name: str, *arguments: Node) -> Value:
        """An unknown function: some value that depends on its name and arguments only."""
        values = (self.ctx.nstr(as_float(self.value(a)), 25) for a in arguments)
        return Fraction(zlib.crc32(" ".join((name, *values)).encode()) % 100_003, 10_007)

    def _pm(self, *_: Any) -> Value:
        raise Undefined("two values")

    def _sum(self, index: str, low: Node, high: Node, body: Node) -> Value:
        return self._series(index, low, high, body, multiply=False)

    def _prod(self, index: str, low: Node, high: Node, body: Node) -> Value:
        return self._series(index, low, high, body, multiply=True)

    def _series(self, index: str, low: Node, high: Node, body: Node, multiply: bool) -> Value:
        first, last = self._integer(self.value(low)), self._integer(self.value(high))
        if last - first > MOST_TERMS:
            raise TooLarge("a series")
        outside = self.env.get(index)
        total: Value = Fraction(1 if multiply else 0)
        for step in range(first, last + 1):
            self.env[index] = Fraction(step)
            term = self.value(body)
            if not (isinstance(total, Fraction) and isinstance(term, Fraction)):
                total, term = as_float(total), as_float(term)
            total = total * term if multiply else total + term
        if outside is not None:
            self.env[index] = outside
        return total

    def _integer(self, value: Value) -> int:
        if isinstance(value, Fraction) and value.denominator == 1:
            return int(value)
        raise Undefined("not an integer")

    def _fn(self, name: str, *arguments: Node) -> Value:
        values = [self.value(argument) for argument in arguments]
        return getattr(self, "fn_" + name, self._library(name))(*values)

    def _library(self, name: str) -> Any:
        """A function of mpmath's, undefined where its real version is."""

        def call(x: Value) -> Value:
            x = as_float(x)
            if not self.complex:
                if name in ("arcsin", "arccos") and abs(x) > 1:
                    raise Undefined(name)
                if name in ("exp", "sinh", "cosh") and abs(x) > 1e6:
                    raise TooLarge(name)
            if abs(x) > 1e30:
                raise TooLarge(name)
            return getattr(self.ctx, name.replace("arc", "a"))(x)

        return call

    def fn_deg(self, x: Value) -> Value:
        return as_float(x) * self.ctx.pi / 180

    def fn_sqrt(self, x: Value) -> Value:
        if isinstance(x, Fraction) and x >= 0:
            top, below = math.isqrt(x.numerator), math.isqrt(x.denominator)
            if top**2 == x.numerator and below**2 == x.denominator:
                return Fraction(top, below)
        elif not self.complex and as_float(x) < 0:
            raise Undefined("a root of a negative number")
        if not self.complex and as_float(x) < 0:
            raise Undefined("a root of a negative number")
        return self.ctx.sqrt(as_float(x))

    def fn_root(self, x: Value, index: Value) -> Value:
        n = self._integer(index)
        if n <= 0:
            raise Undefined("an index of a root")
        negative = not self.complex and as_float(x) < 0
        if negative and n % 2 == 0:
            raise Undefined("a root of a negative number")
        root = self._real_power(-as_float(x) if negative else x, Fraction(1, n))
        return -root if negative else root

    def fn_ln(self, x: Value, base: Value | None = None) -> Value:
        x = as_float(x)
        if x == 0 or (not self.complex and x < 0):
            raise Undefined("a logarithm")
        value = self.ctx.log(x)
        return value if base is None else value / self.fn_ln(base)

    fn_log = fn_ln

    def fn_lg(self, x: Value) -> Value:
        return self.fn_ln(x, Fraction(10))

    def fn_abs(self, x: Value) -> Value:
        return abs(x)

    def fn_sgn(self, x: Value) -> Value:
        return Fraction((x > 0) - (x < 0))

    def fn_floor(self, x: Value) -> Value:
        if isinstance(x, Fraction):
            return Fraction(math.floor(x))
        near = self.ctx.nint(x)
        whole = near if abs(x - near) < self.ctx.mpf(10) ** (10 - DIGITS) else self.ctx.floor(x)
        return Fraction(int(whole))

    def fn_ceil(self, x: Value) -> Value:
        return -self.fn_floor(-x)

    def fn_mod(self, x: Value, y: Value) -> Value:
        return Fraction(self._integer(x) % self._integer(y))

    def fn_factorial(self, x: Value) -> Value:
        n = self._integer(x)
        if n < 0:
            raise Undefined("a factorial")
        if n > 1_000_000:
            raise TooLarge("a factorial")
        if n <= 4000:
            return Fraction(math.factorial(n))
        return self.ctx.factorial(n)

    def fn_doublefactorial(self, x: Value) -> Value:
        n = self._integer(x)
        if not -1 <= n <= 4000:
            raise TooLarge("a double factorial")
        return Fraction(math.prod(range(n, 0, -2)))

    def fn_binom(self, n: Value, k: Value) -> Value:
        lower = self._integer(k)
        if lower < 0:
            return Fraction(0)
        if isinstance(n, Fraction) and n.denominator == 1 and 0 <= n <= 20_000:
            return Fraction(math.comb(int(n), lower))
        if lower > 200 or not isinstance(n, Fraction):
            raise TooLarge("a binomial")
        top: Fraction = math.prod((n - step for step in range(lower)), start=Fraction(1))
        return top / math.factorial(lower)

    def fn_gcd(self, *values: Value) -> Value:
        return Fraction(math.gcd(*(self._integer(value) for value in values)))

    def fn_lcm(self, *values: Value) -> Value:
        return Fraction(math.lcm(*(self._integer(value) for value in values)))

    def fn_max(self, *values: Value) -> Value:
        return max(values, key=as_float)

    def fn_min(self, *values: Value) -> Value:
        return min(values, key=as_float)
