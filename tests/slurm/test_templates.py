"""The batch scripts for those who submit by hand, on a real Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.running import DDP, ROOT, only_run
from tests.running import history, runs
from tests.slurm.test_sweeps import wait_until

TRAIN = ROOT / "launchers" / "slurm" / "train.sbatch"
GENERATE = ROOT / "launchers" / "slurm" / "generate.sbatch"
SERVER = ROOT / "launchers" / "slurm" / "vllm_server.sbatch"
FEW = ["--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1", "--mem=3G"]


@pytest.mark.parametrize("script", [TRAIN, GENERATE, SERVER], ids=lambda path: path.stem)
def test_is_a_shell_script(script: Path):
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.fixture
def here(slurm, cli, monkeypatch) -> Path:
    """Jobs start in the test's folder, with this interpreter as `python`."""
    for name, value in {**cli.environment(OMP_NUM_THREADS="1"), **slurm.environment()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{slurm.environment()['PATH']}")
    monkeypatch.chdir(cli.folder)
    return cli.folder


def submit(slurm, *arguments: str) -> str:
    return slurm_sbatch(slurm, *arguments).split()[-1]


def slurm_sbatch(slurm, *arguments: str) -> str:
    done = subprocess.run(["sbatch", *arguments], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def state(job: str) -> str:
    command = ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.launch
def test_slurm_accepts_them(slurm, here):
    fits = ["--gpus-per-node=2", "--cpus-per-task=1"]
    for script in (TRAIN, GENERATE, SERVER):
        arguments = ["--test-only", *fits, "--ntasks-per-node=2", str(script), "model"]
        assert "to start at" in slurm_sbatch(slurm, *arguments)


@pytest.mark.launch
def test_train_runs_on_several_tasks_and_requeues_itself(slurm, here):
    options = [*DDP, "trainer.args.max_steps=6", "trainer.args.save_steps=100"]
    job = submit(slurm, *FEW, str(TRAIN), *options)
    trained = wait_until(lambda: list((here / "outputs").glob("grpo-*/log.txt")))
    wait_until(lambda: "step 2/6" in trained[0].read_text())
    slurm("scancel", "--signal=USR2", job)  # as Slurm does before a time limit
    wait_until(lambda: state(job) in ("COMPLETED", "FAILED"), 240)
    said = (here / f"slurm-{job}.out").read_text()
    assert state(job) == "COMPLETED", said
    run = only_run(here)
    facts = json.loads((run / "status.json").read_text())
    assert (facts["state"], facts["attempt"]) == ("finished", 2), said
    assert len(history(run)) == 6
    assert "process 0 of 2" in said
    assert len(runs(here)) == 1


@pytest.mark.launch
def test_generate_is_stopped_before_its_time_is_over_and_goes_on(slurm, here):
    options = ["model=tiny", "hardware=cpu", "engine=transformers", "data=arithmetic"]
    options += ["generate.limit=40", "generate.num_generations=16", "generate.max_new_tokens=64"]
    options += ["steps=[]", "generate.format=raw", "generate.input_batch_size=4"]
    options += ["generate.max_concurrency=4"]
    one = ["--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1", "--mem=3G"]
    job = submit(slurm, *one, str(GENERATE), *options)
    journal = wait_until(
        lambda: list((here / "outputs").glob("generations/arithmetic-*/journal.jsonl"))
    )[0]
    wait_until(lambda: journal.read_text().count("\n") > 20)
    slurm("scancel", "--signal=TERM", job)  # as Slurm does before a time limit
    wait_until(lambda: state(job) in ("COMPLETED", "FAILED"), 240)
    said = (here / f"generate-{job}.out").read_text()
    assert state(job) == "COMPLETED", said
    assert "stopped; what was answered is kept" in said
    assert "kept from before" in said
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len({(row["key"], row["sample"]) for row in rows}) == len(rows) == 640
    assert (journal.parent / "data" / "train.parquet").is_file()
    assert len(runs(here)) == 1
