from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.ioi_code import IoiCode, with_includes, year_tests
from tests.sandbox.runner import Runner

#: A task as IOI sets them: the grader reads, calls the submission, and writes.
GRADER = """
#include "plants.h"
#include <cstdio>
int main() {
    int n;
    if (std::scanf("%d", &n) != 1) return 1;
    std::printf("OK\\n%d\\n", grow(n));
}
"""
HEADER = "int grow(int n);\n"
CHECKER = """
#include "plants.h"
#include <fstream>
#include <iostream>
int main(int argc, char** argv) {
    std::ifstream wanted(argv[2]), said(argv[3]);
    std::string line;
    int a = 0, b = 0;
    wanted >> line >> a;
    said >> line >> b;
    std::cout << (a == b ? 1.0 : b > a ? 0.333 : 0.0) << "\\n";
    return 0;
}
"""
FILES = [["graders/grader.cpp", GRADER], ["graders/plants.h", HEADER], ["graders/empty.txt", ""]]
ROW: dict[str, Any] = {
    "id": "plants",
    "task_type": "Batch",
    "test_names": ["0-01", "1-01", "1-02"],
    "test_cases": [["1", "OK\n2"], ["2", "OK\n4"], ["3", "OK\n6"]],
    "time_limit": 2.0,
    "memory_limit": 2147483648,
    "grader_files": FILES,
    "score": 11,
    "score_precision": 2,
}
RIGHT = "```cpp\nint n = 2;\nint grow(int x) { return n * x; }\n```"
WRONG_LATER = "```cpp\nint grow(int x) { return x < 3 ? 2 * x : 0; }\n```"
TOO_MUCH = "```cpp\nint grow(int x) { return x < 3 ? 2 * x : 7; }\n```"


def reward(**parameters: Any) -> IoiCode:
    made = IoiCode(**parameters)
    made._provider = Runner(remember=True)
    return made


def columns(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in {k for row in rows for k in row}}


def score(text: Any, row: dict[str, Any] = ROW, **parameters: Any) -> float | None:
    return reward(**parameters)([text], **columns(row))[0]


def test_values() -> None:
    made = reward()
    texts: list[Any] = [
        RIGHT,
        [{"role": "assistant", "content": RIGHT}],
        WRONG_LATER,
        "```cpp\nint grow(int x) { return y; }\n```",
        "```python\nprint(2)\n```",
        f"<think>\n{RIGHT}",
    ]
    rows = [ROW] * len(texts)
    assert made(texts, **columns(*rows)) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert made.drain_counts() == {"compile_error": 1, "no_code": 2}


def test_points() -> None:
    assert score(RIGHT, points=True) == 11.0
    with pytest.raises(ValueError, match="column `score`"):
        score(RIGHT, {**ROW, "score": None}, points=True)


@pytest.mark.slow
def test_the_least_of_the_checkers_scores() -> None:
    row = {**ROW, "grader_files": [*FILES, ["checker/checker.cpp", CHECKER]]}
    made = reward()
    values = made([RIGHT, TOO_MUCH, WRONG_LATER], **columns(row, row, row))
    assert values == [1.0, 0.333, 0.0]
    assert score(TOO_MUCH, row, points=True) == pytest.approx(3.663)
    assert score(TOO_MUCH, row, compat="open_r1") == 0.33  # rounded


@pytest.mark.slow
def test_tests_stop_at_the_first_batch_with_nothing() -> None:
    made = reward(test_batch_size=1)
    wrong_first = "```cpp\nint grow(int x) { return 0; }\n```"
    assert made([wrong_first, RIGHT], **columns(ROW, ROW)) == [0.0, 1.0]
    assert len(made.provider.jobs) == 4  # type: ignore[attr-defined]


def test_without_graders_the_program_stands_alone() -> None:
    program = "```cpp\nint main() { int x; cin >> x; cout << 2 * x << endl; }\n```"
    cases = {
        name: (given, want[3:])
        for name, (given, want) in zip(ROW["test_names"], ROW["test_cases"], strict=True)
    }
    assert score(program, {**ROW, "grader_files": [], "test_cases": cases}) == 1.0


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({"task_type": "Communication"}, "unsupported"),
        ({"task_type": "OutputOnly"}, "unsupported"),
        ({"test_names": [], "test_cases": []}, "no_tests"),
        ({"test_cases": None}, "no_tests"),  # and no year to look them up
    ],
)
def test_rows_that_cannot_be_scored(change: dict[str, Any], counted: str) -> None:
    made = reward()
    row = {name: value for name, value in {**ROW, **change}.items() if value is not None}
    assert made([RIGHT], **columns(row)) == [None]
    assert made.drain_counts() == {counted: 1}


def test_infrastructure_is_no_verdict() -> None:
    made = reward()
    made._provider = Runner(broken=["cpp"])
    assert made([RIGHT], **columns(ROW)) == [None]
    assert made.drain_counts() == {"infrastructure": 1, "retries": 1}


def test_tests_of_a_year_are_loaded_where_rows_have_none(tmp_path: Path) -> None:
    import pandas

    table = pandas.DataFrame(
        {
            "problem_id": ["plants"] * 3,
            "test_name": ROW["test_names"],
            "test_input": [given for given, _ in ROW["test_cases"]],
            "test_output": [output for _, output in ROW["test_cases"]],
        }
    )
    (tmp_path / "2020").mkdir()
    table.to_parquet(tmp_path / "2020" / "train-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: '2020'\n  data_files:\n  - split: train\n"
        "    path: 2020/train-*\n---\n"
    )
    row = {name: value for name, value in ROW.items() if name != "test_cases"}
    row["year"] = 2020
    assert score(RIGHT, row, test_data=str(tmp_path)) == 1.0
    assert score(RIGHT, {**row, "id": "other", "test_names": []}, test_data=str(tmp_path)) is None
    with pytest.raises(ValueError, match="no test case called '9-99'"):
        score(RIGHT, {**row, "test_names": ["9-99"]}, test_data=str(tmp_path))
    year_tests.cache_clear()


@pytest.mark.parametrize(
    ("limit", "mib"), [(2147483648, 2048), (268435456, 256), (256, 256), (None, 2048)]
)
def test_memory_limits_in_bytes_or_mib(limit: int | None, mib: int) -> None:
    limits = IoiCode()._limits({**ROW, "memory_limit": limit})
    assert (limits.memory_mib, limits.time_s) == (mib, 2.0)


@pytest.mark.parametrize(
    ("source", "added"),
    [
        ("int f();", ["#include <bits/stdc++.h>", '#include "a.h"', "using namespace std;"]),
        ('#include "a.h"\nint f();', ["#include <bits/stdc++.h>", "using namespace std;"]),
        ("std::string f();", ["#include <bits/stdc++.h>", '#include "a.h"']),
        ("using namespace std;", ["#include <bits/stdc++.h>", '#include "a.h"']),
    ],
)
def test_includes(source: str, added: list[str]) -> None:
    assert with_includes(source, "a.h") == "\n".join([*added, source])


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"language": "python"}, "language"),
        ({"points": 1}, "points"),
        ({"test_data": ""}, "test_data"),
        ({"provider": "moon"}, "provider"),
        ({"compat": "trl"}, "compat"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        IoiCode(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(IoiCode(points=True))).points is True
