from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.generation.request import Answer, Prompt
from r1lab.generation.steps.base import Context, Group, Sample
from r1lab.generation.steps.decontaminate import Decontaminate, contaminated
from tests.conftest import Cli
from tests.generation.serving import serving

CONTEXT = Context(config={}, has_gold=True, has_samples=1)
TRAIN = "Find the number of ways to tile a row of ten squares."
SHORT = "Compute $\\sin 0$."


@pytest.fixture
def folder(tmp_path: Path) -> str:
    rows = {"aime24": [TRAIN], "math_500": [SHORT, TRAIN.upper()]}
    for name, texts in rows.items():
        content = "".join(json.dumps({"problem": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(content)
    return str(tmp_path)


def group(row: int, text: str, *answers: str, system: str | None = None) -> Group:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    samples = [Sample(number, Answer(content)) for number, content in enumerate(answers)]
    return Group(Prompt(row, messages), samples, len(samples))


def step(folder: str, **options: Any) -> Decontaminate:
    made = Decontaminate(["aime24", "math_500"], folder, **options)
    assert made.check("steps.decontaminate", CONTEXT) == []
    made.prepare(CONTEXT)
    return made


def test_offenders_are_dropped_counted_and_listed(folder: str) -> None:
    made = step(folder)
    groups = [
        group(0, "How many?", "a"),
        group(7, f"Please solve: {TRAIN} Thanks!", "a"),
        group(8, f"Solve:\n{SHORT}", "a"),
        group(9, "How many?", "a", system=TRAIN),  # said with every prompt
    ]
    assert [g.prompt.row for g in made.apply(groups)] == [0, 9]
    assert made.counts == {
        "dropped prompts: 8 words in a row of aime24, math_500": 1,
        "dropped prompts: a short question of math_500": 1,
    }
    assert made.listed[0] == {
        "row": 7,
        "sample": None,
        "prompt": f"Please solve: {TRAIN} Thanks!",
        "benchmark": "aime24",
        "question": TRAIN,
        "shared": "find the number of ways to tile a",
        "short": False,
    }
    assert [(row["row"], row["benchmark"]) for row in made.listed[1:]] == [
        (7, "math_500"),
        (8, "math_500"),
    ]


def test_answers_are_looked_at_when_asked(folder: str) -> None:
    texts = ("fine", f"I know it: {TRAIN}")
    (kept,) = step(folder).apply([group(0, "How many?", *texts)])
    assert len(kept.samples) == 2
    made = step(folder, answers=True)
    (kept,) = made.apply([group(0, "How many?", *texts)])
    assert [sample.number for sample in kept.samples] == [0]
    assert {row["sample"] for row in made.listed} == {1}
    assert made.counts == {"dropped: 8 words in a row of aime24, math_500": 1}


def test_reasoning_counts_as_answer(folder: str) -> None:
    asked = group(0, "How many?")
    asked.samples = [Sample(0, Answer("5", reasoning=TRAIN))]
    assert next(iter(step(folder, answers=True).apply([asked]))).samples == []


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"benchmarks": ["gpqa_diamond"]}, "data_dir", "holds nothing for gpqa_diamond"),
        ({"benchmarks": ["mine"]}, "benchmarks", "has no known columns"),
        ({"data_dir": None, "benchmarks": ["aime2024"]}, "benchmarks", "did you mean aime24"),
        ({"data_dir": "/nowhere"}, "data_dir", "there is no such folder"),
        ({"ngram": 0}, "ngram", "is no number of words"),
        ({"benchmarks": []}, "benchmarks", "names no benchmark"),
        ({"columns": {"aime25": "q"}}, "columns.aime25", "none of the benchmarks"),
    ],
)
def test_mistakes_are_found_before_anything_is_asked(
    folder: str, options: dict[str, Any], key: str, said: str
) -> None:
    made = Decontaminate(**{"benchmarks": ["aime24"], "data_dir": folder, **options})
    problems = made.check("steps.decontaminate", CONTEXT)
    assert f"steps.decontaminate.{key}" in {problem.key for problem in problems}
    assert any(said in str(problem) for problem in problems)


def test_files_that_cannot_be_used_are_said_together(folder: str) -> None:
    made = Decontaminate(["aime24", "math_500"], folder, columns={"aime24": "q", "math_500": "p"})
    with pytest.raises(ConfigError) as caught:
        made.prepare(CONTEXT)
    assert [p.key for p in caught.value.problems] == [
        f"steps.decontaminate.columns.{name}" for name in ("aime24", "math_500")
    ]


def test_data_of_any_kind(folder: str) -> None:
    texts = ["nothing", TRAIN, SHORT]
    found = dict(contaminated(texts, ["math_500"], data_dir=folder))
    assert {place: hits[0].short for place, hits in found.items()} == {1: False, 2: True}


@pytest.mark.slow
def test_a_benchmark_that_cannot_be_had_is_said_before_anything_is_asked(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "sums.jsonl").write_text('{"prompt": "What is 1 + 1?", "solution": "2"}\n')
    with serving(tmp_path / "server") as server:
        done = cli(
            *("generate", "data=local", f"data.path={tmp_path / 'sums.jsonl'}"),
            *(f"generate.base_url={server.url}", "steps=[verify,decontaminate]"),
        )
        assert done.returncode == 2
        assert "the benchmark aime24 (HuggingFaceH4/aime_2024) is missing" in done.stderr
        assert "set steps.decontaminate.data_dir" in done.stderr
        assert server.requests(None) == []
