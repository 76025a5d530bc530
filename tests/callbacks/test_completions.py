"""The table of a step's completions: what is in it, when it is written, and when it is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r1lab.callbacks.completions import Completions
from r1lab.errors import ConfigError
from tests.callbacks.fakes import arguments, context, control, state

NAN = float("nan")


def trainer(texts: list[str]) -> Any:
    """A trainer whose buffers are those of TRL 1.16 after a batch of two prompts."""
    half = len(texts) // 2
    questions = ["1+1"] * half + ["2+2"] * (len(texts) - half)
    system = {"role": "system", "content": "think"}
    return SimpleNamespace(
        reward_func_names=["accuracy", "format"],
        reward_weights=[2.0, 0.5],
        _logs={
            "prompt": [[system, {"role": "user", "content": q}] for q in questions],
            "completion": [[{"role": "assistant", "content": text}] for text in texts],
            "rewards": {
                "accuracy": [1.0, NAN] + [0.0] * (len(texts) - 2),
                "format": [1.0] * len(texts),
            },
            "advantages": [0.5] * len(texts),
            "extra": {"verdict": [f"v{i}" for i in range(len(texts))]},
            "images": [],
        },
    )


def run(callback: Completions, trainer: Any, steps: list[int], folder: Path) -> Any:
    callback.run, tracker = context(folder, trainer)
    for step in steps:
        callback.on_step_end(arguments(), state(step), control())
    return tracker


def test_a_row_holds_the_completion_and_what_it_earned(tmp_path: Path) -> None:
    callback = Completions(every_steps=2, unique_prompts=False)
    tracker = run(callback, trainer(["a", "b", "c", "d"]), [1, 2, 3], tmp_path)
    assert list(tracker.tables) == ["completions/step_000002.json"]
    first, second, *_ = tracker.tables["completions/step_000002.json"]
    assert first == {
        "step": 2,
        "prompt": "1+1",
        "completion": "a",
        "reward/accuracy": 1.0,
        "reward/format": 1.0,
        "reward": 2.5,
        "advantage": 0.5,
        "verdict": "v0",
    }
    assert second["reward/accuracy"] is None  # not applicable
    assert second["reward"] == 0.5


def test_one_completion_a_prompt_and_a_limit_of_rows(tmp_path: Path) -> None:
    texts = [f"answer {i}" for i in range(8)]
    (rows,) = run(Completions(1), trainer(texts), [1], tmp_path).tables.values()
    assert [row["prompt"] for row in rows] == ["1+1", "2+2"]
    callback = Completions(1, max_rows=3, unique_prompts=False)
    (rows,) = run(callback, trainer(texts), [1], tmp_path).tables.values()
    assert [row["completion"] for row in rows] == texts[:3]


def test_a_batch_is_logged_once_and_an_evaluations_batch_never(tmp_path: Path) -> None:
    source = trainer(["a", "b"])
    callback = Completions(1)
    tracker = run(callback, source, [1, 2], tmp_path)
    assert list(tracker.tables) == ["completions/step_000001.json"]  # step 2 reused the batch
    source._logs["completion"] = [[{"role": "assistant", "content": "from eval"}]] * 2
    callback.on_evaluate(arguments(), state(2), control())
    callback.on_step_end(arguments(), state(3), control())
    assert list(tracker.tables) == ["completions/step_000001.json"]
    source._logs["completion"] = [[{"role": "assistant", "content": "new"}]] * 2
    callback.on_step_end(arguments(), state(4), control())
    assert list(tracker.tables)[-1] == "completions/step_000004.json"


def test_only_rank_0_writes_and_zero_means_never(tmp_path: Path) -> None:
    for callback, main in ((Completions(1), False), (Completions(0), True)):
        callback.run, tracker = context(tmp_path, trainer(["a", "b"]))
        callback.on_step_end(arguments(), state(1, main=main), control())
        assert not tracker.tables


def test_sft_has_no_completions(tmp_path: Path) -> None:
    assert not run(Completions(1), SimpleNamespace(), [1], tmp_path).tables


def test_completions_are_printed_when_asked_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    texts = ["[bold]kept as it is[/bold] hf_" + "x" * 20, "second"]
    callback = Completions(1, unique_prompts=False, num_to_print=1)
    run(callback, trainer(texts), [1], tmp_path)
    out = capsys.readouterr().out
    assert "[bold]kept as it is[/bold] ***" in out and "second" not in out
    assert "accuracy" in out and "step 1" in out


def test_strings_and_several_turns_are_readable(tmp_path: Path) -> None:
    source = trainer(["a", "b"])
    source._logs["prompt"] = ["plain", "plain"]
    turns = [{"role": "assistant", "content": "call"}, {"role": "tool", "content": "4"}]
    source._logs["completion"] = [turns, "text"]
    (rows,) = run(Completions(1, unique_prompts=False), source, [1], tmp_path).tables.values()
    assert [row["prompt"] for row in rows] == ["plain", "plain"]
    assert [row["completion"] for row in rows] == ["assistant: call\n\ntool: 4", "text"]


def test_bad_parameters_are_named_together() -> None:
    with pytest.raises(ConfigError) as error:
        Completions(every_steps=-1, max_rows=0)
    keys = [problem.key for problem in error.value.problems]
    assert keys == ["callbacks.completions.every_steps", "callbacks.completions.max_rows"]
