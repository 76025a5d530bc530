"""A rollout server on a machine of its own, in a job of a real Slurm: the real vLLM, on CPUs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.engines.running import requires_vllm, worst_difference
from tests.running import history
from tests.slurm.test_sweeps import ONE, SLURM, _in_slurm, run, start, statuses, wait_until

pytestmark = [pytest.mark.launch, pytest.mark.engine, requires_vllm]
__all__ = ["_in_slurm"]


ENGINE = [
    *SLURM,
    *ONE,
    "hydra.launcher.mem_gb=4",
    "engine=vllm_server",
    "engine.max_model_len=256",
    "trainer.args.gradient_accumulation_steps=1",
]


def test_the_server_gets_a_machine_and_the_training_the_other(cli, slurm):
    done = run(
        cli,
        slurm,
        "-m",
        *ENGINE,
        "trainer.args.max_steps=2",
        "seed=8",
    )
    assert done.returncode == 0, done.stdout
    (status,) = statuses(cli)
    assert status["state"] == "finished"
    folder = Path(status["run_dir"])
    assert len(history(folder)) == 2
    assert worst_difference(folder) < 1e-4
    job = slurm.show(status["job_id"])
    assert "NumNodes=2" in job and "JobState=COMPLETED" in job
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["run"]["engine_url"].startswith("http://")
    assert "R1LAB_API_KEY" not in (folder / "plan.json").read_text()
    # Nothing of the server is left: its key and address, nor the weights that it was given.
    assert not list(Path(status["run_dir"]).glob("engine/*.safetensors"))
    points = Path(status["log"]).parents[1]
    assert not list(points.rglob("engine-*.json"))


def test_a_preempted_job_brings_its_server_back(cli, slurm):
    options = [*ENGINE, "trainer.args.max_steps=10", "trainer.args.save_steps=2", "seed=9"]
    process = start(cli, slurm, "-m", *options, "hydra.launcher.signal_delay_s=10")
    trained = wait_until(lambda: list((cli.folder / "outputs").glob("grpo-*/log.txt")), 240)
    wait_until(lambda: "step 3/10" in trained[0].read_text())
    urgent = ["sbatch", "--partition=urgent", "--exclusive", "--nodes=2", "--wrap=sleep 1"]
    subprocess.run([*urgent, "--output=/dev/null"], check=True, capture_output=True)
    text, _ = process.communicate(timeout=400)
    assert process.returncode == 0, text
    (status,) = statuses(cli)
    assert status["state"] == "finished"
    folder = Path(status["run_dir"])
    facts = json.loads((folder / "status.json").read_text())
    assert facts["attempt"] == 2, "it was not preempted"
    assert len(history(folder)) == 10
    assert worst_difference(folder) < 1e-4
