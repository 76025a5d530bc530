from __future__ import annotations

import pytest

from r1lab.generation.request import Answer
from r1lab.generation.steps.truncated import Truncated
from r1lab.rewards.base import ParameterError
from tests.generation.steps.groups import boxed, dropped, group, left


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (Answer(boxed(7), finish_reason="stop"), None),
        (Answer(boxed(7)), None),  # a server that gives no reason
        (Answer("7", "3 + 4", "stop"), None),
        (Answer("so it is</think>7", None, "stop"), None),  # the template opened it
        (Answer(boxed(7), finish_reason="length"), "reached the limit on new tokens"),
        (Answer("7", finish_reason="content_filter"), "cut by a content filter"),
        (Answer("<think>\n3 + 4", finish_reason="stop"), "reasoning without an end"),
        (Answer("<think>a</think>7<think>b", None, "stop"), "reasoning without an end"),
        (Answer("", "3 + 4 = 7", "stop"), "no answer"),
        (Answer("<think>7</think>\n", None, "stop"), "no answer"),
        (Answer("", None, "stop"), "no answer"),
    ],
)
def test_answers_without_an_end_go(given: Answer, why: str | None) -> None:
    step = Truncated()
    found = left(step.apply([group(0, given, boxed(1))]))
    assert found == {0: [0, 1] if why is None else [1]}
    assert dropped(step) == ({} if why is None else {why: 1})


def test_the_tag_can_be_another() -> None:
    groups = [group(0, "<plan>a", "<think>a")]
    assert left(Truncated(think_tag="plan").apply(groups)) == {0: [1]}


@pytest.mark.parametrize("tag", ["<think>", ""])
def test_a_tag_is_written_without_its_brackets(tag: str) -> None:
    with pytest.raises(ParameterError, match="think_tag"):
        Truncated(think_tag=tag)
