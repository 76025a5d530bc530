"""Going on from a checkpoint with another number of processes."""

import json

import pytest

from r1lab import rundir
from r1lab.planning.geometry import Arguments, batch_geometry
from r1lab.planning.resuming import check_resumed_batch

SIZES = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8}


def batch(processes, **changes):
    table, _ = batch_geometry(Arguments("sft", {**SIZES, **changes}), processes, None)
    return table


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of a run on 8 processes: 256 sequences a step."""
    folder = tmp_path / "run"
    saved = folder / "checkpoint-5"
    saved.mkdir(parents=True)
    (saved / "trainer_state.json").write_text('{"global_step": 5}')
    (saved / "model.safetensors").touch()
    (saved / "optimizer.pt").touch()
    (folder / "plan.json").write_text(json.dumps({"plan": {"batch": batch(8)}}))
    return saved


def check(resume, processes, tmp_path, **changes):
    config = {
        "resume": str(resume),
        "output_dir": str(tmp_path),
        "run_name": "run",
        "hardware": {"processes": processes},
    }
    args = Arguments("sft", {**SIZES, **changes})
    return check_resumed_batch(config, args, batch(processes, **changes))


@pytest.mark.parametrize(
    ("processes", "per_device", "accumulate"), [(4, 4, 16), (16, 4, 4), (128, 2, 1), (2, 4, 32)]
)
def test_the_numbers_that_keep_the_batch(checkpoint, tmp_path, processes, per_device, accumulate):
    (problem,) = check(checkpoint, processes, tmp_path)
    assert "was of 256" in problem.message
    assert f"per_device_train_batch_size={per_device} " in problem.fix
    assert problem.fix.endswith(f"gradient_accumulation_steps={accumulate}")
    kept = {
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": accumulate,
    }
    assert check(checkpoint, processes, tmp_path, **kept) == []


def test_processes_that_cannot_keep_it(checkpoint, tmp_path):
    (problem,) = check(checkpoint, 6, tmp_path)
    assert "use 8" in problem.fix or "use 4" in problem.fix


def test_the_same_processes_are_no_news(checkpoint, tmp_path):
    assert check(checkpoint, 8, tmp_path) == []
    assert check(checkpoint.parent, 4, tmp_path)  # the run's folder names its last checkpoint
    assert check("never", 4, tmp_path) == []


def test_the_folder_that_would_be_gone_on_with_is_found(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(rundir, "locate", lambda config: (checkpoint.parent, {}))
    assert check("auto", 4, tmp_path)
    (checkpoint / "optimizer.pt").unlink()  # not whole, so training starts anew
    assert check("auto", 4, tmp_path) == []


@pytest.mark.parametrize("text", ["{broken", "[]", '{"plan": {}}', '{"plan": {"batch": 3}}'])
def test_a_checkpoint_without_a_plan_says_nothing(checkpoint, tmp_path, text):
    (checkpoint.parent / "plan.json").write_text(text)
    assert check(checkpoint, 4, tmp_path) == []
    (checkpoint.parent / "plan.json").unlink()
    assert check(checkpoint, 4, tmp_path) == []
