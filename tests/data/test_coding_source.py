from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from r1lab.data.build import build_data, check_light
from r1lab.data.coding_source import Coding
from r1lab.data.entries import data_file
from r1lab.errors import PrerequisiteError
from r1lab.rewards.code import Code
from r1lab.rewards.code_format import CodeFormat
from r1lab.targets import build


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return Coding(train_size=64, test_size=16).load()["train"].to_list()


@pytest.fixture(scope="module")
def reward() -> Code:
    made = Code(timeout_s=20.0)
    try:
        made.prepare()
    except PrerequisiteError as error:
        pytest.skip(f"nothing isolates here: {error}")
    return made


def answer(program: str) -> str:
    return f"<think>\nhm\n</think>\n<answer>\n```python\n{program}\n```\n</answer>"


def scores(reward: Code, rows: list[dict[str, Any]], programs: list[str]) -> list[float | None]:
    infos = [row["verification_info"] for row in rows]
    return reward([answer(program) for program in programs], verification_info=infos)


def test_reference_programs_pass_in_the_sandbox(reward: Code, rows: list[dict[str, Any]]) -> None:
    kinds = {row["kind"]: row for row in rows}
    assert len(kinds) >= 14
    chosen = list(kinds.values())
    assert scores(reward, chosen, [row["solution"] for row in chosen]) == [1.0] * len(chosen)
    completions = [row["completion"] for row in chosen]
    assert CodeFormat()(completions) == [1.0] * len(chosen)
    infos = [row["verification_info"] for row in chosen]
    assert reward(completions, verification_info=infos) == [1.0] * len(chosen)


MUTATIONS = (
    ("print(solve(sys.stdin.read()))", "print(solve(sys.stdin.read()), 0)"),
    ("print(solve(sys.stdin.read()))", "solve(sys.stdin.read())"),
    ("return ", "return 7 or "),
    ("print(solve(sys.stdin.read()))", "print(sys.stdin.read())"),
)


@pytest.mark.parametrize(("old", "new"), MUTATIONS)
def test_mutants_earn_less(reward: Code, rows: list[dict[str, Any]], old: str, new: str) -> None:
    chosen = list({row["kind"]: row for row in rows}.values())[:8]
    mutants = [row["solution"].replace(old, new) for row in chosen]
    assert all(mutant != row["solution"] for mutant, row in zip(mutants, chosen, strict=True))
    assert all(value < 1.0 for value in scores(reward, chosen, mutants) if value is not None)


def test_the_rows_that_a_trainer_gets() -> None:
    source = Coding(train_size=20, test_size=5, tests=3)
    bundle = build_data(source, "grpo", need_solution=False, need={"verification_info"})
    assert (len(bundle.train), bundle.test and len(bundle.test)) == (20, 5)
    assert (
        set(bundle.train.column_names) == source.provides() - {"problem"}
        or set(bundle.train.column_names) <= source.provides()
    )
    row = bundle.train[0]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    info = json.loads(row["verification_info"])
    assert (info["language"], len(info["test_cases"])) == ("python", 3)
    sft = build_data(source, "sft", need_solution=False)
    assert "```python" in sft.train[0]["completion"][0]["content"]


def test_defaults_are_those_of_the_file() -> None:
    source, default = build(data_file("coding")), Coding()
    for item in fields(source):
        assert getattr(source, item.name) == getattr(default, item.name), item.name
    assert data_file("verifiable_coding")["system_prompt"] == default.system_prompt


def test_what_it_provides_is_what_it_loads() -> None:
    source = Coding(train_size=1, test_size=0)
    assert set(source.load()["train"].column_names) == source.raw_columns()
    assert check_light(source, {"prompt", "verification_info"}) == []


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"seed": -1}, "data.seed"),
        ({"tests": 0}, "data.tests"),
        ({"train_size": 0}, "data.train_size"),
        ({"test_size": 0.5}, "data.test_size"),
    ],
)
def test_values_that_cannot_be(values: dict[str, Any], key: str) -> None:
    assert [problem.key for problem in Coding(**values).check()] == [key]
