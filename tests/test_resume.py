"""Runs that are stopped, killed or repeated: the same command goes on, and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.running import SMALL, client, history, runs, wait_for, worker_of


@pytest.mark.slow
@pytest.mark.parametrize(
    "algo",
    [
        ["trainer/algo=grpo"],
        ["trainer/algo=dapo", "trainer.args.num_generations=2"],  # it draws prompts of its own
    ],
)
def test_kill_9_then_the_same_command_gives_the_same_curve(cli: Cli, algo: list[str]) -> None:
    line = [
        *algo,
        "rewards=[accuracy,cosine]",
        *SMALL,
        "trainer.args.max_steps=6",
        "trainer.args.save_steps=2",
    ]
    whole = cli(*line, "output_dir=whole", "run_name=r")
    assert whole.returncode == 0, whole.stderr
    process = cli.start(*line, "run_name=r")
    wait_for(process, "step 5/6")
    os.kill(worker_of(process), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1
    (run,) = runs(cli.folder)
    assert run.info.status == "FAILED"
    again = cli(*line, "run_name=r")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "checkpoint-4 (attempt 2)" in again.stdout
    (run,) = runs(cli.folder)
    assert run.info.status == "FINISHED"
    steps = [p.step for p in client(cli.folder).get_metric_history(run.info.run_id, "loss")]
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]
    logged = history(cli.folder / "whole" / "r")
    assert history(cli.folder / "outputs" / "r") == logged
    replaced = [row.get("dynamic_sampling/groups_replaced", 0) for row in logged]
    assert all(replaced[:2] + replaced[-2:]) == ("trainer/algo=dapo" in algo)
    losses = [
        json.loads((cli.folder / where / "r" / "metrics.json").read_text())["train_loss"]
        for where in ("outputs", "whole")
    ]
    assert losses[0] == losses[1]
    before = (cli.folder / "whole" / "r" / "model" / "model.safetensors").read_bytes()
    assert (cli.folder / "outputs" / "r" / "model" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_resuming_in_a_later_epoch_goes_on_in_its_order(cli: Cli) -> None:
    line = ["rewards=[accuracy]", *SMALL, "data.train_size=8", "trainer.args.save_steps=2"]
    line += ["trainer.args.num_generations=4", "trainer.evaluation.enabled=false", "run_name=r"]
    whole = cli(*line, "trainer.args.max_steps=6", "output_dir=whole")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    process = cli.start(*line, "trainer.args.max_steps=6")
    wait_for(process, "step 5/6")
    os.kill(worker_of(process), signal.SIGKILL)
    process.communicate(timeout=60)
    again = cli(*line, "trainer.args.max_steps=6")
    assert "checkpoint-4 (attempt 2)" in again.stdout
    assert history(cli.folder / "outputs" / "r") == history(cli.folder / "whole" / "r")


@pytest.mark.slow
def test_killing_the_parent_leaves_no_worker(cli: Cli) -> None:
    process = cli.start(*SMALL, "trainer.args.max_steps=50", "run_name=r")
    wait_for(process, "step 1/50")
    worker = worker_of(process)
    process.kill()
    process.wait(timeout=10)
    for _ in range(50):
        if (
            not Path(f"/proc/{worker}/stat").exists()
            or Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z"
        ):
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")


@pytest.mark.slow
def test_ctrl_c_saves_and_marks_killed_then_goes_on(cli: Cli) -> None:
    line = [*SMALL, "trainer.args.max_steps=8", "trainer.args.save_steps=100", "run_name=r"]
    process = cli.start(*line)
    wait_for(process, "step 2/8")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "The same command goes on from there" in said
    (run,) = runs(cli.folder)
    assert run.info.status == "KILLED"
    assert list((cli.folder / "outputs" / "r").glob("checkpoint-*"))
    again = cli(*line)
    assert again.returncode == 0, again.stdout + again.stderr
    (after,) = runs(cli.folder)
    assert after.info.run_id == run.info.run_id
    assert after.info.status == "FINISHED"


@pytest.mark.slow
def test_finished_run_is_kept_and_the_next_stands_beside_it(cli: Cli) -> None:
    line = [*SMALL, "trainer.args.max_steps=1", "trainer.evaluation.enabled=false", "run_name=r"]
    assert cli(*line).returncode == 0
    kept = (cli.folder / "outputs" / "r" / "model" / "model.safetensors").stat().st_mtime_ns
    assert cli(*line).returncode == 0
    assert (cli.folder / "outputs" / "r-2" / "model").is_dir()
    assert (cli.folder / "outputs" / "r" / "model" / "model.safetensors").stat().st_mtime_ns == kept
