"""Whether what a program printed is what a test expects, and what a share of passed tests earns.

All of this runs outside the sandbox: the expected output is never where the program could read it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from r1lab.sandbox.base import Result

CompareMode = Literal["exact", "lines", "tokens"]
Scoring = Literal["partial", "pass_fail", "weighted_sum"]
COMPARE_MODES: tuple[str, ...] = ("exact", "lines", "tokens")
SCORINGS: tuple[str, ...] = ("partial", "pass_fail", "weighted_sum")

#: What a test earned, from 0 to 1; ``None``: it could not be run (infrastructure).
Score = float | None
#: Scores one test from its result, whose status is ``ok``.
Judge = Callable[[Result], float]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
#: Longer ones are compared as text: Python refuses to convert them by default.
_MAX_DIGITS = 1000


@dataclass(frozen=True)
class Comparison:
    """How an output is held against the expected one.

    ``exact``: the same text to the last character. ``lines``: the same number of lines, each the
    same; white space at the end of a line and empty lines at the end of the output do not count.
    ``tokens``: the same words, whatever the white space between them.

    With ``tolerance`` two numbers in the same place are equal when they differ by at most
    ``tolerance * max(1, |expected|)``, as Codeforces' checkers have it. Two whole numbers still
    have to be equal: 1e-6 of a large count would forgive being off by one.
    """

    mode: CompareMode = "lines"
    tolerance: float | None = None

    def same(self, expected: str, actual: str) -> bool:
        if self.mode == "exact":
            return expected == actual
        if self.mode == "tokens":
            return self._same_words(expected, actual)
        wanted, given = _lines(expected), _lines(actual)
        if len(wanted) != len(given):
            return False
        if self.tolerance is None:
            return wanted == given
        return all(a == b or self._same_words(a, b) for a, b in zip(wanted, given, strict=True))

    def _same_words(self, expected: str, actual: str) -> bool:
        wanted, given = expected.split(), actual.split()
        return len(wanted) == len(given) and all(
            a == b or self._close(a, b) for a, b in zip(wanted, given, strict=True)
        )

    def _close(self, expected: str, actual: str) -> bool:
        if self.tolerance is None or max(len(expected), len(actual)) > _MAX_DIGITS:
            return False
        if _INTEGER.fullmatch(expected) and _INTEGER.fullmatch(actual):
            return int(expected) == int(actual)
        if not (_NUMBER.fullmatch(expected) and _NUMBER.fullmatch(actual)):
            return False
        return close(float(expected), float(actual), self.tolerance)

    def same_value(self, expected: Any, actual: Any) -> bool:
        """The same for values that JSON can hold, in the place of text; a truth is no number."""
        if isinstance(expected, list) and isinstance(actual, list):
            return len(expected) == len(actual) and all(map(self.same_value, expected, actual))
        if isinstance(expected, dict) and isinstance(actual, dict):
            return expected.keys() == actual.keys() and all(
                self.same_value(value, actual[key]) for key, value in expected.items()
            )
        if isinstance(expected, bool) or isinstance(actual, bool):
            return expected is actual
        if isinstance(expected, float) or isinstance(actual, float):
            numbers = isinstance(expected, int | float) and isinstance(actual, int | float)
            if not numbers:
                return False
            return bool(expected == actual) or (
                self.tolerance is not None and close(float(expected), float(actual), self.tolerance)
            )
        return bool(expected == actual)


def close(expected: float, actual: float, tolerance: float) -> bool:
    """Whether two finite numbers agree absolutely, or relative to the expected one."""
    if not (math.isfinite(expected) and math.isfinite(actual)):
        return False
    return abs(expected - actual) <= tolerance * max(1.0, abs(expected))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def open_r1_same(expected: str, actual: str) -> bool:
    """open-r1's comparison: line by line up to the shorter text's end, so a prefix passes."""
    given, wanted = actual.strip().split("\n"), expected.split("\n")
    return all(a.strip() == b.strip() for a, b in zip(given, wanted, strict=False))


def reward_of(scores: Sequence[Score], total: int, scoring: Scoring) -> float | None:
    """What ``total`` tests earn, of which ``scores`` were run; ``None``: they cannot be known.

    ``partial`` is the share of tests that passed, ``pass_fail`` 1 when all did and else 0,
    ``weighted_sum`` the second plus a tenth of the first (open-r1's for Codeforces). A test that
    could not be run leaves the reward open, unless ``pass_fail`` is settled by one that failed.
    """
    known = [score for score in scores if score is not None]
    failed = any(score < 1.0 for score in known)
    if scoring == "pass_fail" and failed:
        return 0.0
    if len(known) < len(scores):
        return None
    passed = sum(score >= 1.0 for score in known)
    if scoring == "pass_fail":
        return float(passed == total)
    share = passed / total
    return share if scoring == "partial" else float(passed == total) + 0.1 * share


def read_json(text: str) -> Any:
    """The value that ``text`` holds, or the text itself where it is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text
