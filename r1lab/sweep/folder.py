"""A sweep's folder and its record: ``sweep.json``, one controller at a time, one MLflow parent.

A sweep is open in the process that starts its points. What ends it (the results table, the parent
run's status) is in :mod:`r1lab.sweep.results` and done by whoever is last: that process, or, where
the points were only submitted, the point that ends last.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem
from r1lab.secrets import learn, redact_text
from r1lab.sweep import points

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

SWEEP = "sweep.json"


@dataclass
class Sweep:
    """A sweep that this process runs; ``tracker`` is its MLflow parent run, ``keys`` are the points
    that this start of it asked for (its folder may hold more).
    """

    folder: Path
    facts: dict[str, Any]
    tracker: Tracker
    lock: IO[str]
    keys: set[str] = field(default_factory=set)
    interrupted: bool = False
    detached: bool = False

    @property
    def parent_run_id(self) -> str | None:
        return self.tracker.run_id or None


#: The one that this process has opened: Hydra makes the launcher, so it cannot hand it back.
_opened: Sweep | None = None


def opened() -> Sweep | None:
    return _opened


def open_sweep(folder: Path, facts: Mapping[str, Any], config: Mapping[str, Any]) -> Sweep:
    """Make or reopen a sweep's folder, lock it, and open its MLflow parent run.

    ``facts`` are ``sweep.json``'s: command, overrides, objective, direction, seeds, launcher,
    scheduler, cwd, grid. ``config`` needs the nodes ``tracking`` and ``output_dir``. A sweep that
    another process runs now is a ConfigError.
    """
    global _opened
    if _opened is not None and _opened.folder == folder:
        return _opened
    from r1lab.record.provenance import collect
    from r1lab.tracking import Tracker

    learn(config)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    before = read_sweep(folder) or {}
    tracker = Tracker.open(config, folder, folder.name, before.get("mlflow_run_id"))
    mine = {
        "created": before.get("created") or points.now(),
        **facts,
        "mlflow_run_id": tracker.run_id or None,
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    write_sweep(folder, mine)
    record = {"sweep": {key: mine[key] for key in ("grid", "objective", "seeds", "launcher")}}
    tracker.log_start(record, collect(config), mine["command"])
    tracker.set_tags({"r1lab.sweep": folder.name})
    tracker.log_text(json.dumps(mine["grid"], indent=2), "grid.json")
    _opened = Sweep(folder, mine, tracker, lock)
    return _opened


def close() -> None:
    """Let the sweep of this process go."""
    global _opened
    if _opened is not None:
        _opened.lock.close()
        _opened = None


def read_sweep(folder: Path) -> dict[str, Any] | None:
    """What ``sweep.json`` says; None where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / SWEEP).read_text())
    except OSError:
        return None
    return found


def write_sweep(folder: Path, facts: dict[str, Any]) -> None:
    points.write_json(folder / SWEEP, facts)


def is_controlled(folder: Path) -> bool:
    """Whether a process that starts this sweep's points lives."""
    return points.is_running(folder)


def grid(overrides: Sequence[str]) -> dict[str, Any]:
    """``{"swept": {key: its values as written}, "fixed": {key: value}}`` of task overrides."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found: dict[str, Any] = {"swept": {}, "fixed": {}}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        kind = "swept" if override.is_sweep_override() else "fixed"
        value = (override.input_line or "").partition("=")[2]
        found[kind][override.get_key_element()] = redact_text(value)
    return found


def _lock(folder: Path) -> IO[str]:
    handle = (folder / ".lock").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        pid = (read_sweep(folder) or {}).get("pid", "?")
        raise ConfigError(
            Problem(
                "sweep",
                folder.name,
                f"process {pid} is running this sweep right now",
                f"wait for it (`python -m r1lab sweep status {folder}`), or stop it "
                f"(`python -m r1lab sweep cancel {folder}`)",
            )
        ) from None
    return handle
