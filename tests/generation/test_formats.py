from __future__ import annotations

from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.generation.formats import FORMATS, Form, check, rows_of, schema_of, table_of
from r1lab.generation.steps.base import Group
from tests.generation.grouping import group


def back(groups: list[Group], **options: Any) -> list[dict[str, Any]]:
    """The rows as a table gives them back."""
    form = Form(**options)
    rows = [row for each in groups for row in rows_of(each, form)]
    found: list[dict[str, Any]] = table_of(rows, schema_of(rows, form)).to_pylist()
    return found


def test_messages_are_a_row_a_sample() -> None:
    asked = group(3, "4", "5", system="Think.", reasoning="2+2", scores={"length": 0.25})
    first, second = back([asked], model="teacher")
    assert first == {
        "messages": [
            {"role": "system", "content": "Think."},
            {"role": "user", "content": "What is 3+2?"},
            {"role": "assistant", "content": "<think>\n2+2\n</think>\n\n4"},
        ],
        "solution": "4",
        "pass_rate": 0.5,
        "row": 3,
        "model": "teacher",
        "sample": 0,
        "correct": True,
        "finish_reason": "stop",
        "prompt_tokens": 7,
        "completion_tokens": 10,
        "score_length": 0.25,
    }
    assert (second["sample"], second["correct"]) == (1, False)
    assert len(asked.prompt.messages) == 2, "the group's own messages stay as they are"


def test_prompt_solution_is_a_row_a_prompt() -> None:
    (row,) = back([group(3, "4", "5"), group(4, "4", gold=None)], format="prompt_solution")
    assert row == {
        "prompt": [{"role": "user", "content": "What is 3+2?"}],
        "solution": "4",
        "pass_rate": 0.5,
        "row": 3,
        "model": None,
        "asked": 4,
        "samples": 2,
    }


def test_raw_has_all_answers_of_a_prompt() -> None:
    (row,) = back([group(3, "4", "5", scores={"length": 1.0})], format="raw")
    assert row["instruction"] == "What is 3+2?" and row["generations"] == ["4", "5"]
    assert row["correct"] == [True, False] and row["completion_tokens"] == [10, 11]
    assert row["score_length"] == [1.0, 1.0] and row["solution"] == "4"
    assert "prompt" not in row and "messages" not in row, "nothing would train on it by mistake"


def test_without_golds_there_is_no_solution() -> None:
    (row,) = back([group(0, "4", gold=None)], has_gold=False)
    assert "solution" not in row
    assert [p.key for p in check("prompt_solution", has_gold=False)] == ["generate.format"]
    assert [check(name, has_gold=True) for name in FORMATS] == [[], [], []]
    assert "did you mean messages" in str(check("message", True)[0])


def test_columns_of_the_data_are_kept() -> None:
    asked = group(0, "4", level=3, solution="2+2 is 4, so 4", tags=["a"], meta={"id": 1})
    (row,) = back([asked], keep_columns=["level", "solution", "tags", "meta", "absent"])
    assert (row["level"], row["tags"], row["meta"]) == (3, ["a"], {"id": 1})
    assert row["solution"] == "4" and row["data_solution"] == "2+2 is 4, so 4"
    assert row["absent"] is None


def test_half_a_character_is_replaced() -> None:
    """JSON can spell one, and a server that cuts bytes does."""
    (row,) = back([group(0, "ok \ud83d", text="why \udc00?", note="\ud800")], keep_columns=["note"])
    assert [turn["content"] for turn in row["messages"]] == ["why ??", "ok ?"]
    assert row["note"] == "?"


def test_a_column_of_two_types_is_named() -> None:
    form = Form(keep_columns=["level"])
    first, late = (rows_of(group(0, "4", level=value), form) for value in (3, "hard"))
    with pytest.raises(ConfigError, match=r"keep_columns = 'level'.*was int64 at first"):
        table_of(late, schema_of(first, form))
    with pytest.raises(ConfigError, match=r"keep_columns = 'level'.*has several types"):
        schema_of([*first, *late], form)


def test_a_column_that_comes_late_is_not_lost() -> None:
    form = Form()
    first = rows_of(group(0, "4"), form)
    late = rows_of(group(1, "4", scores={"length": 1.0}), form)
    with pytest.raises(ValueError, match="score_length"):
        table_of(late, schema_of(first, form))
