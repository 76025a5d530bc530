"""Sweeps as jobs of a real Slurm: what fails, what several ranks do, what survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import pytest

from r1lab.launch import slurm as commands
from tests.launch.running import DDP, module_path, only_run, sabotage
from tests.running import history, runs

pytestmark = pytest.mark.launch

ONE = [
    "hardware=cpu",
    "trainer.evaluation.enabled=false",
    "trainer.args.per_device_train_batch_size=16",
    "data.train_size=128",
    "data.test_size=16",
    "tracking.register=false",
    "objective=train_loss",
]
SLURM = ["hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=1.5"]


def start(cli: Any, slurm: Any, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    """A sweep's process, in the environment of the test's Slurm."""
    environment = {**cli.environment(OMP_NUM_THREADS="1"), **slurm.environment(), **extra}
    return subprocess.Popen(
        [sys.executable, "-m", "r1lab", *arguments],
        cwd=cli.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def run(cli: Any, slurm: Any, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    process = start(cli, slurm, *arguments, **extra)
    text, _ = process.communicate(timeout=400)
    return subprocess.CompletedProcess(arguments, process.returncode, text, "")


def sweep_dir(cli: Any) -> Path:
    (found,) = (cli.folder / "outputs" / "sweeps").iterdir()
    return Path(found)


def statuses(cli: Any) -> list[dict[str, Any]]:
    """Each point's status, in the order of the grid."""
    rows = []
    for folder in (sweep_dir(cli) / "points").iterdir():
        number = json.loads((folder / "point.json").read_text())["number"]
        rows.append((number, json.loads((folder / "status.json").read_text())))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def wait_until(check: Any, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError("it did not come to that")


@pytest.fixture(autouse=True)
def _in_slurm(slurm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands in this process ask the test's Slurm."""
    for name, value in slurm.environment().items():
        monkeypatch.setenv(name, value)


def test_one_failing_point_costs_no_other(cli, slurm):
    """FAILED in Slurm, with the traceback in its log; the others have their results."""
    sabotage(cli.folder, rank=0, step=1)
    done = run(
        cli,
        slurm,
        "-m",
        *SLURM,
        "hydra.launcher.array_parallelism=2",
        *ONE,
        "trainer.args.max_steps=2",
        f"--config-dir={cli.folder / 'mine'}",
        "callbacks=[sabotage]",
        "callbacks.sabotage.step=99,1,98",
        **module_path(cli.folder),
    )
    assert done.returncode == 1, done.stdout
    rows = statuses(cli)
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[1]["error"] == "ValueError: rank 0 broke on purpose"
    assert all(isinstance(rows[number]["objective"], float) for number in (0, 2))
    log = Path(rows[1]["log"]).read_text()
    assert "Traceback" in log and "rank 0 broke on purpose" in log
    jobs = [row["job_id"] for row in rows]
    assert list(commands.states(jobs).values()) == ["COMPLETED", "FAILED", "COMPLETED"]
    # The table says which did what.
    assert "ValueError: rank 0 broke on purpose" in done.stdout
    array = jobs[0].partition("_")[0]
    assert "ArrayTaskThrottle=2" in slurm.show(array)
    script = next((sweep_dir(cli) / "slurm").glob("*/*submission.sh")).read_text()
    assert "--kill-on-bad-exit=1" in script


WITNESS = '''
import json
import os
from pathlib import Path

from r1lab.callbacks.base import Callback


class Witness(Callback):
    """Leave what this rank sees of the machine."""

    def on_train_begin(self, args, state, control, **kwargs):
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES")
        seen = {name: os.environ.get(name) for name in names}
        (self.run.run_dir / f"seen_{seen['RANK']}.json").write_text(json.dumps(seen))
'''


def test_two_nodes_with_two_ranks_each_train_one_model(cli, slurm):
    (cli.folder / "lab_sabotage.py").write_text(WITNESS)
    (cli.folder / "mine" / "callbacks").mkdir(parents=True)
    (cli.folder / "mine" / "callbacks" / "witness.yaml").write_text(
        "# @package callbacks.witness\n_target_: lab_sabotage.Witness\n"
    )
    done = run(
        cli,
        slurm,
        "-m",
        *SLURM,
        "hydra.launcher.gpus_per_node=2",
        *DDP,
        "hardware.nodes=2",
        "trainer.args.per_device_train_batch_size=4",
        "trainer.args.max_steps=2",
        "trainer.evaluation.enabled=true",
        "trainer.evaluation.before=false",
        "trainer.evaluation.problems=5",
        f"--config-dir={cli.folder / 'mine'}",
        "callbacks=[witness]",
        "seed=5",
        **module_path(cli.folder),
    )
    assert done.returncode == 0, done.stdout
    (status,) = statuses(cli)
    assert status["state"] == "finished"
    folder = Path(status["run_dir"])
    assert len(history(folder)) == 2
    seen = [json.loads((folder / f"seen_{rank}.json").read_text()) for rank in range(4)]
    assert [row["WORLD_SIZE"] for row in seen] == ["4"] * 4
    assert [row["SLURMD_NODENAME"] for row in seen] == ["n1", "n1", "n2", "n2"]
    assert [row["LOCAL_RANK"] for row in seen] == ["0", "1", "0", "1"]
    # Every task sees the GPUs that Slurm gave the job on its machine.
    assert {row["CUDA_VISIBLE_DEVICES"] for row in seen} == {"0,1"}
    answers = pandas.read_parquet(folder / "evaluation" / "heldout.parquet")
    assert answers["problem"].tolist() == [0, 1, 2, 3, 4]


def test_a_rank_that_fails_is_named_and_no_other_waits(cli, slurm):
    extra = sabotage(cli.folder, rank=1, step=1)
    done = run(
        cli,
        slurm,
        "-m",
        *SLURM,
        *DDP,
        "trainer.args.max_steps=300",
        *extra,
        "objective=train_loss",
        "seed=6",
        **module_path(cli.folder),
    )
    assert done.returncode == 1
    (status,) = statuses(cli)
    assert status["state"] == "failed"
    assert status["error"] == "rank 1: ValueError: rank 1 broke on purpose"
    assert commands.states([status["job_id"]]) == {status["job_id"]: "FAILED"}


def test_a_preempted_job_goes_on_as_if_it_had_not_been(cli, slurm, tmp_path):
    options = [*ONE, "trainer.args.max_steps=8", "trainer.args.save_steps=100", "seed=7"]
    process = start(cli, slurm, "-m", *SLURM, "hydra.launcher.signal_delay_s=10", *options)
    trained = wait_until(lambda: list((cli.folder / "outputs").glob("grpo-*/log.txt")))
    wait_until(lambda: "step 2/8" in trained[0].read_text())
    job = statuses(cli)[0]["job_id"]
    urgent = ["sbatch", "--partition=urgent", "--exclusive", "--nodes=2", "--wrap=sleep 1"]
    subprocess.run([*urgent, "--output=/dev/null"], check=True, capture_output=True)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text

    (status,) = statuses(cli)
    assert (status["state"], status["job_id"]) == ("finished", job)
    folder = only_run(cli.folder)
    facts = json.loads((folder / "status.json").read_text())
    assert facts["attempt"] == 2, "it was not preempted"
    assert "Requeued job" in Path(status["log"]).read_text()
    whole = tmp_path / "whole"
    assert cli(*options, f"output_dir={whole}", OMP_NUM_THREADS="1").returncode == 0
    (unbroken,) = [path for path in whole.iterdir() if (path / "status.json").is_file()]
    assert history(folder) == history(unbroken)
    names = [r.info.run_id for r in runs(cli.folder) if r.info.run_id == facts["run_id"]]
    assert len(names) == 1


def test_a_sweep_outlives_its_controller_and_is_found_again(cli, slurm):
    line = ["-m", *SLURM, *ONE, "trainer.args.max_steps=6", "seed=8"]
    process = start(cli, slurm, *line)
    wait_until(lambda: list((cli.folder / "outputs").glob("grpo-*/log.txt")))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    told = json.loads(run(cli, slurm, "sweep", "status", str(sweep_dir(cli)), "--json").stdout)
    job = told["points"][0]["job_id"]
    assert told["points"][0]["state"] in ("running", "finished")
    again = run(cli, slurm, *line)
    assert again.returncode == 0, again.stdout
    (status,) = statuses(cli)
    assert (status["state"], status["job_id"]) == ("finished", job)


def test_a_detached_sweep_is_cancelled_and_does_not_come_back(cli, slurm):
    line = ["-m", *SLURM, "hydra.launcher.wait=false", *ONE, "trainer.args.max_steps=500"]
    submitted = run(cli, slurm, *line, "seed=9,10", "hydra.launcher.array_parallelism=1")
    assert submitted.returncode == 0, submitted.stdout
    assert "python -m r1lab sweep status" in submitted.stdout
    wait_until(lambda: list((cli.folder / "outputs").glob("grpo-*/log.txt")))
    done = run(cli, slurm, "sweep", "cancel", str(sweep_dir(cli)))
    assert done.returncode == 0, done.stdout
    rows = statuses(cli)
    jobs = [row["job_id"] for row in rows]
    wait_until(lambda: set(commands.states(jobs).values()) == {"CANCELLED"})
    assert rows[0]["state"] in ("killed", "cancelled")
    assert rows[1]["state"] == "cancelled"
    told = json.loads(run(cli, slurm, "sweep", "status", str(sweep_dir(cli)), "--json").stdout)
    assert {row["state"] for row in told["points"]} <= {"killed", "cancelled"}
    assert list(commands.states(jobs).values()) == ["CANCELLED", "CANCELLED"]
