"""The kinds of problems of :mod:`r1lab.data.coding`: statement, inputs and reference program.

They are part of the frozen generator: a change here is a change of its ``VERSION``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

WORDS = (
    *("amber", "birch", "cloud", "delta", "ember", "fable", "grove", "haven", "inlet", "jolly"),
    *("karma", "lemon", "mango", "noble", "ocean", "pearl", "quilt", "river", "stone", "tulip"),
)

Item = TypeVar("Item")


class Draw:
    """Numbers below a bound and picks from a sequence, each from the next hash of a salt."""

    def __init__(self, salt: str):
        self._salt, self._count = salt, 0

    def below(self, bound: int) -> int:
        self._count += 1
        digest = hashlib.sha256(f"{self._salt}|{self._count}".encode()).digest()
        return int.from_bytes(digest[:16], "big") % bound

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def numbers(self, count: int, low: int, high: int) -> list[int]:
        return [self.between(low, high) for _ in range(count)]

    def words(self, count: int) -> list[str]:
        return [self.pick(WORDS) for _ in range(count)]


Parameters = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """``task``, ``given`` and ``body`` have the parameters' names in braces."""

    name: str
    task: str
    #: What a line of input is.
    given: str
    body: str
    parameters: Callable[[Draw], Parameters]
    #: An input of the given index; the first ones are edge cases.
    input: Callable[[Draw, int], str]


def _row(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers)) + "\n"


def _list_input(low: int, high: int, least: int = 1) -> Callable[[Draw, int], str]:
    def make(draw: Draw, index: int) -> str:
        count = (least, least + 1)[index] if index < 2 else draw.between(least + 2, 12)
        return _row(draw.numbers(count, low, high))

    return make


def _multiples_input(draw: Draw, index: int) -> str:
    factor = draw.between(2, 12)
    return _row([factor * n for n in draw.numbers(max(1, min(index, 5)), 1, 60)])


def _number_input(low: int, high: int) -> Callable[[Draw, int], str]:
    return lambda draw, index: f"{low if index == 0 else draw.between(low, high)}\n"


def _text_input(draw: Draw, index: int) -> str:
    return " ".join(draw.words(index + 1 if index < 2 else draw.between(2, 8))) + "\n"


def _repeats_input(draw: Draw, index: int) -> str:
    runs = [draw.pick("abcde") * draw.between(1, 9) for _ in range(index + 1)]
    return "".join(runs) + "\n"


def _brackets_input(draw: Draw, index: int) -> str:
    text = "()" if index == 0 else ""
    for _ in range(draw.between(1, 4) if index else 0):
        text = draw.pick(("({})", "[{}]", "{}()", "[]{}")).format(text)
    if index % 2:  # half of them broken
        cut = draw.below(len(text))
        text = text[:cut] + text[cut + 1 :]
    return (text or "(") + "\n"


def _matrix_input(draw: Draw, index: int) -> str:
    rows, columns = (1, 1) if index == 0 else (draw.between(1, 4), draw.between(1, 4))
    return "".join(_row(draw.numbers(columns, -9, 99)) for _ in range(rows))


_NUMBERS = "One line of whole numbers, separated by spaces."
_TEXT = "One line of lower-case words, separated by spaces."

TEMPLATES: tuple[Template, ...] = (
    Template(
        "sum_of_multiples",
        "Print the sum of those numbers that are divisible by {k} (0 if there are none).",
        _NUMBERS,
        "def solve(text):\n    return sum(n for n in map(int, text.split()) if n % {k} == 0)\n",
        lambda draw: {"k": draw.between(2, 12)},
        _list_input(-99, 200),
    ),
    Template(
        "count_letters",
        "Print how often the letters {letters} occur in the line, taken together.",
        _TEXT,
        "def solve(text):\n    return sum(text.count(letter) for letter in {letters!r})\n",
        lambda draw: {"letters": "".join(sorted({draw.pick("abcdeilmnorstu") for _ in range(4)}))},
        _text_input,
    ),
    Template(
        "reverse",
        "Print the line with {what} reversed.",
        _TEXT,
        "def solve(text):\n    words = text.split()\n    return {expression}\n",
        lambda draw: draw.pick(
            (
                {"what": "all its characters", "expression": '" ".join(words)[::-1]'},
                {"what": "the order of its words", "expression": '" ".join(words[::-1])'},
                {
                    "what": "each of its words",
                    "expression": '" ".join(word[::-1] for word in words)',
                },
                {
                    "what": "every second word, beginning with the first,",
                    "expression": '" ".join('
                    "word if i % 2 else word[::-1] for i, word in enumerate(words))",
                },
            )
        ),
        _text_input,
    ),
    Template(
        "common_divisor",
        "Print the greatest common divisor of the numbers, times {k}.",
        _NUMBERS,
        "import math\n\n\ndef solve(text):\n    return {k} * math.gcd(*map(int, text.split()))\n",
        lambda draw: {"k": draw.between(1, 30)},
        _multiples_input,
    ),
    Template(
        "sort_by_remainder",
        "Sort the numbers by their remainder modulo {k}, those with the same remainder {order}, "
        "and print them on one line.",
        _NUMBERS,
        "def solve(text):\n"
        "    numbers = sorted(map(int, text.split()), reverse={descending})\n"
        '    return " ".join(map(str, sorted(numbers, key=lambda n: n % {k})))\n',
        lambda draw: {
            "k": draw.between(2, 20),
            **draw.pick(
                (
                    {"order": "in ascending order", "descending": False},
                    {"order": "in descending order", "descending": True},
                )
            ),
        },
        _list_input(0, 99),
    ),
    Template(
        "spread",
        "Print {k} times the difference between the largest and the smallest number.",
        _NUMBERS,
        "def solve(text):\n    numbers = list(map(int, text.split()))\n"
        "    return {k} * (max(numbers) - min(numbers))\n",
        lambda draw: {"k": draw.between(1, 30)},
        _list_input(-99, 99),
    ),
    Template(
        "nth_largest",
        "Print the number that is {k} places behind the largest one once the numbers are sorted in "
        "descending order (with k = 0 that would be the largest itself), plus {plus}.",
        "One line of at least six whole numbers, separated by spaces.",
        "def solve(text):\n    return sorted(map(int, text.split()), reverse=True)[{k}] + {plus}\n",
        lambda draw: {"k": draw.between(0, 4), "plus": draw.between(0, 9)},
        _list_input(-50, 99, least=6),
    ),
    Template(
        "factorial_remainder",
        "Print the remainder of n! (the product of the numbers from 1 to n) divided by {m}.",
        "One whole number n, at least 1.",
        "def solve(text):\n    result = 1\n    for n in range(1, int(text) + 1):\n"
        "        result = result * n % {m}\n    return result\n",
        lambda draw: {"m": draw.between(100, 997)},
        _number_input(1, 40),
    ),
    Template(
        "recurrence",
        "A sequence begins with {a}, {b}; each further term is the sum of the two before it, plus "
        "{c}. Print the n-th term (the first one for n = 1).",
        "One whole number n, at least 1.",
        "def solve(text):\n    a, b = {a}, {b}\n    for _ in range(int(text) - 1):\n"
        "        a, b = b, a + b + {c}\n    return a\n",
        lambda draw: {"a": draw.between(0, 9), "b": draw.between(0, 9), "c": draw.between(0, 9)},
        _number_input(1, 60),
    ),
    Template(
        "primes",
        "Print how many of the numbers from {low} to n are prime, both ends included (0 where n is "
        "smaller than {low}).",
        "One whole number n, at least 1.",
        "def solve(text):\n    return sum(\n        n > 1 and all(n % d for d in range(2, "
        "int(n**0.5) + 1))\n        for n in range({low}, int(text) + 1)\n    )\n",
        lambda draw: {"low": draw.between(1, 100)},
        _number_input(1, 300),
    ),
    Template(
        "shift_letters",
        "Replace each letter by the one that stands {k} places after it in the alphabet (after z "
        "comes a again), leave the spaces, and print the line.",
        _TEXT,
        'def solve(text):\n    return "".join(\n        chr((ord(c) - 97 + {k}) % 26 + 97) if '
        'c != " " else c for c in text.strip()\n    )\n',
        lambda draw: {"k": draw.between(1, 25)},
        _text_input,
    ),
    Template(
        "common_word",
        "Print the word that occurs most often among the first {k} words (of several such words "
        "the first in alphabetical order), a space, and how often it occurs there.",
        _TEXT,
        "def solve(text):\n    words = text.split()[:{k}]\n"
        "    best = min(words, key=lambda word: (-words.count(word), word))\n"
        '    return f"{{best}} {{words.count(best)}}"\n',
        lambda draw: {"k": draw.between(3, 40)},
        lambda draw, index: (
            " ".join(
                draw.pick(WORDS[:3]) for _ in range(index + 1 if index < 2 else draw.between(4, 30))
            )
            + "\n"
        ),
    ),
    Template(
        "digits_in_base",
        "Write n in base {base} and print the {what} of its digits there.",
        "One whole number n, at least 1.",
        "def solve(text):\n    n, digits = int(text), []\n    while n:\n"
        "        n, digit = divmod(n, {base})\n        digits.append(digit)\n"
        "    return {expression}\n",
        lambda draw: {
            "base": draw.between(2, 36),
            **draw.pick(
                (
                    {"what": "sum", "expression": "sum(digits)"},
                    {"what": "number", "expression": "len(digits)"},
                    {"what": "largest", "expression": "max(digits)"},
                )
            ),
        },
        _number_input(1, 100_000),
    ),
    Template(
        "run_lengths",
        "Replace each run of the same letter by the letter and the run's length, leaving out "
        "lengths of {k} or less together with their letters, and print the result (an empty line "
        "if nothing is left).",
        "One line of lower-case letters without spaces.",
        "from itertools import groupby\n\n\ndef solve(text):\n"
        "    runs = [(letter, len(list(run))) for letter, run in groupby(text.strip())]\n"
        '    return "".join(f"{{letter}}{{size}}" for letter, size in runs if size > {k})\n',
        lambda draw: {"k": draw.between(1, 5)},
        _repeats_input,
    ),
    Template(
        "transpose",
        "Print the matrix transposed, each number plus {k}: a line a row, numbers separated by "
        "single spaces.",
        "The rows of a matrix of whole numbers, a line each, numbers separated by spaces.",
        "def solve(text):\n    rows = [list(map(int, line.split())) for line in "
        "text.splitlines()]\n"
        '    return "\\n".join(" ".join(str(n + {k}) for n in column) for column in zip(*rows))\n',
        lambda draw: {"k": draw.between(0, 30)},
        _matrix_input,
    ),
    Template(
        "brackets",
        "Print {yes} if every bracket is closed by one of its kind and in the right order, else "
        "{no}.",
        "One line of round and square brackets.",
        "def solve(text):\n    open_ones = []\n    for c in text.strip():\n"
        '        if c in "([":\n            open_ones.append(c)\n'
        '        elif not open_ones or open_ones.pop() + c not in ("()", "[]"):\n'
        "            return {no!r}\n    return {no!r} if open_ones else {yes!r}\n",
        lambda draw: {
            "yes": draw.pick(("YES", "yes", "balanced", "1", "good", "ok", "true")),
            "no": draw.pick(("NO", "no", "broken", "0", "bad", "false")),
        },
        _brackets_input,
    ),
)
