from __future__ import annotations

import pickle

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.cosine import Cosine

RIGHT, WRONG = "\\boxed{7}", "\\boxed{8}"


@pytest.mark.parametrize(
    ("text", "tokens", "value"),
    [
        (RIGHT, 0, 1.0),
        (RIGHT, 50, 0.75),
        (RIGHT, 100, 0.5),
        (RIGHT, 150, 0.5),  # clamped: open-r1's cosine turned round and rose again
        (RIGHT, 200, 0.5),
        (WRONG, 0, -1.0),
        (WRONG, 50, -0.75),
        (WRONG, 100, -0.5),
        (WRONG, 200, -0.5),
    ],
)
def test_values(text: str, tokens: int, value: float) -> None:
    reward = Cosine(max_len=100)
    assert reward([text], solution=["7"], completion_ids=[[0] * tokens]) == [pytest.approx(value)]


def test_characters_without_what_the_template_wrote() -> None:
    reward = Cosine(max_len=18, length_unit="chars")
    reward.prefill = "<think></think>"
    assert len(RIGHT) == 9
    assert reward([RIGHT, WRONG], solution=["7", "7"]) == [
        pytest.approx(0.75),
        pytest.approx(-0.75),
    ]


def test_values_are_monotonic_in_length() -> None:
    reward = Cosine(max_len=100)
    right = [reward.value(True, n) for n in range(130)]
    wrong = [reward.value(False, n) for n in range(130)]
    assert right == sorted(right, reverse=True)
    assert wrong == sorted(wrong)


def test_exceeding_the_limit() -> None:
    reward = Cosine(max_len=10, exceed_value=-2)
    ids = [[0] * 9, [0] * 10, [0] * 11]
    values = reward([RIGHT, RIGHT, WRONG], solution=["7"] * 3, completion_ids=ids)
    assert values[0] > 0.5
    assert values[1:] == [-2.0, -2.0]


def test_tokens_need_token_ids() -> None:
    with pytest.raises(ParameterError, match="length_unit=chars"):
        Cosine()([RIGHT], solution=["7"])


@pytest.mark.parametrize(("choice", "value"), [("skip", None), ("one", 1.0), ("zero", -1.0)])
def test_unparseable_gold(choice: str, value: float | None) -> None:
    reward = Cosine(on_unparseable=choice)  # type: ignore[arg-type]
    assert reward([RIGHT], solution=[""], completion_ids=[[]]) == [value]
    assert reward.drain_counts() == {"unparseable": 1}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        # open-r1's default bounds for wrong answers
        ({"min_value_wrong": 0.0, "max_value_wrong": -0.5}, "min_value_wrong"),
        ({"min_value_correct": 1.0, "max_value_correct": 0.5}, "min_value_correct"),
        ({"max_value_wrong": 0.5}, "max_value_wrong"),
        ({"min_value_correct": -0.5}, "min_value_correct"),
        ({"max_len": 0}, "max_len"),
        ({"max_len": 10.5}, "max_len"),
        ({"max_len": True}, "max_len"),
        ({"max_len": None}, "max_len"),
        ({"length_unit": "words"}, "length_unit"),
        ({"on_unparseable": None}, "on_unparseable"),
        ({"min_value_wrong": float("-inf")}, "min_value_wrong"),
        ({"exceed_value": 0.9}, "exceed_value"),
        ({"deadline_s": -1}, "deadline_s"),
    ],
)
def test_bad_parameters_are_named(parameters: dict, named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Cosine(**parameters)
    assert caught.value.parameter == named
    assert caught.value.fix


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_value_wrong": 0.5}, "max_value_wrong = 0.5: is above 0"),
        ({"min_value_correct": -0.5}, "min_value_correct = -0.5: is below 0"),
        ({"deadline_s": 1e9}, "deadline_s = 1000000000.0: is above 3600"),
    ],
)
def test_numbers_out_of_range_are_told_with_the_bound(parameters: dict, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Cosine(**parameters)


FRACTION, OTHER = "\\boxed{\\frac{63}{400}}", "\\boxed{\\frac{64}{400}}"


@pytest.mark.parametrize(
    ("text", "characters", "value"),
    [
        (FRACTION, 22, 0.9426),  # as in open-r1's own tests, which pad the text with spaces
        (FRACTION, 80, 0.5477),
        (OTHER, 22, -0.9426),
        (OTHER, 80, -0.5477),
        (FRACTION, 150, 0.75),  # past max_len it turns back
        (FRACTION, 200, 1.0),
        (OTHER, 200, -1.0),
    ],
)
def test_open_r1s_values(text: str, characters: int, value: float) -> None:
    reward = Cosine(max_len=100, compat="open_r1")
    reward.prefill = "<think>\n"
    padded = text.ljust(characters)
    messages = [{"role": "assistant", "content": padded}]
    values = reward([padded, messages], solution=["\\frac{63}{400}"] * 2, completion_ids=[[1]] * 2)
    assert values == [pytest.approx(value, abs=1e-4)] * 2


def test_open_r1_gives_one_for_a_gold_without_latex() -> None:
    assert Cosine(compat="open_r1")(["\\boxed{8}", ""], solution=["72", "72"]) == [1.0, 1.0]


def test_open_r1s_default_bounds_of_wrong_answers_are_taken() -> None:
    reward = Cosine(min_value_wrong=0.0, max_value_wrong=-0.5, max_len=100, compat="open_r1")
    values = reward([OTHER.ljust(25), OTHER.ljust(100)], solution=["$\\frac{63}{400}$"] * 2)
    # -0.5 + 0.25 (1 + cos(pi / 4)), and the bound itself
    assert values == [pytest.approx(-0.07322, abs=1e-5), pytest.approx(-0.5)]


def test_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(Cosine(max_len=100)))
    ids = [[0] * 50] * 2
    assert copy([RIGHT, WRONG], solution=["7"] * 2, completion_ids=ids) == [
        pytest.approx(0.75),
        pytest.approx(-0.75),
    ]
