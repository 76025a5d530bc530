"""Whether form pays as much as being right, over the rewards that r1lab ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from r1lab.planning.reward_balance import reward_balance

CONF = Path(__file__).parents[2] / "conf" / "rewards"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
STYLE = {"format", "tag_count", "reasoning_steps", "code_format"}
PENALTIES = {"repetition_penalty", "soft_overlong_punishment"}
ANSWERS = sorted(set(NAMES) - STYLE - PENALTIES)


def nodes(**changes: dict[str, Any]) -> dict[str, Any]:
    """The shipped configs of these rewards, with these values changed."""
    return {
        name: {**yaml.safe_load((CONF / f"{name}.yaml").read_text()), **values}
        for name, values in changes.items()
    }


def messages(**changes: dict[str, Any]) -> list[str]:
    return [problem.message for problem in reward_balance(nodes(**changes))]


@pytest.mark.parametrize("name", ANSWERS)
def test_every_reward_for_the_answer_outweighs_a_little_form(name: str) -> None:
    assert messages(**{name: {}, "format": {"weight": 0.5}}) == []


@pytest.mark.parametrize("name", ANSWERS)
def test_and_none_outweighs_a_lot_of_it(name: str) -> None:
    [message] = messages(**{name: {}, "tag_count": {"weight": 3.0}})
    assert "more than being right does" in message


@pytest.mark.parametrize("name", sorted(STYLE))
def test_form_alone_reaches_the_maximum(name: str) -> None:
    [message] = messages(**{name: {}})
    assert "no reward looks at the answer" in message
    [message] = messages(**{name: {}, "repetition_penalty": {}, "soft_overlong_punishment": {}})
    assert "no reward looks at the answer" in message


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_a_penalty_alone_is_not_form(name: str) -> None:
    assert messages(**{name: {}}) == []


def test_length_looks_at_the_answer_with_half_the_weight() -> None:
    assert messages(length={}, format={"weight": 0.5}) == []
    assert messages(length={}, format={"weight": 0.6})
    assert messages(accuracy={}, length={}, format={"weight": 1.5}) == []


@pytest.mark.parametrize("name", ["exact_answer", "countdown"])
@pytest.mark.parametrize(("value", "warns"), [(0.0, False), (0.5, False), (0.6, True)])
def test_what_a_wrong_answer_in_form_earns_is_forms(name: str, value: float, warns: bool) -> None:
    assert bool(messages(**{name: {"format_value": value}})) is warns


def test_a_negative_format_value_takes_from_form() -> None:
    assert messages(exact_answer={"format_value": -1.0}, format={}) == []
