from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.generation.questions import BENCHMARKS, OPEN_R1, find, questions

TASKS = Path(__file__).resolve().parents[2] / "r1lab/evaluation/inside/lighteval_tasks.py"


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_they_are_read_where_the_evaluation_reads_them() -> None:
    """What a model is tested on is what its data is cleaned of."""
    tree = ast.parse(TASKS.read_text())
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "task"
    ]
    assert len(calls) > 5
    for call in calls:
        name, repo, split, *_ = (a.value for a in call.args if isinstance(a, ast.Constant))
        ours = BENCHMARKS[name]
        assert (ours.repo, ours.split) == (repo, split)
        subsets = [a.value for a in call.args[6:] if isinstance(a, ast.Constant)]
        assert ours.config == (subsets[0] if subsets else None)


def test_open_r1s_five() -> None:
    assert list(OPEN_R1) == ["aime24", "aime25", "math_500", "gpqa_diamond", "livecodebench"]


@pytest.mark.parametrize("form", ["jsonl", "parquet", "folder", "split"])
def test_files_of_a_folder(tmp_path: Path, form: str) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"problem": "What is\u20282+2?", "answer": "4"}, {"problem": "Why?", "answer": ""}]
    if form == "parquet":
        table = pyarrow.Table.from_pylist(rows)
        pyarrow.parquet.write_table(table, tmp_path / "math_500.parquet")
    elif form == "jsonl":
        jsonl(tmp_path / "math_500.jsonl", rows)
    else:
        jsonl(tmp_path / "math_500" / "test.jsonl", rows)
        if form == "split":  # only the benchmark's own split counts
            jsonl(tmp_path / "math_500" / "train.jsonl", [{"problem": "another"}])
    assert find("math_500", str(tmp_path)) is not None
    assert questions("math_500", str(tmp_path)) == ["What is\u20282+2?", "Why?"]


def test_the_files_of_a_folder_that_are_the_benchmark(tmp_path: Path) -> None:
    for number in ("", "4", "5", "6"):
        jsonl(tmp_path / f"livecodebench/test{number}.jsonl", [{"question_content": number}])
    (tmp_path / "gpqa_diamond").mkdir()
    for name in ("gpqa_main", "gpqa_diamond"):
        (tmp_path / f"gpqa_diamond/{name}.csv").write_text(f'Question\n"{name}, or not?"\n')
    assert questions("livecodebench", str(tmp_path)) == ["4", "5"]
    assert questions("gpqa_diamond", str(tmp_path)) == ["gpqa_diamond, or not?"]


def test_a_benchmark_of_ones_own(tmp_path: Path) -> None:
    jsonl(tmp_path / "mine.jsonl", [{"q": "Why?"}])
    assert questions("mine", str(tmp_path), "q") == ["Why?"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"question": "x"}\n', r"no such column: question\n.*did you mean"),
        ('{"problem": "x"}\n{\n', "line 2 is not JSON"),
        ('{"problem": null}\n', r"row 0 \(from 0\).* holds no text"),
        ("", "has no questions"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "aime24.jsonl").write_text(content)
    if "did you mean" in said:
        said = "no such column: question"
    with pytest.raises(ConfigError, match=said):
        questions("aime24", str(tmp_path))


def test_a_folder_that_lacks_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds nothing for aime24"):
        questions("aime24", str(tmp_path))


@pytest.mark.parametrize("name", ["aime24", "livecodebench"])
def test_without_a_network_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PrerequisiteError) as caught:
        questions(name)
    assert f"the benchmark {name} ({BENCHMARKS[name].repo})" in str(caught.value)
    assert f"data_dir to a folder with {name}.jsonl" in str(caught.value)


def test_livecodebench_is_two_files_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hub is faked: what is asked of it, and that only the questions are read."""
    asked = []

    def download(repo: str, file: str, *, repo_type: str) -> str:
        asked.append((repo, file, repo_type))
        row = {"question_content": f"of {file}", "private_test_cases": "x"}
        return str(jsonl(tmp_path / file, [row]))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert questions("livecodebench") == ["of test4.jsonl", "of test5.jsonl"]
    repo = "livecodebench/code_generation_lite"
    assert asked == [(repo, f"test{number}.jsonl", "dataset") for number in (4, 5)]
