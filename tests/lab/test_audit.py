from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab import cli as command_line

ROWS = [
    {"prompt": "a", "solution": "5"},
    {"prompt": "a", "solution": "5"},
    {"prompt": "b", "solution": ""},
    {"prompt": "c", "solution": "the proof goes by a long induction on the number n of vertices"},
    {"prompt": "a", "solution": "6"},
    {"prompt": "d", "solution": "\\boxed{\\frac{1}{2}}"},
    {"prompt": "e", "solution": "$x^2+1$"},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "golds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audit(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = command_line.main(["rewards", "audit", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("folder")
def test_offenders_are_listed_with_their_row_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = audit(capsys, "data=local", "data.path=golds.jsonl")
    assert code == 0
    part = found["splits"]["train"]
    rows = {kind: [item["row"] for item in of["rows"]] for kind, of in part["offenders"].items()}
    assert rows == {
        "empty": [2],
        "no_final_answer": [],
        "unparseable": [3],
        "not_itself_plain": [],
        "not_itself_boxed": [],
        "duplicate": [1],
        "contradiction": [4],
    }
    assert (part["rows"], part["golds"], part["distinct"]) == (7, 6, 5)
    assert part["parse"] == part["verify_plain"] == part["verify_boxed"] == pytest.approx(5 / 6)
    assert part["offenders"]["contradiction"]["rows"][0]["other"] == 0


@pytest.mark.usefixtures("folder")
def test_strict_fails_where_there_are_offenders(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(capsys, "--strict", "data=local", "data.path=golds.jsonl")[0] == 1
    Path("golds.jsonl").write_text('{"prompt": "a", "solution": "5"}\n' * 2)  # only a duplicate
    assert audit(capsys, "--strict", "data=local", "data.path=golds.jsonl")[0] == 0


@pytest.mark.usefixtures("folder")
def test_solutions_in_which_no_final_answer_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["data=local", "data.path=golds.jsonl", "data.answer_format=boxed"]
    part = audit(capsys, *line)[1]["splits"]["train"]
    assert [item["row"] for item in part["offenders"]["no_final_answer"]["rows"]] == [0, 1, 3, 4, 6]
    assert part["golds"] == 1


@pytest.mark.usefixtures("folder")
def test_a_column_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["data=local", "data.path=golds.jsonl", "data.columns.solution=answer"]
    assert command_line.main(["rewards", "audit", *line]) == 2
    assert "data.columns.solution" in capsys.readouterr().err


def test_generated_data_by_split_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["data=arithmetic", "data.train_size=300", "data.test_size=20"]
    assert command_line.main(["rewards", "audit", *line]) == 0
    said = capsys.readouterr().out
    for part in ("golds of arithmetic", "train", "test", "300", "100.0%", "counted from 0"):
        assert part in said
