from __future__ import annotations

import pickle
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.length import Length

RIGHT, WRONG = "\\boxed{7}", "\\boxed{8}"


def score(reward: Length, rows: list[tuple[str, int]], **columns: Any) -> list[float | None]:
    texts, sizes = [text for text, _ in rows], [size for _, size in rows]
    golds = columns.pop("solution", ["7"] * len(rows))
    return reward(texts, solution=golds, completion_ids=[[0] * n for n in sizes], **columns)


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ([(RIGHT, 100), (RIGHT, 300), (RIGHT, 500)], [0.5, 0.0, -0.5]),
        ([(WRONG, 100), (WRONG, 300), (WRONG, 500)], [0.0, 0.0, -0.5]),
        # The shortest is wrong, and makes the scale all the same.
        ([(WRONG, 100), (RIGHT, 200), (WRONG, 400), (RIGHT, 500)], [0.0, 0.25, -0.25, -0.5]),
        ([(RIGHT, 100), (WRONG, 100)], [0.0, 0.0]),
        ([(RIGHT, 100)], [0.0]),
        ([], []),
    ],
)
def test_values(rows: list[tuple[str, int]], values: list[float]) -> None:
    assert score(Length(), rows) == values
    messages = [[{"role": "assistant", "content": text}] for text, _ in rows]
    ids = [[0] * size for _, size in rows]
    assert Length()(messages, solution=["7"] * len(rows), completion_ids=ids) == values


FOUR = [(RIGHT, 100), (RIGHT, 1000), (RIGHT, 300), (RIGHT, 2000)]
BY_PROMPT = [0.5, 0.5, -0.5, -0.5]


def chat(question: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Think."}, {"role": "user", "content": question}]


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ({"prompts": ["a", "b", "a", "b"]}, BY_PROMPT),
        ({"prompts": [chat("a"), chat("b"), chat("a"), chat("b")]}, BY_PROMPT),  # by value
        ({"group": [1, 2, 1, 2]}, BY_PROMPT),
        ({"prompts": ["a", "b", "a", "b"], "group": [1, 1, 2, 2]}, BY_PROMPT),
        ({"prompts": None}, [0.5, pytest.approx(0.5 - 9 / 19), pytest.approx(0.5 - 2 / 19), -0.5]),
    ],
)
def test_lengths_are_compared_within_the_prompts_group(
    columns: dict[str, Any], values: list[float]
) -> None:
    assert score(Length(), FOUR, **columns) == values


def test_characters_are_those_the_model_wrote() -> None:
    reward = Length(length_unit="chars")
    reward.prefill = "<think></think>"
    texts = [RIGHT, RIGHT + " ", RIGHT + "  "]
    assert reward(texts, solution=["7"] * 3) == [0.5, 0.0, -0.5]


def test_tokens_need_token_ids() -> None:
    with pytest.raises(ParameterError, match="length_unit=chars"):
        Length()([RIGHT], solution=["7"])


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", -0.5), ("zero", -0.5)])
def test_an_unparseable_gold_counts_for_the_scale(choice: Any, value: float | None) -> None:
    reward = Length(on_unparseable=choice)
    rows = [(RIGHT, 100), (RIGHT, 200), (RIGHT, 300)]
    assert score(reward, rows, solution=["7", "7", ""]) == [0.5, 0.0, value]
    assert reward.drain_counts() == {"unparseable": 1}


def test_open_r1s_values_take_the_whole_batch_and_characters() -> None:
    fraction, other = "\\boxed{\\frac{63}{400}}", "\\boxed{\\frac{64}{400}}"
    texts = [fraction, fraction + " " * 10, other + " " * 10, other + " " * 40]
    reward = Length(compat="open_r1")
    reward.prefill = "<think>\n"
    values = reward(
        texts,
        solution=["\\frac{63}{400}"] * 4,
        prompts=["a", "b", "a", "b"],
        completion_ids=[[0]] * 4,
    )
    assert values == [0.5, 0.25, 0.0, -0.5]
    # A bare number does not parse there, and so every answer is right.
    assert reward(["\\boxed{8}", "\\boxed{8} "], solution=["72"] * 2) == [0.5, -0.5]
    assert reward(["\\boxed{8}", ""], solution=["72", ""]) == [-0.5, 0.5]
    assert reward(["ab", "cd"], solution=["$1$", ""]) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"length_unit": "words"}, "length_unit"),
        ({"on_unparseable": "maybe"}, "on_unparseable"),
        ({"deadline_s": 0}, "deadline_s"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Length(**parameters)
    assert caught.value.parameter == named


def test_columns_of_different_length_are_a_bug_that_shows() -> None:
    with pytest.raises(ValueError, match="prompts"):
        score(Length(), FOUR, prompts=["a"])


def test_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(Length()))
    assert score(copy, [(RIGHT, 1), (WRONG, 3)]) == [0.5, -0.5]
