"""Sweeps whose runs take no time: the real command line, launcher and processes; a made-up run.

``sitecustomize`` puts the made-up run in the place of ``r1lab.start.train`` in every process of the
sweep. What it does is told by its seed, and by files in the folder that it runs in.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cli

#: Fails, unless `mended` is there. Runs until a signal stops it, unless `go` is there. Waits for
#: each other.
FAILS, ENDLESS, PAIR = 13, 99, (21, 22)
SITE = """
import sys
if any("run_point" in item for item in sys.orig_argv):
    import r1lab.start
    from tests.sweep import fake
    r1lab.start.train = fake.train
"""


class Sweeps(Cli):
    """``python -m r1lab`` with made-up runs; ``calls`` are the seeds of the runs that were made."""

    def environment(self, **extra: str) -> dict[str, str]:
        found = super().environment(**extra)
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE)
        return {**found, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    @property
    def calls(self) -> list[int]:
        try:
            return [int(line) for line in (self.folder / "calls").read_text().split()]
        except FileNotFoundError:
            return []

    @property
    def sweep(self) -> Path:
        (found,) = (self.folder / "outputs" / "sweeps").iterdir()
        return found

    def states(self) -> dict[int, str]:
        """seed: state, as the points' files say."""
        found = {}
        for path in self.sweep.glob("points/*/point.json"):
            status = json.loads(path.with_name("status.json").read_text())
            found[json.loads(path.read_text())["config"]["seed"]] = status["state"]
        return dict(sorted(found.items()))

    def until(self, seed: int, state: str) -> None:
        """Wait for a point to say how it stands."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if (self.folder / "outputs" / "sweeps").exists() and self.states().get(seed) == state:
                return
            time.sleep(0.05)
        raise AssertionError(f"seed {seed} is not {state}: {self.states()}")


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def train(config: dict[str, Any], command: str, parent_run_id: str | None = None) -> int:
    """In the place of ``r1lab.start.train``, with its folder, status, metrics and exit codes."""
    from r1lab import rundir

    seed = config["seed"]
    # First what a signal finds: the state "running" is written already.
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    run = rundir.claim(config, command)
    with Path("calls").open("a") as calls:
        calls.write(f"{seed}\n")
    print(f"step 1/2  loss 0.{seed}", flush=True)
    if seed == FAILS and not Path("mended").exists():
        rundir.write_status(run.path, state="failed", error="Traceback\nRuntimeError: no luck")
        return 1
    if seed in PAIR:
        Path(f"pair-{seed}").touch()
        end = time.monotonic() + 30
        while not all(Path(f"pair-{other}").exists() for other in PAIR):
            assert time.monotonic() < end, "the other one does not run"
            time.sleep(0.02)
    while seed == ENDLESS and not Path("go").exists():
        if stopped:
            rundir.write_status(run.path, state="killed")
            return 130
        time.sleep(0.02)
    rate = float(config["trainer"]["args"]["learning_rate"])
    (run.path / "metrics.json").write_text(json.dumps({"heldout/accuracy": seed / 100 + rate}))
    rundir.write_status(run.path, state="finished")
    return 0
