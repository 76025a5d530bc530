from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from r1lab.data.build import build_data, check_light
from r1lab.data.reasoning_gym import (
    ENTRY,
    ReasoningGym,
    create_task,
    decode_entry,
    encode_entry,
    installed_tasks,
)
from r1lab.errors import ConfigError


def test_the_tasks_found_without_importing_are_the_registered_ones() -> None:
    import reasoning_gym  # noqa: F401
    from reasoning_gym.factory import DATASETS

    assert set(installed_tasks()) == set(DATASETS) - {"composite"}


@pytest.mark.parametrize("task", sorted(installed_tasks()))
def test_every_task_keeps_what_its_scorer_needs(task: str) -> None:
    """The entry survives JSON, and the task's scorer says of it what it said before."""
    rows = create_task(task, {"seed": 3, "size": 2})
    entry = rows[0]
    encoded = encode_entry(task, {}, entry)
    name, config, decoded = decode_entry(encoded)
    assert (name, config, decoded) == (task, {}, entry)
    assert rows.score_answer(entry["answer"], decoded) == rows.score_answer(entry["answer"], entry)


def test_tuples_sets_and_keys_that_are_not_text_survive() -> None:
    entry = {"a": ((1, 2), [3]), 5: {"x", "y"}, "d": {(0, 1): None}, "__kind__": "tuple"}
    assert decode_entry(encode_entry("t", {"c": (1,)}, entry)) == ("t", {"c": (1,)}, entry)
    with pytest.raises(TypeError, match="object"):
        encode_entry("t", {}, {"x": object()})


@pytest.mark.parametrize("task", ["chain_sum", "countdown", "arc_1d"])
def test_rows_are_deterministic_and_disjoint(task: str) -> None:
    def load(**values: Any) -> dict[str, list[str]]:
        splits = ReasoningGym(task=task, train_size=60, test_size=20, **values).load()
        return {split: rows["question"][:] for split, rows in splits.items()}

    first, again, other = load(), load(), load(seed=1000)
    assert first == again and first["train"] != other["train"]
    assert (len(first["train"]), len(first["test"])) == (60, 20)
    assert not set(first["train"]) & set(first["test"])
    assert len(set(first["test"])) == 20


def test_a_task_with_few_problems_says_so() -> None:
    small = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    source = ReasoningGym(task="chain_sum", config=small, train_size=3000, test_size=50)
    with pytest.raises(ConfigError) as caught:
        source.load()
    (problem,) = caught.value.problems
    assert problem.key == "data.test_size" and "400 draws" in problem.message


def all_parse(golds: Sequence[str]) -> list[bool]:
    return [True] * len(golds)


def test_rows_for_training() -> None:
    source = ReasoningGym(
        task="chain_sum", config={"max_terms": 3}, train_size=8, test_size=4, system_prompt="boxed"
    )
    bundle = build_data(source, "grpo", True, parses=all_parse, need={ENTRY})
    row = bundle.train[0]
    task, config, entry = decode_entry(row[ENTRY])
    assert (task, config) == ("chain_sum", {"max_terms": 3})
    assert entry["answer"] == row["solution"] and entry["question"] == row["prompt"][1]["content"]
    assert json.loads(row[ENTRY])


def test_a_task_without_a_single_answer_has_no_solution() -> None:
    source = ReasoningGym(task="graph_color", train_size=3, test_size=0)
    assert len(build_data(source, "grpo", False).train) == 3
    with pytest.raises(ConfigError, match="3 of 3 train rows have no solution"):
        build_data(source, "grpo", True)


@pytest.mark.parametrize(
    ("values", "key", "fix"),
    [
        ({"task": "chainsum"}, "data.task", "chain_sum"),
        ({"task": "composite"}, "data.task", ""),
        ({"config": {"max_term": 3}}, "data.config.max_term", "max_terms"),
        ({"config": {"seed": 3}}, "data.config.seed", "data.seed"),
        ({"config": {"size": 3}}, "data.config.size", "data.train_size"),
        ({"train_size": 0}, "data.train_size", "from 1 on"),
        ({"test_size": 0.1}, "data.test_size", "number of rows"),
        ({"seed": -1}, "data.seed", "from 0 on"),
    ],
)
def test_light_problems(values: dict[str, Any], key: str, fix: str) -> None:
    (problem,) = check_light(ReasoningGym(**values), {"prompt"})
    assert problem.key == key and fix in problem.fix


def test_a_value_that_the_task_refuses() -> None:
    with pytest.raises(ConfigError) as caught:
        ReasoningGym(config={"min_terms": 9, "max_terms": 2}, train_size=3).load()
    (problem,) = caught.value.problems
    assert problem.key == "data.config" and problem.value == {"min_terms": 9, "max_terms": 2}
    with pytest.raises(ConfigError, match="chain_sum"):
        ReasoningGym(task="chainsum").load()


def test_the_package_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1lab.data.reasoning_gym.installed_tasks", dict)
    (problem,) = check_light(ReasoningGym(), {"prompt"})
    assert "pip install reasoning-gym" in problem.fix
