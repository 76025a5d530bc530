"""``evaluate ... hydra/launcher=submitit_slurm``: every benchmark a job of its own.

A job runs the same command for one benchmark, in the folder that the whole command has, so what the
jobs leave is what one process would have left. A job that Slurm ends before it is done is put back
into the queue, and goes on from its journal.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from r1lab.compose import compose
from r1lab.errors import ConfigError, Problem, RunFailed
from r1lab.models import reference

_PREFIX, _TASKS = ("hydra/launcher", "hydra.launcher."), "evaluate.tasks."
#: What submitit takes without a cluster's prefix.
_SHARED = {
    *("name", "cpus_per_task", "gpus_per_node", "mem_gb", "timeout_min", "stderr_to_stdout"),
    "tasks_per_node",
}
#: Of a launcher's fields, what one process on one machine has no use for.
_UNREAD = ("_target_", "wait", "nodes", "tasks_per_node", "max_num_timeout", "array_parallelism")
_POLL_S = 2.0


class BenchmarkJob:
    """What submitit pickles and calls: one benchmark of a command."""

    def __init__(self, arguments: Sequence[str], folder: str):
        self.arguments, self.folder = list(arguments), folder

    def __call__(self) -> str:
        """RunFailed where the command failed, so that Slurm says FAILED."""
        from r1lab.cli import main

        os.chdir(self.folder)
        code = main(self.arguments)
        if code != 0:
            raise RunFailed(f"exit code {code}: see the log above")
        return "finished"

    def checkpoint(self) -> Any:
        """Back into the queue before a time limit: the journal knows what was answered."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def wanted(overrides: Sequence[str]) -> bool:
    """Whether the command names a launcher of submitit's."""
    return any(item.startswith("hydra/launcher=submitit_") for item in overrides)


def launcher(overrides: Sequence[str], dirs: Sequence[str]) -> dict[str, Any]:
    """The ``hydra.launcher`` node of the command."""
    _, rest = reference.split(overrides, dirs)
    node = OmegaConf.to_container(compose(rest, dirs).hydra.launcher, resolve=True)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


def submit(
    launcher: Mapping[str, Any],
    overrides: Sequence[str],
    dirs: Sequence[str],
    tasks: Sequence[str],
    folder: Path,
    gpus: int | None,
) -> dict[str, Any]:
    """Submit a job for each of ``tasks``; submitit's jobs by task.

    ``gpus``: on the machine, for one job; ``hydra.launcher.gpus_per_node`` comes before it.
    """
    from submitit import AutoExecutor

    cluster = "slurm" if "Slurm" in str(launcher["_target_"]) else "local"
    limits = {"slurm_max_num_timeout": launcher["max_num_timeout"]} if cluster == "slurm" else {}
    executor = AutoExecutor(folder / "jobs" / "%j", cluster=cluster, **limits)
    path = os.pathsep.join([part or os.getcwd() for part in sys.path])
    fields = {k: v for k, v in launcher.items() if k not in _UNREAD}
    fields["setup"] = [f"export PYTHONPATH={shlex.quote(path)}", *launcher["setup"]]
    fields["gpus_per_node"] = launcher["gpus_per_node"] or gpus
    fields |= {"stderr_to_stdout": True, "tasks_per_node": 1}
    given = {k: v for k, v in fields.items() if v is not None and v is not False and v != {}}
    common = [item for item in overrides if not item.startswith((*_PREFIX, "evaluate=", _TASKS))]
    flags = [word for each in dirs for word in ("--config-dir", each)]
    jobs: dict[str, Any] = {}
    for task in tasks:
        mine = [item for item in overrides if item.startswith(f"{_TASKS}{task}.")]
        executor.update_parameters(
            **{
                k if k in _SHARED else f"slurm_{k}": v
                for k, v in {**given, "name": f"evaluate-{task}"}.items()
            }
        )
        words = ["evaluate", *flags, *common, *mine, f"evaluate=[{task}]"]
        try:
            jobs[task] = executor.submit(BenchmarkJob(words, os.getcwd()))
        except Exception as error:
            said = (str(error).strip().splitlines() or [repr(error)])[-1]
            fix = "see hydra.launcher.partition, account, qos and timeout_min, or leave it out"
            raise ConfigError(
                Problem("hydra/launcher", cluster, f"refused the job: {said}", fix)
            ) from error
        print(f"{task}: job {jobs[task].job_id}  log {jobs[task].paths.stdout}", flush=True)
    return jobs


def wait(jobs: Mapping[str, Any]) -> dict[str, str]:
    """Wait for all; by task, why its job failed. Ctrl-C leaves the jobs alone."""
    failed: dict[str, str] = {}
    left = dict(jobs)
    while left:
        for task, job in list(left.items()):
            if not job.done():
                continue
            del left[task]
            error = job.exception()
            print(f"{task}: job {job.job_id} {'failed' if error else 'finished'}", flush=True)
            if error is not None:
                failed[task] = f"job {job.job_id}: see {job.paths.stdout}"
        time.sleep(_POLL_S if left else 0)
    return failed
