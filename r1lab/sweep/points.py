"""One point of a sweep: what it runs, how it stands, and running it.

A point is a folder, ``SWEEP/points/<key>``, and the key is its resolved configuration's
fingerprint: the same line finds the same points again, whatever number or order they have. In it
are ``point.json`` (what to run; written once a start of the sweep), ``status.json`` (how it
stands), ``log.txt``, and a lock that is held while the point runs, so that a state of "running"
that nothing stands behind is found out.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r1lab import rundir
from r1lab.errors import FAILED, INTERRUPTED, MISTAKE, R1labError, first_cause
from r1lab.launch import ranks
from r1lab.secrets import redact_text

POINT, STATUS, LOG = "point.json", "status.json", "log.txt"
PENDING, SUBMITTED, RUNNING = "pending", "submitted", "running"
FINISHED, KILLED, CANCELLED = "finished", "killed", "cancelled"
FAILED_STATE = "failed"
#: In these a point needs nothing more, or somebody is at it.
IN_FLIGHT = (SUBMITTED, RUNNING)
STATES = (PENDING, SUBMITTED, RUNNING, FINISHED, FAILED_STATE, KILLED, CANCELLED)


@dataclass(frozen=True, eq=False)  # a point is itself, and can be a key
class Point:
    """One run of a sweep.

    ``settings`` are those of the ``overrides`` that the sweep varies.
    ``group`` is the same for the runs that differ in nothing but the seeds of ``sweep.seeds``, and
    equal to ``key`` where there are none; ``number`` counts from 0 in the order of the grid.
    """

    key: str
    number: int
    overrides: list[str]
    settings: list[str]
    seed: int | None
    group: str
    command: str
    config: dict[str, Any]
    parent_run_id: str | None
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def label(self) -> str:
        """What tells this point from the others, in one line."""
        seed = [f"seed={self.seed}"] if self.seed is not None else []
        return redact_text(" ".join([*self.settings, *seed])) or "the only point"


def key_of(config: dict[str, Any]) -> str:
    return rundir.fingerprint(config)[:12]


def group_of(config: dict[str, Any]) -> str:
    """The key of a config with its seed left out: what several seeds have in common."""
    return key_of({name: value for name, value in config.items() if name != "seed"})


def write_point(point: Point) -> None:
    """Write ``point.json`` (its owner alone may read it: values are not masked), and a status of
    "pending" where there is none yet.
    """
    point.folder.mkdir(parents=True, exist_ok=True)
    facts = {name: value for name, value in asdict(point).items() if name != "folder"}
    write_json(point.folder / POINT, facts)
    if not read_status(point.folder):
        update_status(point.folder, state=PENDING, log=str(point.log))


def read_point(folder: Path) -> Point:
    return Point(**json.loads((folder / POINT).read_text()), folder=folder.absolute())


def read_points(sweep_dir: Path) -> list[Point]:
    """All points of a sweep, by number."""
    found = [read_point(path.parent) for path in (sweep_dir / "points").glob(f"*/{POINT}")]
    return sorted(found, key=lambda point: (point.number, point.seed or 0, point.key))


def read_status(folder: Path) -> dict[str, Any]:
    """What the point's ``status.json`` says: state (one of :data:`STATES`), job_id, pid, host,
    run_dir, fingerprint (the run's), run_id, log, objective, note, error, exit_code, started,
    ended. Empty where there is none.
    """
    return rundir.read_status(folder)


def update_status(folder: Path, **changes: Any) -> None:
    """Merge ``changes`` into ``status.json``; safe when the launcher and the point do it at once.

    A launcher that hands a point to a scheduler writes ``state="submitted"`` before it submits and
    the ``job_id`` after, for the job may be running (and say so) by then.
    """
    with (folder / f".{STATUS}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        write_json(folder / STATUS, {**read_status(folder), **changes})


def is_running(folder: Path) -> bool:
    """Whether a process of this point lives (here, or on a machine that shares file locks)."""
    return _held(folder / ".lock")


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; False when another process has it.

    The lock goes with the process, however it ends. A short wait lets :func:`is_running` look.
    """
    with path.open("a") as handle:
        for attempt in range(20):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05 if attempt < 19 else 0)
        else:
            yield False
            return
        yield True


def run_point(folder: Path) -> int:
    """Run one point in this process, from ``point.json`` to its final status; the exit code.

    What every launcher executes in a process of its own: ``python -m r1lab.sweep.run_point
    FOLDER``. As one of several ranks (``RANK`` and ``WORLD_SIZE`` are set) only the first writes
    the status. 130 says that a signal stopped it with a checkpoint: run again, it goes on.
    """
    from r1lab import start

    point = read_point(folder)
    if not ranks.from_environment().is_first:
        return start.train(point.config, point.command, parent_run_id=point.parent_run_id)
    with hold(folder / ".lock") as mine:
        if not mine:
            print(f"r1lab: {folder} is running already, in process {read_status(folder)['pid']}")
            return MISTAKE
        if read_status(folder).get("state") == CANCELLED:  # while it waited for its turn
            return INTERRUPTED
        update_status(
            folder,
            state=RUNNING,
            pid=os.getpid(),
            host=socket.gethostname(),
            started=now(),
            **dict.fromkeys(("ended", "error", "exit_code", "objective", "note")),
        )
        code, error = _train(point)
        update_status(folder, exit_code=code, ended=now(), **_outcome(point, code, error))
    if code != INTERRUPTED:  # that one may be put back into a queue
        from r1lab.sweep.ending import conclude_detached

        conclude_detached(folder.absolute().parent.parent)
    return code


def _train(point: Point) -> tuple[int, str | None]:
    """(exit code, what was raised); what is a bug keeps its traceback, in the log."""
    import traceback

    from r1lab import start
    from r1lab.cli import show_error

    try:
        update_status(point.folder, **_place(point.config))
        return start.train(point.config, point.command, parent_run_id=point.parent_run_id), None
    except KeyboardInterrupt:
        return INTERRUPTED, None
    except R1labError as error:
        show_error(error)
        return MISTAKE, redact_text(str(error))
    except Exception as error:
        print(redact_text(traceback.format_exc()), flush=True)
        return FAILED, redact_text(f"{type(error).__name__}: {error}")


def _place(config: dict[str, Any]) -> dict[str, str]:
    mine = _adopted(config)
    return {"run_dir": str(run_dir(config)), "fingerprint": rundir.fingerprint(mine)}


def run_dir(config: dict[str, Any]) -> Path:
    """The folder that the run will take, by the configuration that it will have as ranks."""
    return rundir.locate(_adopted(config))[0]


def _adopted(config: dict[str, Any]) -> dict[str, Any]:
    me = ranks.from_environment()
    return ranks.adopted(config, me) if me.world_size > 1 else config


def _outcome(point: Point, code: int, error: str | None) -> dict[str, Any]:
    """What the end of a run makes of a point's status."""
    run_dir = read_status(point.folder).get("run_dir")
    run = rundir.read_status(Path(run_dir)) if run_dir else {}
    found: dict[str, Any] = {"run_id": run.get("run_id")}
    if code == 0 and run_dir:
        return {**found, **finished(Path(run_dir), point.config["objective"])}
    if code == INTERRUPTED:
        return {**found, "state": KILLED}
    said = error or run.get("error") or f"exit code {code}, and no message: see the log"
    return {**found, "state": FAILED_STATE, "error": first_cause(said)}


def finished(run_dir: Path, objective: str) -> dict[str, Any]:
    """The status of a point whose run has finished: its objective, or why it has none."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    value = metrics.get(objective)
    if value is not None:
        return {"state": FINISHED, "objective": float(value), "note": None, "error": None}
    names = ", ".join(sorted(metrics))
    note = f"the run has no final metric {objective}; it has {names}"
    return {"state": FINISHED, "objective": None, "note": note, "error": None}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Replace a JSON file: a reader sees the old one or the new one, whole."""
    fresh = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(facts, indent=2, default=str) + "\n")
    fresh.replace(path)
