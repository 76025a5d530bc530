"""How a point really stands: its status, held against what lives.

A status says what was last written. A process that is killed outright, or a machine that goes
down, writes nothing: then the status still says "running".
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from r1lab import rundir
from r1lab.sweep import points
from r1lab.sweep.points import Point

#: A computed state, never written: the status says that the point runs, and nothing does.
LOST = "lost"
#: Slurm's states of a job that is still to run, and of one that runs; all others are an end.
WAITS = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"}
RUNS = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
#: Seconds that a submitted process may take to start and lock its folder.
_START_S = 60.0


def job_states(sweep: Iterable[Point], scheduler: str | None) -> dict[str, str]:
    """The scheduler's state of each point's job, for those that it still knows."""
    if scheduler != "slurm":
        return {}
    found = [points.read_status(point.folder) for point in sweep]
    ids = [str(row["job_id"]) for row in found if row.get("job_id") and _open(row)]
    if not ids:
        return {}
    from r1lab.launch import slurm

    return slurm.states(ids)


def current(
    point: Point, scheduler: str | None, jobs: dict[str, str] | None = None
) -> dict[str, Any]:
    """A point's status, its state corrected to :data:`LOST` (with the reason) where it is stale."""
    status = points.read_status(point.folder)
    if not _open(status):
        return status
    if points.is_running(point.folder):
        return {**status, "state": points.RUNNING}
    if scheduler == "slurm":
        job_id = str(status.get("job_id") or "")
        known = (job_states([point], scheduler) if jobs is None else jobs).get(job_id, "")
        word = known.split()[0].rstrip("+") if known else ""
        if word in WAITS:
            return {**status, "state": points.SUBMITTED}
        if word in RUNS or (not job_id and _is_fresh(point)):
            return status
        gone = f"Slurm's job {job_id or '(never submitted)'} is gone ({known or 'not known'})"
    elif status["state"] == points.SUBMITTED and _is_fresh(point):
        return status
    else:
        gone = f"its process {status.get('pid') or ''} is gone"
    said = f"{gone} and left no result; `sweep resume` runs it again"
    return {**status, "state": LOST, "error": status.get("error") or said}


def settle_all(sweep: Iterable[Point], scheduler: str | None) -> dict[str, dict[str, Any]]:
    """:func:`settle` for many, by key, with one question to the scheduler."""
    sweep = list(sweep)
    jobs = job_states(sweep, scheduler)
    return {point.key: settle(point, scheduler, jobs) for point in sweep}


def settle(
    point: Point, scheduler: str | None, jobs: dict[str, str] | None = None
) -> dict[str, Any]:
    """As :func:`current`; and a run that finished, though its point did not get to say so, counts.

    The objective of a finished point is read anew: ``objective=`` may name another metric now.
    """
    status = current(point, scheduler, jobs)
    run_dir = Path(status["run_dir"]) if status.get("run_dir") else None
    if status.get("state") in points.IN_FLIGHT or run_dir is None or not point.config:
        return status
    run = rundir.read_status(run_dir)
    same = run.get("fingerprint") == status.get("fingerprint")
    if run.get("state") != "finished" or not same or not (run_dir / "metrics.json").is_file():
        if status["state"] == points.FINISHED:  # its results were removed: there is no result
            points.update_status(point.folder, state=points.PENDING, objective=None, note=None)
        return points.read_status(point.folder) if status["state"] != LOST else status
    result = points.finished(run_dir, point.config["objective"])
    if any(status.get(key) != value for key, value in result.items()):
        points.update_status(point.folder, run_id=run.get("run_id"), **result)
    return points.read_status(point.folder)


def _open(status: dict[str, Any]) -> bool:
    return status.get("state") in points.IN_FLIGHT


def _is_fresh(point: Point) -> bool:
    written = (point.folder / points.STATUS).stat().st_mtime
    return time.time() - written < _START_S
