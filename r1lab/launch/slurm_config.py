"""The fields of ``hydra/launcher=submitit_slurm`` and ``submitit_local``: names are submitit's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_PACKAGE = "hydra_plugins.r1lab_launchers.submitit."


@dataclass
class Local:
    """Jobs that submitit starts on this machine: a rehearsal for Slurm, with the same tasks."""

    _target_: str = f"{_PACKAGE}SubmititLocalLauncher"
    array_parallelism: int = 1  # points at once
    timeout_min: int = 60 * 24 * 7
    tasks_per_node: int | None = None  # null: hardware.processes, one task a process
    gpus_per_node: int | None = None  # null: one a task, none on the CPU
    signal_delay_s: int = 120
    setup: list[str] = field(default_factory=list)  # shell lines before a task starts
    wait: bool = True  # false: submit and return


@dataclass
class Slurm:
    """Jobs of Slurm's. What is null is left to the cluster's own defaults."""

    _target_: str = f"{_PACKAGE}SubmititSlurmLauncher"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: int = 60 * 24
    nodes: int | None = None  # null: hardware.nodes
    tasks_per_node: int | None = None  # null: hardware.processes, one task a GPU
    gpus_per_node: int | None = None  # null: one a task, none on the CPU
    cpus_per_task: int | None = None
    mem_gb: float | None = None  # a node
    constraint: str | None = None
    exclusive: bool | None = None
    array_parallelism: int = 256  # points at once
    signal_delay_s: int = 120  # how long before the time limit SIGUSR2 comes, for a checkpoint
    max_num_timeout: int = 20  # how often a point may reach its time limit and be requeued
    setup: list[str] = field(default_factory=list)  # shell lines before srun
    srun_args: list[str] = field(default_factory=list)
    additional_parameters: dict[str, Any] = field(default_factory=dict)  # any other of sbatch's
    wait: bool = True  # false: submit and return


LAUNCHERS = {"submitit_slurm": Slurm, "submitit_local": Local}
