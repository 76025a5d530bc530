"""What submitit runs in each task of a job: one rank of one point of a sweep.

submitit pickles :class:`PointJob` when the sweep is submitted and calls it in every task. A job
whose point failed raises, so that the scheduler says FAILED and the log has the reason; one that a
signal stopped with a checkpoint is put back into the queue, where it goes on later.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1lab.errors import INTERRUPTED, RunFailed
from r1lab.launch import local, slurm

#: Slurm's, before a time limit (--signal) and before a preemption; its default action would kill.
_SIGNALS = (signal.SIGUSR2, signal.SIGTERM)


class PointJob:
    """Runs the point in ``folder``; called once by every task of the job."""

    def __init__(self, folder: str):
        self.folder = folder

    def __call__(self) -> str:
        """The point's final state; RunFailed names the first cause where it failed."""
        from submitit import JobEnvironment

        from r1lab.launch import engine_machine
        from r1lab.sweep import points

        before = {number: signal.signal(number, _noted) for number in _SIGNALS}
        folder = Path(self.folder)
        environment = JobEnvironment()
        config = points.read_point(folder).config
        ranks = engine_machine.training_tasks(config, environment)
        if environment.global_rank >= ranks:
            if environment.local_rank > 0:
                return "nothing to do"
            return engine_machine.serve(config, folder, points.run_dir(config))
        _as_rank(environment, ranks)
        if ranks < environment.num_tasks:
            os.environ[engine_machine.VARIABLE] = str(engine_machine.file_of(folder))
        rank = environment.global_rank
        code = points.run_point(folder)
        status = points.read_status(Path(self.folder))
        if code == INTERRUPTED:
            if rank == 0 and status.get("state") != points.CANCELLED and _may_go_on():
                points.update_status(Path(self.folder), state=points.SUBMITTED)
                _requeue(before[signal.SIGUSR2])
            # The other ranks end well: one that fails would end the first before it has requeued.
            return "stopped"
        if code != 0:
            said = status.get("error") if rank == 0 else "see what rank 0 says, and the log above"
            raise RunFailed(f"point {self.folder}, rank {rank}: {said}")
        return str(status.get("state"))

    def checkpoint(self) -> Any:
        """What submitit puts back into the queue: the same. The run's folder knows the rest."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _noted(number: int, frame: Any) -> None:
    """The training has handlers of its own; what comes before it is passed on when it begins, and
    what comes after it changes nothing.
    """
    local.EARLY.append(number)


def _as_rank(environment: Any, world_size: int) -> None:
    """Export what ``torch.distributed`` reads, from the scheduler's variables."""
    from submitit.helpers import TorchDistributedEnvironment

    if world_size > 1:
        # All GPUs of the machine stay visible: the trainer takes that of its local rank.
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        os.environ["WORLD_SIZE"] = str(world_size)


def _may_go_on() -> bool:
    """Whether the job still has its place: one that was cancelled must not come back."""
    job_id = os.environ.get("SLURM_JOB_ID")
    return job_id is not None and slurm.state_of_own_job(job_id) == "RUNNING"


def _requeue(theirs: Callable[[int, Any], Any] | int | None) -> None:
    """Let submitit's own handler requeue: it counts time limits (``max_num_timeout``)."""
    if callable(theirs):
        theirs(signal.SIGUSR2, None)
