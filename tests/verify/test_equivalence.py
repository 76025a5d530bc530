r"""Expressions: parsed, and equal as numbers or functions or not."""

from __future__ import annotations

import pytest

from r1lab.verify.equivalence import equal_expressions
from r1lab.verify.expression import parse_expression
from r1lab.verify.tokens import Unreadable, tokenize

EQUAL = [
    (r"\frac12", ".5"),
    (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt{3}}"),
    (r"\sqrt{3+2\sqrt2}", r"1+\sqrt2"),
    (r"\cos 36^\circ", r"\frac{1+\sqrt5}{4}"),
    (r"\sin^2 x", r"1-\cos^2 x"),
    (r"\sqrt{1/n}", r"1/\sqrt n"),  # math-verify's #64
    (r"a^{1/2}", r"\sqrt a"),
    (r"\ln a^2", r"2\ln a"),
    (r"2^{n+1}", r"2\cdot 2^n"),
    (r"(-1)^n", r"\cos(\pi n)"),
    (r"\binom nk", r"\frac{n!}{k!(n-k)!}"),
    (r"{2023 \choose 5}", "C(2023, 5)"),
    (r"C_n^k", r"\binom{n}{k}"),
    (r"\sum_{k=1}^n k", "n(n+1)/2"),
    (r"\lfloor n/2\rfloor", r"\lceil (n-1)/2\rceil"),
    (r"\sqrt[3]{-8}", "(-8)^{1/3}"),
    (r"e^{i\pi}", "-1"),
    (r"1\frac12", "1 1/2"),
    (r"0.1\overline{6}", "1/6"),
    ("½x²", r"\frac{x^{2}}{2}"),
    (r"{a\over b}", "a/b"),
    (r"\log_6 5", r"\frac{1}{\log_5 6}"),
    ("2^{100}", "1267650600228229401496703205376"),
    ("1.5e-3", "0.0015"),
]
DIFFERENT = [
    ("4", r"4\sqrt2"),  # math-verify's #41
    (r"\frac1{2004!}", r"\frac1{2006!}"),  # its #14
    ("2024!+1", "2024!"),
    (r"\frac{e}{2004!}", r"\frac{e}{2006!}"),
    ("|x|", "x"),
    ("x", "y"),
    ("x^2", "x^3"),
    (r"\sin 1", r"\sin 1^\circ"),
    ("101_2", "5"),
    (r"\frac{abc}{4R}", r"\frac{abc}{4r}"),
]


@pytest.mark.parametrize(("first", "second"), EQUAL)
def test_equal(first: str, second: str) -> None:
    trees = [parse_expression(tokenize(text)) for text in (first, second)]
    assert equal_expressions(*trees) is True
    assert equal_expressions(*reversed(trees)) is True


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different(first: str, second: str) -> None:
    trees = [parse_expression(tokenize(text)) for text in (first, second)]
    assert equal_expressions(*trees) is False


@pytest.mark.parametrize("tower", ["9^{9^{9^9}}", "100000000!", r"\sum_{k=1}^{10^9} k"])
def test_nobody_can_compute_this(tower: str) -> None:
    trees = [parse_expression(tokenize(text)) for text in (tower, "7")]
    assert equal_expressions(*trees) is None


@pytest.mark.parametrize("text", ["1 2", "x +", r"\frac{1}", "(1, 2)", r"\unknown x", "{", "1)("])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_expression(tokenize(text))
