from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.build import check_light
from r1lab.data.local import LIGHT_BYTES, Local
from r1lab.errors import ConfigError, Problem

ROWS = [{"prompt": f"{i}+1?", "solution": str(i + 1)} for i in range(6)]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def problems_of(source: Local) -> list[Problem]:
    """What load says, after checking that the light check had said the same."""
    with pytest.raises(ConfigError) as caught:
        source.load()
    light = check_light(source, {"prompt", "solution"})
    assert [str(p) for p in light] == [str(p) for p in caught.value.problems]
    return caught.value.problems


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    from datasets import Dataset

    file = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        jsonl(file, ROWS)
    elif suffix == "json":
        file.write_text(json.dumps(ROWS, indent=1))
    elif suffix == "csv":
        Dataset.from_list(ROWS).to_csv(str(file), index=False)
    else:
        Dataset.from_list(ROWS).to_parquet(str(file))
    source = Local(path=str(file))
    assert check_light(source, {"prompt", "solution"}) == []
    assert source.load()["train"].to_list() == ROWS


def test_format_overrules_the_suffix(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "rows.txt", ROWS)
    (problem,) = problems_of(Local(path=str(file)))
    assert problem.key == "data.path" and "data.format" in problem.fix
    assert len(Local(path=str(file), format="jsonl").load()["train"]) == 6


def test_a_folder_finds_its_test_split(tmp_path: Path) -> None:
    jsonl(tmp_path / "train-0.jsonl", ROWS[:2])
    jsonl(tmp_path / "train-1.jsonl", ROWS[2:4])
    jsonl(tmp_path / "test.jsonl", ROWS[4:])
    (tmp_path / "README.md").write_text("not data")
    loaded = Local(path=str(tmp_path)).load()
    assert loaded["train"].to_list() == ROWS[:4]
    assert loaded["test"].to_list() == ROWS[4:]


def test_a_folder_of_splits(tmp_path: Path) -> None:
    jsonl(tmp_path / "train" / "a.jsonl", ROWS[:4])
    jsonl(tmp_path / "test" / "a.jsonl", ROWS[4:])
    assert {k: len(v) for k, v in Local(path=str(tmp_path)).load().items()} == {
        "train": 4,
        "test": 2,
    }


def test_names_that_only_begin_like_test_are_train(tmp_path: Path) -> None:
    folder = tmp_path / "test_runs"  # the folder's own name does not count either
    jsonl(folder / "testimony.jsonl", ROWS)
    jsonl(folder / "values.jsonl", ROWS)
    loaded = Local(path=str(folder)).load()
    assert set(loaded) == {"train"} and len(loaded["train"]) == 12


def test_what_lies_beside_the_data_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / ".hidden" / "_mine"  # the folder's own place does not count
    jsonl(folder / "train.jsonl", ROWS)
    for beside in ("_made/dropped.jsonl", ".cache/a/b.jsonl", ".train.jsonl"):
        jsonl(folder / beside, [{"other": 1}])
    jsonl(folder / "_kept.jsonl", ROWS[:1])
    assert len(Local(path=str(folder)).load()["train"]) == 7


def test_test_path(tmp_path: Path) -> None:
    train, held = jsonl(tmp_path / "a.jsonl", ROWS[:4]), jsonl(tmp_path / "b.jsonl", ROWS[4:])
    loaded = Local(path=str(train), test_path=str(held)).load()
    assert (len(loaded["train"]), len(loaded["test"])) == (4, 2)


def test_every_bad_line_of_every_file_is_reported(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0])
    (tmp_path / "a.jsonl").write_text(f'{good}\n{{"prompt": \n\n{good}\n[1]\n')
    (tmp_path / "b.jsonl").write_bytes(good.encode() + b'\n{"prompt": "\xff"}\n')
    first, second = problems_of(Local(path=str(tmp_path)))
    assert "2 unreadable lines" in first.message
    assert "line 2 is not JSON" in first.message and "line 5 is no object" in first.message
    assert first.file == str(tmp_path / "a.jsonl")
    assert "line 2 is not UTF-8" in second.message


def test_many_bad_lines_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("{\n" * 500)
    (problem,) = problems_of(Local(path=str(file)))
    assert "500 unreadable lines" in problem.message and "and 490 more" in problem.message
    assert len(problem.message) < 1500


def test_a_bad_line_beyond_the_light_check_is_found_on_load(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    row = json.dumps({"prompt": "x" * 100_000, "solution": "1"})
    lines = LIGHT_BYTES // len(row) + 5
    file.write_text((row + "\n") * lines + "{\n")
    source = Local(path=str(file))
    assert check_light(source, {"prompt"}) == []
    with pytest.raises(ConfigError, match=f"line {lines + 1} is not JSON"):
        source.load()


def test_json_errors(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[\n{"prompt": "x",\n}\n]')
    assert "line 3 is not JSON" in problems_of(Local(path=str(file)))[0].message
    file.write_text('{"prompt": "x"}\n{"prompt": "y"}\n')
    assert "format=jsonl" in problems_of(Local(path=str(file)))[0].message
    file.write_text('{"prompt": "x"}')
    assert "a list of objects is expected" in problems_of(Local(path=str(file)))[0].message


def test_csv_errors_and_quoting(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('prompt,solution\n"two\nlines, and ""quotes""",007\n')
    rows = Local(path=str(file)).load()["train"].to_list()
    assert rows == [{"prompt": 'two\nlines, and "quotes"', "solution": "007"}]
    file.write_text("prompt,solution\na,1\nb\nc,1,2\n")
    (problem,) = problems_of(Local(path=str(file)))
    assert "line 3 has 1 fields, the header 2" in problem.message
    assert "line 4 has 3 fields" in problem.message
    file.write_text('prompt,solution\n"never closed,1\n')
    assert "is not CSV" in problems_of(Local(path=str(file)))[0].message


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", "", "zero rows"),
        ("blank.jsonl", "\n\n", "zero rows"),
        ("empty.json", "[]", "zero rows"),
        ("header.csv", "prompt,solution\n", "zero rows"),
        ("not.parquet", "this is text", "this is no parquet file"),
    ],
)
def test_files_without_data(tmp_path: Path, name: str, content: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    (problem,) = check_light(Local(path=str(file)), {"prompt"})
    assert problem.key == "data.path" and said in problem.message


def test_no_path_and_wrong_paths(tmp_path: Path) -> None:
    jsonl(tmp_path / "rows.jsonl", ROWS)
    (problem,) = problems_of(Local())
    assert problem.key == "data.path" and "data.path=" in problem.fix
    wrong = Local(path=str(tmp_path / "row.jsonl"), test_path=str(tmp_path / "nowhere"))
    first, second = problems_of(wrong)
    assert "no such file" in first.message and str(tmp_path / "rows.jsonl") in first.fix
    assert second.key == "data.test_path"
    (tmp_path / "bare").mkdir()
    assert "no data files" in problems_of(Local(path=str(tmp_path / "bare")))[0].message


def test_a_wrong_column_is_named_before_and_after_loading(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"problem": "x", "answer": "1"}])
    source = Local(path=str(file), columns={"prompt": "problems", "solution": "answer"})
    (problem,) = check_light(source, {"prompt"})
    assert (problem.key, problem.value) == ("data.columns.prompt", "problems")
    assert "answer, problem" in problem.message
    assert "data.columns.prompt=problem" in problem.fix


def test_a_column_that_later_rows_add_is_not_lost(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"prompt": "x"}, {"prompt": "y", "solution": "1"}])
    assert Local(path=str(file)).load()["train"]["solution"][:] == [None, "1"]


def test_mixed_types_name_the_column_and_row(tmp_path: Path) -> None:
    rows = [{"prompt": "x", "solution": "1"}] * 3 + [{"prompt": "y", "solution": 2}]
    source = Local(path=str(jsonl(tmp_path / "a.jsonl", rows)))
    with pytest.raises(ConfigError, match="'solution' is text at first, but a number in row 3"):
        source.load()


def test_files_whose_types_differ(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"prompt": "x", "solution": "1"}])
    jsonl(tmp_path / "b.jsonl", [{"prompt": "x", "solution": [1]}])
    with pytest.raises(ConfigError, match="different types"):
        Local(path=str(tmp_path)).load()


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1" + b"\0" * 50)
    with pytest.raises(ConfigError, match=r"a\.parquet"):
        Local(path=str(file)).load()


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_streamed_rows_are_those_that_are_loaded(tmp_path: Path, suffix: str) -> None:
    from datasets import Dataset

    for name, rows in (("a", ROWS[:3]), ("b", ROWS[3:]), ("test", ROWS[:1])):
        file = tmp_path / f"{name}.{suffix}"
        if suffix == "jsonl":
            jsonl(file, rows)
        elif suffix == "json":
            file.write_text(json.dumps(rows))
        elif suffix == "csv":
            Dataset.from_list(rows).to_csv(str(file), index=False)
        else:
            Dataset.from_list(rows).to_parquet(str(file))
    source = Local(path=str(tmp_path))
    assert source.split_names() == {"train", "test"}
    for split, loaded in source.load().items():
        assert list(source.stream(split)) == loaded.to_list()


def test_streaming_reports_every_bad_line_of_every_file_at_its_end(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0])
    (tmp_path / "a.jsonl").write_text(f"{good}\n" + "{\n" * 30)
    (tmp_path / "b.jsonl").write_bytes(good.encode() + b'\n{"prompt": "\xff"}\n')
    (tmp_path / "c.parquet").write_text("none")
    source, seen = Local(path=str(tmp_path)), []
    with pytest.raises(ConfigError) as caught:
        seen.extend(source.stream("train"))
    with pytest.raises(ConfigError) as loading:
        source.load()
    assert caught.value.problems == loading.value.problems and len(caught.value.problems) == 3
    rows = iter(source.stream("train"))
    assert [next(rows), next(rows)] == [ROWS[0], ROWS[0]]


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    source = Local(path=str(jsonl(tmp_path / "rows.jsonl", ROWS)))
    with pytest.raises(ConfigError, match="has no such split"):
        next(source.stream("test"))
