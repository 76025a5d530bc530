"""Tables of answers, made up, in the form that evaluations keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas

SETTINGS: dict[str, Any] = {
    "task": "aime24",
    "lighteval": "0.13.0",
    "task_version": 1,
    "model": {"name": "base", "weights": "w1", "chat_template": "t1"},
    "engine": {"name": "vllm", "max_model_len": 4096},
    "versions": {"r1lab": "0.1.0", "mlflow": "3.17.2"},
    "data": {"source": "/data/aime24", "fingerprint": "d1", "rows": 4},
    "prompt": {"template": "Solve this.\n\n{problem}", "hash": "p1", "system_prompt": None},
    "sampling": {
        **{"temperature": 0.6, "top_p": 0.95, "seed": 42, "max_new_tokens": 100},
        **{"n": 2, "extra": {}},
    },
    "command": "python -m r1lab evaluate model=base",
}


def row(question: int, sample: int, right: float | None, **other: Any) -> dict[str, Any]:
    """The answer to question q1, q2, ..., whose gold is its number."""
    said = question if right else question + 1
    return {
        "task": "aime24",
        "question_id": f"q{question}",
        "question": f"What is {question}?",
        "gold": [str(question)],
        "sample": sample,
        "text": f"It is \\boxed{{{said}}}.",
        "reasoning": None,
        "finish_reason": "stop",
        "completion_tokens": 10,
        "strict": right,
        "lenient": right,
        **other,
    }


def rows(scores: list[list[float | None]], **other: Any) -> list[dict[str, Any]]:
    """A row for each score of (questions, samples)."""
    return [
        row(question, sample, right, **other)
        for question, each in enumerate(scores, 1)
        for sample, right in enumerate(each)
    ]


def write(base: Path, table: list[dict[str, Any]], task: str = "aime24", **settings: Any) -> Path:
    """An evaluation in ``base`` as ``evaluate`` writes it; ``settings`` replace whole parts."""
    folder = base / "evaluation" / task
    folder.mkdir(parents=True)
    pandas.DataFrame(table).assign(task=task).to_parquet(folder / "samples.parquet")
    kept = {**SETTINGS, "task": task, **settings}
    (folder / "settings.json").write_text(json.dumps(kept))
    return base


def write_lighteval(
    output: Path,
    table: list[dict[str, Any]],
    model: str = "org/base",
    task: str = "aime24",
    **metrics: list[float],
) -> Path:
    """Results as LightEval 0.13 writes them (read off a real run), means and details.

    ``metrics`` are one value a question; without them there is ``extractive_match``.
    """
    stamp, name = "2026-01-02T03-04-05.678901", f"{task}|0"
    frame = pandas.DataFrame(table)
    grouped = list(frame.groupby("question_id", sort=False))
    found = metrics or {"extractive_match": [float(each["strict"].mean()) for _, each in grouped]}
    details = [
        {
            "doc": {
                "query": each["question"].iloc[0],
                "choices": list(each["gold"].iloc[0]),
                "gold_index": 0,
                "id": str(place),
            },
            "metric": {key: values[place] for key, values in found.items()},
            "model_response": {"text": list(each["text"]), "output_tokens": []},
        }
        for place, (_, each) in enumerate(grouped)
    ]
    parquet = output / "details" / model / stamp / f"details_{name}_{stamp}.parquet"
    parquet.parent.mkdir(parents=True)
    pandas.DataFrame(details).to_parquet(parquet)
    sampling = {"temperature": 0.6, "top_p": 0.95, "seed": 42, "max_new_tokens": None}
    results = {
        "config_general": {
            "model_name": model,
            "model_config": {"generation_parameters": sampling, "system_prompt": None},
        },
        "results": {name: {key: sum(values) / len(values) for key, values in found.items()}},
        "config_tasks": {name: {"name": task, "version": 1, "generation_size": 100}},
    }
    file = output / "results" / model / f"results_{stamp}.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(results))
    return file
