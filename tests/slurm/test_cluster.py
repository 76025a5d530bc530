"""The tests' own Slurm: two machines with GPUs, and nothing left of it when it has ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.slurm.conftest import Cluster, start, stop

pytestmark = pytest.mark.launch


def test_two_machines_are_idle_and_take_tasks(slurm: Cluster):
    slurm.wait_idle()
    assert sorted(slurm("sinfo", "-h", "-N", "-p", "debug", "-o", "%N").split()) == ["n1", "n2"]
    names = slurm("srun", "--nodes=2", "--ntasks-per-node=1", "printenv", "SLURMD_NODENAME")
    assert sorted(names.split()) == ["n1", "n2"]


def test_a_job_sees_the_gpus_that_it_asked_for(slurm: Cluster):
    show = ["srun", "--nodes=1", "--ntasks=1", "printenv", "CUDA_VISIBLE_DEVICES"]
    assert slurm(show[0], "--gpus-per-node=2", *show[1:]).strip() == "0,1"
    assert slurm(show[0], "--gpus-per-node=1", *show[1:]).strip() == "0"


def test_state_of_a_job(slurm: Cluster):
    job = slurm("sbatch", "--parsable", "--output=/dev/null", "--wrap=exit 3").strip()
    slurm.wait_idle()
    assert slurm.state(job) == "FAILED"
    assert slurm.squeue(job).split()[0] == job


def test_a_second_one_ends_without_harm_to_the_first(slurm: Cluster):
    """Two sessions on one machine: each has its ports, its processes and its line of names."""
    second = start()
    pids = [int(path.read_text()) for path in (second.root / "run").glob("*.pid")]
    assert len(pids) == 4  # munged, slurmctld and two slurmd
    assert second("srun", "--ntasks=1", "printenv", "SLURM_CONF") == f"{second.root}/slurm.conf\n"
    stop(second.root)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert not second.root.exists()
    if os.access("/etc/hosts", os.W_OK):
        assert subprocess.run(["getent", "hosts", "n2"], capture_output=True).returncode == 0
        assert str(second.root) not in Path("/etc/hosts").read_text()
    assert slurm("srun", "--ntasks=1", "printenv", "SLURM_CONF") == f"{slurm.root}/slurm.conf\n"
