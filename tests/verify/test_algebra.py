r"""Which answers are the same: pairs of bodies, compared as the worker processes do."""

from __future__ import annotations

import pytest

from r1lab.verify.algebra import equal, parses
from r1lab.verify.answers import normalise, quick_verdict

EQUAL = [
    (r"\frac{1}{2}", "0.5"),
    (r"\{1,2\}", "2, 1"),
    ("1,2", r"1 \text{ and } 2"),
    ("x=5", "5"),
    ("5", r"5\text{ cm}"),
    (r"90^\circ", "90"),
    (r"50\%", "0.5"),
    (r"50\%", "50"),
    ("1<x<2", "(1,2)"),
    (r"x \in (1,2)", "1 < x < 2"),
    ("2x+4y-3=0", r"y = -\frac{1}{2}x + \frac{3}{4}"),
    ("2x+3y=6", r"y = 2 - \frac{2x}{3}"),
    (r"1\frac{1}{2}", r"\frac{3}{2}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\langle 1,2\rangle"),
    (r"x>1 \text{ or } x<-1", r"(-\infty,-1)\cup(1,\infty)"),
    (r"x \neq 0", r"\mathbb{R}\setminus\{0\}"),
    (r"x\in\mathbb{R}\setminus\{0\}", "all real numbers except 0"),
    (r"\{x \mid x > 2\}", r"(2,\infty)"),
    ("|k|>2", r"k<-2 \text{ or } k>2"),
    ("(x,y)=(1,2)", "x=1, y=2"),
    ("(1,2),(2,1)", "(2,1), (1,2)"),
    ("(x,y)=(1,2),(2,1)", r"x=1,y=2 \text{ or } x=2,y=1"),
    ("a=1,b=2", r"a = 1 \text{ and } b = 2"),
    ("f(x)=2x+1", "2x+1"),
    ("f(x)=2x+1", "f(x) = 2x + 1 for all real x"),
    ("f(x)=2x+1", "f(t)=2t+1"),
    ("f(x)=cx", r"f(x) = kx \text{ where } k \text{ is a constant}"),
    (r"x = k\pi, k \in \mathbb{Z}", r"x = n\pi, n\in\mathbb{Z}"),
    (r"x = k\pi, k \in \mathbb{Z}", r"x=k\pi"),
    (r"x = \pm 1", "x=1, x=-1"),
    (r"\pm 1", "1, -1"),
    (r"1 \pm \sqrt{2}", r"1+\sqrt2, 1-\sqrt2"),
    ("1 and 2", r"\{1,2\}"),
    ("1 and 2", "x=1 or x=2"),
    ("n=1,2,3", "1,2,3"),
    ("1,2,3", r"n \in \{1,2,3\}"),
    ("1,234", "1234"),
    ("1{,}234", "1 234"),
    (r"1\,234", "1234"),
    (r"\text{Tuesday}", "Tuesday"),
    ("no solution", "There are no solutions"),
    ("does not exist", "no such number exists"),
    ("infinitely many", r"\text{Infinitely many}"),
    ("all positive integers n such that n is even", r"n \text{ is even}"),
    ("n is even", "n=2k"),
    ("n is even", "all even positive integers"),
    (r"\text{all odd integers}", r"n = 2k+1, k \in \mathbb{Z}"),
    ("n=4k", "4k"),
    (r"n \equiv 1 \pmod 4", "n = 4k+1"),
    (r"\text{powers of } 2", "n=2^k"),
    (r"2 \text{ (when } n \text{ is even)}", "2"),
    (r"The answer is $3\sqrt{2}$ cm", r"3\sqrt2"),
    ("$n$ is any odd integer greater than 1", "odd integers n > 1"),
    (r"n \ge 3", r"all integers n \geq 3"),
    ("a=b=c", "c=b=a"),
    ("a=b=c=1", "(1,1,1)"),
    ("a=b=c=1", "a=1,b=1,c=1"),
    (r"5 \text{ apples}", "5"),
    (r"0.5 \text{ m}", r"50 \text{ cm}"),
    (r"\$5", "5 dollars"),
    (r"6 \text{ cm}^2", r"6\,\mathrm{cm}^{2}"),
    ("6 square centimeters", r"6 \text{ cm}^2"),
    ("60 km/h", r"60 \text{ kilometers per hour}"),
    ("1:2", r"\frac12"),
    ("1:2:3", "2:4:6"),
    ("101_2", "101_{2}"),
    (r"\text{yes}", "Yes."),
    (r"10:30 \text{ AM}", "10:30"),
    ("x^2+y^2=4", "x^2+y^2-4=0"),
    ("y=1/x", "xy=1"),
    (r"\frac{n(n+1)}{2}", r"\sum_{k=1}^{n} k"),
    (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
    ("S = 24", "24"),
    (r"\angle ABC = 60^\circ", r"60^\circ"),
    (r"60^\circ", r"\frac{\pi}{3}"),
    (r"x \le 3", r"(-\infty,3]"),
    (r"x \le 3", r"3 \ge x"),
    (r"\mathbb{R}", "all real numbers"),
    (r"\mathbb{R}", r"(-\infty,\infty)"),
    (r"\emptyset", "no solution"),
    (
        r"x = \frac{\pi}{4} + \frac{k\pi}{2}, k\in\mathbb{Z}",
        r"x=\frac{\pi}{4}+k\pi \text{ or } x = -\frac{\pi}{4}+k\pi, k \in \mathbb{Z}",
    ),
    (r"f(x)=0 \text{ and } f(x)=x", "f(x) = x, f(x)=0"),
    (r"f(x) \equiv 0", "f(x)=0"),
    ("3+4=7", "7"),
    (r"P(x)=x^2 \text{ or } P(x)=1", "P(x) = 1, P(x)=x^2"),
    ("(2,3,5)", "p=2, q=3, r=5"),
    ("m = n", "n=m"),
    (r"\text{the first player wins}", "The first player"),
    (r"\text{First player}", "the first player has a winning strategy"),
    (r"\sqrt{2} \approx 1.414", r"\sqrt{2}"),
    (r"0 \le x < 1", "[0,1)"),
    (r"0 \le x < 1", r"x\in[0,1)"),
    ("a < x < b", "(a,b)"),
    ("2^{n+1} - 1", r"2 \cdot 2^n - 1"),
    (r"\frac{abc}{4R}", "abc/(4R)"),
    (r"20^\circ \mathrm{C}", "20"),
    (r"\text{five}", "5"),
    ("all primes", r"n \text{ is prime}"),
    (r"\mathbb{Z}^+", "all positive integers"),
    (r"n \ge 1", "all positive integers n"),
    ("x=1,y=2; x=2,y=1", "(1,2),(2,1)"),
    ("2+i", "i+2"),
    ("x_1=1, x_2=3", "1, 3"),
    ("x_{1}=1, x_{2}=3", r"x=1 \text{ or } x=3"),
    ("[1,2]", r"1 \le x \le 2"),
    (r"5 \text{ hours } 30 \text{ minutes}", "5.5 hours"),
    ("AB=5", "5"),
    ("C_{10}^3", r"\binom{10}{3}"),
    ("x=2, y=-3", "(2,-3)"),
    (r"(-\infty, 1) \cup (1, \infty)", r"x \ne 1"),
    (r"\text{all real } x \text{ except } 1", r"x \neq 1"),
    (r"f(x) = x + c, c \in \mathbb{Z}", "f(x)=x+c where c is an integer"),
    ("a^2+b^2 = c^2", "c^2 = a^2+b^2"),
    ("100,200", "100, 200"),
    ("y = 2x", "2x"),
    ("2n+1", "1+2n"),
    ("f(n)=n", r"f(n) = n for all n\in\mathbb{N}"),
]

DIFFERENT = [
    ("4", r"4\sqrt{2}"),
    ("4", r"4\sqrt(2)"),
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    ("n=2, 3, 4", "n=1, 2, 3"),
    (r"1 - \frac{1}{\mathrm{e}}", r"1 + \frac{1}{\mathrm{e}}"),
    (r"\pm 2021", "2021"),
    ("12:00", "1:00"),
    ("3*x-1*y+13=0", "3x + 4y + 14=0"),
    ("3", "1,2,3"),
    ("3", r"1 \text{ or } 3"),
    ("(1,2)", "(2,1)"),
    ("|x|", "x"),
    ("0", "1e-9"),
    ("x", "y"),
    ("[1,2]", "(1,2)"),
    ("(1,2]", "[1,2)"),
    ("x>1", r"x \ge 1"),
    (r"x = k\pi, k\in\mathbb{Z}", r"x = 2k\pi, k\in\mathbb{Z}"),
    (r"n \text{ is even}", r"n \text{ is odd}"),
    (r"\text{all positive integers}", "all integers greater than 2"),
    (r"5 \text{ m}", r"5 \text{ cm}"),
    ("101_2", "5"),
    ("101_2", "101_3"),
    ("f(x)=x", "f(x)=x, f(x)=0"),
    ("f(x)=x", "f(x)=x+1"),
    (r"\pi r^2", r"\pi d^2"),
    ("n-1", "m-1"),
    ("yes", "no"),
    (r"\text{no solution}", "0"),
    ("1:2", "2:1"),
    ("x=5", "y=5"),
    (r"\frac{abc}{4R}", r"\frac{abc}{4r}"),
    ("2x=5", "5"),
    ("Monday", "Tuesday"),
    ("2", "2s"),
    (r"\{1,2\}", "(1,2)"),
    ("x^2", "2x"),
    ("1,2,3", "1,2"),
    ("n=4k", "n=4k+1"),
    (r"\text{powers of } 2", "n=2k"),
    (r"n \equiv 1 \pmod 4", r"n\equiv 3 \pmod 4"),
    (r"\text{east}", r"\text{seat}"),
    (r"\sqrt{2}", "2"),
    ("x>2", "x<2"),
    ("f(x)=cx", "f(x)=cx^2"),
    (r"\mathbb{R}", r"\mathbb{R}\setminus\{0\}"),
    ("f(x)=cx, c>0", "f(x)=cx"),
    (r"\$5", "€5"),
    ("5 apples", "5 oranges"),
    ("(1,1,1)", "(1,1,2)"),
    ("all primes", "all odd primes"),
    (r"2 \text{ if } n \text{ even}", r"2 \text{ if } n \text{ odd}"),
    (r"5\%", r"5 \text{ cm}"),
    ("x=1,y=2", "x=2,y=1"),
    (r"\frac{1}{3}", "0.33"),
    ("0.1", "0.10000001"),
    ("f(x) = 0", r"\forall x>0, f(x) = 0"),
]

#: Right in this order only: a decimal gold states its precision, an exact gold asks for the value.
ONE_WAY = [
    ("5.14", r"\frac{36}{7}"),
    ("3.14159", r"\pi"),
    ("5.14", "5.1436"),
    (r"\text{No}", r"\text{No}, 7"),
]


def verdict(gold: str, answer: str) -> bool:
    gold, answer = normalise(gold), normalise(answer)
    quick = quick_verdict(gold, answer)
    return equal(gold, answer) if quick is None else quick


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_equal_in_both_orders(gold: str, answer: str) -> None:
    assert verdict(gold, answer)
    assert verdict(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different_in_both_orders(gold: str, answer: str) -> None:
    assert not verdict(gold, answer)
    assert not verdict(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), ONE_WAY)
def test_the_gold_is_the_standard(gold: str, answer: str) -> None:
    assert verdict(gold, answer)
    assert not verdict(answer, gold)


@pytest.mark.parametrize("gold", sorted({body for pair in EQUAL + DIFFERENT for body in pair}))
def test_every_gold_parses(gold: str) -> None:
    assert parses(normalise(gold))
