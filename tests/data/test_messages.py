"""Data of whole conversations, read without a word about its columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.build import build_data, check_light
from r1lab.data.local import Local
from r1lab.data.messages import as_found
from r1lab.data.source import Source, default_columns
from r1lab.errors import ConfigError


def chat(number: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"{number}+1?"},
        {"role": "assistant", "content": f"<think>\n\n</think>\n{number + 1}"},
    ]


ROWS = [{"messages": chat(i), "solution": str(i + 1), "row": i} for i in range(4)]


def data(path: Path, rows: list[dict[str, Any]], suffix: str = "jsonl") -> str:
    from datasets import Dataset

    file = path / f"train.{suffix}"
    if suffix == "parquet":
        Dataset.from_list(rows).to_parquet(str(file))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_sft_learns_them_as_they_are(tmp_path: Path, suffix: str) -> None:
    source = Local(path=data(tmp_path, ROWS, suffix), shuffle=False, system_prompt="open_r1")
    assert check_light(source, {"messages"}) == []
    bundle = build_data(source, "sft", need_solution=False)
    assert bundle.train.to_list() == [{"messages": row["messages"]} for row in ROWS]
    assert bundle.report["notes"] == [
        "there is no column 'prompt': the conversations in 'messages' are read"
    ]
    assert bundle.report["source"]["columns"] == {
        "prompt": None,
        "solution": "solution",
        "messages": "messages",
    }


def test_grpo_takes_what_comes_before_the_last_answer(tmp_path: Path) -> None:
    source = Local(path=data(tmp_path, ROWS), shuffle=False)
    assert check_light(source, {"prompt", "solution", "row"}) == []
    row = build_data(source, "grpo", need_solution=True).train[1]
    assert row == {"prompt": chat(1)[:1], "solution": "2", "row": 1}


def test_they_need_no_solution(tmp_path: Path) -> None:
    source = Local(path=data(tmp_path, [{"messages": chat(0)}]))
    assert check_light(source, {"messages"}) == []
    assert len(build_data(source, "sft", need_solution=False).train) == 1
    with pytest.raises(ConfigError, match="needs the column 'solution'"):
        build_data(source, "grpo", need_solution=True)


def test_a_prompt_comes_first(tmp_path: Path) -> None:
    rows = [{**row, "prompt": f"{i}+1?"} for i, row in enumerate(ROWS)]
    bundle = build_data(Local(path=data(tmp_path, rows)), "sft", need_solution=False)
    assert set(bundle.train.column_names) == {"prompt", "completion"}
    assert bundle.report["notes"] == []


@pytest.mark.parametrize(
    "columns",
    [
        {"prompt": "question", "solution": "solution", "messages": None},
        {"prompt": None, "solution": "solution", "messages": "turns"},
    ],
)
def test_names_of_ones_own_are_not_guessed_around(
    tmp_path: Path, columns: dict[str, str | None]
) -> None:
    source = Local(path=data(tmp_path, ROWS), columns=columns)
    assert as_found(source, {"messages", "solution"}) is source
    assert any("no such column" in problem.message for problem in source.check())


def test_other_data_is_read_as_before() -> None:
    source = Source(columns=default_columns())
    assert as_found(source, {"question", "answer"}) is source
    assert as_found(source, {"prompt", "messages"}) is source
