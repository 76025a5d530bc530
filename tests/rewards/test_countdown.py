from __future__ import annotations

import pickle
import time
from fractions import Fraction
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.countdown import Countdown, evaluate


def score(answer: str, given: Any, target: Any, **parameters: Any) -> float | None:
    reward = Countdown(**parameters)
    text = f"<think>\nhm\n</think>\n<answer>{answer}</answer>"
    message = [{"role": "assistant", "content": text}]
    values = reward([text, message], nums=[given] * 2, target=[target] * 2)
    assert values[0] == values[1]
    return values[0]


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("(8 - 2) * 4", 1.0),
        ("4*(8-2)", 1.0),
        ("(8-2)*4 = 24", 1.0),
        ("24 = (8-2)*4", 1.0),
        ("(8 − 2) × 4", 1.0),
        ("$(8-2) \\times 4$", 1.0),
        ("\\left(8-2\\right)\\cdot 4", 1.0),
        ("\\boxed{(8-2)*4}", 1.0),
        ("\n(8 - 2)\n* 4\n", 1.0),
        ("-(2 - 8) * 4", 1.0),
        # well-formed, and wrong
        ("8 + 2 + 4", 0.1),
        ("(8-2)*4 = 25", 0.1),
        ("8 * 3", 0.1),  # 3 was not given
        ("8 * 4 - 8", 0.1),  # one number twice, one not used
        ("24", 0.1),
        ("8 / (4 - 2 * 2)", 0.1),
        ("8 / 0", 0.1),
        # not well-formed
        ("", 0.0),
        ("8 -", 0.0),
        ("(8 - 2 * 4", 0.0),
        ("(8-2)(4)", 0.0),
        ("twenty-four", 0.0),
        ("8 ** 2", 0.0),
        ("8 // 2", 0.0),
        ("8 - 2 * 4 = 0 = 24 =", 0.0),
        ("(8-2)*4 or 8*2+4", 0.0),
        ("0b11000", 0.0),
        ("8.0 * 2", 0.0),
        ("__import__('os')", 0.0),
        ("9**9**9**9", 0.0),
    ],
)
def test_values(answer: str, value: float) -> None:
    assert score(answer, [8, 2, 4], 24) == value


def test_the_answer_has_to_be_marked_after_the_reasoning() -> None:
    texts = [
        "\\boxed{(8-2)*4}",
        "(8-2)*4",
        "<think><answer>(8-2)*4</answer>",
        "<think><answer>(8-2)*4</answer></think>",
        "<answer>(8-2)*4",
        "<answer>8*2+4</answer><answer>(8-2)*4</answer>",  # several answers commit to none
        "",
    ]
    reward = Countdown()
    values = reward(texts, nums=[[8, 2, 4]] * 7, target=[24] * 7)
    assert values == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert reward.drain_counts() == {"no_answer": 5, "malformed": 1}


def test_fractions_are_exact() -> None:
    assert score("8 / (3 - 8 / 3)", [8, 3, 8, 3], 24) == 1.0
    assert score("1 / 3 * 3", [1, 3, 3], 1) == 1.0
    assert score("\\frac{8}{3 - \\frac{8}{3}}", [8, 3, 8, 3], 24) == 1.0
    assert evaluate("1/3") == (Fraction(1, 3), [1, 3])


def test_leaving_numbers_out() -> None:
    assert score("8 * 3", [8, 3, 5], 24) == 0.1
    assert score("8 * 3", [8, 3, 5], 24, use_all=False) == 1.0
    assert score("8 + 8 + 8", [8, 3, 5], 24, use_all=False) == 0.1
    assert score("8 * 2", [8, 3, 5], 24, format_value=0) == 0.0


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", 1.0), ("zero", 0.0)])
@pytest.mark.parametrize(
    ("given", "target"), [([], 24), (None, 24), ([8, "x"], 24), ([8, 3], None), ([8, 3], "24.5")]
)
def test_a_row_that_is_no_task(given: Any, target: Any, choice: Any, value: float | None) -> None:
    assert score("8 * 3", given, target, on_unparseable=choice) == value


def test_columns_of_text_and_of_floats() -> None:
    assert score("8 * 3", ["8", "3"], "24") == 1.0
    assert score("8 * 3", [8.0, 3.0], 24.0) == 1.0


def test_hostile_answers_cost_nothing() -> None:
    started = time.monotonic()
    for hostile in ["(" * 100_000, "-" * 390 + "1", "1+" * 195 + "1", "9" * 399, "9*" * 199 + "9"]:
        assert score(hostile, [8, 3], 24) in (0.0, 0.1)
    assert score(" " * 1_000_000 + "8*3", [8, 3], 24) == 1.0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"use_all": "yes"}, "use_all"),
        ({"format_value": 2}, "format_value"),
        ({"on_unparseable": "maybe"}, "on_unparseable"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Countdown(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(Countdown(use_all=False)))
    assert copy(["\\boxed{8*3}"], nums=[[8, 3, 1]], target=[24]) == [1.0]
