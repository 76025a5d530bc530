"""The end of a sweep: results beside its points and in the MLflow parent run, and what failed.

Done by the process that ran the points, or, where they were only submitted, by the point that ends
last, or by ``sweep table``. Doing it twice changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from r1lab.errors import FAILED, INTERRUPTED
from r1lab.secrets import redact_text
from r1lab.sweep import folder as folders
from r1lab.sweep import points, results, state

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

_ENDED = (points.FINISHED, points.FAILED_STATE, points.KILLED, points.CANCELLED, state.LOST)


@dataclass
class Outcome:
    """The exit code of a sweep: 0, 1 when a point failed, 130 when a signal stopped it."""

    code: int = 0


@contextmanager
def concluded() -> Iterator[Outcome]:
    """Run a sweep in the block; conclude it however the block ends, and set the exit code."""
    outcome = Outcome()
    failure: BaseException | None = None
    try:
        yield outcome
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    sweep = folders.opened()
    if sweep is not None:
        try:
            outcome.code = _conclude_mine(sweep, failure)
        finally:
            folders.close()
    elif isinstance(failure, KeyboardInterrupt):
        outcome.code = INTERRUPTED
    expected = failure is None or isinstance(failure, KeyboardInterrupt)
    # Optuna asks for its best trial, and there is none: the failed points have been named.
    if not expected and not (outcome.code == FAILED and "No trials are completed" in str(failure)):
        assert failure is not None
        raise failure


def _conclude_mine(sweep: folders.Sweep, failure: BaseException | None) -> int:
    found = results.statuses(sweep.folder)
    table = results.rows(sweep.folder, found)
    show(sweep.folder, sweep.facts, table)
    mine = {point: status for point, status in found.items() if point.key in sweep.keys}
    failed = [point for point, status in mine.items() if status["state"] not in points.IN_FLIGHT]
    failed = [point for point in failed if mine[point]["state"] != points.FINISHED]
    stopped = sweep.interrupted or isinstance(failure, KeyboardInterrupt)
    if not stopped:
        _name_failed(failed, mine)
        for note in {status["note"] for status in mine.values() if status.get("note")}:
            print(f"r1lab: warning: {note} (objective=...)", file=sys.stderr)
    running = [point for point, status in mine.items() if status["state"] in points.IN_FLIGHT]
    if running and (sweep.detached or stopped):
        record(sweep.tracker, sweep.folder, sweep.facts, found, table)
        sweep.tracker.flush()
    else:
        bad = failed or (failure is not None and not stopped)
        end: Literal["KILLED", "FAILED", "FINISHED"] = "FAILED" if bad else "FINISHED"
        record(sweep.tracker, sweep.folder, sweep.facts, found, table)
        sweep.tracker.finish("KILLED" if stopped else end)
        folders.write_sweep(sweep.folder, {**sweep.facts, "concluded": points.now()})
    _say_how_to_go_on(sweep, stopped, bool(failed), len(running))
    if stopped:
        return INTERRUPTED
    return FAILED if failed else 0


def conclude_detached(folder: Path) -> None:
    """Conclude a sweep that nobody waits for, if all its points have ended."""
    facts = folders.read_sweep(folder)
    if facts is None or facts.get("concluded") or folders.is_controlled(folder):
        return
    with points.hold(folder / ".concluding") as mine:
        found = results.statuses(folder)
        if not mine or any(status["state"] not in _ENDED for status in found.values()):
            return
        table = results.rows(folder, found)
        results.write(folder, table, facts["objective"])
        from r1lab.tracking import Tracker

        config = next((point.config for point in found if point.config), None)
        if config is not None and facts.get("mlflow_run_id"):
            tracker = Tracker.open(config, folder, folder.name, facts["mlflow_run_id"])
            record(tracker, folder, facts, found, table)
            states = {status["state"] for status in found.values()}
            killed = points.CANCELLED in states or points.KILLED in states
            bad: Literal["KILLED", "FAILED"] = "KILLED" if killed else "FAILED"
            tracker.finish("FINISHED" if states == {points.FINISHED} else bad)
        folders.write_sweep(folder, {**facts, "concluded": points.now()})


def record(
    tracker: Tracker,
    folder: Path,
    facts: dict[str, Any],
    found: dict[points.Point, dict[str, Any]],
    table: list[dict[str, Any]],
) -> None:
    """Log the results to the parent run: a table, its files, the best objective, the counts."""
    flat = [results.flatten(row, facts["objective"]) for row in table]
    tracker.log_table(flat, "results.json")
    for name in ("results.csv", "results.md"):
        tracker.log_artifact(folder / name)
    counts = dict.fromkeys((*points.STATES, state.LOST), 0)
    for status in found.values():
        counts[status["state"]] += 1
    numbers = {f"points/{name}": float(count) for name, count in counts.items() if count}
    best = next((row["objective"] for row in table if row["objective"] is not None), None)
    numbers |= {} if best is None else {f"best/{facts['objective']}": best}
    tracker.log_metrics(numbers, len(found))
    tracker.set_tags({f"r1lab.points.{name}": count for name, count in counts.items() if count})


def show(folder: Path, facts: dict[str, Any], table: list[dict[str, Any]]) -> None:
    """Print the results, and write them beside the points."""
    from rich.console import Console

    results.write(folder, table, facts["objective"])
    Console().print(results.render(table, facts["objective"], f"sweep {folder.name}"))


def _name_failed(failed: list[points.Point], found: dict[points.Point, dict[str, Any]]) -> None:
    for point in failed:
        status = found[point]
        why = status.get("error") or status["state"]
        print(redact_text(f"r1lab: {point.label}: {why}"), file=sys.stderr)
        print(f"  log: {status.get('log')}", file=sys.stderr)


def _say_how_to_go_on(sweep: folders.Sweep, stopped: bool, failed: bool, running: int) -> None:
    place = sweep.folder
    if sweep.detached and running:
        print(f"{running} points are submitted: python -m r1lab sweep status {place}")
    elif stopped or failed:
        print(f"the rest: the same line again, or python -m r1lab sweep resume {place}")
    print(f"sweep  {place}")
    if sweep.tracker.url:
        print(f"record {sweep.tracker.url}", flush=True)
