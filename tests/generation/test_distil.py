"""The whole path: GRPO makes a teacher, whose right answers a fresh model learns by SFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.arithmetic import make_problem
from tests.conftest import Cli
from tests.running import artifacts, client

PROMPTS, SAMPLES = 150, 4
#: After sixteen steps of GRPO the teacher thinks, and is right, nearly always.
TEACHER = [
    *("trainer=grpo", "rewards=[accuracy,cosine]", "hardware=cpu", "seed=1", "run_name=teacher"),
    *("trainer.args.max_steps=16", "trainer.evaluation.problems=128"),
]
GENERATE = [
    *("generate", "model=outputs/teacher", "engine=transformers", "hardware=cpu"),
    *("data=arithmetic", f"generate.limit={PROMPTS}", f"generate.num_generations={SAMPLES}"),
    *("generate.max_new_tokens=96", "generate.temperature=1", "generate.seed=1"),
    *("generate.name=answers", "generate.test_size=0.1"),
    "steps=[verify,truncated,decontaminate,pass_rate,duplicates,choose]",
    *("steps.pass_rate.min=0.3", "steps.pass_rate.max=null"),  # one of four may be luck
    # All the problems end in the same eight words.
    *("steps.decontaminate.benchmarks=[mine]", "steps.decontaminate.ngram=20"),
    *("steps.decontaminate.data_dir=benchmarks", "+steps.decontaminate.columns.mine=question"),
]
STUDENT = [
    *("trainer=sft", "data=local", "data.path=outputs/generations/answers/data"),
    *("hardware=cpu", "seed=1", "run_name=student"),
    *("trainer.args.max_steps=20", "trainer.args.assistant_only_loss=true"),
    *("trainer.evaluation.problems=128", "trainer.benchmarks=[data/arithmetic]"),
]


def run(cli: Cli, *line: str) -> str:
    """What the command prints on standard output; it has to succeed."""
    done = cli(*line, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def problem(row: int) -> str:
    return str(make_problem(0, row, "train", "medium")["problem"])


def metrics(cli: Cli, name: str) -> dict[str, float]:
    found = json.loads((cli.folder / "outputs" / name / "metrics.json").read_text())
    assert isinstance(found, dict)
    return found


def rows_of(data: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    return [
        row
        for split in ("train", "test")
        for row in pyarrow.parquet.read_table(data / f"{split}.parquet").to_pylist()
    ]


@pytest.mark.slow
def test_a_student_learns_from_the_right_answers_of_a_teacher(cli: Cli) -> None:
    folder = cli.folder / "benchmarks"
    folder.mkdir()
    tested = [json.dumps({"question": problem(row)}) for row in (3, 5)]
    (folder / "mine.jsonl").write_text("\n".join(tested) + "\n")

    run(cli, *TEACHER)
    untrained = metrics(cli, "teacher")["heldout_before/accuracy"]

    made = json.loads(run(cli, *GENERATE, "--json"))
    data = Path(made["data"])
    assert (made["prompts"], made["answered"], made["dead_letters"]) == (
        PROMPTS,
        PROMPTS * SAMPLES,
        0,
    )
    check_data(data, made)
    check_record(cli, made)

    again = json.loads(run(cli, *GENERATE, "--json"))
    assert (again["answered"], again["kept"]) == (0, PROMPTS * SAMPLES)
    assert again["rows"] == made["rows"]

    run(cli, *STUDENT)
    student = metrics(cli, "student")["benchmark/arithmetic/accuracy"]
    assert student > max(0.7, untrained + 0.3)  # on problems that neither training had


def check_data(data: Path, made: dict[str, Any]) -> None:
    """One right answer a prompt, word for word the model's, and none that a benchmark has."""
    lines = (data.parent / "journal.jsonl").read_text().splitlines()
    answers = {(row["row"], row["sample"]): row["content"] for row in map(json.loads, lines)}
    assert len(lines) == len(answers) == PROMPTS * SAMPLES
    rows = rows_of(data)
    assert len(rows) == sum(made["rows"].values()) == len({row["row"] for row in rows})
    assert len(rows) > PROMPTS / 2
    for row in rows:
        system, user, assistant = row["messages"]
        assert system["role"] == "system" and user["content"] == problem(row["row"])
        assert assistant["content"] == answers[row["row"], row["sample"]]
        assert row["correct"] and row["pass_rate"] > 0.3
        assert f"\\boxed{{{row['solution']}}}" in assistant["content"]
    offenders = (data / "_made" / "decontaminate.jsonl").read_text().splitlines()
    assert {json.loads(line)["row"] for line in offenders} == {3, 5}
    assert not {3, 5} & {row["row"] for row in rows}


def check_record(cli: Cli, made: dict[str, Any]) -> None:
    """MLflow has the config, the counts, the throughput's curve and the card."""
    record = client(cli.folder).get_run(made["run_id"])
    assert record.info.status == "FINISHED"
    params, counts = record.data.params, record.data.metrics
    assert params["generate.num_generations"] == str(SAMPLES)
    assert params["steps.decontaminate.ngram"] == "20"
    assert counts["answers/samples"] == PROMPTS * SAMPLES
    assert counts["steps/decontaminate/prompts_out"] == counts["steps/decontaminate/prompts_in"] - 2
    assert counts["data/rows_train"] == made["rows"]["train"]
    assert counts["answers/accuracy"] == made["asked"]["right"] / (PROMPTS * SAMPLES)
    curve = client(cli.folder).get_metric_history(
        made["run_id"], "generation/completion_tokens_per_second"
    )
    kept = (Path(made["folder"]) / "throughput.jsonl").read_text().splitlines()
    assert [point.step for point in curve] == [json.loads(line)["samples"] for line in kept]
    assert curve[-1].step == PROMPTS * SAMPLES
    assert {"data/README.md", "steps.json"} <= artifacts(cli.folder, made["run_id"])
