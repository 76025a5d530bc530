"""Several processes on this machine, for real: two gloo processes on the CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas
import pytest

from tests.launch.running import DDP, TWO, module_path, only_run, processes_in, sabotage, script
from tests.running import history, runs, wait_for

pytestmark = pytest.mark.launch


def nobody_is_left(folder: Path) -> bool:
    end = time.monotonic() + 5
    while processes_in(folder) and time.monotonic() < end:
        time.sleep(0.1)
    return not processes_in(folder)


def test_a_worker_that_fails_ends_the_run_with_its_rank_and_traceback(cli):
    extra = sabotage(cli.folder, rank=1, step=1)
    started = time.monotonic()
    done = cli(*DDP, "trainer.args.max_steps=200", *extra, **module_path(cli.folder))
    assert done.returncode == 1
    assert "the run failed: rank 1: ValueError: rank 1 broke on purpose" in done.stderr
    run = only_run(cli.folder)
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "failed"
    assert status["error"].startswith("rank 1: Traceback")
    assert 'raise ValueError(f"rank {self.rank} broke on purpose")' in status["error"]
    assert runs(cli.folder)[0].info.status == "FAILED"
    assert nobody_is_left(cli.folder)
    # 200 steps take minutes: it did not wait for them, nor for a collective's timeout.
    assert time.monotonic() - started < 120


def test_a_worker_that_is_killed_is_named(cli):
    extra = sabotage(cli.folder, rank=1, step=1, how="kill")
    done = cli(*DDP, "trainer.args.max_steps=200", *extra, **module_path(cli.folder))
    assert done.returncode == 1
    assert "the worker process of rank 1 was killed by SIGKILL (out of memory?" in done.stderr
    assert nobody_is_left(cli.folder)


def test_a_signal_to_one_rank_stops_all_and_the_run_goes_on_as_if_never_stopped(cli, tmp_path):
    options = [*DDP, "trainer.args.max_steps=5", "trainer.args.save_steps=100"]
    whole = tmp_path / "whole"
    assert cli(*options, f"output_dir={whole}").returncode == 0

    process = cli.start(*options)
    wait_for(process, "step 2/5")
    pids = [pid for pid in processes_in(cli.folder) if rank_of(pid) == "1"]
    assert pids, "no worker of rank 1"
    os.kill(pids[0], signal.SIGUSR2)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert nobody_is_left(cli.folder)
    run = only_run(cli.folder)
    assert json.loads((run / "status.json").read_text())["state"] == "killed"
    assert [path.name for path in run.glob("checkpoint-*")] in (["checkpoint-3"], ["checkpoint-4"])

    again = cli(*options)
    assert again.returncode == 0, again.stderr
    assert only_run(cli.folder) == run
    (record,) = runs(cli.folder)
    assert record.info.status == "FINISHED"
    (unbroken,) = [path for path in whole.iterdir() if (path / "status.json").is_file()]
    assert history(run) == history(unbroken)


def rank_of(pid: int) -> str | None:
    """RANK of a worker process, None for another process."""
    try:
        if b"r1lab.worker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return None
        rows = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((row[5:].decode() for row in rows if row.startswith(b"RANK=")), None)


LAUNCHERS = {
    "torchrun": ["torchrun", "--nproc-per-node=2"],
    "accelerate": [
        *("accelerate", "launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"),
        *("--mixed_precision=no", "--dynamo_backend=no"),
    ],
}


def launched(cli, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program, *options = LAUNCHERS[name]
    return subprocess.run(
        [script(program), *options, "-m", "r1lab", *arguments],
        cwd=cli.folder,
        env=cli.environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("name", LAUNCHERS)
def test_other_launchers_are_recognised(cli, name):
    """Their processes are one run: one folder, one record, every rank on the plan of the first."""
    odd = ["trainer.evaluation.enabled=true", "trainer.evaluation.before=false"]
    odd += ["trainer.evaluation.problems=5", "trainer.args.max_steps=2"]
    done = launched(cli, name, *TWO, *odd)
    assert done.returncode == 0, done.stderr
    assert "process 0 of 2" in done.stdout
    assert done.stdout.count("run    ") == 1
    run = only_run(cli.folder)
    assert json.loads((run / "plan.json").read_text())["config"]["hardware"]["distributed"] == "ddp"
    (record,) = runs(cli.folder)
    assert record.info.status == "FINISHED"
    assert len(history(run)) == 2
    # The ranks share the held-out problems: each is answered once, though 5 do not divide by 2.
    answers = pandas.read_parquet(run / "evaluation" / "heldout.parquet")
    assert answers["problem"].tolist() == [0, 1, 2, 3, 4]
    assert answers["prompt"].nunique() == 5


def test_torchrun_says_a_mistake_once(cli):
    done = launched(cli, "torchrun", "model=tinny")
    assert done.returncode != 0
    assert done.stderr.count("did you mean tiny?") == 1
    assert not (cli.folder / "outputs").exists()
