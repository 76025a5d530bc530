"""Which problems the sampled evaluation of a training asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.build import build_data
from r1lab.data.local import Local
from r1lab.evaluation.around import Evaluator


def chat(text: str, answer: str, system: str | None = None) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": text})
    return [*turns, {"role": "assistant", "content": answer}]


def write(folder: Path, split: str, rows: list[dict[str, Any]]) -> None:
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def asked(folder: Path, **options: Any) -> list[dict[str, Any]] | None:
    """The held-out problems of an SFT on a folder, as ``data=local`` has them by default."""
    node = {"path": str(folder), "system_prompt": "open_r1", "shuffle": False, **options}
    bundle = build_data(Local(**node), "sft", need_solution=False)
    config = {
        "trainer": {"kind": "sft", "evaluation": {"enabled": True}},
        "benchmarks": {},
        "rewards": {},
        "data": {"_target_": "r1lab.data.local.Local", **node},
    }
    nothing: Any = None
    rows = Evaluator(config, bundle, nothing, nothing, folder, nothing)._rows
    return None if rows is None else rows.to_list()


def test_conversations_with_golds_are_problems_asked_as_they_were_learned(tmp_path: Path) -> None:
    rows = [
        {"messages": chat(f"{i // 3}+1?", f"it is {i}", "Think."), "solution": str(i // 3 + 1)}
        for i in range(9)
    ]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", rows[:6])
    found = asked(tmp_path)
    assert found is not None
    assert sorted(row["prompt"][-1]["content"] for row in found) == ["0+1?", "1+1?"]
    assert {row["prompt"][0]["content"] for row in found} == {"Think."}
    assert sorted(row["solution"] for row in found) == ["1", "2"]


def test_no_system_prompt_is_added_that_was_not_learned(tmp_path: Path) -> None:
    row = {"messages": chat("1+1?", "2"), "solution": "2"}
    write(tmp_path, "train", [row])
    write(tmp_path, "test", [row])
    assert asked(tmp_path) == [{"prompt": [{"role": "user", "content": "1+1?"}], "solution": "2"}]


def test_what_has_no_gold_is_learned_and_not_asked(tmp_path: Path) -> None:
    rows = [
        {"messages": chat(f"{i}+1?", "?"), "solution": str(i + 1) if i % 2 else None}
        for i in range(6)
    ]
    write(tmp_path, "train", rows)
    write(tmp_path, "test", rows)
    found = asked(tmp_path)
    assert found is not None and sorted(row["solution"] for row in found) == ["2", "4", "6"]


def test_no_golds_no_sampled_evaluation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    row = {"messages": chat("1+1?", "2")}
    write(tmp_path, "train", [row])
    write(tmp_path, "test", [row])
    assert asked(tmp_path) is None
    assert "no sampled evaluation" in caplog.text
