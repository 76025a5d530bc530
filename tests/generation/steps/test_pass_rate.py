from __future__ import annotations

import pytest

from r1lab.generation.steps.base import Context
from r1lab.generation.steps.pass_rate import PassRate
from r1lab.generation.steps.truncated import Truncated
from r1lab.generation.steps.verify import Verify
from r1lab.rewards.base import ParameterError
from tests.generation.steps.groups import context, dropped, group, left


def after_verify(samples: int) -> Context:
    return context(has_samples=samples, before=(Truncated, Verify))


def kept(step: PassRate, *rates: float | None) -> list[int]:
    groups = [group(row, "7") for row in range(len(rates))]
    for found, rate in zip(groups, rates, strict=True):
        found.pass_rate = rate
    return list(left(step.apply(groups)))


def test_the_bounds_are_outside_and_what_goes_is_counted_by_its_side() -> None:
    step = PassRate()
    assert kept(step, 0.0, 0.1, 0.11, 0.5, 0.89, 0.9, 1.0, None) == [2, 3, 4]
    assert dropped(step) == {"too hard": 2, "too easy": 2, "not verified": 1}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [((None, 0.9), [0, 1]), ((0.1, None), [1, 2]), ((None, None), [0, 1, 2])],
)
def test_a_side_can_be_open(bounds: tuple[float | None, float | None], expected: list[int]) -> None:
    assert kept(PassRate(*bounds), 0.0, 0.5, 1.0) == expected


def test_it_needs_verify_before_it() -> None:
    [problem] = PassRate().check("steps.pass_rate", context(before=(Truncated,)))
    assert problem.key == "steps.pass_rate"
    assert "steps=[verify,pass_rate]" in problem.fix
    assert PassRate().check("steps.pass_rate", after_verify(4)) == []


def test_one_sample_a_prompt_would_leave_nothing() -> None:
    [problem] = PassRate().check("steps.pass_rate", after_verify(1))
    assert "generate.num_generations=1 a pass rate is 0 or 1" in problem.message
    assert "more samples" in problem.fix
    assert PassRate(max=None).check("steps.pass_rate", after_verify(1)) == []
    assert PassRate().check("steps.pass_rate", after_verify(2)) == []
    [few] = PassRate(0.5, 0.6).check("steps.pass_rate", after_verify(4))
    assert "a multiple of 1/4" in few.message


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [({"min": -0.1}, "min"), ({"max": 90}, "max"), ({"min": 0.9, "max": 0.1}, "min")],
)
def test_bounds_that_cannot_be(wrong: dict[str, float], parameter: str) -> None:
    with pytest.raises(ParameterError, match=parameter):
        PassRate(**wrong)
