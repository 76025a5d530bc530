"""Which answers are too large for algebra, and that telling takes no time."""

from __future__ import annotations

import time

import pytest

from r1lab.verify.guards import same_text, too_large

TOO_LARGE = [
    "9^{9^{9^9}}",
    "9^9^9",
    "9**9**9",
    "10^{10^{10}}",
    "10^{-10^9}",
    "0.1^{10^8}",
    "x+9^{9^{9}}",
    r"\frac{1}{9^{9^{9}}}",
    r"\log(10^{10^9})",
    r"\lfloor 10^{10^9} \pi \rfloor",
    r"\sqrt{10^{10^{10}}}",
    "100000000!",
    "10000000000!!",
    "((4!)!)!",
    r"\binom{10^9}{10^8}",
    r"\sum_{k=1}^{10^9} k^k",
    r"\prod_{k=1}^{1000000} k",
    "x^{" * 25 + "2" + "}" * 25,
    "(" * 30 + "x" + ")" * 30,
    "(" * 3000,
    r"\sqrt" * 500,
    "^" * 4000,
    "x^" * 2000,
]

#: What people write as answers, large numbers among it.
FINE = [
    "5",
    "1,234",
    "2^{1000000}",
    "2019^{2019}",
    "2^{2^{10}}",
    r"\frac{1}{2004!}",
    r"\frac{1}{2^{99}}",
    "(3!)!",
    "(2n)!",
    "10^{100}",
    "10^{-9}",
    r"3.2 \times 10^{23}",
    "1.01^{365}",
    "e^{1000}",
    "e^{-x^2}",
    "2^{1/2}",
    r"2^{\frac{1}{1000000000}}",
    "5^{2^{x}}",
    "x^{x^{x}}",
    "x^{10^{10}}",
    "x^{2024}-1",
    "(x+1)^{2024}",
    "e^{e^{e^{e}}}",
    "(a+b+c)^{3}",
    r"(1+\sqrt{2})^{100}",
    r"\binom{2n}{n}",
    r"\binom{2000}{1000}",
    r"\sum_{k=1}^{2020} k",
    r"\sum_{k=1}^{n} k^2",
    r"\int_0^1 x^2 dx",
    r"90^{\circ}",
    "f^{-1}(x)",
    "A^T",
    r"\sin^2 x",
    r"\sqrt{2+\sqrt{2+\sqrt{2+\sqrt{2}}}}",
    r"\frac{1}{1+\frac{1}{1+\frac{1}{2}}}",
    r"\{(1,2),(3,4)\}",
    "((a+b)(c+d))((e))",
    "no solution!",
]


@pytest.mark.parametrize("body", TOO_LARGE)
def test_too_large(body: str) -> None:
    assert too_large(body)


@pytest.mark.parametrize("body", FINE)
def test_not_too_large(body: str) -> None:
    assert not too_large(body)


@pytest.mark.parametrize(
    "piece",
    [
        "5!",
        "x_",
        r"\frac1",
        "x^{1}",
        "-^-",
        "(",
        "()",
        r"\sqrt[",
        "1/",
        r"\end",
        "{x}",
        "^{",
        r"\,",
    ],
)
def test_telling_is_linear(piece: str) -> None:
    started = time.perf_counter()
    too_large(piece * (4000 // len(piece)))
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("9^{9^{9}}", "9^{9^9}", True),
        ("9^{9^9}", "9 ^ {9^9}", True),
        ("9^{9^9}", "9^{9^8}", False),
        ("9^{99}", "9^99", False),  # 9^9 times 9, to LaTeX
    ],
)
def test_what_is_too_large_is_compared_as_text(gold: str, answer: str, same: bool) -> None:
    assert same_text(gold, answer) is same
