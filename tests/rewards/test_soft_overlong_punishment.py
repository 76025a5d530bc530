from __future__ import annotations

import pickle
from typing import Any

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.soft_overlong_punishment import SoftOverlongPunishment


@pytest.mark.parametrize(
    ("tokens", "value"),
    [
        (0, 0.0),
        (50, 0.0),
        (80, 0.0),
        (85, -0.25),
        (90, -0.5),
        (100, -1.0),
        (110, -1.0),
        (100_000, -1.0),
    ],
)
def test_values(tokens: int, value: float) -> None:
    reward = SoftOverlongPunishment(max_completion_len=100, cache=20)
    message = [{"role": "assistant", "content": "text"}]
    ids = [[1] * tokens] * 2
    assert reward(["text", message], completion_ids=ids) == [value] * 2


def test_without_a_cache_it_is_a_step() -> None:
    reward = SoftOverlongPunishment(max_completion_len=10, cache=0)
    assert reward(["a"] * 3, completion_ids=[[0] * n for n in (9, 10, 11)]) == [0.0, 0.0, -1.0]


def test_characters() -> None:
    reward = SoftOverlongPunishment(max_completion_len=10, cache=4, length_unit="chars")
    reward.prefill = "<think>\n"
    assert reward(["a" * 6, "a" * 8, "a" * 10]) == [0.0, -0.5, -1.0]


def test_tokens_need_token_ids() -> None:
    with pytest.raises(ParameterError, match="completion_ids"):
        SoftOverlongPunishment()(["a"])


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"max_completion_len": 0}, "max_completion_len"),
        ({"max_completion_len": 1.5}, "max_completion_len"),
        ({"cache": -1}, "cache"),
        ({"max_completion_len": 10, "cache": 11}, "cache"),
        ({"length_unit": "words"}, "length_unit"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        SoftOverlongPunishment(**parameters)
    assert caught.value.parameter == named


def test_survives_pickling() -> None:
    reward = SoftOverlongPunishment(max_completion_len=100, cache=20)
    assert pickle.loads(pickle.dumps(reward))(["a"], completion_ids=[[0] * 90]) == [-0.5]
