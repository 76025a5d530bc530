"""Which checkpoints of DeepSpeed's can go on where; the conversion itself is in test_strategies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from r1lab.errors import ConfigError
from r1lab.launch.universal import Shards, Start, prepare, shards

Z3 = {"distributed": "deepspeed", "zero_stage": 3, "processes": 2, "offload": False}
Z2 = {**Z3, "zero_stage": 2}
DDP = {**Z3, "distributed": "ddp", "zero_stage": 0}


def deepspeeds(folder: Path, stage: int, processes: int, prefix: str = "") -> Path:
    """The names of a checkpoint's files, as DeepSpeed 0.19 writes them."""
    path = folder / "checkpoint-2"
    step = path / "global_step2"
    step.mkdir(parents=True)
    (path / "latest").write_text("global_step2")
    for rank in range(processes):
        (step / f"{prefix}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
        if stage == 3:
            (step / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt").touch()
    if stage < 3:
        (step / "mp_rank_00_model_states.pt").touch()
    return path


@pytest.mark.parametrize("prefix", ["", "bf16_"])
@pytest.mark.parametrize(("stage", "processes"), [(2, 1), (2, 4), (3, 1), (3, 16)])
def test_stage_and_processes_are_read_off_the_files(tmp_path, stage, processes, prefix):
    made = deepspeeds(tmp_path, stage, processes, prefix)
    assert shards(made) == Shards(stage, processes)


def test_a_checkpoint_of_another_strategys_has_no_shards(tmp_path):
    (tmp_path / "optimizer.pt").touch()
    assert shards(tmp_path) is None


def test_as_many_processes_load_it_as_it_is(tmp_path):
    made = deepspeeds(tmp_path, 3, 2)
    assert prepare(Z3, made, tmp_path / "run", 2, {}) == Start(made)
    assert prepare(Z3, None, tmp_path / "run", 2, {}) == Start(None)


@pytest.mark.parametrize(
    ("hardware", "stage", "said"),
    [
        (Z2, 3, "was made by DeepSpeed ZeRO-3, 2 processes"),
        (Z3, 2, "go on with hardware=deepspeed_z2"),
        (DDP, 3, "cannot go on under this strategy"),
    ],
)
def test_another_strategys_optimizer_is_refused(tmp_path, hardware, stage, said):
    made = deepspeeds(tmp_path, stage, 2)
    with pytest.raises(ConfigError, match=said):
        prepare(hardware, made, tmp_path / "run", 2, {})


def test_a_checkpoint_that_cannot_be_divided_says_what_made_it(tmp_path):
    """These files are empty: DeepSpeed's converter fails on them."""
    made, run = deepspeeds(tmp_path, 3, 2), tmp_path / "run"
    run.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DS_ACCELERATOR": "cpu"}
    with pytest.raises(ConfigError) as raised:
        prepare(Z3, made, run, 4, environment)
    said = str(raised.value)
    assert "was made with 2 processes, and DeepSpeed cannot divide it among 4" in said
    assert "go on with 2 (nodes x processes)" in said
    assert list(run.iterdir()) == []
