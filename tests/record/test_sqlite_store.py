"""The local store of MLflow: whole, or not there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from r1lab import tracking
from r1lab.record import sqlite_store


def test_a_store_that_was_not_finished_is_not_there(tmp_path):
    database = tmp_path / "mlflow.db"
    made: list[str] = []

    def stopped(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half")
        raise KeyboardInterrupt

    def finished(uri: str) -> None:
        path = Path(uri.removeprefix("sqlite:///"))
        assert not path.exists(), "what was left is gone"
        path.write_bytes(b"whole")
        made.append(uri)

    with pytest.raises(KeyboardInterrupt):
        sqlite_store.make_whole(database, stopped)
    assert not database.exists()
    sqlite_store.make_whole(database, finished)
    sqlite_store.make_whole(database, finished)
    assert database.read_bytes() == b"whole" and len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.slow  # it makes an MLflow database
def test_mlflow_opens_one_after_a_kill_amid_its_making(tmp_path):
    """The state that a kill leaves: some tables, and one of a migration that was under way."""
    left = tmp_path / ".mlflow.db.new"
    with sqlite3.connect(left) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        connection.execute("CREATE TABLE _alembic_tmp_experiments (experiment_id INTEGER)")
    client, experiment = tracking.connect(f"sqlite:///{tmp_path / 'mlflow.db'}", "mine")
    run = client.create_run(experiment)
    client.set_terminated(run.info.run_id)
    assert not left.exists()
    again, same = tracking.connect(f"sqlite:///{tmp_path / 'mlflow.db'}", "mine")
    assert same == experiment
    assert again.get_run(run.info.run_id).info.status == "FINISHED"
