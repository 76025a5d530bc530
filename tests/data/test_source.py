from __future__ import annotations

from typing import Any

import pytest

from r1lab.data.arithmetic_source import Arithmetic
from r1lab.data.build import check_light
from r1lab.data.prompts import PROMPTS
from r1lab.data.source import Source
from r1lab.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "key", "fix"),
    [
        ({"test_size": -1}, "data.test_size", "between 0 and 1"),
        ({"test_size": 1.5}, "data.test_size", "between 0 and 1"),
        ({"test_size": "many"}, "data.test_size", "between 0 and 1"),
        ({"test_size": True}, "data.test_size", "between 0 and 1"),
        ({"max_train": 0}, "data.max_train", "null for no limit"),
        ({"max_test": -5}, "data.max_test", "null for no limit"),
        ({"check_solutions": 1.5}, "data.check_solutions", "from 0 on"),
        ({"shuffle_seed": "x"}, "data.shuffle_seed", "whole number"),
        ({"system_prompt": "open_r2"}, "data.system_prompt", "open_r1"),
        ({"system_prompt": " "}, "data.system_prompt", "null"),
        ({"system_prompt": 3}, "data.system_prompt", "open_r1"),
        ({"bad_rows": "skip"}, "data.bad_rows", "error"),
        ({"answer_format": "box"}, "data.answer_format", "boxed"),
        ({"columns": ["prompt"]}, "data.columns", "data.columns.prompt"),
        ({"columns": {"prompt": 3}}, "data.columns.prompt", "null"),
        ({"columns": {"solution": "answer"}}, "data.columns", "data.columns.prompt"),
        (
            {"answer_format": "boxed", "columns": {"prompt": "q", "solution": None}},
            "data.answer_format",
            "data.columns.solution",
        ),
    ],
)
def test_one_wrong_value_is_one_problem(values: dict[str, Any], key: str, fix: str) -> None:
    (problem,) = check_light(Source(**values), {"prompt"})
    assert problem.key == key
    assert fix in problem.fix


def test_all_problems_come_together() -> None:
    source = Arithmetic(
        difficulty="medum", train_size=0, seed=-1, sft_think_fraction=2, sft_think_first=-1
    )
    found = {problem.key: problem for problem in check_light(source, set())}
    names = ("difficulty", "train_size", "seed", "sft_think_fraction", "sft_think_first")
    assert set(found) == {f"data.{name}" for name in names}
    assert "medium" in found["data.difficulty"].fix


def test_a_generated_test_split_is_no_share() -> None:
    (problem,) = check_light(Arithmetic(test_size=0.5), set())
    assert problem.key == "data.test_size" and "number of rows" in problem.fix


def test_system_prompt_by_name_and_as_text() -> None:
    assert Source(system_prompt="open_r1").system_text() == PROMPTS["open_r1"]
    assert Source(system_prompt="Be brief, please.").system_text() == "Be brief, please."
    assert Source().system_text() is None


def test_what_a_run_needs_is_checked_against_the_columns() -> None:
    source = Arithmetic()
    assert check_light(source, {"prompt", "solution", "messages", "difficulty"}) == []
    (problem,) = check_light(source, {"prompt", "reasoning_gym_entry"})
    assert problem.key == "data.columns.reasoning_gym_entry"
    assert "difficulty" in problem.message
    only_messages = Source(columns={"prompt": None, "solution": None, "messages": "messages"})
    assert check_light(only_messages, {"messages"}) == []
    (problem,) = check_light(only_messages, {"prompt", "solution"})
    assert (problem.key, problem.value) == ("data.columns.solution", None)


def test_streamed_rows_are_those_that_are_loaded() -> None:
    from r1lab.data.coding_source import Coding

    for source in (Arithmetic(train_size=7, test_size=3), Coding(train_size=3, test_size=2)):
        for split, rows in source.load().items():
            assert list(source.stream(split)) == rows.to_list()
        with pytest.raises(ConfigError, match="has no such split"):
            next(iter(source.stream("dev")))
