from __future__ import annotations

import pytest

from r1lab.sandbox.judging import Comparison, open_r1_same, reward_of


@pytest.mark.parametrize(
    ("expected", "actual", "exact", "lines", "tokens"),
    [
        ("3\n", "3\n", True, True, True),
        ("3\n", "3", False, True, True),
        ("3", "3  \n\n", False, True, True),
        ("1\n2", "1\r\n2\r\n", False, True, True),
        ("1\n2", "1 2", False, False, True),
        ("1 2", "1  2", False, False, True),
        (" 1", "1", False, False, True),
        ("1\n\n2", "1\n2", False, False, True),
        ("1\n2", "1", False, False, False),  # the beginning of it
        ("1\n2", "1\n2\n3", False, False, False),  # and more than it
        ("3", "", False, False, False),
        ("", "", True, True, True),
        ("", "0", False, False, False),
        ("Yes", "yes", False, False, False),
        ("0.5", "0.50", False, False, False),
    ],
)
def test_comparisons(expected: str, actual: str, exact: bool, lines: bool, tokens: bool) -> None:
    assert Comparison("exact").same(expected, actual) is exact
    assert Comparison("lines").same(expected, actual) is lines
    assert Comparison("tokens").same(expected, actual) is tokens


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("0.5", "0.50000001", True),
        ("0.5", "0.5001", False),
        ("1e9", "1000000000.5", True),  # relative to a large number
        ("0", "0.0000001", True),
        ("1000000000", "1000000001", False),  # whole numbers have to be equal
        ("3", "3.0000001", True),
        ("3", "03", True),
        ("0.5 x", "0.50 x", True),
        ("0.5 x", "0.50 y", False),
        ("0.5", "nan", False),
        ("1e999", "1e999", True),  # the same text
        ("1e999", "2e999", False),
        ("1\n2.0", "1\n2.0000001", True),
        ("1\n2.0", "1", False),
        ("9" * 2000, "9" * 1999 + "8", False),
    ],
)
@pytest.mark.parametrize("mode", ["lines", "tokens"])
def test_tolerance(mode: str, expected: str, actual: str, same: bool) -> None:
    assert Comparison(mode, 1e-6).same(expected, actual) is same


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ([1, "a"], [1, "a"], True),
        ([1, 2], [1], False),
        ({"a": [0.5]}, {"a": [0.5000000001]}, True),
        ({"a": 1}, {"b": 1}, False),
        (True, 1, False),
        (1, 1.0, True),
        (1.5, "1.5", False),
        (None, None, True),
    ],
)
def test_values_of_function_calls(expected: object, actual: object, same: bool) -> None:
    assert Comparison("lines", 1e-6).same_value(expected, actual) is same


@pytest.mark.parametrize(
    ("scores", "total", "partial", "pass_fail", "weighted_sum"),
    [
        ([1.0, 1.0], 2, 1.0, 1.0, 1.1),
        ([1.0, 0.0], 2, 0.5, 0.0, 0.05),
        ([0.0, 0.0], 2, 0.0, 0.0, 0.0),
        ([0.0], 4, 0.0, 0.0, 0.0),  # stopped early
        ([0.5, 1.0], 2, 0.5, 0.0, 0.05),  # a checker's partial score is no pass
        ([1.0, None], 2, None, None, None),
        ([0.0, None], 2, None, 0.0, None),  # settled by the test that failed
    ],
)
def test_scoring(
    scores: list[float | None],
    total: int,
    partial: float | None,
    pass_fail: float | None,
    weighted_sum: float | None,
) -> None:
    assert reward_of(scores, total, "partial") == partial
    assert reward_of(scores, total, "pass_fail") == pass_fail
    assert reward_of(scores, total, "weighted_sum") == pytest.approx(weighted_sum)


def test_open_r1_compares_up_to_the_shorter_end() -> None:
    assert open_r1_same("1\n2\n", "1")
    assert open_r1_same("1", "1\n2")
    assert open_r1_same(" 1 ", "1")
    assert not open_r1_same("1", "")
