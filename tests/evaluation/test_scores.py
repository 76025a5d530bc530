"""Lenient scores beside strict ones, and what a reader of the numbers must be warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest

from r1lab.evaluation import scores


def write(folder: Path, texts: list[list[str]], golds: list[list[str]], **columns: Any) -> Path:
    """A table of answers: one list of texts a question."""
    rows = [
        {
            "task": "aime24",
            "question_id": f"q{question}",
            "question": "?",
            "gold": golds[question],
            "sample": sample,
            "text": text,
            "finish_reason": "stop",
            "completion_tokens": 10,
            "strict": 0.0,
            "extracted": text,
        }
        | {name: values[question][sample] for name, values in columns.items()}
        for question, row in enumerate(texts)
        for sample, text in enumerate(row)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows).to_parquet(folder / "samples.parquet")
    return folder / "samples.parquet"


def lenient(file: Path) -> list[float | None]:
    found = pandas.read_parquet(file)["lenient"]
    return [None if pandas.isna(value) else float(value) for value in found]


def test_mathematics_is_read_by_the_verifier(tmp_path: Path) -> None:
    texts = [[r"So $\boxed{\frac{1}{2}}$.", "The answer is 0.5", "I do not know."]]
    file = write(tmp_path, texts, [["$0.5$"]])
    assert scores.add_lenient(file, "math") > 0
    assert lenient(file) == [1.0, 1.0, 0.0]


def test_any_of_several_golds_will_do_and_an_unparseable_one_has_no_score(tmp_path: Path) -> None:
    texts = [[r"\boxed{7}"], [r"\boxed{7}"]]
    file = write(tmp_path, texts, [["3", "7"], [""]])
    scores.add_lenient(file, "math")
    assert lenient(file) == [1.0, None]


def test_choices_are_read_as_letters(tmp_path: Path) -> None:
    texts = [["Thus **Answer: B**", "Answer: C", "B or C"]]
    file = write(tmp_path, texts, [["B"]])
    scores.add_lenient(file, "choice")
    assert lenient(file) == [1.0, 0.0, 0.0]


def scored(folder: Path, most: int = 10, **columns: Any) -> tuple[dict[str, float], list[str]]:
    texts = [[r"\boxed{1}", r"\boxed{1}"], [r"\boxed{2}", r"\boxed{3}"]]
    file = write(folder, texts, [["1"], ["2"]], **columns)
    scores.add_lenient(file, "math")
    return scores.score(folder, "math", most)


def test_strict_lenient_and_several_samples(tmp_path: Path) -> None:
    metrics, warnings = scored(tmp_path, strict=[[1.0, 0.0], [1.0, 0.0]])
    assert metrics["strict/pass_at_1"] == 0.5
    assert metrics["lenient/pass_at_1"] == 0.75
    assert metrics["strict/pass_at_2"] == 1.0
    assert metrics["lenient/majority_at_2"] == 0.75
    assert metrics["format_gap"] == 0.25
    assert (metrics["questions"], metrics["samples"], metrics["mean_tokens"]) == (2, 2, 10)
    assert metrics["strict/pass_at_1_low"] <= 0.5 <= metrics["strict/pass_at_1_high"]
    assert warnings == []


def test_answers_that_were_cut_as_asked_make_a_lower_bound(tmp_path: Path) -> None:
    metrics, warnings = scored(tmp_path, 10, finish_reason=[["length", "stop"], ["stop", "stop"]])
    assert metrics["truncated"] == 0.25
    (warning,) = warnings
    assert "25% of the answers were cut at 10 tokens" in warning


def test_a_server_that_cuts_earlier_is_found(tmp_path: Path) -> None:
    reasons = [["length", "length"], ["length", "length"]]
    _, warnings = scored(
        tmp_path, 32768, finish_reason=reasons, completion_tokens=[[16, 16], [16, 16]]
    )
    (warning,) = warnings
    assert "cut at 16 tokens, though 32768 were asked for" in warning


def test_texts_without_an_answer_are_told(tmp_path: Path) -> None:
    nothing: list[list[str | None]] = [[None], ["2"]]
    file = write(tmp_path, [["hm"], ["2"]], [["1"], ["2"]], extracted=nothing)
    scores.add_lenient(file, "math")
    _, warnings = scores.score(tmp_path, "math", 100)
    assert any(
        "in 50% of the answers the benchmark's parser found none" in line for line in warnings
    )


def test_mlflow_accepts_every_name(tmp_path: Path) -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    metrics, _ = scored(tmp_path)
    named = scores.metric_names("aime24", metrics, "benchmark")
    assert "benchmark/aime24/strict/pass_at_1" in named
    for name in named:
        validation._validate_metric_name(name)


def test_a_task_is_done_when_its_score_is_written(tmp_path: Path) -> None:
    assert scores.read(tmp_path) is None
    scores.write(tmp_path, {"x": 1.0}, ["w"], {"generation": 2.0}, {"asked": 3, "kept": 0})
    assert scores.read(tmp_path) == {
        "metrics": {"x": 1.0},
        "warnings": ["w"],
        "seconds": {"generation": 2.0},
        "answers": {"asked": 3, "kept": 0},
    }
