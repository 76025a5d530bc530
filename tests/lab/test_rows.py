from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.lab import rows as rows_module
from r1lab.lab.rows import FileRows, ListedRows


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def mistakes(path: str) -> str:
    with pytest.raises(ConfigError) as caught:
        FileRows(path)
    return str(caught.value)


def test_rows_are_read_in_any_order_and_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '\ufeff{"completion": "a"}\n\n  \n{"completion": "b", "x": 1}\r\n{"completion": "c"}'
    )
    rows = FileRows(str(path))
    assert [row["completion"] for row in rows.read([2, 0, 1])] == ["c", "a", "b"]
    assert [rows.where(i) for i in range(3)] == ["line 1", "line 4", "line 5"]
    assert (len(rows), rows.blank, rows.lacking("x")) == (3, 2, [0, 2])


def test_groups_are_the_group_field_else_the_prompt_else_the_row(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "p"}]
    rows = FileRows(
        write(
            tmp_path / "rows.jsonl",
            {"completion": "a", "group": 1, "prompt": "x"},
            {"completion": "b", "group": 1, "prompt": "y"},
            {"completion": "c", "prompt": chat},
            {"completion": "d", "group": None, "prompt": chat},
            {"completion": "e"},
            {"completion": "e"},
        )
    )
    assert list(rows.group) == [0, 0, 1, 1, 2, 3]


def test_a_large_file_is_cut_into_batches_of_whole_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "WHOLE_ROWS", 10)
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 6)
    table = [{"completion": str(i), "prompt": f"p{i % 5}"} for i in range(20)]  # scattered groups
    rows = FileRows(write(tmp_path / "rows.jsonl", *table))
    batches = rows.batches()
    assert sorted(i for batch in batches for i in batch) == list(range(20))
    assert len(batches) == 5
    for batch in batches:
        assert len({i % 5 for i in batch}) == 1


def test_rows_from_memory_are_checked_alike() -> None:
    assert ListedRows("x", [{"completion": "a"}]).where(0) == "row 0"
    with pytest.raises(ConfigError, match="row 1"):
        ListedRows("x", [{"completion": "a"}, {}])


def test_standard_input_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO(b'{"completion": "a"}\n{"completion": "b"}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    rows = FileRows("-")
    assert [row["completion"] for row in rows.read([1, 0])] == ["b", "a"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"completion": "a"', "is no JSON: Expecting ',' delimiter (character "),
        ('"text"', "is a JSON str, not an object"),
        ('{"solution": "7"}', "has no `completion`; it has: solution"),
        ('{"completion": null}', "`completion` is null, which is no completion"),
        ('{"completion": 7}', "`completion` is 7, which is no completion"),
        ('{"completion": ["a"]}', "is no completion"),
        ('{"completion": [{"role": "assistant", "content": 7}]}', "is no completion"),
        ('{"completion": "a", "completion_ids": "abc"}', "no list of token ids"),
        ('{"completion": "a", "completion_tokens": -1}', "no number of tokens"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"completion": "fine"}\n' + line + "\n")
    found = mistakes(str(path))
    assert said in found
    assert "line 2" in found
    assert "fix:" in found


def test_all_mistakes_are_told_together_up_to_a_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n" * 30)
    found = mistakes(str(path))
    assert found.count("has no `completion`") == 20
    assert "10 more rows" in found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.json", b'[{"completion": "a"}]', "jq -c '.[]'"),
        ("rows.jsonl", b"\n \n", "holds no rows"),
        ("rows.jsonl", b"\xff\xfe{}", "is not UTF-8"),
        ("rows.jsonl.gz", b"", "is not JSON Lines"),
    ],
)
def test_a_file_that_is_no_json_lines(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in mistakes(str(tmp_path / name))


def test_a_file_that_is_not_there() -> None:
    assert "No such file" in mistakes("nowhere.jsonl")
