from __future__ import annotations

from typing import Any

import pytest

from r1lab.rewards.accuracy import Accuracy
from r1lab.rewards.base import ParameterError
from r1lab.rewards.compat import first_message
from r1lab.rewards.cosine import Cosine
from r1lab.rewards.format import Format
from r1lab.rewards.length import Length
from r1lab.rewards.reasoning_steps import ReasoningSteps
from r1lab.rewards.repetition_penalty import RepetitionPenalty
from r1lab.rewards.tag_count import TagCount

EVERY = [Accuracy, Cosine, Format, Length, ReasoningSteps, RepetitionPenalty, TagCount]


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("value", ["openr1", True, 1])
def test_what_is_no_option_is_named(kind: Any, value: Any) -> None:
    with pytest.raises(ParameterError, match="open_r1") as caught:
        kind(compat=value)
    assert caught.value.parameter == "compat"


@pytest.mark.parametrize(
    ("kind", "parameter", "value"),
    [
        (Cosine, "exceed_value", -2.0),
        (Cosine, "on_unparseable", "zero"),
        (Length, "on_unparseable", "zero"),
        (Format, "think_tag", "reasoning"),
        (Format, "answer_tag", "result"),
        (Format, "allow_empty", True),
        (TagCount, "think_tag", "reasoning"),
        (TagCount, "answer_tag", "result"),
    ],
)
def test_a_parameter_that_open_r1_has_fixed_is_refused(
    kind: Any, parameter: str, value: Any
) -> None:
    with pytest.raises(ParameterError, match="compat=open_r1") as caught:
        kind(compat="open_r1", **{parameter: value})
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("text", "text"),
        ([{"content": "first"}, {"role": "assistant", "content": "second"}], "first"),
        ([{"role": "assistant", "content": "a", "reasoning_content": "b"}], "a"),
        ([{"role": "assistant", "content": None}], ""),
        ([], ""),
    ],
)
def test_the_first_message_is_what_is_scored(completion: Any, text: str) -> None:
    assert first_message(completion) == text
