from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import ParameterError
from r1lab.rewards.cf_code import CfCode, contest_tests, is_syntax_error
from r1lab.sandbox.base import Result
from tests.sandbox.runner import Runner

TESTS = [{"input": "1 2", "output": "3"}, {"input": "20 22", "output": "42"}]
ADD = "```python\nprint(sum(map(int, input().split())))\n```"
FIRST_ONLY = "```python\nprint(3)\n```"
CPP = """```cpp
#include <iostream>
int main() { int a, b; std::cin >> a >> b; std::cout << a + b; }
```"""
ROW = {"official_tests": TESTS, "language": "python", "time_limit": 1.0, "memory_limit": 256.0}


def reward(**parameters: Any) -> CfCode:
    made = CfCode(**parameters)
    made._provider = Runner()
    return made


def columns(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in {k for row in rows for k in row}}


def score(text: Any, row: dict[str, Any] = ROW, **parameters: Any) -> float | None:
    return reward(**parameters)([text], **columns(row))[0]


@pytest.mark.parametrize(
    ("text", "weighted_sum", "partial", "pass_fail"),
    [
        (ADD, 1.1, 1.0, 1.0),
        (FIRST_ONLY, 0.05, 0.5, 0.0),
        ("```python\nprint(0)\n```", 0.0, 0.0, 0.0),
        ("```python\n1 / 0\n```", 0.0, 0.0, 0.0),
        ("```python\nprint(1 +\n```", -0.1, -0.1, -0.1),  # Python's way not to compile
        ("no code", -1.0, -1.0, -1.0),
        (CPP, -1.0, -1.0, -1.0),  # not the row's language
        (f"<think>\n{ADD}", -1.0, -1.0, -1.0),
    ],
)
def test_values(text: str, weighted_sum: float, partial: float, pass_fail: float) -> None:
    message = [{"role": "assistant", "content": text}]
    for completion in (text, message):
        assert score(completion) == pytest.approx(weighted_sum)
        assert score(completion, scoring="partial") == partial
        assert score(completion, scoring="pass_fail") == pass_fail


def test_cpp_and_rows_without_a_language() -> None:
    broken = CPP.replace("a + b", "a + c")
    rows = [{"official_tests": TESTS, "language": "cpp"}, {"official_tests": TESTS}]
    made = reward()
    assert made([CPP, CPP], **columns(*rows)) == pytest.approx([1.1, 1.1])
    assert made([broken], **columns(rows[0])) == [-0.1]
    assert made.drain_counts() == {"compile_error": 1}


def test_penalties_are_parameters() -> None:
    made = reward(no_code_reward=-0.5, compile_error_reward=0.0)
    assert made(["none", "```python\n(\n```"], **columns(ROW, ROW)) == [-0.5, 0.0]


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({"official_tests": []}, "no_tests"),
        ({"official_tests": None}, "no_tests"),
        ({"official_tests": [{"input": "1"}]}, "unusable_tests"),
        ({"input_mode": "file"}, "unsupported"),
        ({"interaction_format": "You can ask."}, "unsupported"),
        ({"language": "cobol"}, "infrastructure"),
    ],
)
def test_rows_that_cannot_be_scored(change: dict[str, Any], counted: str) -> None:
    made = reward()
    text = ADD + "\n```cobol\nSTOP RUN.\n```"
    assert made([text], **columns({**ROW, "input_mode": "stdio", **change})) == [None]
    assert made.drain_counts() == {counted: 1}


def test_generated_tests() -> None:
    more = [{"input": "1 1", "output": "2"}] * 2
    assert score(FIRST_ONLY, {**ROW, "generated_tests": more}, scoring="partial") == 0.25


def test_generated_tests_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas

    table = pandas.DataFrame(
        {
            "problem_id": ["7/A", "7/A", "7/B"],
            "input": ["1 1", "2 2", "0 0"],
            "output": ["2", "4", "0"],
        }
    )
    table.to_parquet(tmp_path / "test_cases_0007.parquet")
    row = {**ROW, "id": "7/A", "generated_tests": 2}
    assert score(ADD, row, tests_folder=str(tmp_path)) == pytest.approx(1.1)
    assert score(FIRST_ONLY, row, tests_folder=str(tmp_path), scoring="partial") == 0.25
    other_contest = {**row, "id": "8/A"}
    assert score(FIRST_ONLY, other_contest, tests_folder=str(tmp_path), scoring="partial") == 0.5
    monkeypatch.setenv("CF_TESTS_FOLDER", str(tmp_path))
    assert score(FIRST_ONLY, row, scoring="partial") == 0.25
    monkeypatch.delenv("CF_TESTS_FOLDER")
    made = reward(scoring="partial")
    assert made([FIRST_ONLY], **columns(row)) == [0.5]  # the official ones
    assert made.drain_counts() == {"generated_tests_missing": 1}
    with pytest.raises(PrerequisiteError, match="hf download"):
        contest_tests(str(tmp_path / "gone"), 7)


ANY_DIVISOR = """
import sys
given, wanted, said = (open(name).read() for name in sys.argv[1:4])
n, d = int(given), int(said)
print(1 if 1 < d < n and n % d == 0 else 0)
"""


@pytest.mark.parametrize(("printed", "value"), [("3", 1.0), ("5", 1.0), ("4", 0.0), ("x", 0.0)])
def test_checkers_judge_instead_of_comparing(printed: str, value: float) -> None:
    row = {**ROW, "official_tests": [{"input": "15", "output": "3"}]}
    row["generated_checker"] = ANY_DIVISOR
    made = reward(scoring="partial")
    assert made([f"```python\nprint({printed!r})\n```"], **columns(row)) == [value]
    assert made.drain_counts() == ({"checker_failed": 1} if printed == "x" else {})
    submission, stdins, _ = made.provider.jobs[0]  # type: ignore[attr-defined]
    assert "checker" not in repr((submission, stdins))


def test_limits_are_the_rows_and_longer_for_python() -> None:
    made = reward(timeout_s=7.0, memory_mib=99)
    row = {"official_tests": TESTS, "language": "python"}
    rows = [{**row, "time_limit": 2.0, "memory_limit": 64.0}, {**row, "language": "cpp"}]
    made([ADD, CPP], **columns(*rows))
    limits = {program.language: limit for program, _, limit in made.provider.jobs}  # type: ignore[attr-defined]
    assert (limits["python"].time_s, limits["python"].memory_mib) == (6.0, 64)
    assert (limits["cpp"].time_s, limits["cpp"].memory_mib) == (7.0, 99)


def test_pass_fail_stops_and_the_others_do_not() -> None:
    row = {**ROW, "official_tests": [{"input": "", "output": "x"}] * 6}
    for scoring, runs in (("pass_fail", [2]), ("partial", [6])):
        made = reward(scoring=scoring, test_batch_size=2)
        made(["```python\npass\n```"], **columns(row))
        assert [len(stdins) for _, stdins, _ in made.provider.jobs] == runs  # type: ignore[attr-defined]


def test_compat() -> None:
    assert score(f"<think>\n{ADD}", compat="open_r1") == pytest.approx(1.1)
    assert score(ADD.replace("python", "py"), compat="open_r1") == -1.0
    assert score(ADD, {**ROW, "language": None}, compat="open_r1") == -1.0
    assert score(ADD, {**ROW, "official_tests": []}, compat="open_r1") is None
    made = reward(compat="open_r1")
    made([ADD], **columns(ROW))
    assert made.provider.jobs[0][2].time_s == 1.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("stderr", "syntax"),
    [
        ("  File \"main.py\", line 1\n    (\n    ^\nSyntaxError: '(' was never closed\n", True),
        ('  File "main.py", line 2\nIndentationError: unexpected indent', True),
        ("Traceback (most recent call last):\nSyntaxError: from eval", False),
        ("", False),
    ],
)
def test_syntax_errors(stderr: str, syntax: bool) -> None:
    assert is_syntax_error([Result("runtime_error", stderr=stderr)]) is syntax
    assert not is_syntax_error([Result("ok", stderr=stderr)])
    assert not is_syntax_error([])


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"scoring": "best"}, "scoring"),
        ({"python_time_factor": 0.5}, "python_time_factor"),
        ({"no_code_reward": 1.0}, "no_code_reward"),
        ({"compile_error_reward": 0.1}, "compile_error_reward"),
        ({"tests_folder": "/nowhere/at/all"}, "tests_folder"),
        ({"provider": "moon"}, "provider"),
        ({"timeout_s": -1}, "timeout_s"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        CfCode(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(CfCode(no_code_reward=-2.0))).no_code_reward == -2.0
