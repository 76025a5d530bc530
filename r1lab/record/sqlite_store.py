"""What MLflow's client leaves open on a local SQLite store: its place, its lock, a point a step.

No MLflow here: only the file, its lock, and one DELETE on its ``metrics`` table.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def default_uri(output_dir: Path | str) -> str:
    """The store beside the runs, as an absolute URI: workers may run in other folders."""
    return f"sqlite:///{Path(output_dir).expanduser().resolve() / 'mlflow.db'}"


def database_path(uri: str) -> Path | None:
    """The database's file, or None for a server or another kind of store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()


@contextmanager
def locked(database: Path | None) -> Iterator[Path | None]:
    """Hold the lock beside the file; yields its folder (None where there is no file).

    Processes that make or migrate a fresh store at the same time crash, so each takes its turn.
    """
    if database is None:
        yield None
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(database.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield database.parent


def make_whole(database: Path | None, make: Callable[[str], object]) -> None:
    """Let ``make`` fill a fresh store (its URI), which takes its place once it is whole.

    A process that is killed amid MLflow's forty migrations leaves one that no MLflow can open.
    """
    if database is None or (database.exists() and database.stat().st_size):
        return
    fresh = database.with_name(f".{database.name}.new")
    for left in (fresh, fresh.with_name(f"{fresh.name}-journal")):
        left.unlink(missing_ok=True)
    make(f"sqlite:///{fresh}")
    fresh.replace(database)


def drop_points(database: Path, run_id: str, points: Iterable[tuple[str, int]]) -> None:
    """Delete metric points (key, step) of a run; MLflow's client has no call for it.

    ``latest_metrics`` needs no care: MLflow replaces it by a newer point of the same step.
    """
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.executemany(
            "DELETE FROM metrics WHERE run_uuid = ? AND key = ? AND step = ?",
            [(run_id, key, step) for key, step in points],
        )
