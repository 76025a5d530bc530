from __future__ import annotations

import pickle
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.tag_count import TagCount

LINES = "<think>\na\n</think>\n<answer>\nb\n</answer>"


@pytest.mark.parametrize(
    ("text", "optional", "required", "open_r1"),
    [
        (LINES, 1.0, 1.0, 1.0),
        (LINES + "\n", 1.0, 1.0, 1.0),
        ("<think>a</think><answer>b</answer>", 1.0, 0.0, 0.0),
        ("<think>\na</think>\n<answer>b\n</answer>", 1.0, 0.5, 0.5),
        ("<think>\na\n</think>\nb", 0.5, 0.5, 0.5),
        ("a\n</think>\n<answer>\nb\n</answer>", 0.75, 0.75, 0.75),
        (LINES + "\n</answer>", 0.75, 0.75, 0.75),
        ("<think>\n<think>\na\n</think>\n<answer>\nb\n</answer>", 0.75, 0.75, 0.75),
        ("<think>\na\n</think>\n<answer>\nb", 0.75, 0.75, 0.75),
        # On lines of their own, but with spaces or nothing before them.
        ("<answer> \nb\n </answer>", 0.5, 0.5, 0.0),
        ("", 0.0, 0.0, 0.0),
    ],
)
def test_values(text: str, optional: float, required: float, open_r1: float) -> None:
    message = [{"role": "assistant", "content": text}]
    assert TagCount()([text, message]) == [optional] * 2
    assert TagCount(newlines="required")([text]) == [required]
    assert TagCount(compat="open_r1")([text, message]) == [open_r1] * 2


def test_what_the_template_wrote_counts() -> None:
    reward, theirs = TagCount(), TagCount(compat="open_r1")
    reward.prefill = theirs.prefill = "<think>\n"
    continued = LINES.removeprefix("<think>\n")
    assert reward([continued, LINES]) == [1.0, 0.75]
    assert theirs([continued, LINES]) == [0.75, 1.0]


def test_other_tags() -> None:
    reward = TagCount(think_tag="reasoning", answer_tag="solution")
    assert reward(["<reasoning></reasoning><solution>", LINES]) == [0.75, 0.0]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"think_tag": "<think>"}, "think_tag"),
        ({"answer_tag": "think"}, "answer_tag"),
        ({"newlines": "no"}, "newlines"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        TagCount(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(TagCount(think_tag="t")))(["<t></t>"]) == [0.5]
