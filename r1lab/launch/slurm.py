"""Slurm's answers about jobs, and cancelling them, through its own commands."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

from r1lab.errors import PrerequisiteError

#: Seconds that a controller may take to answer.
_PATIENCE_S = 60
#: An array of which some tasks still wait shows them as one row: 12_[3-7].
_QUEUE = ["squeue", "--noheader", "--all", "--states=all", "--array", "--format=%i|%T"]
_ACCOUNTS = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State"]


def states(job_ids: Iterable[str]) -> dict[str, str]:
    """Slurm's state of each job (RUNNING, FAILED, ...); one that it no longer knows is left out.

    The queue knows a job until some minutes after its end, the accounts (where a cluster keeps
    them) ever after.
    """
    wanted = list(dict.fromkeys(job_ids))
    if not wanted:
        return {}
    _need("squeue")
    found = _table([*_QUEUE, f"--jobs={','.join(wanted)}"])
    missing = [job for job in wanted if job not in found]
    if missing and shutil.which("sacct"):
        found |= _table([*_ACCOUNTS, f"--jobs={','.join(missing)}"])
    return {job: found[job] for job in wanted if job in found}


def cancel(job_ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended already are no error."""
    wanted = list(dict.fromkeys(job_ids))
    if wanted:
        _need("scancel")
        subprocess.run(["scancel", "--quiet", *wanted], timeout=_PATIENCE_S, check=False)


def state_of_own_job(job_id: str) -> str | None:
    """The state of the job that this process is part of, by its plain number (no array's)."""
    command = ["squeue", "--noheader", f"--jobs={job_id}", "--format=%T"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    return done.stdout.strip() or None


def _table(command: list[str]) -> dict[str, str]:
    """``{job: state}`` of a command's rows. squeue fails when it knows none of the jobs."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    rows = (line.split("|") for line in done.stdout.splitlines() if "|" in line)
    return {row[0].strip(): row[1].split()[0] for row in rows if row[1].strip()}


def _need(command: str) -> None:
    if shutil.which(command) is None:
        raise PrerequisiteError(
            f"Slurm's {command}",
            "this sweep's points are jobs of Slurm's",
            "run it on a machine of the cluster that has Slurm's commands",
        )
