"""``hydra/launcher=submitit_local``: the jobs of a Slurm sweep, rehearsed on this machine."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_plugins.r1lab_launchers import submitit as launchers
from r1lab.errors import PrerequisiteError
from tests.launch.running import DDP


def statuses(folder: Any) -> dict[int, dict[str, Any]]:
    found = {}
    for point in folder.glob("outputs/sweeps/*/points/*"):
        number = json.loads((point / "point.json").read_text())["number"]
        found[number] = json.loads((point / "status.json").read_text())
    return found


@pytest.mark.launch
def test_points_of_two_ranks_run_one_after_the_other(cli):
    done = cli(
        "-m",
        "hydra/launcher=submitit_local",
        *DDP,
        "trainer.args.max_steps=1",
        "objective=train_loss",
        "seed=1,2",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = statuses(cli.folder)
    assert [found[number]["state"] for number in (0, 1)] == ["finished", "finished"]
    assert found[0]["ended"] <= found[1]["started"], "array_parallelism is 1"
    assert all(row["job_id"] for row in found.values())


@pytest.mark.launch
def test_machines_that_it_does_not_have_are_refused(cli):
    done = cli("-m", "hydra/launcher=submitit_local", *DDP, "hardware.nodes=2", "seed=1,2")
    assert done.returncode == 2
    assert "hydra.launcher.nodes" in done.stderr or "hardware.nodes=1" in done.stderr


class Job:
    """A fake for what no machine here has: a job on a GPU. It ends when it is looked at twice."""

    job_id, state = "1", "FINISHED"

    def __init__(self) -> None:
        self.looks = 0

    def done(self) -> bool:
        self.looks += 1
        return self.looks > 1


def point(processes: int, device: str = "cuda") -> Any:
    hardware = {"nodes": 1, "processes": processes, "device": device}
    return SimpleNamespace(config={"hardware": hardware, "engine": {"kind": "auto"}})


def places(monkeypatch, points: list[Any], **fields: Any) -> list[list[int]]:
    """The GPUs that each point's job was given."""
    launcher = launchers.SubmititLocalLauncher(**{"array_parallelism": 1, **fields})
    found: list[list[int]] = []

    def submitted(self: Any, todo: list[Any], sweep_dir: Any) -> dict[Any, Any]:
        found.append(list(self._taken))
        return {todo[0]: Job()}

    monkeypatch.setattr(launchers.SubmititLocalLauncher, "_submitted", submitted)
    monkeypatch.setattr(launchers.SubmititLocalLauncher, "waits", True)
    monkeypatch.setattr(launchers, "_conclude", lambda *_: None)
    launcher.run(points, None)
    return found


class Hashable(SimpleNamespace):
    __hash__ = object.__hash__


def several(*counts: int, device: str = "cuda") -> list[Any]:
    return [Hashable(**vars(point(count, device))) for count in counts]


def test_jobs_at_once_have_gpus_of_their_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    assert places(monkeypatch, several(1, 1, 1), array_parallelism=2)[:2] == [[4], [5]]
    # Two jobs of two do not fit beside each other: the second waits for the first one's.
    assert all(len(mine) == 2 for mine in places(monkeypatch, several(2, 2), array_parallelism=2))


def test_more_gpus_than_there_are_is_said(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(PrerequisiteError, match="1 GPUs is missing: a point takes 2"):
        places(monkeypatch, several(2))


def test_without_a_gpu_a_run_that_takes_what_is_there_takes_none(monkeypatch):
    monkeypatch.setattr(launchers.hardware, "gpu_count", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert places(monkeypatch, several(1, device="auto")) == [[]]
