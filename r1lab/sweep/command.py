"""``python -m r1lab sweep``: how a sweep stands, running the rest of it, stopping it, its table."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r1lab.errors import ConfigError, Problem, suggest
from r1lab.secrets import redact_text
from r1lab.sweep import ending, folder, points, results, state
from r1lab.sweep.points import Point

HELP = """\
python -m r1lab sweep SUBCOMMAND SWEEP_DIR      SWEEP_DIR is OUTPUT_DIR/sweeps/NAME

  status DIR [--json]   every point: state, job, last metric, log
  table DIR [--json]    results, the best first; also results.csv and results.md in DIR
  resume DIR            run what is missing or failed, as the sweep was started
  cancel DIR            stop what runs (with a checkpoint) and what waits
"""
_SUBCOMMANDS = ("status", "table", "resume", "cancel")
#: Starts a sweep's line again: overrides, config folders, verb; returns the exit code.
Again = Callable[[list[str], list[str], str], int]
_STEP = re.compile(r"step \d+/\d+ .*")
_TAIL = 64 * 1024  # bytes of a log that are searched for its last metrics
_FIELDS = 4  # of a step's line that the table shows; --json has all
_SAVE_S = 600.0  # how long cancelled points may take to save a checkpoint


def main(arguments: Sequence[str], again: Again) -> int:
    if not arguments or {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    what, sweep_dir, as_json = _parse(list(arguments))
    if what == "resume":
        return resume(sweep_dir, again)
    if what == "cancel":
        return cancel(sweep_dir)
    ending.conclude_detached(sweep_dir)
    return status(sweep_dir, as_json) if what == "status" else table(sweep_dir, as_json)


def status(sweep_dir: Path, as_json: bool) -> int:
    """Print every point, as a table or one JSON object."""
    found = results.statuses(sweep_dir)
    rows = [_status_row(point, row) for point, row in found.items()]
    if as_json:
        facts = folder.read_sweep(sweep_dir) or {}
        kept = ("command", "objective", "direction", "created", "concluded", "mlflow_run_id")
        head = {key: facts.get(key) for key in kept}
        whole = {"sweep": str(sweep_dir), **head, "points": rows}
        print(redact_text(json.dumps(whole, indent=2)))
        return 0
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"sweep {sweep_dir.name}", title_justify="left")
    several_jobs = any(row["job_id"] for row in rows)
    for name in ("point", "state", *(["job"] if several_jobs else []), "last metric"):
        shown.add_column(name, overflow="fold")
    for row in rows:
        job = [str(row["job_id"] or "")] if several_jobs else []
        # A step's line has its fields two blanks apart; the first ones fit.
        last = "  ".join((row["last_metric"] or "").split("  ")[:_FIELDS])
        cells = [row["point"], row["state"], *job, last]
        shown.add_row(*(cell.replace("[", "\\[") for cell in cells))
    console = Console()
    console.print(shown)
    for row in rows:
        why = row["error"] or row["note"]
        said = f"  {row['state']}: {why}" if why else ""
        print(redact_text(f"{row['point']}{said}\n  log: {row['log']}"))
    return 0


def table(sweep_dir: Path, as_json: bool) -> int:
    """Print the results and write them beside the points."""
    facts = folder.read_sweep(sweep_dir) or {}
    rows = results.rows(sweep_dir)
    if not as_json:
        ending.show(sweep_dir, facts, rows)
        print(f"also {sweep_dir / 'results.csv'} and {sweep_dir / 'results.md'}")
        return 0
    results.write(sweep_dir, rows, facts["objective"])
    found = {"objective": facts["objective"], "direction": facts["direction"], "rows": rows}
    print(redact_text(json.dumps(found, indent=2)))
    return 0


def resume(sweep_dir: Path, again: Again) -> int:
    """The sweep's own line again, where it was typed: what has finished is left alone."""
    facts = folder.read_sweep(sweep_dir) or {}
    try:
        os.chdir(facts["cwd"])  # the line may name files relative to it
    except OSError as error:
        fix = f"from where those files are now: {facts['command']}"
        said = f"was started in {facts['cwd']}, which cannot be entered ({error.strerror})"
        raise ConfigError(Problem("sweep resume", str(sweep_dir), said, fix)) from None
    overrides = [item for item in facts["overrides"] if not item.startswith("hydra.sweep.dir=")]
    # The folder may have been moved since.
    return again([*overrides, f"hydra.sweep.dir='{sweep_dir}'"], [], "train")


def cancel(sweep_dir: Path) -> int:
    """Stop what runs and what waits; what has finished keeps its results."""
    facts = folder.read_sweep(sweep_dir) or {}
    found = results.statuses(sweep_dir)
    active = {p: row for p, row in found.items() if row["state"] in points.IN_FLIGHT}
    jobs = [str(row["job_id"]) for row in active.values() if row.get("job_id")]
    if facts.get("scheduler") == "slurm" and jobs:
        from r1lab.launch import slurm

        slurm.cancel(jobs)
        print(f"cancelled Slurm's jobs {', '.join(jobs)}")
    controlled = folder.is_controlled(sweep_dir)
    if controlled:
        _stop(facts, "the sweep")
    local = [point for point in active if points.is_running(point.folder)]
    if facts.get("scheduler") is None and not controlled:
        for point in local:
            _stop(active[point], point.label)
    end = time.monotonic() + _SAVE_S
    while folder.is_controlled(sweep_dir) or any(points.is_running(p.folder) for p in local):
        if time.monotonic() > end:
            print(f"still saving after {_SAVE_S:.0f} s: see `sweep status`")
            break
        time.sleep(0.2)
    count = 0
    for point in found:
        now = points.read_status(point.folder)["state"]
        waits = now in (points.PENDING, points.SUBMITTED)
        if waits or (point in active and now == points.RUNNING):
            points.update_status(point.folder, state=points.CANCELLED, ended=points.now())
            count += 1
    ending.conclude_detached(sweep_dir)
    if not active and not count:
        print("nothing was running or waiting")
        return 0
    said = f"{len(local)} stopped with a checkpoint, {count} cancelled"
    print(f"{said}; to go on: python -m r1lab sweep resume {sweep_dir}")
    return 0


def _stop(facts: dict[str, Any], what: str) -> None:
    """Ask a process of this machine to stop."""
    here = socket.gethostname()
    if facts.get("host") != here:
        said = f"{what} runs on {facts.get('host')}, and this is {here}"
        raise ConfigError(Problem("sweep cancel", what, said, "run this command there"))
    os.kill(int(facts["pid"]), signal.SIGTERM)
    print(f"stopping {what} (process {facts['pid']}): it saves a checkpoint first", flush=True)


def _status_row(point: Point, row: dict[str, Any]) -> dict[str, Any]:
    log = row.get("log") or str(point.log)
    value = row.get("objective")
    objective = point.config.get("objective", "objective")
    last = f"{objective} {value:.4g}" if value is not None else _last_step(Path(log))
    if row["state"] == state.LOST:
        last = last and f"{last} (before it was lost)"
    return {
        "key": point.key,
        "number": point.number,
        "point": point.label,
        "seed": point.seed,
        "state": row["state"],
        "job_id": row.get("job_id"),
        "objective": value,
        "last_metric": last,
        "log": log,
        "run_dir": row.get("run_dir"),
        "run_id": row.get("run_id"),
        "error": row.get("error"),
        "note": row.get("note"),
        "started": row.get("started"),
        "ended": row.get("ended"),
    }


def _last_step(log: Path) -> str | None:
    """The last line of a log that tells a training step's numbers."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - _TAIL))
            text = handle.read().decode(errors="replace")
    except OSError:  # not begun, or on a machine whose disk this one does not see
        return None
    found = _STEP.findall(text)
    return found[-1].strip() if found else None


def _parse(arguments: list[str]) -> tuple[str, Path, bool]:
    what, rest = arguments[0], arguments[1:]
    usage = "python -m r1lab sweep status outputs/sweeps/NAME"
    if what not in _SUBCOMMANDS:
        fix = suggest(what, _SUBCOMMANDS, "python -m r1lab sweep ")
        raise ConfigError(Problem("sweep", what, "is not a subcommand of sweep", fix))
    as_json = "--json" in rest
    rest = [item for item in rest if item != "--json"]
    if as_json and what not in ("status", "table"):
        said = f"{what} prints no JSON"
        raise ConfigError(Problem("--json", None, said, "leave it out, or ask for status --json"))
    flags = [item for item in rest if item.startswith("-")]
    if flags or len(rest) > 1:
        extra = (flags or rest[1:])[0]
        said = f"sweep {what} takes a sweep's folder and nothing else"
        raise ConfigError(Problem(extra, None, said, f"write: {usage}"))
    if not rest:
        said = "which sweep?"
        raise ConfigError(Problem(f"sweep {what}", None, said, _known(Path("outputs/sweeps"))))
    sweep_dir = Path(rest[0]).expanduser().absolute()
    if folder.read_sweep(sweep_dir) is None:
        said = "holds no sweep.json" if sweep_dir.is_dir() else "is no folder"
        near = sweep_dir if (sweep_dir / "sweeps").is_dir() else sweep_dir.parent
        place = near / "sweeps" if near is sweep_dir else near
        raise ConfigError(Problem(f"sweep {what}", rest[0], said, _known(place)))
    return what, sweep_dir, as_json


def _known(place: Path) -> str:
    names = sorted(str(path.parent) for path in place.glob(f"*/{folder.SWEEP}"))
    if names:
        return f"choose one of: {', '.join(names[-20:])}"
    return "give a sweep's folder, OUTPUT_DIR/sweeps/NAME: `python -m r1lab -m ...` prints it"
