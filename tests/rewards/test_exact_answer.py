from __future__ import annotations

import pickle
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.exact_answer import ExactAnswer, written_alike


@pytest.mark.parametrize(
    ("text", "gold", "value"),
    [
        ("3 + 4 = 7\n#### 7", "7", 1.0),
        ("#### 7", "He has 3 + 4 = 7.\n#### 7", 1.0),  # gsm8k's own golds
        ("#### 8", "#### 7", 0.0),
        ("#### 1,234", "1234", 1.0),
        ("#### 7.00", "7", 1.0),
        ("#### $7", "7", 1.0),
        ("#### 72 clips", "72", 1.0),
        ("#### 72 million", "72", 0.0),
        ("#### 72 or 73", "72", 0.0),
        ("\\boxed{7}", "7", 1.0),
        ("\\boxed{\\text{Paris}}", "paris", 1.0),
        ("\\boxed{\\dfrac{1}{2}}", "$\\frac{1}{2}$", 1.0),
        ("\\boxed{0.5}", "\\frac{1}{2}", 0.0),  # no algebra
        ("<answer> x + 1 </answer>", "x+1", 1.0),
        ("<answer>1 + x</answer>", "x+1", 0.0),
        ("<answer>\n\\boxed{7}\n</answer>", "7", 1.0),
        ("<think>\n\\boxed{8}\n</think>\n\\boxed{7}", "7", 1.0),
        # nothing marked, or nothing said
        ("The answer is 7.", "7", 0.0),
        ("7", "7", 0.0),
        ("", "7", 0.0),
        ("<think></think><answer></answer>", "7", 0.0),
        ("<think>\\boxed{7}", "7", 0.0),
        ("<think>\\boxed{7}</think> done", "7", 0.0),
        ("\\boxed{7", "7", 0.0),
        # many answers
        ("\\boxed{6} or \\boxed{7}", "7", 0.0),
        ("\\boxed{7} and so \\boxed{7.0}", "7", 1.0),
        ("\\boxed{6, 7, 8}", "7", 0.0),
        ("<answer>6</answer><answer>7</answer>", "7", 0.0),
        ("#### 6\n#### 7", "7", 0.0),
        ("\\boxed{" + "7" * 100_000 + "}", "7", 0.0),
    ],
)
def test_values(text: str, gold: str, value: float) -> None:
    message = [{"role": "assistant", "content": text}]
    assert ExactAnswer()([text, message], solution=[gold] * 2) == [value] * 2


@pytest.mark.parametrize(
    ("style", "values"),
    [
        ("auto", [1.0, 1.0, 1.0]),
        ("answer_tag", [1.0, 0.0, 0.0]),
        ("boxed", [0.0, 1.0, 0.0]),
        ("hashes", [0.0, 0.0, 1.0]),
    ],
)
def test_styles(style: Any, values: list[float]) -> None:
    texts = ["<answer>7</answer>", "\\boxed{7}", "#### 7"]
    assert ExactAnswer(style=style)(texts, solution=["7"] * 3) == values


def test_a_wrong_answer_in_the_right_place_may_earn_something() -> None:
    reward = ExactAnswer(style="hashes", format_value=0.1)
    texts = ["#### 7", "#### 8", "8", "#### 7\n#### 8", "####"]
    assert reward(texts, solution=["7"] * 5) == [1.0, 0.1, 0.0, 0.0, 0.0]
    assert reward.drain_counts() == {"no_answer": 2, "several": 1}


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", 1.0), ("zero", 0.0)])
def test_a_gold_that_is_empty(choice: Any, value: float | None) -> None:
    reward = ExactAnswer(on_unparseable=choice)
    assert reward(["#### 7"] * 3, solution=["", None, 7]) == [value, value, 1.0]
    assert reward.drain_counts() == {"unparseable": 2}


def test_what_the_template_wrote_counts() -> None:
    reward = ExactAnswer()
    reward.prefill = "<think>\n"
    assert reward(["\\boxed{7}", "so</think>\\boxed{7}"], solution=["7"] * 2) == [0.0, 1.0]


def test_the_comparison_is_symmetric_and_reflexive() -> None:
    texts = ["7", "7.0", "1,000", "1000", "72 clips", "72", "x+1", "Paris", "paris", "\\frac12", ""]
    for one in texts:
        assert written_alike(one, one) is (one != "")
        for two in texts:
            assert written_alike(one, two) == written_alike(two, one)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"style": "box"}, "style"),
        ({"format_value": 2}, "format_value"),
        ({"format_value": "0"}, "format_value"),
        ({"on_unparseable": "maybe"}, "on_unparseable"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        ExactAnswer(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(ExactAnswer(format_value=0.2)))
    assert copy(["#### 7", "#### 8"], solution=["7"] * 2) == [1.0, 0.2]
