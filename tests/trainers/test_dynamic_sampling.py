"""Dynamic sampling on TRL's own trainer: what is replaced, by what, and what TRL makes of it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.trainers.dynamic_sampling import (
    check_columns,
    fresh_rows,
    groups_to_generate,
    has_signal,
    prompt_key,
    shuffled,
)
from tests.trainers.small import GENERATIONS, trainer

NAN = float("nan")
GROUPS = 4  # in the batch of tests.trainers.small


class Scripted:
    """1 for every completion of a dead prompt, the first token's number for the others."""

    def __init__(self, name: str = "scripted", scale: float = 1.0):
        self.__name__, self.scale = name, scale
        self.calls: list[list[str]] = []

    def __call__(
        self, prompts: Any, completion_ids: Any, kind: Any, log_extra: Any, **_: Any
    ) -> list[float]:
        self.calls.append([prompt[-1]["content"] for prompt in prompts])
        log_extra("first", [ids[0] for ids in completion_ids])
        return [
            1.0 if what == "dead" else self.scale * (sum(ids) % 23)
            for ids, what in zip(completion_ids, kind, strict=True)
        ]


def rows(dead: int, live: int) -> list[dict[str, Any]]:
    """Prompts of different lengths; the dead ones come first."""
    kinds = ["dead"] * dead + ["live"] * live
    contents = [f"{kind} {'+' * (i % 5)}{i}" for i, kind in enumerate(kinds)]
    return [
        {"prompt": [{"role": "user", "content": content}], "kind": kind}
        for content, kind in zip(contents, kinds, strict=True)
    ]


def inputs(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What TRL's loader gives for these rows."""
    return [dict(row) for row in data for _ in range(GENERATIONS)]


def counts(made: Any) -> dict[str, float]:
    start = "dynamic_sampling/"
    found = {k.removeprefix(start): v for k, v in made._metrics["train"].items() if start in k}
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def table(made: Any) -> list[dict[str, Any]]:
    logs = made._logs
    columns = {"prompt": logs["prompt"], "completion": logs["completion"], **logs["extra"]}
    columns |= {"advantage": logs["advantages"], **logs["rewards"]}
    columns = {name: list(values) for name, values in columns.items()}
    assert len({len(values) for values in columns.values()}) == 1, "columns of several batches"
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("scores", "signal"),
    [
        ([[1.0], [0.0], [0.5], [0.5]], [True, False]),
        ([[NAN], [NAN], [1.0], [NAN]], [False, False]),  # one value has none to differ from
        ([[0.1 + 0.2], [0.3], [1e-3], [0.0]], [False, True]),
        ([[1.0, 0.0], [1.0, 1.0], [1.0, NAN], [1.0, 1.0]], [True, False]),
    ],
)
def test_a_group_has_signal_if_its_scores_differ(
    scores: list[list[float]], signal: list[bool]
) -> None:
    import torch

    assert has_signal(torch.tensor(scores), 2) == signal


@pytest.mark.parametrize(
    ("missing", "size", "processes", "groups"),
    [(3, 8, 1, 3), (3, 8, 8, 3), (3, 4, 8, 4), (1, 6, 4, 2), (5, 3, 4, 8)],
)
def test_generates_whole_groups_that_the_processes_share_equally(
    missing: int, size: int, processes: int, groups: int
) -> None:
    assert groups_to_generate(missing, size, processes) == groups
    assert groups * size % processes == 0


def test_draws_unused_prompts_first_then_all_of_them_again() -> None:
    data = [{"prompt": f"{i % 6}"} for i in range(8)]  # 6 and 7 are 0 and 1 again
    drawn = list(islice(fresh_rows(data, "1/0/0", {prompt_key("2")}), 11))
    assert sorted(int(data[i]["prompt"]) for i in drawn[:5]) == [0, 1, 3, 4, 5]
    assert sorted(int(data[i]["prompt"]) for i in drawn[5:]) == [0, 1, 2, 3, 4, 5]
    assert list(islice(fresh_rows(data, "1/0/0", {prompt_key("2")}), 11)) == drawn
    assert list(islice(fresh_rows(data, "1/1/0", {prompt_key("2")}), 11)) != drawn


def test_an_order_holds_every_row_once_in_another_order_for_another_seed() -> None:
    assert sorted(shuffled(50, "a")) == list(range(50))
    firsts = [next(shuffled(10, str(seed))) for seed in range(2000)]
    assert all(150 < firsts.count(i) < 250 for i in range(10))  # 200 expected, deviation 13


def test_refuses_images() -> None:
    check_columns(["prompt", "solution"])
    with pytest.raises(ConfigError, match="column 'images'"):
        check_columns(["prompt", "images"])


def test_dead_groups_are_replaced_by_drawn_ones_with_signal(tmp_path: Path) -> None:
    data = rows(dead=2, live=12)
    reward = Scripted()
    made = trainer(tmp_path, data, [reward], {})
    batch = made._generate_and_score_completions(inputs(data[:4]))
    found = table(made)
    contents = [row["prompt"][-1]["content"] for row in found]
    asked = [row["prompt"][-1]["content"] for row in data]
    # The dead ones' places are taken, the others stay where they were, nothing is there twice.
    assert contents[8:] == [asked[i] for i in (2, 3) for _ in range(GENERATIONS)]
    assert len(set(contents)) == GROUPS
    assert all("live" in content for content in contents)
    assert all(contents[i] == contents[i - i % GENERATIONS] for i in range(16))
    # Only what was missing is generated, in whole groups: vLLM's server takes every n-th prompt.
    assert reward.calls[0] == [asked[i] for i in range(4) for _ in range(GENERATIONS)]
    assert [len(call) for call in reward.calls] == [16, 8]
    assert reward.calls[1] == contents[:8]
    assert counts(made) == {
        "rounds": 1,
        "groups_generated": 6,
        "groups_replaced": 2,
        "groups_without_signal": 0,
        "reward_unfiltered": pytest.approx(
            (8 + sum(row["scripted"] for row in found[8:])) / 16, rel=1e-5
        ),
    }
    # Each row of the table and of the batch is of one completion.
    decode = made.processing_class.batch_decode
    assert decode(batch["completion_ids"], skip_special_tokens=True) == [
        row["completion"][0]["content"] for row in found
    ]
    assert decode(batch["prompt_ids"], skip_special_tokens=True) == contents
    for row, ids in zip(found, batch["completion_ids"].tolist(), strict=True):
        assert row["first"] == ids[0]
        assert row["kind"] == "live"
        assert row["scripted"] == sum(ids[: row["completion_tokens"]]) % 23


def test_metrics_are_of_the_final_batch_and_time_and_tokens_of_all(tmp_path: Path) -> None:
    data = rows(dead=3, live=5)
    made = trainer(tmp_path, data, [Scripted()], {})
    batch = made._generate_and_score_completions(inputs(data[:4]))
    metrics, found = made._metrics["train"], table(made)
    assert {len(values) for values in metrics.values()} == {1}
    values = [row["scripted"] for row in found]
    lengths = [row["completion_tokens"] for row in found]
    for name in ("reward", "rewards/scripted/mean"):
        assert metrics[name] == [pytest.approx(sum(values) / 16)]
    assert metrics["frac_reward_zero_std"] == metrics["rewards/scripted/frac_zero_std"] == [0.0]
    assert metrics["completions/mean_length"] == [pytest.approx(sum(lengths) / 16)]
    assert set(made.seconds) == {"generate", "reward"}
    assert metrics["time/generate_s"] == [made.seconds["generate"]]
    trained = int(batch["prompt_mask"].sum()) + sum(lengths)
    assert metrics["num_tokens"] == [made.state.num_input_tokens_seen]
    assert metrics["num_tokens"][0] > trained  # those of the replaced groups too


def test_what_stays_dead_after_the_last_round_is_trained_on_and_counted(tmp_path: Path) -> None:
    data = rows(dead=12, live=0)
    reward = Scripted()
    made = trainer(tmp_path, data, [reward], {"max_rounds": 3})
    batch = made._generate_and_score_completions(inputs(data[:4]))
    assert [len(call) for call in reward.calls] == [16] * 4
    found = counts(made)
    assert (found["rounds"], found["groups_generated"]) == (3, 16)
    assert (found["groups_replaced"], found["groups_without_signal"]) == (0, 4)
    # Twelve prompts: each was tried once before one is tried again.
    assert len({content for call in reward.calls[:3] for content in call}) == 12
    asked = [row["prompt"] for row in data[:4] for _ in range(GENERATIONS)]
    assert [row["prompt"] for row in table(made)] == asked
    assert not batch["advantages"].any()


@pytest.mark.parametrize("scale_rewards", ["group", "batch"])
def test_the_batch_is_what_trl_makes_of_the_same_completions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale_rewards: str
) -> None:
    """With log-probabilities from the sampler, as vLLM's, and those of the old model."""
    import torch
    from trl import GRPOTrainer

    options = {"scale_rewards": scale_rewards, "num_iterations": 2}
    data = rows(dead=3, live=5)
    generate = GRPOTrainer._generate_single_turn

    def with_logprobs(*args: Any) -> Any:
        ids, _ = generate(*args)
        return ids, [[-token / 100 for token in one] for one in ids]

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", with_logprobs)
    made = trainer(tmp_path, data, [Scripted()], {}, **options)
    batch = made._generate_and_score_completions(inputs(data[:4]))
    lengths = [row["completion_tokens"] for row in table(made)]
    ids = [row[:n] for row, n in zip(batch["completion_ids"].tolist(), lengths, strict=True)]
    again = [[-token / 100 for token in one] for one in ids]
    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", lambda *_: (ids, again))
    plain = trainer(tmp_path, data, [Scripted()], **options)
    final = [{"prompt": row["prompt"], "kind": row["kind"]} for row in table(made)]
    wanted = plain._generate_and_score_completions(final)
    assert list(batch) == list(wanted)
    assert {"old_per_token_logps", "sampling_per_token_logps"} <= set(batch)
    for key, value in wanted.items():
        assert torch.equal(batch[key], value), key
    assert batch["num_items_in_batch"] == sum(lengths)


def test_a_group_has_to_differ_in_the_reward_that_is_named(tmp_path: Path) -> None:
    """The second reward differs in dead groups too, so their total does."""

    class Length(Scripted):
        def __call__(self, completion_ids: Any, **_: Any) -> list[float]:  # type: ignore[override]
            return [float(ids[0] + i) for i, ids in enumerate(completion_ids)]

    data = rows(dead=4, live=8)
    options: dict[str, Any] = {"reward_weights": [1.0, 0.5]}
    made = trainer(tmp_path, data, [Scripted(), Length("length")], {}, **options)
    made._generate_and_score_completions(inputs(data[:4]))
    assert counts(made)["rounds"] == 0
    named = {"reward": "scripted"}
    made = trainer(tmp_path, data, [Scripted(), Length("length")], named, **options)
    made._generate_and_score_completions(inputs(data[:4]))
    assert counts(made)["groups_replaced"] == 4
    options |= {"multi_objective_aggregation": "normalize_then_sum", "reward_weights": [1.0, 0.0]}
    made = trainer(tmp_path, data, [Scripted(), Length("length")], {}, **options)
    made._generate_and_score_completions(inputs(data[:4]))
    assert counts(made)["groups_replaced"] == 4


def test_a_column_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    class Short(Scripted):
        def __call__(self, prompts: Any, log_extra: Any, **_: Any) -> list[float]:  # type: ignore[override]
            log_extra("note", ["one"])
            return [0.0] * len(prompts)

    made = trainer(tmp_path, rows(4, 0), [Short()], {})
    with pytest.raises(ValueError, match="1 values in the column 'note'"):
        made._generate_and_score_completions(inputs(rows(4, 0)))


def test_evaluation_is_left_alone(tmp_path: Path) -> None:
    data = rows(dead=4, live=4)
    reward = Scripted()
    made = trainer(tmp_path, data, [reward], {})
    made.model.eval()
    made._generate_and_score_completions(inputs(data[:4]))
    assert len(reward.calls) == 1
    assert not any("dynamic_sampling" in name for name in made._metrics["eval"])


MULTIPLE = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "num_iterations": 2}


def curve(made: Any, drop: tuple[str, ...] = ()) -> list[dict[str, float]]:
    made.train()
    timed = ("time", "runtime", "per_second", "flos", "dynamic_sampling", *drop)
    return [
        {name: value for name, value in row.items() if not any(t in name for t in timed)}
        for row in made.state.log_history
    ]


def test_off_it_is_trls_trainer_and_on_it_changes_nothing_in_a_batch_full_of_signal(
    tmp_path: Path,
) -> None:
    import datasets
    from trl import GRPOTrainer

    from tests.trainers.small import loaded, settings

    data, options = rows(0, 16), MULTIPLE | {"max_steps": 4}
    off = curve(trainer(tmp_path, data, [Scripted()], **options))
    assert len(off) == 5
    model = loaded()
    plain = GRPOTrainer(
        model.model,
        [Scripted()],
        settings(tmp_path, **options),
        train_dataset=datasets.Dataset.from_list(data),
        processing_class=model.tokenizer,
    )
    ours = ("frac_zero_std",)
    assert curve(plain, ours) == [{k: v for k, v in row.items() if ours[0] not in k} for row in off]
    assert curve(trainer(tmp_path, data, [Scripted()], {}, **options)) == off


def test_trains_on_batches_that_are_used_for_several_steps(tmp_path: Path) -> None:
    data = rows(dead=8, live=24)
    options = MULTIPLE | {"max_steps": 6, "steps_per_generation": 4}
    first = trainer(tmp_path, data, [Scripted()], {}, **options)
    history = curve(first)
    assert [row["frac_reward_zero_std"] for row in history if "frac_reward_zero_std" in row] == [
        0,
        0,
    ]
    logged = [row for row in first.state.log_history if "dynamic_sampling/rounds" in row]
    assert [row["step"] for row in logged] == [1, 5]  # one generation is used for 4 steps
    assert sum(row["dynamic_sampling/groups_replaced"] for row in logged) > 0
    assert all(row["grad_norm"] > 0 for row in history if "grad_norm" in row)
    assert curve(trainer(tmp_path, data, [Scripted()], {}, **options)) == history
