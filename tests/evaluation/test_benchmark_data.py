"""Reading a benchmark's rows from files: which of them, in which format, with which mistakes."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas
import pytest

INSIDE = Path(__file__).resolve().parents[2] / "r1lab" / "evaluation" / "inside"

ROWS = [{"problem": "1 + 1?", "answer": "2"}, {"problem": "2 + 2?", "answer": "4"}]


@pytest.fixture
def data(monkeypatch) -> Iterator[ModuleType]:
    """The module as its own script finds it: beside its siblings."""
    monkeypatch.syspath_prepend(str(INSIDE))
    import benchmark_data

    yield benchmark_data
    for name in ("benchmark_data", "evaluation_job"):
        sys.modules.pop(name, None)


def jsonl(path: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_the_file_of_the_split_is_read(data, tmp_path):
    jsonl(tmp_path / "train.jsonl")
    jsonl(tmp_path / "test.jsonl", ROWS[:1])
    assert data.from_files(tmp_path, "train", "default").rows == ROWS
    assert data.from_files(tmp_path, "test", "default").rows == ROWS[:1]
    assert data.from_files(tmp_path / "test.jsonl", "train", "default").rows == ROWS[:1]


def test_a_snapshot_of_the_hub_is_read(data, tmp_path):
    for folder, rows in [("main", ROWS), ("socratic", ROWS[:1])]:
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "test-00000-of-00001.parquet"
        pandas.DataFrame(rows).to_parquet(path)
    assert data.from_files(tmp_path, "test", "main").rows == ROWS


def test_a_csv_that_is_called_as_the_subset_is_read(data, tmp_path):
    for name in ("gpqa_diamond", "gpqa_main"):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["problem", "answer"])
            writer.writeheader()
            writer.writerow({"problem": "two\nlines", "answer": name})
    rows = data.from_files(tmp_path, "train", "gpqa_diamond").rows
    assert rows == [{"problem": "two\nlines", "answer": "gpqa_diamond"}]


def test_the_only_file_is_read_whatever_its_name(data, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(ROWS))
    assert data.from_files(tmp_path, "train", "default").rows == ROWS


def test_a_row_may_hold_any_character_but_a_newline(data, tmp_path):
    rows = [{"problem": "a\u2028b\x85c", "answer": "1"}]
    assert data.from_files(jsonl(tmp_path / "a.jsonl", rows), "train", "default").rows == rows


def test_the_fingerprint_is_of_the_content(data, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(ROWS))
    one = data.from_files(jsonl(tmp_path / "a" / "b.jsonl"), "train", "default")
    assert one.fingerprint == data.from_files(tmp_path / "mine.json", "", "").fingerprint
    assert one.fingerprint != data.Rows(ROWS[:1], "").fingerprint


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"has no train\.jsonl"),
        ({"a.jsonl": "", "b.jsonl": ""}, r"several files, and none is called train: a\.jsonl"),
        ({"train.jsonl": "{\n"}, r"train\.jsonl cannot be read"),
        ({"train.jsonl": "[1]\n"}, "something else than rows with names"),
        ({"train.parquet": "no"}, r"train\.parquet cannot be read"),
        ({"train.jsonl": ""}, "has no rows"),
        ({"train.jsonl": '{"problem": "?"}\n'}, r"row 1 of .* has no 'answer'; it has: problem"),
        ({"train.jsonl": '{"problem": "?", "answer": null}\n'}, "has no 'answer'"),
    ],
)
def test_a_mistake_is_named(data, tmp_path, files, said):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(data.JobError, match=said) as raised:
        data.checked(data.from_files(tmp_path, "train", "default"), ["problem", "answer"])
    assert raised.value.kind == "data" and raised.value.fix


def test_a_folder_that_is_not_there_is_named(data, tmp_path):
    with pytest.raises(data.JobError, match="nowhere does not exist"):
        data.from_files(tmp_path / "nowhere", "train", "default")


def test_whatever_keeps_the_hub_away_is_one_error(data):
    def download() -> None:
        raise ConnectionError("no route to host\nmore of it")

    with pytest.raises(data.JobError, match=r"org/data cannot be had .*no route to host") as raised:
        data.from_hub(download, "org/data", "train")
    assert "more of it" not in str(raised.value)
    with pytest.raises(data.JobError, match="has no split 'train'; it has: test"):
        data.from_hub(lambda: {"test": ROWS}, "org/data", "train")
