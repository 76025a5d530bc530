"""Sweeps of real runs: the tiny model, one or a few steps."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.running import client, runs

pytestmark = pytest.mark.launch
TINY = [
    "hardware=cpu",
    "trainer.args.per_device_train_batch_size=16",
    "trainer.evaluation.enabled=false",
    "data.train_size=64",
    "data.test_size=16",
    "objective=train_loss",
    "tracking.register=false",
]
REWARD = """
import os


class Picky:
    \"\"\"Raises, when told to, unless the machine was mended.\"\"\"

    def __init__(self, raises: bool = False):
        self.raises = raises

    def __call__(self, completions, **kwargs):
        if self.raises and not os.path.exists("mended"):
            raise RuntimeError("no luck with this one")
        return [float(len(str(text)) % 3) for text in completions]
"""
CONFIG = "# @package rewards.picky\n_target_: picky.Picky\nweight: 1.0\nraises: false\n"


def own(folder: Path) -> None:
    (folder / "picky.py").write_text(REWARD)
    place = folder / "mine" / "rewards"
    place.mkdir(parents=True)
    (place / "picky.yaml").write_text(CONFIG)


def sweep_of(cli: Cli) -> Path:
    (found,) = (cli.folder / "outputs" / "sweeps").iterdir()
    return found


def test_points_are_children_of_one_run_and_a_failing_one_is_run_again_alone(cli: Cli) -> None:
    own(cli.folder)
    line = ["-m", "--config-dir", "mine", "rewards=[picky]", "rewards.picky.raises=false,true"]
    line += [*TINY, "trainer.args.max_steps=1", "hydra.launcher.parallel=2"]
    environment = {"R1LAB_PACKAGES": "picky", "OMP_NUM_THREADS": "1"}
    done = cli(*line, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "rewards.picky.raises=True" in done.stderr
    assert "no luck with this one" in done.stderr and "Traceback" not in done.stderr
    found = {run.info.run_name: run for run in runs(cli.folder)}
    parent = found.pop(sweep_of(cli).name)
    assert parent.info.status == "FAILED"
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert sorted(run.info.status for run in found.values()) == ["FAILED", "FINISHED"]

    (cli.folder / "mended").touch()
    again = cli(*line, **environment)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 to run, 1 finished before" in again.stdout
    kept = {run.info.run_name: run for run in runs(cli.folder)}
    assert set(kept) == {*found, parent.info.run_name}
    assert {run.info.status for run in kept.values()} == {"FINISHED"}


def test_an_interrupted_point_goes_on_from_its_checkpoint_in_its_own_run(cli: Cli) -> None:
    process = cli.start("-m", "seed=1", *TINY, "trainer.args.max_steps=6")
    end = time.monotonic() + 120
    while not list((cli.folder / "outputs").glob("sweeps/*/points/*/log.txt")) or (
        "step 1/6" not in next(sweep_of(cli).glob("points/*/log.txt")).read_text()
    ):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    (status_file,) = sweep_of(cli).glob("points/*/status.json")
    before = json.loads(status_file.read_text())
    assert before["state"] == "killed"
    assert list(Path(before["run_dir"]).glob("checkpoint-*"))

    rest = cli("sweep", "resume", str(sweep_of(cli)))
    assert rest.returncode == 0, rest.stdout + rest.stderr
    after = json.loads(status_file.read_text())
    assert (after["state"], after["run_dir"]) == ("finished", before["run_dir"])
    assert after["run_id"] == before["run_id"]
    points = client(cli.folder).get_metric_history(after["run_id"], "loss")
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
