from __future__ import annotations

import pytest

from r1lab.generation.request import Answer
from r1lab.generation.steps.base import Group
from r1lab.generation.steps.choose import Choose
from r1lab.generation.steps.verify import Verify
from r1lab.rewards.base import ParameterError
from tests.generation.steps.groups import context, dropped, group, left

RIGHT, WRONG, UNKNOWN = True, False, None


def marked(*given: tuple[bool | None, int | None, dict[str, float | None]]) -> Group:
    """Samples by (right?, tokens, scores)."""
    answers = [
        Answer("x" * (9 - number), completion_tokens=n) for number, (_, n, _) in enumerate(given)
    ]
    made = group(0, *answers)
    for sample, (correct, _, scores) in zip(made.samples, given, strict=True):
        sample.correct, sample.scores = correct, scores
    return made


def chosen(step: Choose, made: Group, **config: object) -> list[int]:
    step.prepare(context(config=config))
    return left(step.apply([made]))[0]


def several() -> Group:
    return marked(
        (WRONG, 1, {"format": 1.0}),
        (RIGHT, 30, {"format": 1.0}),
        (RIGHT, 20, {"format": 0.0}),
        (RIGHT, 25, {"format": 1.0}),
        (UNKNOWN, 2, {"format": 1.0}),
    )


def test_best_is_right_then_valued_then_short() -> None:
    step = Choose(k=None)
    assert chosen(step, several()) == [3, 1, 2]
    assert dropped(step) == {"wrong": 1, "not verified": 1}
    assert chosen(Choose(k=None, only_right=False), several()) == [3, 1, 2, 4, 0]


def test_k_of_them_stay() -> None:
    step = Choose(k=2)
    assert chosen(step, several()) == [3, 1]
    assert dropped(step) == {"wrong": 1, "not verified": 1, "not chosen": 1}
    assert chosen(Choose(k=9), several()) == [3, 1, 2]


def test_shortest_and_first() -> None:
    assert chosen(Choose(by="shortest"), several()) == [2]
    assert chosen(Choose(by="shortest", only_right=False), several()) == [0]
    assert chosen(Choose(by="first", k=2), several()) == [1, 2]


def test_characters_count_where_the_server_did_not_count_all_tokens() -> None:
    some = marked((RIGHT, 5, {}), (RIGHT, 6, {}), (RIGHT, None, {}))
    assert chosen(Choose(by="shortest"), some) == [2]  # 9, 8 and 7 characters


def test_values_are_weighted_as_the_config_weights_its_rewards() -> None:
    both = {"format": 1.0, "cosine": 0.0}, {"format": 0.0, "cosine": 0.5}, {"format": None}
    made = lambda: marked(*((RIGHT, 5, scores) for scores in both))  # noqa: E731
    assert chosen(Choose(k=None), made()) == [0, 1, 2]
    rewards = {"cosine": {"weight": 3.0}}
    assert chosen(Choose(k=None), made(), rewards=rewards) == [1, 0, 2]


def test_only_right_needs_somebody_who_verified() -> None:
    [problem] = Choose().check("steps.choose", context())
    assert problem.key == "steps.choose.only_right"
    assert "steps.choose.only_right=false" in problem.fix
    assert Choose().check("steps.choose", context(before=(Verify,))) == []
    assert Choose(only_right=False).check("steps.choose", context()) == []


@pytest.mark.parametrize("wrong", [{"by": "longest"}, {"k": 0}, {"k": 1.5}])
def test_parameters_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Choose(**wrong)
