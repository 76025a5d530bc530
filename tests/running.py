"""What tests of whole runs share: a small run, its record, and waiting for what it prints."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

SMALL = [
    "hardware=cpu",
    "trainer.args.per_device_train_batch_size=16",
    "trainer.evaluation.problems=16",
    "data.train_size=256",
    "data.test_size=32",
]


def client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder / 'outputs' / 'mlflow.db'}")


def runs(folder: Path) -> list[Any]:
    found = client(folder)
    experiment = found.get_experiment_by_name("r1lab")
    return list(found.search_runs([experiment.experiment_id]))


def artifacts(folder: Path, run_id: str, path: str = "") -> set[str]:
    found: set[str] = set()
    for item in client(folder).list_artifacts(run_id, path or None):
        found |= artifacts(folder, run_id, item.path) if item.is_dir else {item.path}
    return found


def history(run: Path) -> list[dict[str, float]]:
    """What training logged at each step, without the clock's figures."""
    rows = json.loads((run / "trainer_state.json").read_text())["log_history"]
    timed = ("time/", "step_time", "train_runtime", "_per_second", "num_input_tokens_seen")
    steps = [row for row in rows if "loss" in row]
    return [{k: v for k, v in row.items() if not any(t in k for t in timed)} for row in steps]


def wait_for(process: subprocess.Popen[str], text: str, seconds: float = 180) -> None:
    assert process.stdout is not None
    end = time.monotonic() + seconds
    seen = ""
    while time.monotonic() < end:
        line = process.stdout.readline()
        seen += line
        if text in line:
            return
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"{text!r} was not printed:\n{seen}")


def worker_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(
        int(pid) for pid in children if b"r1lab.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
