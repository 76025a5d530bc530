"""Test cases as the verifiable coding data sets write them, and the program that runs each kind.

A test of type ``stdin_stdout`` gives the program its ``input`` and reads what it prints. One of
type ``function_call`` calls the function ``fn_name`` with arguments that ``input`` holds as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1lab.sandbox.base import Program, Result
from r1lab.sandbox.judging import Comparison, Judge, open_r1_same, read_json

STDIN, CALL = "stdin_stdout", "function_call"


class UnusableTests(ValueError):
    """The data's test cases cannot be read; the message says what is wrong with them."""


@dataclass(frozen=True)
class TestCase:
    """One input and what it should give."""

    input: str
    output: str
    type: str = STDIN
    fn_name: str | None = None

    __test__ = False  # its name is no invitation to pytest


@dataclass(frozen=True)
class Tests:
    """What a row of ``verification_info`` holds."""

    cases: Sequence[TestCase]
    language: str | None = None

    __test__ = False


def read_verification_info(info: Any) -> Tests:
    """Read ``{"language": ..., "test_cases": [...]}``, a mapping or its JSON.

    Raises :class:`UnusableTests`. No test cases at all is no error here: the list is empty.
    """
    if isinstance(info, str):
        try:
            info = json.loads(info)
        except ValueError as error:
            raise UnusableTests(f"verification_info is no JSON: {error}") from error
    if not isinstance(info, Mapping):
        raise UnusableTests("verification_info is no mapping")
    language = info.get("language")
    return Tests(read_cases(info.get("test_cases")), language if language else None)


def read_cases(cases: Any) -> list[TestCase]:
    """Test cases from a list of mappings, a mapping of lists (``datasets``' Sequence), or JSON."""
    if isinstance(cases, str):
        cases = read_json(cases)
    if cases is None:
        return []
    if isinstance(cases, Mapping):
        names = list(cases)
        cases = [dict(zip(names, row, strict=True)) for row in zip(*cases.values(), strict=True)]
    if not isinstance(cases, Sequence) or isinstance(cases, str):
        raise UnusableTests("test_cases is no list")
    return [_read_case(case) for case in cases]


def _read_case(case: Any) -> TestCase:
    if not isinstance(case, Mapping) or case.get("input") is None or case.get("output") is None:
        raise UnusableTests("a test case has no input or no output")
    kind = case.get("type") or (CALL if case.get("fn_name") else STDIN)
    if kind not in (STDIN, CALL):
        raise UnusableTests(f"a test case has the type {kind!r}")
    if kind == CALL and not case.get("fn_name"):
        raise UnusableTests("a function_call test case has no fn_name")
    return TestCase(_text(case["input"]), _text(case["output"]), kind, case.get("fn_name"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def stdin_judge(expected: str, comparison: Comparison) -> Judge:
    """Scores 1 for the expected output."""
    return lambda result: float(comparison.same(expected, result.stdout))


def open_r1_judge(expected: str) -> Judge:
    return lambda result: float(open_r1_same(expected, result.stdout))


# It speaks on a copy of standard output: what the solution itself prints goes to standard error.
_CALLER = """\
import json, os, sys
channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
call = json.load(sys.stdin)
space = {"__name__": "solution"}
with open("solution.py", encoding="utf-8") as file:
    exec(compile(file.read(), "solution.py", "exec"), space)
function = space.get(call["name"])
if function is None and "Solution" in space:
    function = getattr(space["Solution"](), call["name"])
if function is None:
    raise NameError("the program defines no function " + call["name"])
channel.write(json.dumps(function(*call["arguments"])))
channel.close()
"""


def caller(source: str) -> Program:
    """The program that calls a function of ``source`` (or a method of its class ``Solution``).

    It reads the name and the arguments from standard input and prints the value as JSON.
    """
    return Program("python", _CALLER, {"solution.py": source})


def call_stdin(case: TestCase) -> str:
    """What :func:`caller` reads for a test: several arguments are a JSON list, or one a line."""
    return json.dumps({"name": case.fn_name, "arguments": _arguments(case.input)})


def _arguments(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return [read_json(line) for line in text.splitlines() if line.strip()]
    return value if isinstance(value, list) else [value]


def call_judge(expected: str, comparison: Comparison) -> Judge:
    """Scores 1 for the expected value; data of APPS's kind wraps it into a list of one."""
    wanted = read_json(expected)

    def judge(result: Result) -> float:
        try:
            given = json.loads(result.stdout)
        except ValueError:
            return 0.0
        wrapped = isinstance(wanted, list) and len(wanted) == 1
        same = comparison.same_value(wanted, given)
        return float(same or (wrapped and comparison.same_value(wanted[0], given)))

    return judge
