from __future__ import annotations

import sys

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.generation.request import Answer
from r1lab.generation.steps.duplicates import Duplicates
from r1lab.rewards.base import ParameterError
from tests.generation.steps.groups import context, dropped, group, left, ready

WORDS = [f"word{number}" for number in range(60)]
TEXT = " ".join(WORDS)
NEAR = " ".join([*WORDS[:30], "other", *WORDS[31:]])  # 51 of 61 shingles are common
FAR = " ".join(word if number % 10 else "other" for number, word in enumerate(WORDS))


def test_the_same_text_but_for_white_space_stays_once() -> None:
    step = ready(Duplicates())
    groups = [
        group(0, "The answer\nis 7.", "The  answer is 7. ", "the answer is 7.", "The answer is 8.")
    ]
    assert left(step.apply(groups)) == {0: [0, 3]}
    assert dropped(step) == {"duplicate": 1, "near duplicate": 1}


def test_another_reasoning_is_another_answer() -> None:
    groups = [group(0, Answer("7", "3 + 4"), Answer("7", "4 + 3"), Answer("7", "3 + 4 "))]
    assert left(ready(Duplicates()).apply(groups)) == {0: [0, 1]}


@pytest.mark.parametrize("scope", ["prompt", "all"])
def test_near_duplicates_of_one_that_is_kept_go(scope: str) -> None:
    step = ready(Duplicates(scope=scope))  # type: ignore[arg-type]
    assert left(step.apply([group(0, TEXT, FAR, NEAR, TEXT.upper())])) == {0: [0, 1]}
    assert dropped(step) == {"near duplicate": 2}


def test_how_near_is_a_parameter() -> None:
    strict = ready(Duplicates(near=0.9))
    assert left(strict.apply([group(0, TEXT, NEAR)])) == {0: [0, 1]}
    exact = ready(Duplicates(near=None))
    assert left(exact.apply([group(0, TEXT, NEAR, TEXT.upper(), TEXT)])) == {0: [0, 1, 2]}


def test_answers_of_other_prompts_are_compared_only_with_scope_all() -> None:
    groups = lambda: [group(0, TEXT, "7"), group(1, NEAR, "7")]  # noqa: E731
    assert left(ready(Duplicates()).apply(groups())) == {0: [0, 1], 1: [0, 1]}
    step = ready(Duplicates(scope="all"))
    assert left(step.apply(groups())) == {0: [0, 1], 1: []}
    assert dropped(step) == {"duplicate": 1, "near duplicate": 1}


def test_a_prompt_that_came_before_goes_with_its_answers() -> None:
    texts = ["What is 3 + 4?", " what  IS 3 + 4?", "What is 3 + 5?"]
    groups = lambda: [group(row, "7", "8", text=text) for row, text in enumerate(texts)]  # noqa: E731
    step = ready(Duplicates())
    assert left(step.apply(groups())) == {0: [0, 1], 2: [0, 1]}
    assert step.counts == {"dropped prompts: duplicate": 1}
    assert left(ready(Duplicates(prompts=False)).apply(groups())).keys() == {0, 1, 2}


def test_a_second_run_remembers_nothing_of_the_first() -> None:
    step = ready(Duplicates(scope="all"))
    for _ in range(2):
        step.prepare(context())
        assert left(step.apply([group(0, TEXT)])) == {0: [0]}
        step.close()


def test_without_datasketch_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    monkeypatch.setattr("r1lab.generation.near.find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match="scope=prompt"):
        Duplicates(scope="all").prepare(context())
    ready(Duplicates())  # which does not need it


@pytest.mark.parametrize(
    "wrong", [{"scope": "both"}, {"near": 0}, {"near": 80}, {"words": 0}, {"num_perm": 1}]
)
def test_parameters_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Duplicates(**wrong)
