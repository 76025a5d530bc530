from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from r1lab.errors import ConfigError, RunFailed
from r1lab.lab import rows as rows_module
from r1lab.lab.lengths import Lengths, wants_tokens
from r1lab.lab.rows import ListedRows
from r1lab.lab.scoring import Scores, columns_of, score, total
from r1lab.rewards.base import Reward
from r1lab.rewards.build import CheckedReward
from r1lab.rewards.cosine import Cosine

TINY = {"id": "r1lab:tiny", "revision": "main"}


class Echo(Reward):
    """The column ``value``; keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, Any]] = []

    def __call__(self, completions: Any, value: Sequence[Any], **kwargs: Any) -> list[float | None]:  # type: ignore[override]
        self.calls.append({"completions": completions, "value": value, **kwargs})
        self.counts["none"] += sum(item is None for item in value)
        return list(value)


class Tokens(Reward):
    """The number of tokens."""

    def __call__(  # type: ignore[override]
        self, completions: Any, completion_ids: Sequence[Sequence[int]], **kwargs: Any
    ) -> list[float | None]:
        return [float(len(ids)) for ids in completion_ids]


class Broken(Reward):
    def __call__(self, completions: Any, **kwargs: Any) -> list[float | None]:
        if "bad" in completions:
            raise KeyError("what")
        return [0.0] * len(completions)


def scored(rows: list[dict[str, Any]], *rewards: Reward, weights: Sequence[float] = ()) -> Scores:
    named = [CheckedReward(reward, type(reward).__name__.lower()) for reward in rewards]
    table = ListedRows("the rows", [{"completion": "x", **row} for row in rows])
    return score(table, named, weights or [1.0] * len(named), Lengths(TINY, True))


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([1.0, 0.5], [1.0, 2.0], 2.0),
        ([1.0, None], [0.5, 9.0], 0.5),  # None counts as 0
        ([None, None], [1.0, 1.0], None),
        ([0.0, None], [1.0, 1.0], 0.0),
        ([1.0], [0.0], 0.0),
    ],
)
def test_total_is_the_weighted_sum_as_trl_makes_it(
    values: list[float | None], weights: list[float], expected: float | None
) -> None:
    assert total(values, weights) == expected


def test_values_come_in_the_rows_order_with_counts_and_totals() -> None:
    found = scored([{"value": 1.0}, {"value": None}, {"value": 0.25}], Echo(), weights=[2.0])
    assert found.rewards == {"echo": [1.0, None, 0.25]}
    assert found.total == [2.0, None, 0.5]
    assert found.counts == {"echo": {"none": 1}}
    assert set(found.by_reward) == {"echo"}


def test_a_reward_sees_what_a_trainer_would_pass() -> None:
    reward = Echo()
    rows = [
        {"value": 1.0, "prompt": "p", "level": 3, "id": "a", "reward/echo": 1.0},
        {"value": 2.0, "prompt": "q", "completion_tokens": 4, "id": "b"},
    ]
    scored(rows, reward)
    call = reward.calls[0]
    assert call["prompts"] == ["p", "q"]
    assert call["level"] == [3, None]
    assert call["id"] == ["a", "b"]
    assert not {"completion", "prompt", "completion_tokens", "reward/echo"} & set(call)


def test_prompts_that_some_rows_lack_are_not_passed_and_it_is_said() -> None:
    reward = Echo()
    found = scored([{"value": 1.0, "prompt": "p"}, {"value": 1.0}], reward)
    assert "prompts" not in reward.calls[0]
    assert any("only 1 of 2 rows hold a prompt" in warning for warning in found.warnings)


def test_batches_of_a_large_file_keep_groups_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "WHOLE_ROWS", 4)
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 3)
    reward = Echo()
    found = scored([{"value": float(i), "group": i % 3} for i in range(9)], reward)
    assert found.rewards["echo"] == [float(i) for i in range(9)]
    assert [call["group"] for call in reward.calls] == [[0] * 3, [1] * 3, [2] * 3]


def test_own_lengths_are_taken_and_others_counted() -> None:
    rows = [
        {"completion_ids": [5, 6, 7]},
        {"completion_tokens": 11},
        {"completion": "1+1=2"},
        {"completion": [{"role": "assistant", "content": "1+1=2"}]},
        {"completion": "\ud800"},
        {"completion": ""},
    ]
    found = scored(rows, Tokens())
    assert found.rewards["tokens"] == [3.0, 11.0, 5.0, 5.0, 1.0, 0.0]
    assert any("4 rows" in w and "r1lab:tiny" in w and "default" in w for w in found.warnings)


def test_a_tokenizer_that_cannot_be_had_names_the_ways_out(tmp_path: Any) -> None:
    named = [CheckedReward(Tokens(), "tokens")]
    lengths = Lengths({"id": str(tmp_path), "revision": "main"})
    with pytest.raises(ConfigError, match=r"length_unit=chars") as caught:
        score(ListedRows("x", [{"completion": "a"}]), named, [1.0], lengths)
    assert "model.id" in str(caught.value)


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (Tokens(), True),
        (Cosine(), True),
        (Cosine(length_unit="chars"), False),
        (Echo(), False),
    ],
)
def test_which_rewards_want_tokens(reward: Reward, expected: bool) -> None:
    assert wants_tokens(CheckedReward(reward, "x")) is expected


def test_a_column_that_a_reward_needs_is_named_with_the_rows_that_lack_it() -> None:
    with pytest.raises(ConfigError) as caught:
        scored([{"value": 1.0}, {}, {"valu": 2.0}], Echo())
    (problem,) = caught.value.problems
    assert problem.key == "rewards.echo"
    assert "'value'" in problem.message
    assert problem.message.endswith("the rows lacks it in row 1, row 2")


def test_a_reward_that_fails_names_the_row() -> None:
    with pytest.raises(RunFailed, match=r"rewards.broken failed on the rows, row 1: .*KeyError"):
        scored([{}, {"completion": "bad"}], Broken())


def test_columns_that_trl_uses_itself_are_left_out() -> None:
    assert columns_of([{"completion": "a", "trainer_state": 1, "x": 2}], False) == {"x": [2]}
