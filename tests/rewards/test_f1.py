from __future__ import annotations

import pickle
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.f1 import F1


@pytest.mark.parametrize(
    ("text", "gold", "value"),
    [
        ("<answer>The Eiffel Tower</answer>", "Eiffel Tower", 1.0),
        ("<answer>eiffel tower.</answer>", "the Eiffel Tower!", 1.0),
        ("<answer>the tower in Paris</answer>", "Eiffel Tower", 2 / 5),  # 1 shared of 3 and 2
        ("<answer>tower tower</answer>", "Eiffel Tower", 1 / 2),  # a word counts as often as said
        ("<answer>Big Ben</answer>", "Eiffel Tower", 0.0),
        ("<answer>an</answer>", "Eiffel Tower", 0.0),
        ("<answer>tower</answer>", ["Eiffel Tower", "tower", "Ben"], 1.0),
        ("<answer>tower</answer>", {"text": ["Eiffel Tower"], "answer_start": [3]}, 2 / 3),
        ("<answer>tower</answer>", '["Eiffel Tower", "tower"]', 1.0),
        ("<answer>tower</answer>", '["tower"', 1.0),
        ("<answer>1889</answer>", 1889, 1.0),
        ("\\boxed{Eiffel Tower}", "Eiffel Tower", 1.0),
        ("Eiffel Tower", "Eiffel Tower", 1.0),
        ("<think>Big Ben?</think>\nEiffel Tower", "Eiffel Tower", 1.0),
        ("<think>Eiffel Tower", "Eiffel Tower", 0.0),
        ("<think>Eiffel Tower</think>", "Eiffel Tower", 0.0),
        ("Eiffel Tower <answer>", "Eiffel Tower", 0.0),  # cut off
        ("Eiffel Tower <answer></answer>", "Eiffel Tower", 0.0),
        ("", "Eiffel Tower", 0.0),
    ],
)
def test_values(text: str, gold: Any, value: float) -> None:
    message = [{"role": "assistant", "content": text}]
    assert F1()([text, message], solution=[gold] * 2) == [pytest.approx(value)] * 2


@pytest.mark.parametrize(
    ("style", "values"),
    [
        ("auto", [1.0, 1.0, 1.0]),
        ("answer_tag", [1.0, 0.0, 0.0]),
        ("boxed", [0.0, 1.0, 0.0]),
        ("text", [0.0, 2 / 7, 1.0]),  # words "answerbig benanswer" and "boxedbig ben"
    ],
)
def test_styles(style: Any, values: list[float]) -> None:
    texts = ["So it is <answer>Big Ben</answer>", "So it is \\boxed{Big Ben}", "Big Ben"]
    found = F1(style=style)(texts, solution=["Big Ben"] * 3)
    assert found == [pytest.approx(value) for value in values]


def test_a_threshold_takes_small_overlaps_away() -> None:
    texts, golds = ["one", "one two", "one two three four"], ["one two three four"] * 3
    assert F1(threshold=0.6)(texts, solution=golds) == [0.0, pytest.approx(2 / 3), 1.0]


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", 1.0), ("zero", 0.0)])
@pytest.mark.parametrize("gold", ["", None, [], "the", {"text": []}, True])
def test_a_gold_without_a_word(gold: Any, choice: Any, value: float | None) -> None:
    reward = F1(on_unparseable=choice)
    assert reward(["Ben"], solution=[gold]) == [value]
    assert reward.drain_counts() == {"unparseable": 1}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"style": "box"}, "style"),
        ({"threshold": 1.5}, "threshold"),
        ({"on_unparseable": "maybe"}, "on_unparseable"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        F1(**parameters)
    assert caught.value.parameter == named


def test_its_name_is_that_of_its_file() -> None:
    assert F1().__name__ == "f1"


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(F1(style="text")))(["Ben"], solution=["Big Ben"]) == [
        pytest.approx(2 / 3)
    ]
