from __future__ import annotations

import pytest

from r1lab.errors import ConfigError
from r1lab.generation.request import Answer
from r1lab.generation.steps.reward import ByReward
from r1lab.rewards.base import ParameterError
from tests.generation.steps.groups import boxed, context, dropped, group, left, ready

FORMATTED = "<think>\n3 + 4\n</think>\n<answer>\n\\boxed{7}\n</answer>"
STEPS = {
    "reasoning_steps": {
        "_target_": "r1lab.rewards.reasoning_steps.ReasoningSteps",
        "weight": 1.0,
        "target_steps": 2,
    }
}


def test_answers_within_the_bounds_stay_with_their_values() -> None:
    step = ready(ByReward({"format": 1}))
    [found] = step.apply([group(0, FORMATTED, "7", Answer("<answer>7</answer>", "3 + 4"))])
    assert left([found]) == {0: [0, 2]}  # a split-off reasoning is put back between its tags
    assert found.samples[0].scores == {"format": 1.0}
    assert dropped(step) == {"format below 1": 1}


def test_several_rewards_and_both_bounds() -> None:
    step = ready(ByReward({"tag_count": {"min": 0.5, "max": 0.75}, "format": {"max": 0}}))
    answers = [FORMATTED, "<think>a</think>7", "<think>a</think><answer>7", "7"]
    [found] = step.apply([group(0, *answers)])
    assert left([found]) == {0: [1, 2]}
    assert [sample.scores["tag_count"] for sample in found.samples] == [0.5, 0.75]
    assert dropped(step) == {"tag_count above 0.75": 1, "tag_count below 0.5": 1}


def test_without_bounds_it_only_scores() -> None:
    [found] = ready(ByReward({"format": None})).apply([group(0, FORMATTED, "7")])
    assert [sample.scores for sample in found.samples] == [{"format": 1.0}, {"format": 0.0}]


def test_parameters_come_from_the_selected_rewards() -> None:
    answers = ["First, a.\nSecond, b.", "Step 1: a\nStep 2: b\nStep 3: c"]
    plain = ready(ByReward({"reasoning_steps": 1}))
    assert left(plain.apply([group(0, *answers)])) == {0: [1]}
    two = ready(ByReward({"reasoning_steps": 1}), config={"rewards": STEPS})
    assert left(two.apply([group(0, *answers)])) == {0: [0, 1]}


@pytest.mark.parametrize(("choice", "expected"), [("drop", []), ("keep", [0])])
def test_where_a_reward_does_not_apply(choice: str, expected: list[int]) -> None:
    step = ready(ByReward({"accuracy": 1}, not_applicable=choice))  # type: ignore[arg-type]
    assert left(step.apply([group(0, boxed(7), gold="")])) == {0: expected}
    assert dropped(step) == ({"accuracy does not apply": 1} if choice == "drop" else {})
    assert step.counts["accuracy: unparseable"] == 1


def test_lengths_are_compared_within_a_prompt() -> None:
    short, long = Answer(boxed(7), completion_tokens=10), Answer(boxed(7), completion_tokens=90)
    groups = [group(0, short, long, gold="7"), group(1, long, long, gold="7")]
    found = list(ready(ByReward({"length": None})).apply(groups))
    values = [[sample.scores["length"] for sample in kept.samples] for kept in found]
    assert values == [[0.5, -0.5], [0.0, 0.0]]


def test_lengths_that_the_server_did_not_count() -> None:
    with pytest.raises(ConfigError, match=r"rewards.length.length_unit=chars"):
        list(ready(ByReward({"length": 0})).apply([group(0, boxed(7), gold="7")]))


def test_everything_wrong_is_said_with_its_key() -> None:
    [nothing] = ByReward().check("steps.reward", context())
    assert nothing.key == "steps.reward.of" and "format" in nothing.fix
    problems = ByReward({"fromat": 1, "accuracy": 1}).check("steps.reward", context(has_gold=False))
    assert [problem.value for problem in problems] == ["fromat", "accuracy"]
    assert problems[0].fix == "did you mean format?"
    bad = {"rewards": {"cosine": {"_target_": "r1lab.rewards.cosine.Cosine", "max_lne": 3}}}
    [misspelt] = ByReward({"cosine": 0}).check("steps.reward", context(config=bad))
    assert misspelt.fix == "did you mean rewards.cosine.max_len?"


@pytest.mark.parametrize(
    ("of", "parameter"),
    [
        ({"format": {"mni": 1}}, r"of\.format\.mni"),
        ({"format": {"min": "1"}}, r"of\.format\.min"),
        ({"format": {"min": 1, "max": 0}}, r"of\.format\.min"),
        ({"format": "high"}, r"of\.format"),
    ],
)
def test_bounds_that_cannot_be(of: dict, parameter: str) -> None:
    with pytest.raises(ParameterError, match=parameter):
        ByReward(of)
