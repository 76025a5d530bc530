from __future__ import annotations

import pytest

from r1lab.lab import stats
from r1lab.rewards.accuracy import Accuracy
from r1lab.rewards.build import CheckedReward
from r1lab.rewards.cosine import Cosine
from r1lab.rewards.format import Format


def test_summary_of_values_with_none_and_dead_groups() -> None:
    found = stats.summary([1.0, 1.0, 0.0, 1.0, None, 0.5], [0, 0, 1, 1, 2, 3])
    assert found["mean"] == pytest.approx(0.7)
    assert found["std"] == pytest.approx(0.4472135955)  # n - 1, as TRL's
    assert found["none"] == pytest.approx(1 / 6)
    assert (found["groups"], found["zero_variance"]) == (2, 0.5)


def test_summary_of_nothing() -> None:
    found = stats.summary([None], [0])
    assert found == {"mean": None, "std": None, "none": 1.0, "groups": 0, "zero_variance": None}


def test_correlations_over_the_rows_where_both_apply() -> None:
    rewards = {"a": [0.0, 1.0, 2.0, None], "b": [0.0, 2.0, 4.0, 9.0], "c": [1.0, 1.0, 1.0, 1.0]}
    found = {(item["a"], item["b"]): (item["r"], item["n"]) for item in stats.correlations(rewards)}
    assert found["a", "b"] == (pytest.approx(1.0), 3)
    assert found["a", "c"] == (None, 3)
    assert found["b", "c"] == (None, 4)


def test_judges_are_the_rewards_that_read_the_gold() -> None:
    rewards = {"accuracy": Accuracy(), "cosine": Cosine(), "format": Format()}
    found = stats.judges([CheckedReward(reward, name) for name, reward in rewards.items()])
    assert list(found) == ["accuracy", "cosine"]


def test_disagreements_are_rows_that_one_judge_calls_right_and_another_wrong() -> None:
    rewards = {"accuracy": [1.0, 0.0, 1.0, None], "cosine": [0.9, 0.6, -0.7, 0.5]}
    judges = {"accuracy": 0.5, "cosine": 1e-9}
    assert stats.disagreements(rewards, judges) == [1, 2]
    assert stats.disagreements(rewards, {}) == []
