"""``hydra/launcher=submitit_slurm`` and ``submitit_local``: every point a job of submitit's.

Instead of the plugin that Hydra has, which leaves a job whose point failed as COMPLETED, looks at
one rank only, loses all results when one job fails, and composes the configuration anew in every
task. Here the points are composed once, a job's tasks are the ranks of its run, and what a point
came to is in its folder, whoever waits for it.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r1lab import hardware
from r1lab.engines.training import server_gpus, server_machines
from r1lab.errors import ConfigError, PrerequisiteError, Problem
from r1lab.planning.contradictions import check_slurm_tasks, slurm_tasks
from r1lab.sweep import points
from r1lab.sweep import state as state_
from r1lab.sweep.launching import SweepLauncher
from r1lab.sweep.points import Point

_POLL_S = 2.0
#: One rank that fails ends the job: the others would wait for it.
_SRUN = "--kill-on-bad-exit=1"
_SHARED = {
    *("name", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb"),
    *("timeout_min", "stderr_to_stdout"),
}


class _SubmititLauncher(SweepLauncher):
    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self.fields = fields

    def _tasks(self, point: Point) -> tuple[int, int, int]:
        """(nodes, tasks a node, GPUs a node) of a point's job; ConfigError on a contradiction."""
        node, engine = point.config["hardware"], point.config["engine"]
        machines = self._server_machines(engine)
        nodes, tasks, gpus = slurm_tasks(self.fields, node, machines)
        problems = check_slurm_tasks(nodes, tasks, gpus, node, engine, machines)
        if problems:
            raise ConfigError(problems)
        if gpus is None:
            gpus = 0 if node["device"] == "cpu" else tasks
        return nodes, tasks, gpus

    def _server_machines(self, engine: Mapping[str, Any]) -> int:
        """Machines that a job has for the rollouts' server alone."""
        return 0

    def _submitted(self, todo: Iterable[Point], sweep_dir: Path) -> dict[Point, Any]:
        """Submit the points, those of one shape as one array; submitit's job of each."""
        shapes: dict[tuple[int, int, int], list[Point]] = {}
        for point in todo:  # all of them first: one that is wrong is no reason to submit the others
            shapes.setdefault(self._tasks(point), []).append(point)
        found: dict[Point, Any] = {}
        for shape, same in shapes.items():
            for point in same:
                points.update_status(point.folder, state=points.SUBMITTED)
            try:
                jobs = self._submit(same, shape, sweep_dir)
            except Exception as error:
                why = f"could not be submitted: {error}"
                for point in same:
                    points.update_status(point.folder, state=points.FAILED_STATE, error=why)
                raise _refused(error) from error
            for point, job in zip(same, jobs, strict=True):
                log = str(job.paths.stdout)
                points.update_status(point.folder, job_id=str(job.job_id), log=log)
                print(f"point  {point.label}: job {job.job_id}  log {log}", flush=True)
                found[point] = job
        return found

    def _submit(self, same: list[Point], shape: tuple[int, int, int], sweep_dir: Path) -> list[Any]:
        raise NotImplementedError

    def _setup(self) -> list[str]:
        """The user's lines, after those that let the job find the code that this process runs."""
        path = os.pathsep.join([part or os.getcwd() for part in sys.path])
        return [f"export PYTHONPATH={shlex.quote(path)}", *self.fields["setup"]]


class SubmititSlurmLauncher(_SubmititLauncher):
    """A job array of Slurm's; ``wait: false`` leaves it to itself."""

    scheduler = "slurm"

    def _server_machines(self, engine: Mapping[str, Any]) -> int:
        return server_machines(engine)

    def run(self, todo: list[Point], sweep_dir: Path) -> None:
        jobs = self._submitted(todo, sweep_dir)
        if not self.waits:
            print(f"to see how it stands: python -m r1lab sweep status {sweep_dir}", flush=True)
            return
        try:
            self._watch({str(job.job_id): point for point, job in jobs.items()})
        except KeyboardInterrupt:
            print(f"\nthe jobs go on; to stop them: python -m r1lab sweep cancel {sweep_dir}")
            raise

    def _submit(self, same: list[Point], shape: tuple[int, int, int], sweep_dir: Path) -> list[Any]:
        from submitit import AutoExecutor

        from r1lab.launch.job import PointJob

        nodes, tasks, gpus = shape
        fields = {**self.fields, "srun_args": [_SRUN, *self.fields["srun_args"]]}
        fields |= {"nodes": nodes, "tasks_per_node": tasks, "gpus_per_node": gpus or None}
        fields |= {"setup": self._setup(), "name": sweep_dir.name[:60], "stderr_to_stdout": True}
        executor = AutoExecutor(
            sweep_dir / "slurm" / "%j",
            cluster="slurm",
            slurm_max_num_timeout=fields.pop("max_num_timeout"),
        )
        # What submitit has for every cluster, it takes without a prefix.
        given = {k: v for k, v in fields.items() if k != "wait" and not _is_unset(v)}
        executor.update_parameters(
            **{k if k in _SHARED else f"slurm_{k}": v for k, v in given.items()}
        )
        with executor.batch():
            return [executor.submit(PointJob(str(point.folder))) for point in same]

    def _watch(self, waiting: dict[str, Point]) -> None:
        """Wait until every job has ended, and say how; a job that Slurm ended has its reason."""
        from r1lab.launch import slurm

        seen: dict[str, str] = {}
        silent: dict[str, float] = {}
        while waiting:
            now = slurm.states(waiting)
            for job_id, point in list(waiting.items()):
                state = now.get(job_id, "")
                if not state:  # just submitted, or forgotten by a cluster without accounts
                    begun = silent.setdefault(job_id, time.monotonic())
                    if time.monotonic() - begun < 60:
                        continue
                if state != seen.get(job_id) and state:
                    seen[job_id] = state
                    print(f"point  {point.label}: job {job_id} {state.lower()}", flush=True)
                if state not in state_.WAITS | state_.RUNS:
                    del waiting[job_id]
                    _conclude(point, job_id, state or "unknown")
            if waiting:
                time.sleep(_POLL_S)


class SubmititLocalLauncher(_SubmititLauncher):
    """submitit's jobs on this machine, ``array_parallelism`` at once, each with GPUs of its own."""

    _taken: list[int]

    def _tasks(self, point: Point) -> tuple[int, int, int]:
        nodes, tasks, gpus = super()._tasks(point)
        if point.config["hardware"]["device"] == "auto" and not self._gpus():
            gpus = 0  # as the run itself will decide
        # The rollouts' server is on this machine too.
        return nodes, tasks, gpus + (server_gpus(point.config["engine"]) if gpus else 0)

    def run(self, todo: list[Point], sweep_dir: Path) -> None:
        left = list(todo)
        free = self._gpus()
        running: dict[Point, tuple[Any, list[int]]] = {}
        while left or running:
            while left and (len(running) < self.fields["array_parallelism"] or not self.waits):
                wanted = self._tasks(left[0])[2]
                if wanted > len(free):
                    if running and self.waits:
                        break  # until one that runs gives its GPUs back
                    raise _too_few(wanted, len(free))
                self._taken, free = free[:wanted], free[wanted:]
                point = left.pop(0)
                running[point] = (self._submitted([point], sweep_dir)[point], self._taken)
            if not self.waits:
                for job, _ in running.values():
                    job._process = None  # else submitit ends the job with this process
                print(f"to see how it stands: python -m r1lab sweep status {sweep_dir}", flush=True)
                return
            for point, (job, taken) in list(running.items()):
                if job.done():
                    del running[point]
                    free += taken
                    _conclude(point, str(job.job_id), job.state)
            time.sleep(0.2)

    def _gpus(self) -> list[int]:
        """The GPUs that this process may use; every job gets its own of them."""
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        if not shown:
            return list(range(hardware.gpu_count()))
        try:
            return [int(name) for name in shown.split(",")]
        except ValueError:
            fix = "give them by number"
            raise ConfigError(
                Problem("CUDA_VISIBLE_DEVICES", shown, "names GPUs that submitit cannot", fix)
            ) from None

    def _submit(self, same: list[Point], shape: tuple[int, int, int], sweep_dir: Path) -> list[Any]:
        from submitit import LocalExecutor

        from r1lab.launch.job import PointJob

        nodes, tasks, gpus = shape
        if nodes > 1:
            raise ConfigError(
                Problem(
                    "hydra/launcher",
                    "submitit_local",
                    f"hardware.nodes={nodes}, and this launcher has one machine",
                    "use hydra/launcher=submitit_slurm, or hardware.nodes=1",
                )
            )
        executor = LocalExecutor(sweep_dir / "submitit" / "%j")
        executor.update_parameters(
            timeout_min=self.fields["timeout_min"],
            tasks_per_node=tasks,
            gpus_per_node=gpus,
            visible_gpus=self._taken,
            signal_delay_s=self.fields["signal_delay_s"],
            setup=self._setup(),
        )
        return [executor.submit(PointJob(str(point.folder))) for point in same]


def _too_few(wanted: int, free: int) -> Exception:
    why = f"a point takes {wanted}, and {free} are free on this machine"
    fix = "lower hardware.processes (or array_parallelism with wait=false), or hardware.device=cpu"
    return PrerequisiteError(f"{wanted - free} GPUs", why, fix)


def _is_unset(value: Any) -> bool:
    return value is None or value is False or value == {}


def _refused(error: Exception) -> Exception:
    """Slurm says no to a partition, an account, a limit, or is not there: the user's to mend."""
    from submitit.core.utils import FailedJobError

    said = str(error).strip().splitlines() or [""]
    if isinstance(error, FailedJobError):
        fix = "see hydra.launcher.partition, account, qos, timeout_min and what they may be here"
        return ConfigError(Problem("hydra/launcher", None, f"sbatch refused: {said[-1]}", fix))
    if "srun" in said[0]:
        why = "hydra/launcher=submitit_slurm hands the points to it"
        fix = "run this on a machine of the cluster, or use hydra/launcher=local"
        return PrerequisiteError("Slurm (srun, sbatch)", why, fix)
    return error


def _conclude(point: Point, job_id: str, state: str) -> None:
    """Say how a job ended; where its point could not write that down, do it here."""
    status: Mapping[str, Any] = points.read_status(point.folder)
    if status["state"] in points.IN_FLIGHT:
        killed = state.startswith("CANCELLED")
        points.update_status(
            point.folder,
            state=points.CANCELLED if killed else points.FAILED_STATE,
            error=f"job {job_id} ended as {state} and left no result: see {status.get('log')}",
            ended=points.now(),
        )
        status = points.read_status(point.folder)
    said = status.get("error") or status.get("note")
    print(f"point  {point.label}: {status['state']}{f': {said}' if said else ''}", flush=True)
