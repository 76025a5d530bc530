"""A folder in which a module's tests train small runs, each once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.conftest import Cli

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SMALL = [
    *("hardware.device=cpu", "hardware.mixed_precision=no", "tracking.mlflow=false"),
    *("data.train_size=64", "data.test_size=8", "trainer.evaluation.enabled=false"),
    *("trainer.args.save_steps=1", "trainer.args.save_total_limit=9"),
]
#: The same 16 sequences a step from two processes and from one.
PAIR = ["hardware.processes=2", "trainer.args.per_device_train_batch_size=8"]
ALONE = ["hardware.processes=1", "trainer.args.per_device_train_batch_size=16"]


class Lab:
    """Trains by the command line and keeps what was printed, by the run's name."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.printed: dict[str, str] = {}

    def run(self, name: str) -> Path:
        return self.folder / "outputs" / name

    def arguments(self, name: str, *overrides: str) -> list[str]:
        return [*SMALL, f"run_name={name}", *overrides]

    def train(self, name: str, *overrides: str) -> Path:
        """Train to the end; the run's folder."""
        done = self.start(name, *overrides)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.run(name)

    def train_all(self, runs: Mapping[str, Sequence[str]]) -> None:
        """Train several, two at a time: half of a short run is waiting."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: self.train(name, *runs[name]), runs))

    def start(self, name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        done = Cli(self.folder)(*self.arguments(name, *overrides), **ENVIRONMENT)
        self.printed[name] = done.stdout + done.stderr
        return done


def losses(run: Path) -> list[float]:
    """One for each step; a run that goes on has those of the run before as well."""
    rows = json.loads((run / "trainer_state.json").read_text())["log_history"]
    return [row["loss"] for row in rows if "loss" in row]


def shares(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "shares.json").read_text())
    return found


def weights(folder: Path) -> dict[str, Any]:
    """Every tensor in the folder's one file of weights, read without r1lab.

    The head of a model that shares it with the embeddings is written a second time by ZeRO-2.
    """
    from safetensors.torch import load_file

    (file,) = folder.glob("*model.safetensors")
    found: dict[str, Any] = load_file(file)
    head = found.get("lm_head.weight")
    if head is not None and head.equal(found["model.embed_tokens.weight"]):
        del found["lm_head.weight"]
    return found


def largest_difference(one: Path, other: Path) -> float:
    """Between the weights of two saved models of the same names."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}
