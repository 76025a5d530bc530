from __future__ import annotations

import json
from typing import Any

import pytest

from r1lab.sandbox.base import Limits, Result
from r1lab.sandbox.judging import Comparison
from r1lab.sandbox.testcases import (
    TestCase,
    UnusableTests,
    call_judge,
    call_stdin,
    caller,
    read_cases,
    read_verification_info,
)
from tests.sandbox.runner import Runner

ADD = {"input": "1 2", "output": "3"}


@pytest.mark.parametrize(
    "info",
    [
        {"language": "python", "test_cases": [ADD]},
        {"language": "python", "test_cases": json.dumps([ADD])},
        {"language": "python", "test_cases": {"input": ["1 2"], "output": ["3"]}},
        {"language": "python", "test_cases": [{**ADD, "type": "stdin_stdout", "fn_name": None}]},
        json.dumps({"language": "python", "test_cases": [ADD]}),
    ],
)
def test_forms_of_the_same_tests(info: Any) -> None:
    tests = read_verification_info(info)
    assert tests.language == "python"
    assert tests.cases == [TestCase("1 2", "3")]


@pytest.mark.parametrize("info", [{}, {"test_cases": None}, {"test_cases": []}, "{}"])
def test_no_tests_are_no_error(info: Any) -> None:
    assert list(read_verification_info(info).cases) == []


@pytest.mark.parametrize(
    "info",
    [
        "not json",
        None,
        [1],
        {"test_cases": 3},
        {"test_cases": "text"},
        {"test_cases": [{"input": "1"}]},
        {"test_cases": ["1"]},
        {"test_cases": [{**ADD, "type": "telepathy"}]},
        {"test_cases": [{**ADD, "type": "function_call"}]},
    ],
)
def test_tests_that_cannot_be_read(info: Any) -> None:
    with pytest.raises(UnusableTests):
        read_verification_info(info)


SOLUTION = """
print("noise")
def add(a, b):
    print("more noise")
    return (a + b,)
class Solution:
    def double(self, x):
        return 2 * x
def broken(x):
    raise ValueError(x)
def odd(x):
    return {1, 2}
"""


@pytest.mark.parametrize(
    ("name", "given", "wanted", "score"),
    [
        ("add", "[1, 2]", "[3]", 1.0),
        ("add", "1\n2", "[3]", 1.0),  # an argument a line
        ("add", "[1, 2]", "[[3]]", 1.0),  # APPS wraps the value
        ("add", "[1, 2]", "[4]", 0.0),
        ("add", '["a", "b"]', '["ab"]', 1.0),
        ("double", "4", "8", 1.0),
        ("double", "4", "[8]", 1.0),
        ("double", "4", "8.0", 1.0),
        ("broken", "4", "8", None),
        ("odd", "4", "8", None),  # a set is no JSON
        ("missing", "4", "8", None),
    ],
)
def test_function_calls(name: str, given: str, wanted: str, score: float | None) -> None:
    (case,) = read_cases(
        [{"input": given, "output": wanted, "type": "function_call", "fn_name": name}]
    )
    result = Runner().run(caller(SOLUTION), [call_stdin(case)], Limits())[0]
    assert result.status == ("runtime_error" if score is None else "ok")
    if score is not None:
        assert call_judge(wanted, Comparison())(result) == score


def test_the_expected_value_is_not_sent() -> None:
    assert "3" not in call_stdin(TestCase("[1, 2]", "3", "function_call", "add"))


def test_output_that_is_no_json_is_wrong() -> None:
    assert call_judge("3", Comparison())(Result("ok", "three")) == 0.0
