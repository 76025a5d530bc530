from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1lab.compose import compose, resolve
from r1lab.generation.card import data_card, write_card
from r1lab.generation.formats import Form
from r1lab.generation.statistics import Statistics
from r1lab.generation.writing import Written, write
from tests.generation.grouping import group

STEPS = [
    {
        "step": "(answers)",
        "prompts_in": 9,
        "prompts_out": 9,
        "samples_in": 36,
        "samples_out": 36,
        "counts": {},
    },
    {
        "step": "verify",
        "prompts_in": 9,
        "prompts_out": 5,
        "samples_in": 36,
        "samples_out": 1234,
        "counts": {"dropped: wrong": 20, "dropped: a|b": 1},
    },
]
OFFENDER = {"row": 7, "sample": None, "benchmark": "aime24", "shared": "find `x` such that"}


def facts(**changed: Any) -> dict[str, Any]:
    config = resolve(compose(["data=gsm8k"]))
    config["generate"] = {
        "split": "train",
        "prompt_template": "{{ instruction }}\nThink.",
        "temperature": 0.6,
        "top_p": None,
        "max_new_tokens": 8192,
        "num_generations": 4,
        "seed": None,
        "extra": {"top_k": 20},
        "format": "messages",
        **changed.pop("generate", {}),
    }
    config["steps"] = changed.pop("steps_node", {})
    written = Written(Path("data"), {"train": 1990, "test": 10}, {"train": 400, "test": 5})
    written.columns = ["messages", "solution"]
    return {
        "config": config,
        "command": "python -m r1lab generate data=gsm8k",
        "model": "deepseek-ai/DeepSeek-R1",
        "written": written,
        "steps": STEPS,
        "provenance": {"python": "3.12", "versions": {"r1lab": "0.7", "mlflow": "3"}, "git": {}},
        "path": "outputs/generations/x/data",
        **changed,
    }


def front(card: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return loaded


def test_the_hub_reads_the_front_matter() -> None:
    from huggingface_hub import DatasetCard

    card = data_card(**facts(hub_id="me/data"))
    assert front(card) == {
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "r1lab"],
        "size_categories": ["1K<n<10K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.parquet"},
                    {"split": "test", "path": "test.parquet"},
                ],
            }
        ],
        "generated_by": "deepseek-ai/DeepSeek-R1",
        "pretty_name": "data",
        "source_datasets": ["openai/gsm8k"],
    }
    assert DatasetCard(card).data.configs[0]["config_name"] == "default"


def test_it_says_how_the_rows_were_made() -> None:
    card = data_card(**facts(dead={"timeout": 2}))
    for line in (
        "2,000 rows from 405 prompts of [openai/gsm8k]",
        "python -m r1lab trainer=sft data=local data.path=outputs/generations/x/data",
        "| train | 1,990 | 400 |",
        "No prompt is in both.",
        "python -m r1lab generate data=gsm8k",
        "- temperature: 0.6",
        "- top_p: the server's own",
        "- further parameters: top_k=20",
        "- prompt template: `{{ instruction }} Think.`",
        "| verify | 5 of 9 | 1,234 of 36 | dropped: wrong: 20, dropped: a\\|b: 1 |",
        "(dead letters): 2 timeout.",
        "Python 3.12, r1lab 0.7",
    ):
        assert line in card
    assert "mlflow" not in card


def test_numbers_before_and_after_stand_side_by_side() -> None:
    asked, kept = Statistics(), Statistics()
    asked.add(group(0, "a", "b", pass_rate=None))
    kept.add(group(0, "a", pass_rate=0.5))
    card = data_card(**facts(asked=asked.facts(), kept=kept.facts()))
    assert "|  | Asked | Kept |\n|---|---|---|\n| prompts | 1 | 1 |\n| samples | 2 | 1 |" in card
    assert "| tokens of an answer | Asked | Kept |\n|---|---|---|\n| mean | 10.5 | 10 |" in card
    assert "| finish reason | Asked | Kept |\n|---|---|---|\n| stop | 2 | 1 |" in card
    assert "| 0.4 to 0.6 | 1 |" in card


def test_decontamination_is_said_either_way() -> None:
    assert "nobody looked whether the prompts overlap" in data_card(**facts())
    node = {
        "_target_": "r1lab.generation.steps.decontaminate.Decontaminate",
        "benchmarks": ["aime24", "math_500"],
        "ngram": 8,
        "short": True,
    }
    offenders = [OFFENDER, {**OFFENDER, "benchmark": "math_500"}]
    card = data_card(**facts(steps_node={"clean": node}, offenders=offenders))
    assert (
        "Against aime24, math_500 (8 words in a row, and whole short questions): 1 dropped" in card
    )
    assert "- row 7, aime24: ``find `x` such that``" in card


@pytest.mark.parametrize(
    ("format", "trainer"), [("prompt_solution", "trainer=grpo"), ("raw", None)]
)
def test_the_command_fits_the_format(format: str, trainer: str | None) -> None:
    card = data_card(**facts(generate={"format": format}))
    assert "trainer=sft" not in card
    assert trainer is None or trainer in card


def test_a_card_keeps_no_secret() -> None:
    card = data_card(**facts(command="OPENAI_API_KEY=sk-abcdefghijklmnopqrstu python -m r1lab"))
    assert "sk-abc" not in card and "***" in card


def test_datasets_loads_the_folder_by_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def finish(folder: Path, written: Written) -> None:
        write_card(folder, **facts(written=written))
        (folder / "_made" / "decontaminate.jsonl").write_text('{"row": 1}\n')

    groups = [group(row, "4", "5") for row in range(10)]
    folder = tmp_path / "data"
    write(groups, folder, Form(test_size=2), {}, finish)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 16, "test": 4}
    shutil.rmtree(tmp_path / "cache")
