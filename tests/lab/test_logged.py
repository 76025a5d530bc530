from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1lab import cli as command_line
from r1lab import rundir
from r1lab.compose import compose, resolve
from r1lab.evaluation import heldout
from r1lab.evaluation.heldout import Score
from r1lab.tracking import Tracker

THOUGHT = "<think>\n3+4=7\n</think>\n<answer>\n\\boxed{7}\n</answer>"
TABLES: dict[str, list[dict[str, Any]]] = {
    "step_000010": [
        {
            "step": 10,
            "prompt": "3+4?",
            "completion": THOUGHT,
            "solution": "7",
            "group": 0,
            "completion_tokens": 12,
            "reward/accuracy": 1.0,
            "reward": 1.0,
            "advantage": 0.7,
        },
        {
            "step": 10,
            "prompt": "3+4?",
            "completion": "\\boxed{8}",
            "solution": "7",
            "group": 0,
            "completion_tokens": 500,
            "tests": "[70000 characters, not logged]",
        },
    ],
    "step_000020": [
        {"step": 20, "prompt": "3+4?", "completion": THOUGHT, "solution": "7", "length": 30}
    ],
}
ANSWERS = [
    {
        "prompt": "1+1?",
        "completion": f"\\boxed{{{n}}}",
        "solution": "2",
        "correct": 1.0,
        "tokens": 5,
        "truncated": False,
        "problem": 0,
    }
    for n in (2, 3)
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs' folders as runs leave them: one that logged tables, one that did not."""
    root = tmp_path_factory.mktemp("outputs")
    for name, tables in (("run", TABLES), ("silent", {})):
        config = resolve(
            compose(
                ["rewards=[accuracy,cosine]", "rewards.cosine.max_len=100", f"output_dir={root}"]
            )
        )
        folder = root / name
        folder.mkdir()
        tracker = Tracker.open(config, folder, name, None)
        for step, rows in tables.items():
            tracker.log_table(rows, f"completions/{step}.json")
        tracker.finish("FINISHED")
        rundir.write_status(folder, state="finished", run_id=tracker.run_id)
        facts = {"config": config, "run": {"run_id": tracker.run_id}}
        (folder / "plan.json").write_text(json.dumps(facts, default=str))
        score = Score(0.5, 0.0, 1.0, 1, 2, 5.0, 0.0, 0, 0.1)
        heldout.save(folder / "evaluation", "heldout", score, ANSWERS)
    return root


def score(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    code = command_line.main(["rewards", "score", "--json", *arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out), said.err


def test_a_runs_tables_are_scored_with_the_runs_own_rewards(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = score(capsys, str(outputs / "run"))
    assert found["rewards"]["accuracy"] == [1.0, 0.0, 1.0]
    # max_len=100 is the run's; lengths are those that it logged, so no tokenizer counts.
    assert found["rewards"]["cosine"] == pytest.approx([0.98244, -0.5, 0.8969], abs=1e-3)
    assert found["summary"]["accuracy"]["groups"] == 1
    assert "tokenizer" not in said
    assert "too long to have been logged: tests" in said


def test_a_parameter_changes_the_runs_rewards_and_a_list_replaces_them(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(outputs / "run")
    found, _ = score(capsys, run, "rewards.cosine.weight=0.5", "rewards.cosine.max_len=1000")
    assert found["weights"] == {"accuracy": 1.0, "cosine": 0.5}
    assert found["rewards"]["cosine"][1] == pytest.approx(-0.75)
    assert list(score(capsys, run, "rewards=[format]")[0]["rewards"]) == ["format"]


def test_held_out_answers_by_name_by_path_and_where_there_is_nothing_else(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [1.0, 0.0]
    assert (
        score(capsys, str(outputs / "run"), "--from", "heldout")[0]["rewards"]["accuracy"]
        == expected
    )
    file = outputs / "run" / "evaluation" / "heldout.parquet"
    assert score(capsys, str(file))[0]["rewards"]["accuracy"] == expected
    found, said = score(capsys, str(outputs / "silent"))
    assert found["rewards"]["accuracy"] == expected
    assert "held-out answers are scored" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "heldot"], "did you mean heldout?"),
        (["rewards.cosine.max_lne=3"], "did you mean rewards.cosine.max_len?"),
        (["rewards=[countdown]"], "needs the column 'nums'"),
        (["rewards=[acuracy]"], "did you mean accuracy?"),
    ],
)
def test_mistakes(
    outputs: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["rewards", "score", str(outputs / "run"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_store_that_is_gone_is_not_made_anew(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "moved"
    folder.mkdir()
    for name in ("plan.json", "status.json"):
        (folder / name).write_text((outputs / "run" / name).read_text())
    assert command_line.main(["rewards", "score", str(folder)]) == 2
    assert "logged no tables of completions" in capsys.readouterr().err
    assert not list(tmp_path.glob("mlflow*"))
