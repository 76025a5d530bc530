"""The whole path as a user takes it: real LightEval, real engines, generated problems.

Where the model must be right, wrong or dying, a server process stands in that answers from a table.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests import running
from tests.conftest import Cli
from tests.evaluation import generated
from tests.evaluation.lighteval_process import Served, interpreter, serving

pytestmark = pytest.mark.evaluation

FOUR = ("aime24", "aime25_part1", "math_500", "gpqa_diamond")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
TINY = ("model=tiny", "engine=transformers", "hardware=cpu", "evaluate.max_new_tokens=48")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    interpreter()  # made here, not within a test's time limit
    for name in generated.SCHEMAS:
        generated.write(name, tmp_path / "data" / name, 3)
    return tmp_path / "data"


def evaluate(cli: Cli, *given: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = cli("evaluate", "evaluate.data_dir=data", *given, timeout=540, **ENVIRONMENT)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def scores(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return dict(json.loads(done.stdout)["scores"])


def canary(data: Path) -> dict[str, list[Any]]:
    """By prompt, what a model that is always right answers."""
    table: dict[str, list[Any]] = {"": ["I do not know."]}
    for name in FOUR:
        make, _ = generated.SCHEMAS[name]
        for row in [make(index) for index in range(3)]:
            table[generated.question(row)] = [generated.right(name, row)]
    return table


def test_a_canary_that_is_always_right_has_100_percent_and_one_that_never_is_0(
    cli: Cli, data: Path
) -> None:
    wrong = {"": ["It is \\boxed{-12345}.\nAnswer: Z"]}
    for table, expected in ((canary(data), 1.0), (wrong, 0.0)):
        with serving(cli.folder / f"server{expected}", table) as server:
            done = evaluate(
                cli,
                *(f"engine.url={server.url}", f"evaluate=[{','.join(FOUR)}]"),
                *("evaluate.samples=2", f"evaluate.name=canary{expected:g}", "--json"),
            )
        found = scores(done)
        assert list(found) == list(FOUR)
        for task in FOUR:
            metrics = found[task]["metrics"]
            for name in ("strict/pass_at_1", "lenient/pass_at_1", "strict/majority_at_2"):
                assert (task, name, metrics[name]) == (task, name, expected)
            assert found[task]["answers"] == {"asked": 6, "kept": 0}


def test_the_tiny_model_takes_every_benchmark_and_greedy_answers_twice_alike(
    cli: Cli, data: Path
) -> None:
    every = f"evaluate=[{','.join(generated.SCHEMAS)}]"
    line = (*TINY, every, "evaluate.limit=2", "evaluate.temperature=0")
    first = evaluate(cli, *line)
    assert first.stdout.count("% [") >= 2 * len(generated.SCHEMAS)
    folder = cli.folder / "outputs" / "evaluations" / "tiny" / "evaluation"
    for name in generated.SCHEMAS:
        rows = pandas.read_parquet(folder / name / "samples.parquet")
        assert len(rows) == 2 and rows["lenient"].notna().all(), name
        settings = json.loads((folder / name / "settings.json").read_text())
        assert settings["model"]["weights"] and settings["model"]["chat_template"]
        assert settings["engine"]["name"].startswith("transformers ")
    assert "| gpqa_diamond | 2 x 1 |" in (folder / "table.md").read_text()
    again = evaluate(cli, *line, "evaluate.again=true")
    for name in generated.SCHEMAS:
        assert f"{name}: the same 2 answers as in {folder}" in again.stderr


def asked(server: Served) -> int:
    return len(server.requests())


def test_killed_outright_it_goes_on_without_asking_twice(cli: Cli, data: Path) -> None:
    with serving(cli.folder / "server", canary(data), "--delay", "0.3") as server:
        line = (
            *("evaluate", "evaluate.data_dir=data", f"engine.url={server.url}"),
            *("evaluate=[aime24]", "evaluate.samples=40", "evaluate.concurrency=4"),
        )
        process = cli.start(*line, "tracking.mlflow=false", **ENVIRONMENT)
        deadline = time.monotonic() + 300
        while asked(server) < 30:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(1.5)  # until LightEval's process has noticed, and its requests have ended
        before = asked(server)
        assert before < 120
        done = evaluate(cli, *line[2:], "tracking.mlflow=false", "--json")
    found = scores(done)["aime24"]
    assert found["answers"]["kept"] >= before - 4  # those that were on their way
    assert found["answers"]["kept"] + found["answers"]["asked"] == 120
    assert found["metrics"]["strict/pass_at_1"] == 1.0


def test_a_server_that_dies_is_told_and_what_it_answered_is_kept(cli: Cli, data: Path) -> None:
    line = ("evaluate=[aime24]", "evaluate.samples=8", "tracking.mlflow=false")
    with serving(cli.folder / "one", canary(data), "--die-after", "10") as server:
        done = evaluate(cli, f"engine.url={server.url}", *line, "evaluate.concurrency=1", code=1)
    assert "stopped answering" in done.stderr
    assert "the same line again goes on from there" in done.stderr
    with serving(cli.folder / "two", canary(data)) as server:
        done = evaluate(cli, f"engine.url={server.url}", *line, "--json")
        assert asked(server) == 24 - 10
    assert scores(done)["aime24"]["answers"] == {"asked": 14, "kept": 10}


def test_benchmarks_after_a_training_are_in_its_record_step_by_step(cli: Cli, data: Path) -> None:
    asks = ("evaluate.data_dir=data", "evaluate.samples=2", "evaluate.max_new_tokens=32")
    training = (
        *("hardware=cpu", "run_name=r", "callbacks=[benchmarks]", "trainer.benchmarks=[aime24]"),
        *(
            "trainer.args.max_steps=2",
            "trainer.args.save_steps=1",
            "trainer.args.save_total_limit=1",
        ),
        *("trainer.args.per_device_train_batch_size=8", "trainer.evaluation.enabled=false"),
    )
    done = cli(*training, *asks, timeout=540, **ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "aime24  pass@1 0.000 [" in done.stdout
    folder = cli.folder / "outputs" / "r"
    name = "benchmark/aime24/strict/pass_at_1"
    assert name in json.loads((folder / "metrics.json").read_text())
    (run,) = running.runs(cli.folder)
    client = running.client(cli.folder)
    history = client.get_metric_history(run.info.run_id, name)
    assert [point.step for point in history] == [1, 2]
    assert "evaluation/table.md" in running.artifacts(cli.folder, run.info.run_id)
    assert not list(folder.glob("evaluations/*/model"))  # evaluated, and gone

    ended = (run.info.status, run.info.end_time // 1000)
    again = evaluate(cli, "model=r", "evaluate=[aime24]", "hardware=cpu", *asks[1:])
    assert "all of it was answered before" in again.stderr
    (run,) = running.runs(cli.folder)
    assert (run.info.status, run.info.end_time // 1000) == ended
