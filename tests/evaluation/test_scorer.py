"""Which scorer a held-out split gets: the one that can say whether an answer to it is right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1lab.compose import compose, resolve
from r1lab.evaluation.around import scorer_for

CASES = json.dumps({"language": "python", "test_cases": [{"input": "2\n", "output": "4\n"}]})
DOUBLE = "```python\nprint(2 * int(input()))\n```"


def rewards(*names: str) -> dict[str, Any]:
    return resolve(compose([f"rewards=[{','.join(names)}]"]))["rewards"]


def rows(**columns: list[Any]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"prompt": ["?"] * len(next(iter(columns.values()))), **columns})


def test_a_mathematical_solution_is_read_by_the_verifier() -> None:
    scorer = scorer_for(rows(solution=["0.5"]), rewards("exact_answer", "accuracy"), "")
    assert scorer is not None
    assert scorer(completions=["\\boxed{\\frac12}"], solution=["0.5"]) == [1.0]


def test_a_run_without_such_a_reward_is_measured_by_its_own() -> None:
    data = rows(solution=["B"])
    scorer = scorer_for(data, rewards("multiple_choice", "format"), "")
    assert scorer is not None
    assert scorer(completions=["(B) Paris", "(C)"], solution=["B", "B"]) == [1.0, 0.0]


def test_sft_has_no_rewards_and_the_verifier_reads_its_solutions() -> None:
    scorer = scorer_for(rows(solution=["7"]), {}, "<think>\n")
    assert scorer is not None
    assert scorer(completions=["so</think> \\boxed{7}", "7"], solution=["7", "7"]) == [1.0, 0.0]


@pytest.mark.parametrize("reward", ["code", "binary_code"])
def test_programs_are_right_when_every_test_passes(reward: str) -> None:
    two = json.loads(CASES)
    two["test_cases"].append({"input": "3\n", "output": "7\n"})
    columns = {"verification_info": [CASES, json.dumps(two)], "solution": [DOUBLE, DOUBLE]}
    scorer = scorer_for(rows(**columns), rewards(reward, "code_format"), "")
    assert scorer is not None
    assert scorer(completions=[DOUBLE, DOUBLE], **columns) == [1.0, 0.0]


def test_rows_that_nothing_can_score_have_no_scorer() -> None:
    assert scorer_for(rows(other=["x"]), rewards("format"), "") is None
