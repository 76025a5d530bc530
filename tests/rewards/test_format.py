from __future__ import annotations

import pickle
import random
import re
import time

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.format import Format

GOOD = "<think>a</think><answer>b</answer>"
LINES = "<think>\na\n</think>\n<answer>\nb\n</answer>"


@pytest.mark.parametrize(
    ("text", "optional", "required"),
    [
        (GOOD, 1.0, 0.0),
        (LINES, 1.0, 1.0),
        (LINES + "\n", 1.0, 1.0),
        ("<think>\na\nb\n\n</think>\n\n<answer>\nb\n</answer>", 1.0, 1.0),
        ("<think>a\n</think>\n<answer>b</answer>", 1.0, 0.0),
        ("<think>\na\n</think><answer>\nb\n</answer>", 1.0, 0.0),
        (LINES + " and more", 0.0, 0.0),  # open-r1 accepts trailing text ...
        ("Well. " + LINES, 0.0, 0.0),
        (LINES + LINES, 0.0, 0.0),  # ... and repeated tags
        ("<think>\na<think>\n</think>\n<answer>\nb\n</answer>", 0.0, 0.0),
        ("<think>\na\n</think>\n<answer>\nb</answer>\n</answer>", 0.0, 0.0),
        ("<think>\na\n</think>\nso\n<answer>\nb\n</answer>", 0.0, 0.0),
        ("<answer>\nb\n</answer>\n<think>\na\n</think>", 0.0, 0.0),
        ("</think>\na\n<think>\n<answer>\nb\n</answer>", 0.0, 0.0),
        ("<think>\na\n<answer>\nb\n</think>\n</answer>", 0.0, 0.0),
        ("<answer>\nb\n</answer>", 0.0, 0.0),
        ("<think>\na\n</think>", 0.0, 0.0),
        ("<think>\n</think>\n<answer>\n</answer>", 0.0, 0.0),
        ("<think>\na\n</think>\n<answer>\n \n</answer>", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_values(text: str, optional: float, required: float) -> None:
    message = [{"role": "assistant", "content": text}]
    assert Format()([text, message]) == [optional] * 2
    assert Format(newlines="required")([text]) == [required]


def test_prefilled_tag_counts() -> None:
    """open-r1's format reward is always 0 when the chat template opens the reasoning."""
    reward = Format(newlines="required")
    reward.prefill = "<think>\n"
    continued = LINES.removeprefix("<think>\n")
    assert reward([continued, LINES]) == [1.0, 0.0]


def test_other_tags_and_empty_elements() -> None:
    reward = Format(think_tag="reasoning", answer_tag="solution", allow_empty=True)
    assert reward(["<reasoning></reasoning> <solution>b</solution>", GOOD]) == [1.0, 0.0]


def test_hostile_text_costs_nothing() -> None:
    started = time.monotonic()
    hostile = (
        "<think>" + "\n " * 200_000 + "</think>" + "\n" * 200_000 + "<answer>" + "\n" * 200_000
    )
    assert Format()([hostile, hostile + "</answer>x", "<think>" * 100_000]) == [0.0] * 3
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"think_tag": "<think>"}, "think_tag"),
        ({"think_tag": ""}, "think_tag"),
        ({"answer_tag": "think"}, "answer_tag"),
        ({"answer_tag": None}, "answer_tag"),
        ({"newlines": True}, "newlines"),
        ({"allow_empty": "no"}, "allow_empty"),
    ],
)
def test_bad_parameters_are_named(parameters: dict, named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Format(**parameters)
    assert caught.value.parameter == named


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (LINES, 1.0),
        (GOOD, 0.0),
        (LINES + "\nand more", 1.0),  # a later line is not looked at
        (LINES + " and more", 0.0),
        (LINES + "\n" + LINES, 1.0),
        ("<think>\n<think>\n</think>\n<answer>\n<answer>\n</answer>", 1.0),
        ("<think>\n\n</think>\n<answer>\n\n</answer>", 1.0),
        ("<think>\n</think>\n<answer>\n</answer>", 0.0),
        ("\n" + LINES, 0.0),
        ("<think>\na\n</think>\n\n<answer>\nb\n</answer>", 0.0),
        ("", 0.0),
    ],
)
def test_open_r1s_values(text: str, value: float) -> None:
    message = [{"role": "assistant", "content": text}]
    assert Format(compat="open_r1")([text, message]) == [value] * 2


def test_open_r1s_format_is_never_met_behind_a_prefilled_tag() -> None:
    reward = Format(compat="open_r1")
    reward.prefill = "<think>\n"
    assert reward([LINES.removeprefix("<think>\n")]) == [0.0]


def test_open_r1s_regular_expression_says_the_same() -> None:
    expression = r"^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$"
    parts = ["<think>", "</think>", "<answer>", "</answer>", "\n", "\n", "\n", "a"]
    rng, reward = random.Random(0), Format(compat="open_r1")
    texts = ["".join(rng.choices(parts, k=rng.randrange(12))) for _ in range(2000)]
    texts += [
        "<think>\n"
        + "".join(rng.choices(["\n</think>\n<answer>\n", "\n</answer>", "a", "\n"], k=5))
        for _ in range(500)
    ]
    found = [re.match(expression, text, re.DOTALL | re.MULTILINE) for text in texts]
    assert reward(texts) == [float(match is not None) for match in found]
    assert 20 < sum(match is not None for match in found) < 500


def test_open_r1s_format_takes_linear_time() -> None:
    started = time.monotonic()
    hostile = "<think>\n" + "\n</think>\n<answer>\n" * 50_000
    assert Format(compat="open_r1")([hostile]) == [0.0]
    assert time.monotonic() - started < 5


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(Format(answer_tag="a")))(["<think>b</think><a>c</a>"]) == [1.0]
