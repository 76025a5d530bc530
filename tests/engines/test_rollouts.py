"""Training with the real vLLM's rollouts, on a CPU: the engine always has the trainer's weights."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pandas
import psutil
import pytest

from tests.engines.running import requires_vllm, worst_difference
from tests.launch.running import only_run
from tests.running import history

pytestmark = [pytest.mark.engine, requires_vllm]

#: Weights must move far for a stale copy of them to show: in three steps of this rate it is off by
#: more than 0.05.
TRAIN = [
    "hardware=cpu",
    "trainer.args.learning_rate=1e-3",
    "trainer.args.lr_scheduler_type=constant",
    "trainer.args.per_device_train_batch_size=16",
    "trainer.args.gradient_accumulation_steps=1",
    "trainer.args.max_completion_length=48",
    "engine.max_model_len=256",
    "data.train_size=64",
    "data.test_size=16",
    "tracking.register=false",
]
#: As accurate as float32 is.
SAME = 1e-4


def test_colocated_rollouts_are_the_trainers_own_model(cli):
    """A tied head goes stale in silence when vLLM on a CPU is given weights as a GPU's is."""
    done = cli(
        *TRAIN,
        "engine=vllm_colocate",
        "trainer.args.max_steps=4",
        "trainer.evaluation.problems=3",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = only_run(cli.folder)
    assert len(history(folder)) == 4
    assert worst_difference(folder) < SAME
    # The evaluation's answers are the engine's too: each ends where the trainer's model ends.
    for name in ("heldout_before", "heldout"):
        answers = pandas.read_parquet(folder / "evaluation" / f"{name}.parquet")
        assert len(answers) == 3
        assert not answers["truncated"].all()


def test_adapters_are_merged_into_what_generates(cli):
    done = cli(
        *TRAIN,
        "engine=vllm_colocate",
        "model/peft=lora",
        "model.peft.dropout=0",
        "trainer.args.max_steps=3",
        "trainer.evaluation.enabled=false",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert worst_difference(only_run(cli.folder)) < SAME


def test_a_server_of_the_runs_own_and_a_resumed_run(cli):
    """The server of a resumed run serves the checkpoint's weights, and gets every step's."""
    options = [*TRAIN, "engine=vllm_server", "trainer.args.max_steps=6"]
    options += ["trainer.args.save_steps=2", "trainer.evaluation.before=false"]
    options += ["trainer.evaluation.problems=3"]
    first = cli.start(*options, OMP_NUM_THREADS="1")
    wait_for_step(cli.folder, 3)
    first.send_signal(signal.SIGTERM)
    text, _ = first.communicate(timeout=120)
    assert first.returncode == 130, text
    assert serving(cli.folder) == []
    done = cli(*options, OMP_NUM_THREADS="1", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = only_run(cli.folder)
    assert len(history(folder)) == 6
    assert worst_difference(folder) < SAME
    assert "checkpoint-" in (folder / "engine" / "server.log").read_text()
    assert not list((folder / "engine").glob("*.safetensors"))
    assert serving(cli.folder) == []


def test_a_server_that_dies_is_the_runs_reason(cli):
    process = cli.start(
        *TRAIN,
        "engine=vllm_server",
        "trainer.args.max_steps=500",
        "trainer.evaluation.enabled=false",
        OMP_NUM_THREADS="1",
    )
    wait_for_step(cli.folder, 1)
    killed = time.monotonic()
    (server,) = [p for p in serving(cli.folder) if p.cmdline()[1:2] == ["-m"]]
    server.kill()  # as the kernel does when memory is short; not what watches over it
    text, _ = process.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert process.returncode == 1, text
    assert "the rollouts' server ended: vLLM" in text
    status = json.loads((only_run(cli.folder) / "status.json").read_text())
    assert status["state"] == "failed" and "SIGKILL" in status["error"]
    assert serving(cli.folder) == []


def test_a_server_that_cannot_start_says_why_at_once(cli):
    begin = time.monotonic()
    done = cli(*TRAIN, "engine=vllm_server", "engine.args.max_num_seqs=many", OMP_NUM_THREADS="1")
    assert done.returncode == 1
    assert time.monotonic() - begin < 90
    assert "max-num-seqs" in done.stderr and "Traceback" not in done.stderr
    assert serving(cli.folder) == []


def wait_for_step(folder: Path, step: int, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        logs = list((folder / "outputs").glob("grpo-*/log.txt"))
        if logs and f"step {step}/" in logs[0].read_text():
            return
        time.sleep(0.2)
    raise AssertionError(f"no step {step} within {seconds} s: {[p.read_text() for p in logs]}")


def serving(folder: Path) -> list[psutil.Process]:
    """Living processes of a server that the test's runs started."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline()).lower()  # its children are called VLLM::Worker
            if (
                "vllm" in line
                and "r1lab " not in line
                and process.cwd() == os.path.realpath(folder)
            ):
                found.append(process)
        except psutil.Error:
            continue  # it ended meanwhile, or is another user's
    return found
