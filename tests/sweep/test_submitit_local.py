"""``hydra/launcher=submitit_local``: the jobs of a Slurm sweep, rehearsed on this machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.launch.running import DDP

pytestmark = pytest.mark.launch


def statuses(folder: Any) -> dict[int, dict[str, Any]]:
    found = {}
    for point in folder.glob("outputs/sweeps/*/points/*"):
        number = json.loads((point / "point.json").read_text())["number"]
        found[number] = json.loads((point / "status.json").read_text())
    return found


def test_points_of_two_ranks_run_one_after_the_other(cli):
    done = cli(
        "-m",
        "hydra/launcher=submitit_local",
        *DDP,
        "trainer.args.max_steps=1",
        "objective=train_loss",
        "seed=1,2",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = statuses(cli.folder)
    assert [found[number]["state"] for number in (0, 1)] == ["finished", "finished"]
    assert found[0]["ended"] <= found[1]["started"], "array_parallelism is 1"
    assert all(row["job_id"] for row in found.values())


def test_machines_that_it_does_not_have_are_refused(cli):
    done = cli("-m", "hydra/launcher=submitit_local", *DDP, "hardware.nodes=2", "seed=1,2")
    assert done.returncode == 2
    assert "hydra.launcher.nodes" in done.stderr or "hardware.nodes=1" in done.stderr
