"""Reading back the tables of completions that a run logged to MLflow."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from r1lab import tracking
from r1lab.record import sqlite_store

FOLDER = "completions"


def tables(uri: str, experiment: str, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """``{"step_000010": rows, ...}`` of a run, by step; empty where none are to be found.

    Raises ``PrerequisiteError`` for a store that does not answer.
    """
    database = sqlite_store.database_path(uri)
    if database is not None and not database.is_file():
        return {}  # connecting would make a new one
    # A bar for each small file says nothing.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    client, _ = tracking.connect(uri, experiment)
    if not tracking.is_alive(client, run_id):
        return {}
    names = sorted(item.path for item in client.list_artifacts(run_id, FOLDER))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name.endswith(".json"):
                text = Path(client.download_artifacts(run_id, name, folder)).read_text()
                found[Path(name).stem] = _rows(json.loads(text))
    return found


def _rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], cells, strict=True)) for cells in table["data"]]
